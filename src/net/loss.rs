//! Categorical focal loss over pixels (Lin et al. 2017; PeakNet: gamma 2, softmax clamped to [1e-8, 1 - 1e-8]).
//!
//! Pixels of class ignore, invalid pixels and pixels filled by augmentation weigh 0; the mean is over the others.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::head::CLASSES;
use super::lanes::Real;

/// The exponent that quiets what is already right.
pub const GAMMA: f64 = 2.0;
const POWER: i32 = 2;
const CLAMP: f64 = 1e-8;
/// A pixel with this target weighs nothing.
pub const NO_TARGET: u8 = 255;

/// Focal loss of logits (B, 3, H, W) against B x H x W class codes; 255 weighs nothing. Returns a scalar.
pub fn focal(logits: &Tensor, targets: Arc<Vec<u8>>, alpha: [f64; CLASSES]) -> Result<Tensor> {
    let on_cpu = logits.to_device(&candle_core::Device::Cpu)?;
    on_cpu.contiguous()?.apply_op1(Focal { targets, alpha })
}

struct Focal {
    targets: Arc<Vec<u8>>,
    alpha: [f64; CLASSES],
}

/// Softmax of the logits of one pixel.
#[inline(always)]
fn softmax(z: [f64; CLASSES]) -> [f64; CLASSES] {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e = z.map(|z| (z - top).exp());
    let sum: f64 = e.iter().sum();
    e.map(|e| e / sum)
}

impl Focal {
    fn counted(&self) -> f64 {
        let counted = self.targets.par_iter().filter(|t| **t != NO_TARGET).count();
        counted.max(1) as f64
    }

    /// The loss of one pixel.
    fn value(&self, p: [f64; CLASSES], target: usize) -> f64 {
        let p = p[target].clamp(CLAMP, 1.0 - CLAMP);
        -self.alpha[target] * (1.0 - p).powi(POWER) * p.ln()
    }

    /// Its gradient by the logits.
    fn slope(&self, p: [f64; CLASSES], target: usize) -> [f64; CLASSES] {
        let right = p[target].clamp(CLAMP, 1.0 - CLAMP);
        let miss = 1.0 - right;
        let by_p = self.alpha[target]
            * (GAMMA * miss.powi(POWER - 1) * right.ln() - miss.powi(POWER) / right);
        std::array::from_fn(|c| {
            let own = if c == target { 1.0 } else { 0.0 };
            by_p * right * (own - p[c])
        })
    }
}

fn slice<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("the loss was given logits that are not contiguous");
    };
    Ok(&storage.as_slice::<T>()?[from..to])
}

/// Logits of a pixel of an image whose planes lie one after another.
#[inline(always)]
fn at<T: Real>(image: &[T], area: usize, pixel: usize) -> [f64; CLASSES] {
    std::array::from_fn(|c| image[c * area + pixel].to_f64())
}

impl CustomOp1 for Focal {
    fn name(&self) -> &'static str {
        "focal-loss"
    }

    fn cpu_fwd(&self, z: &CpuStorage, lz: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(op: &Focal, z: &CpuStorage, lz: &Layout) -> Result<(CpuStorage, Shape)> {
            let (batch, classes, height, width) = lz.shape().dims4()?;
            let area = height * width;
            if classes != CLASSES || op.targets.len() != batch * area {
                bail!("the loss wants {CLASSES} logits and one target a pixel");
            }
            let z = slice::<T>(z, lz)?;
            let rows: Vec<f64> = (0..batch * height)
                .into_par_iter()
                .map(|row| {
                    let image = &z[row / height * classes * area..][..classes * area];
                    (0..width)
                        .filter_map(|x| {
                            let pixel = row % height * width + x;
                            let target = op.targets[row * width + x];
                            (target != NO_TARGET).then(|| {
                                op.value(softmax(at(image, area, pixel)), usize::from(target))
                            })
                        })
                        .sum()
                })
                .collect();
            let loss = T::from_f64(rows.iter().sum::<f64>() / op.counted());
            Ok((T::to_cpu_storage_owned(vec![loss]), Shape::from(())))
        }
        match z {
            CpuStorage::F32(_) => run::<f32>(self, z, lz),
            CpuStorage::F64(_) => run::<f64>(self, z, lz),
            _ => bail!("the net computes in f32 or f64"),
        }
    }

    fn bwd(&self, z: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let op = FocalGradient(Self {
            targets: self.targets.clone(),
            alpha: self.alpha,
        });
        Ok(Some(z.contiguous()?.apply_op2_no_bwd(grad, &op)?))
    }
}

