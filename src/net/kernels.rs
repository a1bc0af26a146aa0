//! 3x3 convolution kernels on plain slices: forward and the gradient of the weight, vectorised along x.
//!
//! Layout NCHW, padding 1, cross-correlation as PyTorch's `Conv2d`. With 8 to 128 channels a matrix product would spend
//! its time on im2col, so several output channels are summed in registers directly from the padded input. Every sum
//! has a fixed order, whatever the number of threads, so that two trainings from one seed agree.

use candle_core::WithDType;
use rayon::prelude::*;

/// Numbers that the kernels compute with: f32 for work, f64 to check gradients.
pub trait Real: WithDType + Default {
    /// `self + a * b`, rounded once where `FUSED`.
    fn plus_product<const FUSED: bool>(self, a: Self, b: Self) -> Self;
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            #[inline(always)]
            fn plus_product<const FUSED: bool>(self, a: Self, b: Self) -> Self {
                if FUSED {
                    a.mul_add(b, self)
                } else {
                    self + a * b
                }
            }
        }
    };
}
real!(f32);
real!(f64);

/// Rows that one task computes.
const ROWS: usize = 16;
/// Pixels of a row that are summed together.
const LANES: usize = 16;
/// Output channels that are summed together.
const GROUP: usize = 4;

/// Images with a border of one zero, rows padded so that whole vectors can be read.
pub struct Padded<T> {
    cells: Vec<T>,
    row: usize,
    plane: usize,
}

impl<T: Real> Padded<T> {
    /// Copies images of `height` x `width`, one after another.
    pub fn new(source: &[T], height: usize, width: usize) -> Self {
        let row = width.div_ceil(LANES) * LANES + 2;
        let plane = row * (height + 2);
        let image = (height * width).max(1);
        let mut cells = vec![T::default(); source.len() / image * plane];
        cells
            .par_chunks_mut(plane)
            .zip(source.par_chunks(image))
            .for_each(|(to, from)| {
                for (to, from) in to.chunks_mut(row).skip(1).zip(from.chunks(width)) {
                    to[1..=width].copy_from_slice(from);
                }
            });
        Self { cells, row, plane }
    }
}

/// Sizes of a 3x3 convolution.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub batch: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub height: usize,
    pub width: usize,
}

/// One task of the forward pass: some rows of a group of output channels of one image.
struct Tile<'a, T> {
    batch: usize,
    group: usize,
    top: usize,
    rows: Vec<&'a mut [T]>,
}

/// `out[b][o] = bias[o] + sum over i of weight[o][i] * input[b][i]`, raised to `floor` where one is given.
///
/// `weight` is (outputs, inputs, 3, 3); `out` has `batch * outputs * height * width` cells.
pub fn forward<T: Real>(
    input: &Padded<T>,
    weight: &[T],
    bias: Option<&[T]>,
    size: Size,
    floor: Option<T>,
    out: &mut [T],
) {
    let image = size.height * size.width;
    if image == 0 || size.outputs == 0 {
        return;
    }
    let packed = pack(weight, size);
    let mut tiles = Vec::new();
    for (batch, out) in out.chunks_mut(size.outputs * image).enumerate() {
        for (group, planes) in out.chunks_mut(GROUP * image).enumerate() {
            let mut planes: Vec<_> = planes
                .chunks_mut(image)
                .map(|plane| plane.chunks_mut(ROWS * size.width))
                .collect();
            for top in (0..size.height).step_by(ROWS) {
                tiles.push(Tile {
                    batch,
                    group,
                    top,
                    rows: planes.iter_mut().filter_map(Iterator::next).collect(),
                });
            }
        }
    }
    let per_group = size.inputs * 9 * GROUP;
    let wide = has_fma();
    tiles.into_par_iter().for_each(|tile| {
        let weights = &packed[tile.group * per_group..(tile.group + 1) * per_group];
        let first = tile.batch * size.inputs * input.plane;
        let images = &input.cells[first..first + size.inputs * input.plane];
        let start: [T; GROUP] = std::array::from_fn(|o| {
            bias.and_then(|bias| bias.get(tile.group * GROUP + o).copied())
                .unwrap_or_default()
        });
        if wide {
            tile_with_fma(input, images, weights, start, size, floor, tile);
        } else {
            tile_rows::<T, false>(input, images, weights, start, size, floor, tile);
        }
    });
}

