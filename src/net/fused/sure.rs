//! How many pixels a net is sure of: the sum of `max(0, 2 p - 1)` over a frame, for peak and for artifact.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::super::lanes::Real;
use super::{cells, extent_of, tensor, with_cells};

const CLASSES: usize = 3;
/// Peak and artifact.
const COUNTED: usize = 2;

/// Logits (B, 3, H, W) to (B, 2).
struct SurePixels;

/// Softmax of the logits of one pixel.
#[inline(always)]
fn softmax<T: Real>(image: &[T], area: usize, pixel: usize) -> [T; CLASSES] {
    let z: [T; CLASSES] = std::array::from_fn(|c| image[c * area + pixel]);
    let top = z
        .into_iter()
        .fold(z[0], |top, z| if z > top { z } else { top });
    let e = z.map(|z| (z - top).exponential());
    let sum = e[0] + e[1] + e[2];
    e.map(|e| e / sum)
}

fn forward<T: Real>(z: &[T], area: usize) -> Vec<T> {
    let (one, two) = (T::real(1.0), T::real(2.0));
    let mut out = Vec::new();
    for image in z.chunks_exact((CLASSES * area).max(1)) {
        let rows: Vec<[f64; COUNTED]> = (0..area.div_ceil(4096))
            .into_par_iter()
            .map(|part| {
                let mut sums = [0.0; COUNTED];
                for pixel in part * 4096..area.min((part + 1) * 4096) {
                    let p = softmax(image, area, pixel);
                    for (sum, p) in sums.iter_mut().zip(&p[1..]) {
                        let sure = two * *p - one;
                        if sure > T::default() {
                            *sum += sure.wide();
                        }
                    }
                }
                sums
            })
            .collect();
        for c in 0..COUNTED {
            out.push(T::real(rows.iter().map(|row| row[c]).sum()));
        }
    }
    out
}

fn backward<T: Real>(z: &[T], g: &[T], area: usize) -> Vec<T> {
    let (one, two) = (T::real(1.0), T::real(2.0));
    let mut out = vec![T::default(); z.len()];
    out.par_chunks_mut((CLASSES * area).max(1))
        .enumerate()
        .for_each(|(n, out)| {
            let image = &z[n * CLASSES * area..(n + 1) * CLASSES * area];
            for pixel in 0..area {
                let p = softmax(image, area, pixel);
                // At most one class can be above one half.
                for c in 1..CLASSES {
                    if two * p[c] - one > T::default() {
                        let slope = two * p[c] * g[n * COUNTED + c - 1];
                        for k in 0..CLASSES {
                            let own = if k == c { one } else { T::default() };
                            out[k * area + pixel] = slope * (own - p[k]);
                        }
                    }
                }
            }
        });
    out
}

impl CustomOp1 for SurePixels {
    fn name(&self) -> &'static str {
        "sure-pixels"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (classes, extent) = extent_of(l.shape())?;
        if classes != CLASSES {
            bail!("sure pixels are counted in logits of {CLASSES} classes");
        }
        let out = match s {
            CpuStorage::F64(_) => CpuStorage::F64(forward(cells(s, l)?, extent.plane())),
            _ => CpuStorage::F32(forward(cells(s, l)?, extent.plane())),
        };
        Ok((out, Shape::from((extent.batch, COUNTED))))
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        fn typed<T: Real>(z: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
            let (_, extent) = extent_of(z.shape())?;
            let out = with_cells::<T, _>(z, |z| {
                with_cells::<T, _>(g, |g| Ok(backward(z, g, extent.plane())))
            })?;
            Ok(Some(tensor(out, z)?))
        }
        match z.dtype() {
            DType::F64 => typed::<f64>(z, g),
            _ => typed::<f32>(z, g),
        }
    }
}

/// The sums of sure peak and sure artifact pixels, on the CPU.
pub fn sure_pixels(logits: &Tensor) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(SurePixels)
}