struct FocalGradient(Focal);

impl CustomOp2 for FocalGradient {
    fn name(&self) -> &'static str {
        "focal-loss-gradient"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        lz: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            op: &Focal,
            z: &CpuStorage,
            lz: &Layout,
            scale: f64,
        ) -> Result<(CpuStorage, Shape)> {
            let (_, classes, height, width) = lz.shape().dims4()?;
            let area = height * width;
            let z = slice::<T>(z, lz)?;
            let scale = scale / op.counted();
            let mut out = vec![T::default(); z.len()];
            out.par_chunks_mut(classes * area)
                .enumerate()
                .for_each(|(b, out)| {
                    let image = &z[b * classes * area..][..classes * area];
                    for pixel in 0..area {
                        let target = op.targets[b * area + pixel];
                        if target == NO_TARGET {
                            continue;
                        }
                        let slope = op.slope(softmax(at(image, area, pixel)), usize::from(target));
                        for (c, slope) in slope.into_iter().enumerate() {
                            out[c * area + pixel] = T::from_f64(slope * scale);
                        }
                    }
                });
            Ok((T::to_cpu_storage_owned(out), lz.shape().clone()))
        }
        match z {
            CpuStorage::F32(_) => run::<f32>(&self.0, z, lz, f64::from(slice::<f32>(g, lg)?[0])),
            CpuStorage::F64(_) => run::<f64>(&self.0, z, lz, slice::<f64>(g, lg)?[0]),
            _ => bail!("the net computes in f32 or f64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::net::graph::Graph;
    use crate::net::{Architecture, declare, forward};

    /// The gradient of the whole net, for every parameter, against central differences in f64.
    #[test]
    fn the_gradient_of_the_net_is_that_of_finite_differences() {
        let net = Architecture::plain(&[2, 3, 4]);
        let parameters = declare(&net, 1, DType::F64, &Device::Cpu).unwrap();
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let (batch, side) = (2, 12);
        let x: Vec<f64> = (0..batch * side * side)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        let x = Tensor::from_vec(x, (batch, 1, side, side), &Device::Cpu).unwrap();
        let targets: Vec<u8> = (0..batch * side * side)
            .map(|_| [0, 1, 2, 255][rng.random_range(0..4)])
            .collect();
        let targets = Arc::new(targets);
        let loss = || {
            let g = Graph::training(&parameters);
            let logits = forward(&g, &x, &net).unwrap().logits;
            focal(&logits, targets.clone(), [0.7, 1.3, 1.1]).unwrap()
        };
        let grads = loss().backward().unwrap();
        let step = 1e-6;
        for (name, var) in &parameters.vars {
            let shape = var.shape().clone();
            let start = var.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let grad = grads
                .get(var.as_tensor())
                .unwrap_or_else(|| panic!("no gradient of {name}"));
            let grad = grad.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for i in (0..start.len()).step_by((start.len() / 5).max(1)) {
                let shifted = |by: f64| {
                    let mut values = start.clone();
                    values[i] += by;
                    var.set(&Tensor::from_vec(values, shape.clone(), &Device::Cpu).unwrap())
                        .unwrap();
                    loss().to_scalar::<f64>().unwrap()
                };
                let numeric = (shifted(step) - shifted(-step)) / (2.0 * step);
                shifted(0.0);
                assert!(
                    (numeric - grad[i]).abs() < 1e-6 + 1e-4 * numeric.abs(),
                    "{name}[{i}]: {} by us, {numeric} by differences",
                    grad[i]
                );
            }
        }
    }
}
