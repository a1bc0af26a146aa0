//! Stored numbers to f32 pixels, and the integer codes that mean "not a count".

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::domain::frame::bad;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// How one pixel is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    pub kind: Kind,
    /// 1, 2, 4 or 8; floats have 4 or 8.
    pub bytes: usize,
    pub big_endian: bool,
}

impl Number {
    pub const F32: Self = Self::new(Kind::Float, 4);
    pub const U8: Self = Self::new(Kind::Unsigned, 1);

    /// A little-endian number.
    pub const fn new(kind: Kind, bytes: usize) -> Self {
        Self {
            kind,
            bytes,
            big_endian: false,
        }
    }

    /// The number in the byte order of this machine, as decoders give it back.
    pub const fn native(self) -> Self {
        Self {
            big_endian: cfg!(target_endian = "big"),
            ..self
        }
    }

    /// The number of NumPy's name, little-endian unless `>` stands before it; `None` for others.
    pub fn named(name: &str) -> Option<Self> {
        let big_endian = name.starts_with('>');
        let name = name.trim_start_matches(['<', '>', '=']);
        let all = [1, 2, 4, 8].into_iter().flat_map(|bytes| {
            [Kind::Unsigned, Kind::Signed, Kind::Float].map(|kind| Self::new(kind, bytes))
        });
        let is_meant = |number: &Self| {
            let letter = match number.kind {
                Kind::Unsigned => 'u',
                Kind::Signed => 'i',
                Kind::Float => 'f',
            };
            number.name() == name || format!("{letter}{}", number.bytes) == name
        };
        let number = all
            .filter(|number| number.kind != Kind::Float || number.bytes >= 4)
            .find(is_meant)?;
        Some(Self {
            big_endian,
            ..number
        })
    }

    /// NumPy's name: `uint16`, `float32`.
    pub fn name(self) -> String {
        let kind = match self.kind {
            Kind::Unsigned => "uint",
            Kind::Signed => "int",
            Kind::Float => "float",
        };
        format!("{kind}{}", self.bytes * 8)
    }
}

/// Which integer values stand for a bad pixel in this source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codes {
    /// Every value is a measurement.
    #[default]
    None,
    /// Photon counting detectors: for unsigned types the maximum is a gap or a dead pixel and the value
    /// below an overload (Eiger); for signed ones -1 is a gap, -2 a bad pixel (Pilatus).
    Counting,
    /// Integrating detectors: the maximum of u8 and u16 is saturation.
    Integrating,
}

/// Fresh memory costs more here than arithmetic, and several cores fetch it faster; a piece stays in a core's cache.
const PIECE: usize = 1 << 18;

/// Converts one frame's bytes to pixels and to what their codes say; numbers that are not finite are marked invalid.
///
/// `None` when the number of bytes does not fit.
#[expect(
    unsafe_code,
    reason = "the memory is filled piece by piece, by several threads"
)]
pub fn decoded(number: Number, bytes: &[u8], codes: Codes) -> Option<(Vec<f32>, Vec<u16>)> {
    let n = bytes.len().checked_div(number.bytes)?;
    if n.checked_mul(number.bytes) != Some(bytes.len()) {
        return None;
    }
    let (mut pixels, mut bad) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let is_done = bytes
        .par_chunks(PIECE * number.bytes)
        .zip(
            pixels
                .spare_capacity_mut()
                .get_mut(..n)?
                .par_chunks_mut(PIECE),
        )
        .zip(bad.spare_capacity_mut().get_mut(..n)?.par_chunks_mut(PIECE))
        .all(|((bytes, pixels), bad)| decode_piece(number, bytes, codes, pixels, zeroed(bad)));
    if !is_done {
        return None;
    }
    // SAFETY: `all` has been true for every piece, and a piece has as many pixels as its bytes have numbers and as `bad` has
    // cells, so each of the first n cells of both has been written; n is not more than either capacity.
    unsafe {
        pixels.set_len(n);
        bad.set_len(n);
    }
    Some((pixels, bad))
}

/// Fresh memory with zeros in it.
#[expect(unsafe_code, reason = "as for `decoded`")]
fn zeroed<T: bytemuck::Zeroable>(cells: &mut [MaybeUninit<T>]) -> &mut [T] {
    for cell in cells.iter_mut() {
        cell.write(T::zeroed());
    }
    // SAFETY: every cell has just been written.
    unsafe { cells.assume_init_mut() }
}