/// Weights in the order in which a tile reads them: group, input, ky, kx, output of the group (zeros beyond the last).
fn pack<T: Real>(weight: &[T], size: Size) -> Vec<T> {
    let groups = size.outputs.div_ceil(GROUP);
    let mut packed = Vec::with_capacity(groups * size.inputs * 9 * GROUP);
    for group in 0..groups {
        for tap in 0..size.inputs * 9 {
            for o in 0..GROUP {
                let at = (group * GROUP + o) * size.inputs * 9 + tap;
                let inside = group * GROUP + o < size.outputs;
                packed.push(if inside { weight[at] } else { T::default() });
            }
        }
    }
    packed
}

fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[expect(unsafe_code, reason = "calls a function compiled for AVX2 and FMA")]
fn tile_with_fma<T: Real>(
    input: &Padded<T>,
    images: &[T],
    weights: &[T],
    start: [T; GROUP],
    size: Size,
    floor: Option<T>,
    tile: Tile<'_, T>,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<T: Real>(
            input: &Padded<T>,
            images: &[T],
            weights: &[T],
            start: [T; GROUP],
            size: Size,
            floor: Option<T>,
            tile: Tile<'_, T>,
        ) {
            tile_rows::<T, true>(input, images, weights, start, size, floor, tile);
        }
        // SAFETY: only called where `has_fma` has found both features on this processor.
        unsafe { wide(input, images, weights, start, size, floor, tile) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    tile_rows::<T, false>(input, images, weights, start, size, floor, tile);
}

#[inline(always)]
fn tile_rows<T: Real, const FUSED: bool>(
    input: &Padded<T>,
    images: &[T],
    weights: &[T],
    start: [T; GROUP],
    size: Size,
    floor: Option<T>,
    mut tile: Tile<'_, T>,
) {
    let width = size.width;
    let rows = tile.rows.first().map_or(0, |rows| rows.len() / width);
    for y in 0..rows {
        for x in (0..width).step_by(LANES) {
            let mut sums = [[T::default(); LANES]; GROUP];
            for (sums, start) in sums.iter_mut().zip(start) {
                *sums = [start; LANES];
            }
            for (i, taps) in weights.chunks_exact(9 * GROUP).enumerate() {
                let above = i * input.plane + (tile.top + y) * input.row + x;
                for (ky, taps) in taps.chunks_exact(3 * GROUP).enumerate() {
                    let at = above + ky * input.row;
                    let Some(cells) = images.get(at..at + LANES + 2) else {
                        continue;
                    };
                    for (kx, taps) in taps.chunks_exact(GROUP).enumerate() {
                        let Some(cells) = cells[kx..].first_chunk::<LANES>() else {
                            continue;
                        };
                        for (sums, &tap) in sums.iter_mut().zip(taps) {
                            for (sum, &cell) in sums.iter_mut().zip(cells) {
                                *sum = sum.plus_product::<FUSED>(cell, tap);
                            }
                        }
                    }
                }
            }
            let count = LANES.min(width - x);
            for (rows, sums) in tile.rows.iter_mut().zip(&mut sums) {
                if let Some(floor) = floor {
                    for sum in sums.iter_mut() {
                        *sum = if *sum < floor { floor } else { *sum };
                    }
                }
                let at = y * width + x;
                rows[at..at + count].copy_from_slice(&sums[..count]);
            }
        }
    }
}

/// Gradient of the weight: for every output and input channel the correlation of `grad` with the input.
///
/// `grad` is padded like the input (its border is not read); the result is (outputs, inputs, 3, 3).
pub fn weight_gradient<T: Real>(input: &Padded<T>, grad: &Padded<T>, size: Size) -> Vec<T> {
    let mut out = vec![T::default(); size.outputs * size.inputs * 9];
    let wide = has_fma();
    out.par_chunks_mut(size.inputs * 9 * GROUP)
        .enumerate()
        .for_each(|(group, out)| {
            let outputs = out.len() / (size.inputs * 9);
            for i in 0..size.inputs {
                for ky in 0..3 {
                    let at = Correlation {
                        group,
                        outputs,
                        i,
                        ky,
                    };
                    let sums = if wide {
                        correlate_with_fma(input, grad, size, at)
                    } else {
                        correlate::<T, false>(input, grad, size, at)
                    };
                    for (o, sums) in sums.iter().enumerate().take(outputs) {
                        let to = (o * size.inputs + i) * 9 + ky * 3;
                        out[to..to + 3].copy_from_slice(sums);
                    }
                }
            }
        });
    out
}

#[derive(Clone, Copy)]
struct Correlation {
    group: usize,
    outputs: usize,
    i: usize,
    ky: usize,
}

