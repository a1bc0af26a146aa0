//! Undo byte and bit shuffling: transposes of byte and bit matrices, sixteen columns at a time.
//!
//! Bitshuffle (Masui et al. 2015, doi 10.1016/j.ascom.2015.07.002) stores bit k of byte b of element e of a
//! block as bit e mod 8 of byte e / 8 in row 8 b + k. A network of masked swaps turns eight such rows
//! into bytes of single elements; log2(rows) perfect shuffles of whole rows then transpose bytes.

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "calls of SSE2 intrinsics, which every x86-64 processor has"
)]
mod lane {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_slli_epi64, _mm_srli_epi64, _mm_unpackhi_epi8,
        _mm_unpacklo_epi8, _mm_xor_si128,
    };

    /// Sixteen bytes.
    #[derive(Clone, Copy)]
    pub struct Lane(__m128i);

    impl Lane {
        pub fn zero() -> Self {
            Self(bytemuck::Zeroable::zeroed())
        }

        pub fn load(bytes: [u8; 16]) -> Self {
            Self(bytemuck::cast(bytes))
        }

        pub fn store(self) -> [u8; 16] {
            bytemuck::cast(self.0)
        }

        /// a0 b0 a1 b1 ... as two lanes.
        pub fn interleave(self, other: Self) -> (Self, Self) {
            // SAFETY: SSE2 is part of the x86-64 baseline; these work on registers only.
            unsafe {
                (
                    Self(_mm_unpacklo_epi8(self.0, other.0)),
                    Self(_mm_unpackhi_epi8(self.0, other.0)),
                )
            }
        }

        /// Swaps the bits of `mask` in `other` with those `SHIFT` higher in `self`, in every byte.
        pub fn swap_bits<const SHIFT: i32>(&mut self, other: &mut Self, mask: u8) {
            let mask = bytemuck::cast([mask; 16]);
            // SAFETY: SSE2 is part of the x86-64 baseline; these work on registers only.
            unsafe {
                let shifted = _mm_srli_epi64::<SHIFT>(self.0);
                let differing = _mm_and_si128(_mm_xor_si128(shifted, other.0), mask);
                other.0 = _mm_xor_si128(other.0, differing);
                self.0 = _mm_xor_si128(self.0, _mm_slli_epi64::<SHIFT>(differing));
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod lane {
    /// Sixteen bytes.
    #[derive(Clone, Copy)]
    pub struct Lane([u8; 16]);

    impl Lane {
        pub fn zero() -> Self {
            Self([0; 16])
        }

        pub fn load(bytes: [u8; 16]) -> Self {
            Self(bytes)
        }

        pub fn store(self) -> [u8; 16] {
            self.0
        }

        /// a0 b0 a1 b1 ... as two lanes.
        pub fn interleave(self, other: Self) -> (Self, Self) {
            let pick = |i: usize| {
                if i % 2 == 0 {
                    self.0[i / 2]
                } else {
                    other.0[i / 2]
                }
            };
            (
                Self(std::array::from_fn(pick)),
                Self(std::array::from_fn(|i| pick(i + 16))),
            )
        }

        /// Swaps the bits of `mask` in `other` with those `SHIFT` higher in `self`, in every byte.
        pub fn swap_bits<const SHIFT: i32>(&mut self, other: &mut Self, mask: u8) {
            for (a, b) in self.0.iter_mut().zip(&mut other.0) {
                let differing = ((*a >> SHIFT) ^ *b) & mask;
                *b ^= differing;
                *a ^= differing << SHIFT;
            }
        }
    }
}

use lane::Lane;

/// Transposes, in every column of eight rows, the 8 x 8 bits: row i then holds bit i of all eight.
fn transpose_bits(rows: &mut [Lane; 8]) {
    let [a, b, c, d, e, f, g, h] = rows;
    a.swap_bits::<4>(e, 0x0f);
    b.swap_bits::<4>(f, 0x0f);
    c.swap_bits::<4>(g, 0x0f);
    d.swap_bits::<4>(h, 0x0f);
    a.swap_bits::<2>(c, 0x33);
    b.swap_bits::<2>(d, 0x33);
    e.swap_bits::<2>(g, 0x33);
    f.swap_bits::<2>(h, 0x33);
    a.swap_bits::<1>(b, 0x55);
    c.swap_bits::<1>(d, 0x55);
    e.swap_bits::<1>(f, 0x55);
    g.swap_bits::<1>(h, 0x55);
}

/// Writes R rows of sixteen bytes column by column: R x 16 to 16 x R.
fn store_columns<const R: usize>(mut rows: [Lane; R], out: &mut [u8]) {
    for _ in 0..R.trailing_zeros() {
        let mut next = [Lane::zero(); R];
        for pair in 0..R / 2 {
            (next[2 * pair], next[2 * pair + 1]) = rows[pair].interleave(rows[pair + R / 2]);
        }
        rows = next;
    }
    for (row, out) in rows.iter().zip(out.as_chunks_mut::<16>().0) {
        *out = row.store();
    }
}

fn load(bytes: &[u8], start: usize) -> Lane {
    bytes
        .get(start..)
        .and_then(<[u8]>::first_chunk::<16>)
        .map_or_else(Lane::zero, |chunk| Lane::load(*chunk))
}

fn untranspose<const S: usize, const R: usize>(planes: &[u8], out: &mut [u8]) {
    let columns = planes.len() / (8 * S);
    let groups = columns / 16;
    let (whole, tail) = out.split_at_mut(groups * 16 * R);
    for (group, out) in whole.chunks_exact_mut(16 * R).enumerate() {
        let mut rows = [Lane::zero(); R];
        for byte in 0..S {
            let mut bits: [Lane; 8] =
                std::array::from_fn(|k| load(planes, (byte * 8 + k) * columns + group * 16));
            transpose_bits(&mut bits);
            for (i, lane) in bits.into_iter().enumerate() {
                rows[i * S + byte] = lane;
            }
        }
        store_columns(rows, out);
    }
    untranspose_columns(planes, S, columns, groups * 16, tail);
}

/// The same one column (eight elements) at a time, for any element size.
fn untranspose_columns(
    planes: &[u8],
    element: usize,
    columns: usize,
    first: usize,
    out: &mut [u8],
) {
    for (column, out) in (first..columns).zip(out.chunks_exact_mut(8 * element)) {
        for byte in 0..element {
            for k in 0..8 {
                let bits = planes
                    .get((byte * 8 + k) * columns + column)
                    .copied()
                    .unwrap_or(0);
                for i in 0..8 {
                    if let Some(cell) = out.get_mut(i * element + byte) {
                        *cell |= ((bits >> i) & 1) << k;
                    }
                }
            }
        }
    }
}

/// Undoes the bit transpose of one block; `out` must be zeroed and as long as `planes`, whose number of
/// elements is a multiple of eight.
pub fn unshuffle_bits(planes: &[u8], element: usize, out: &mut [u8]) {
    debug_assert_eq!(planes.len(), out.len());
    match element {
        1 => untranspose::<1, 8>(planes, out),
        2 => untranspose::<2, 16>(planes, out),
        4 => untranspose::<4, 32>(planes, out),
        8 => untranspose::<8, 64>(planes, out),
        _ => untranspose_columns(planes, element, planes.len() / (8 * element.max(1)), 0, out),
    }
}

/// Undoes HDF5's byte shuffle; bytes beyond the last whole element are copied.
pub fn unshuffle_bytes(planes: &[u8], element: usize, out: &mut [u8]) {
    fn grouped<const S: usize>(planes: &[u8], n: usize, out: &mut [u8]) -> usize {
        let groups = n / 16;
        for (group, out) in out.chunks_exact_mut(16 * S).take(groups).enumerate() {
            store_columns::<S>(
                std::array::from_fn(|byte| load(planes, byte * n + group * 16)),
                out,
            );
        }
        groups * 16
    }
    let element = element.max(1);
    let n = planes.len() / element;
    let done = match element {
        2 => grouped::<2>(planes, n, out),
        4 => grouped::<4>(planes, n, out),
        8 => grouped::<8>(planes, n, out),
        _ => 0,
    };
    for (e, out) in out.chunks_exact_mut(element).enumerate().skip(done) {
        for (byte, cell) in out.iter_mut().enumerate() {
            *cell = planes.get(byte * n + e).copied().unwrap_or(0);
        }
    }
    if let (Some(rest), Some(out)) = (planes.get(n * element..), out.get_mut(n * element..)) {
        out.copy_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<u8> {
        let mut state = 1u32;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    #[test]
    fn undoes_both_shuffles_at_every_size() {
        for element in [1, 2, 3, 4, 8, 16] {
            for n in [8, 16, 120, 128, 136, 264, 2048] {
                let data = noise(n * element);
                let mut bits = vec![0u8; data.len()];
                let mut bytes = vec![0u8; data.len()];
                for e in 0..n {
                    for b in 0..element {
                        bytes[b * n + e] = data[e * element + b];
                        for k in 0..8 {
                            let bit = (data[e * element + b] >> k) & 1;
                            bits[(b * 8 + k) * (n / 8) + e / 8] |= bit << (e % 8);
                        }
                    }
                }
                let mut out = vec![0; data.len()];
                unshuffle_bits(&bits, element, &mut out);
                assert_eq!(out, data, "bits of {n} elements of {element} bytes");
                let mut out = vec![0; data.len()];
                unshuffle_bytes(&bytes, element, &mut out);
                assert_eq!(out, data, "bytes of {n} elements of {element} bytes");
            }
        }
    }
}