fn decode_piece(
    number: Number,
    bytes: &[u8],
    codes: Codes,
    pixels: &mut [MaybeUninit<f32>],
    bad: &mut [u16],
) -> bool {
    macro_rules! convert {
        ($type:ty, $n:literal, $code:expr) => {{
            let (cells, _) = bytes.as_chunks::<$n>();
            let code = $code;
            if number.big_endian {
                for ((cell, pixel), bits) in cells.iter().zip(pixels).zip(bad) {
                    let value = <$type>::from_be_bytes(*cell);
                    pixel.write(value as f32);
                    *bits |= code(value);
                }
            } else {
                for ((cell, pixel), bits) in cells.iter().zip(pixels).zip(bad) {
                    let value = <$type>::from_le_bytes(*cell);
                    pixel.write(value as f32);
                    *bits |= code(value);
                }
            }
        }};
    }
    macro_rules! unsigned {
        ($type:ty, $n:literal) => {
            match codes {
                Codes::Counting => convert!($type, $n, |v: $type| {
                    (u16::from(v == <$type>::MAX) * bad::MISSING)
                        | (u16::from(v == <$type>::MAX - 1) * (bad::SATURATED | bad::INVALID))
                }),
                Codes::Integrating if $n <= 2 => {
                    convert!($type, $n, |v: $type| u16::from(v == <$type>::MAX)
                        * bad::SATURATED)
                }
                _ => convert!($type, $n, |_: $type| 0),
            }
        };
    }
    macro_rules! signed {
        ($type:ty, $n:literal) => {
            match codes {
                Codes::Counting => convert!($type, $n, |v: $type| {
                    (u16::from(v == -1) * bad::MISSING)
                        | (u16::from(v == -2) * bad::DEAD)
                        | (u16::from(v < -2) * bad::INVALID)
                }),
                _ => convert!($type, $n, |_: $type| 0),
            }
        };
    }
    match (number.kind, number.bytes) {
        (Kind::Unsigned, 1) => unsigned!(u8, 1),
        (Kind::Unsigned, 2) => unsigned!(u16, 2),
        (Kind::Unsigned, 4) => unsigned!(u32, 4),
        (Kind::Unsigned, 8) => unsigned!(u64, 8),
        (Kind::Signed, 1) => signed!(i8, 1),
        (Kind::Signed, 2) => signed!(i16, 2),
        (Kind::Signed, 4) => signed!(i32, 4),
        (Kind::Signed, 8) => signed!(i64, 8),
        (Kind::Float, 4) => convert!(f32, 4, |v: f32| u16::from(!v.is_finite()) * bad::INVALID),
        (Kind::Float, 8) => convert!(f64, 8, |v: f64| u16::from(!(v as f32).is_finite())
            * bad::INVALID),
        _ => return false,
    }
    true
}

/// Marks counts above `saturation` that are not bad anyway.
pub fn mark_saturated(saturation: f32, pixels: &[f32], bits: &mut [u16]) {
    for (value, bits) in pixels.iter().zip(bits) {
        *bits |= u16::from(*value > saturation && *bits & bad::NOT_VALID == 0) * bad::SATURATED;
    }
}

/// A number of a mask as bits: what is not 0 stays so, and what is negative, no number or too large has all of them.
pub fn mask_value(value: f64) -> u32 {
    if value == 0.0 {
        0
    } else if (0.0..=f64::from(u32::MAX)).contains(&value) {
        (value as u32).max(1)
    } else {
        u32::MAX
    }
}

/// Converts one mask frame's bytes to integers; floats, signed and long ones as [`mask_value`] says.
pub fn decode_mask(number: Number, bytes: &[u8]) -> Option<Vec<u32>> {
    macro_rules! convert {
        ($type:ty, $n:literal, $to:expr) => {{
            let (cells, rest) = bytes.as_chunks::<$n>();
            if !rest.is_empty() {
                return None;
            }
            let to = $to;
            Some(
                cells
                    .iter()
                    .map(|cell| {
                        to(if number.big_endian {
                            <$type>::from_be_bytes(*cell)
                        } else {
                            <$type>::from_le_bytes(*cell)
                        })
                    })
                    .collect(),
            )
        }};
    }
    match (number.kind, number.bytes) {
        (Kind::Unsigned, 1) => convert!(u8, 1, u32::from),
        (Kind::Unsigned, 2) => convert!(u16, 2, u32::from),
        (Kind::Unsigned, 4) => convert!(u32, 4, |v: u32| v),
        (Kind::Unsigned, 8) => convert!(u64, 8, |v: u64| u32::try_from(v).unwrap_or(u32::MAX)),
        (Kind::Signed, 1) => convert!(i8, 1, |v: i8| u32::try_from(v).unwrap_or(u32::MAX)),
        (Kind::Signed, 2) => convert!(i16, 2, |v: i16| u32::try_from(v).unwrap_or(u32::MAX)),
        (Kind::Signed, 4) => convert!(i32, 4, |v: i32| v as u32),
        (Kind::Signed, 8) => convert!(i64, 8, |v: i64| u32::try_from(v).unwrap_or(u32::MAX)),
        (Kind::Float, 4) => convert!(f32, 4, |v: f32| mask_value(f64::from(v))),
        (Kind::Float, 8) => convert!(f64, 8, mask_value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_byte_orders() {
        let values: Vec<u8> = [7u16, 65534, 65535, 0]
            .iter()
            .flat_map(|v| v.to_be_bytes())
            .collect();
        let number = Number {
            big_endian: true,
            ..Number::new(Kind::Unsigned, 2)
        };
        let (pixels, bits) = decoded(number, &values, Codes::Counting).unwrap();
        assert_eq!(pixels, [7.0, 65534.0, 65535.0, 0.0]);
        assert_eq!(bits, [0, bad::SATURATED | bad::INVALID, bad::MISSING, 0]);
        let values: Vec<u8> = [-1i32, -2, -9, 5]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let number = Number::new(Kind::Signed, 4);
        let (_, bits) = decoded(number, &values, Codes::Counting).unwrap();
        assert_eq!(bits, [bad::MISSING, bad::DEAD, bad::INVALID, 0]);
        assert!(decoded(number, &values[1..], Codes::None).is_none());
        // Several pieces, the last one short.
        let long: Vec<u8> = (0..PIECE * 2 + 77)
            .flat_map(|v| (v as u32).to_le_bytes())
            .collect();
        let (pixels, bits) = decoded(Number::new(Kind::Unsigned, 4), &long, Codes::None).unwrap();
        assert!(bits.len() == pixels.len() && bits.iter().all(|bits| *bits == 0));
        assert!(
            pixels
                .iter()
                .enumerate()
                .all(|(v, pixel)| *pixel == v as f32)
        );
    }
}