#[expect(unsafe_code, reason = "calls a function compiled for AVX2 and FMA")]
fn correlate_with_fma<T: Real>(
    input: &Padded<T>,
    grad: &Padded<T>,
    size: Size,
    at: Correlation,
) -> [[T; 3]; GROUP] {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<T: Real>(
            input: &Padded<T>,
            grad: &Padded<T>,
            size: Size,
            at: Correlation,
        ) -> [[T; 3]; GROUP] {
            correlate::<T, true>(input, grad, size, at)
        }
        // SAFETY: only called where `has_fma` has found both features on this processor.
        unsafe { wide(input, grad, size, at) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    correlate::<T, false>(input, grad, size, at)
}

/// Pixels that a correlation sums side by side: fewer than in the forward pass, for there are three sums a channel.
const NARROW: usize = 8;

#[inline(always)]
fn correlate<T: Real, const FUSED: bool>(
    input: &Padded<T>,
    grad: &Padded<T>,
    size: Size,
    at: Correlation,
) -> [[T; 3]; GROUP] {
    let mut sums = [[[T::default(); NARROW]; 3]; GROUP];
    for batch in 0..size.batch {
        let image = (batch * size.inputs + at.i) * input.plane;
        for y in 0..size.height {
            let from = image + (y + at.ky) * input.row;
            let row = &input.cells[from..from + input.row];
            let rows: [&[T]; GROUP] = std::array::from_fn(|o| {
                let o = at.group * GROUP + o.min(at.outputs - 1);
                let from = (batch * size.outputs + o) * grad.plane + (y + 1) * grad.row + 1;
                &grad.cells[from..from + grad.row - 1]
            });
            // Beyond the width both are zero, so whole vectors can be summed.
            for x in (0..size.width).step_by(NARROW) {
                let Some(cells) = row.get(x..x + NARROW + 2) else {
                    continue;
                };
                for (sums, grads) in sums.iter_mut().zip(rows) {
                    let Some(grads) = grads.get(x..).and_then(|g| g.first_chunk::<NARROW>()) else {
                        continue;
                    };
                    for (kx, sums) in sums.iter_mut().enumerate() {
                        let Some(cells) = cells[kx..].first_chunk::<NARROW>() else {
                            continue;
                        };
                        for ((sum, &cell), &g) in sums.iter_mut().zip(cells).zip(grads) {
                            *sum = sum.plus_product::<FUSED>(cell, g);
                        }
                    }
                }
            }
        }
    }
    sums.map(|sums| sums.map(|lanes| lanes.into_iter().fold(T::default(), |a, b| a + b)))
}

/// The weight that turns a gradient of the output into one of the input: channels swapped, taps turned by 180 degrees.
pub fn turned<T: Real>(weight: &[T], outputs: usize, inputs: usize) -> Vec<T> {
    let mut turned = vec![T::default(); weight.len()];
    for o in 0..outputs {
        for i in 0..inputs {
            for tap in 0..9 {
                turned[(i * outputs + o) * 9 + 8 - tap] = weight[(o * inputs + i) * 9 + tap];
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn speed() {
        for (i, o, n) in [
            (8, 8, 1920),
            (16, 16, 960),
            (32, 32, 480),
            (64, 64, 240),
            (128, 128, 120),
            (1, 8, 1920),
        ] {
            let size = Size {
                batch: 1,
                inputs: i,
                outputs: o,
                height: n,
                width: n,
            };
            let x = vec![0.5f32; i * n * n];
            let w = vec![0.1f32; i * o * 9];
            let mut out = vec![0f32; o * n * n];
            let t = std::time::Instant::now();
            let p = Padded::new(&x, n, n);
            let tp = t.elapsed().as_secs_f64();
            forward(&p, &w, None, size, None, &mut out);
            let t1 = t.elapsed().as_secs_f64();
            let flop = 2.0 * 9.0 * (i * o * n * n) as f64;
            let g = Padded::new(&out, n, n);
            let t = std::time::Instant::now();
            let _ = weight_gradient(&p, &g, size);
            let t2 = t.elapsed().as_secs_f64();
            eprintln!(
                "{i}->{o} {n}: pad {:.1} ms total {:.1} ms {:.1} GFLOP/s; wgrad {:.1} ms {:.1} GFLOP/s",
                tp * 1e3,
                t1 * 1e3,
                flop / t1 / 1e9,
                t2 * 1e3,
                flop / t2 / 1e9
            );
        }
    }
}
