//! The building blocks of the net as candle operations of ours, each with its gradient.
//!
//! On the CPU candle's own convolution is several times too slow, `max_pool2d` has a wrong gradient and
//! `upsample_bilinear2d` has none (candle 0.11, checked against finite differences); the rest is here because candle's
//! element-wise work runs on one thread. On other devices the same functions are composed of candle's own operations.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::kernels::{self, Padded, Real, Size};

/// The cells of a contiguous tensor.
fn cells<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("an operation of the net was given a tensor that is not contiguous");
    };
    Ok(&storage.as_slice::<T>()?[from..to])
}

/// Calls a generic function with the number type of a storage.
macro_rules! by_type {
    ($storage:expr, $call:ident ( $($argument:expr),* )) => {
        match $storage {
            CpuStorage::F32(_) => $call::<f32>($($argument),*),
            CpuStorage::F64(_) => $call::<f64>($($argument),*),
            _ => bail!("the net computes in f32 or f64"),
        }
    };
}

/// A 3x3 convolution with padding 1; `relu` raises the result to 0.
struct Conv3 {
    relu: bool,
}

/// 3x3 convolution, padding 1: x (B, I, H, W), weight (O, I, 3, 3), bias (O).
pub fn conv3(x: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Result<Tensor> {
    if !x.device().is_cpu() {
        let y = x.conv2d(weight, 1, 1, 1, 1)?;
        let y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
        return if relu { y.relu() } else { Ok(y) };
    }
    x.contiguous()?.apply_op3(weight, bias, Conv3 { relu })
}

fn size_of(x: &Layout, outputs: usize) -> Result<Size> {
    let (batch, inputs, height, width) = x.shape().dims4()?;
    Ok(Size {
        batch,
        inputs,
        outputs,
        height,
        width,
    })
}

impl CustomOp3 for Conv3 {
    fn name(&self) -> &'static str {
        "conv3"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(x: &[T], w: &[T], b: &[T], size: Size, relu: bool) -> Result<CpuStorage> {
            let padded = Padded::new(x, size.height, size.width);
            let mut out = vec![T::default(); size.batch * size.outputs * size.height * size.width];
            let floor = relu.then(T::default);
            kernels::forward(&padded, w, Some(b), size, floor, &mut out);
            Ok(T::to_cpu_storage_owned(out))
        }
        let size = size_of(lx, lw.shape().dims4()?.0)?;
        let out = match x {
            CpuStorage::F32(_) => {
                run::<f32>(cells(x, lx)?, cells(w, lw)?, cells(b, lb)?, size, self.relu)
            }
            CpuStorage::F64(_) => {
                run::<f64>(cells(x, lx)?, cells(w, lw)?, cells(b, lb)?, size, self.relu)
            }
            _ => bail!("the net computes in f32 or f64"),
        }?;
        Ok((
            out,
            Shape::from((size.batch, size.outputs, size.height, size.width)),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _b: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = if self.relu {
            (grad * y.gt(0.0)?.to_dtype(grad.dtype())?)?
        } else {
            grad.contiguous()?
        };
        let grad_x = grad.apply_op2_no_bwd(w, &Conv3Input)?;
        let both = x.contiguous()?.apply_op2_no_bwd(&grad, &Conv3Weight)?;
        let (outputs, inputs, _, _) = w.dims4()?;
        let grad_w = both
            .narrow(0, 0, outputs * inputs * 9)?
            .reshape(w.shape())?;
        let grad_b = both.narrow(0, outputs * inputs * 9, outputs)?;
        Ok((Some(grad_x), Some(grad_w), Some(grad_b)))
    }
}

/// Gradient of the input: grad (B, O, H, W), weight (O, I, 3, 3) -> (B, I, H, W).
struct Conv3Input;

impl CustomOp2 for Conv3Input {
    fn name(&self) -> &'static str {
        "conv3-input-gradient"
    }

    fn cpu_fwd(
        &self,
        g: &CpuStorage,
        lg: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            g: &CpuStorage,
            lg: &Layout,
            w: &CpuStorage,
            lw: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            let (outputs, inputs, _, _) = lw.shape().dims4()?;
            let size = size_of(lg, inputs)?;
            let padded = Padded::new(cells::<T>(g, lg)?, size.height, size.width);
            let turned = kernels::turned(cells::<T>(w, lw)?, outputs, inputs);
            let mut out = vec![T::default(); size.batch * inputs * size.height * size.width];
            kernels::forward(&padded, &turned, None, size, None, &mut out);
            let shape = Shape::from((size.batch, inputs, size.height, size.width));
            Ok((T::to_cpu_storage_owned(out), shape))
        }
        by_type!(g, run(g, lg, w, lw))
    }
}

/// Gradients of weight and bias, one after the other: x (B, I, H, W), grad (B, O, H, W) -> (O * I * 9 + O).
struct Conv3Weight;

impl CustomOp2 for Conv3Weight {
    fn name(&self) -> &'static str {
        "conv3-weight-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            x: &CpuStorage,
            lx: &Layout,
            g: &CpuStorage,
            lg: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            let outputs = lg.shape().dims4()?.1;
            let size = size_of(lx, outputs)?;
            let input = Padded::new(cells::<T>(x, lx)?, size.height, size.width);
            let grad = cells::<T>(g, lg)?;
            let padded = Padded::new(grad, size.height, size.width);
            let mut out = kernels::weight_gradient(&input, &padded, size);
            let image = size.height * size.width;
            for o in 0..outputs {
                let planes = (0..size.batch).map(|b| (b * outputs + o) * image);
                out.push(planes.fold(T::default(), |sum, at| sum + total(&grad[at..at + image])));
            }
            let length = out.len();
            Ok((T::to_cpu_storage_owned(out), Shape::from(length)))
        }
        by_type!(x, run(x, lx, g, lg))
    }
}

/// A sum in a fixed order with several running sums.
fn total<T: Real>(values: &[T]) -> T {
    let mut sums = [T::default(); 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += *value;
        }
    }
    let all = sums.into_iter().fold(T::default(), |a, b| a + b);
    rest.iter().fold(all, |a, b| a + *b)
}

/// Mean and variance of each channel of a batch, as the forward pass found them.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    pub mean: Vec<f64>,
    /// Biased: divided by the number of values.
    pub variance: Vec<f64>,
    /// Values per channel.
    pub count: usize,
}

/// Batch normalisation with the batch's own moments, scale and shift, then ReLU where asked.
struct BatchNorm {
    epsilon: f64,
    relu: bool,
    moments: Arc<Mutex<Moments>>,
}

/// Normalises x (B, C, H, W) by the moments of the batch; gamma, beta (C). Returns the moments beside it.
pub fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    relu: bool,
) -> Result<(Tensor, Moments)> {
    if !x.device().is_cpu() {
        return batch_norm_composed(x, gamma, beta, epsilon, relu);
    }
    let moments = Arc::new(Mutex::new(Moments::default()));
    let op = BatchNorm {
        epsilon,
        relu,
        moments: moments.clone(),
    };
    let y = x.contiguous()?.apply_op3(gamma, beta, op)?;
    let moments = moments
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Ok((y, moments))
}

fn batch_norm_composed(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    relu: bool,
) -> Result<(Tensor, Moments)> {
    let (batch, channels, height, width) = x.dims4()?;
    let count = batch * height * width;
    let flat = x.transpose(0, 1)?.reshape((channels, count))?;
    let mean = flat.mean_keepdim(1)?;
    let centred = flat.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let y = centred
        .broadcast_div(&(&variance + epsilon)?.sqrt()?)?
        .broadcast_mul(&gamma.reshape((channels, 1))?)?
        .broadcast_add(&beta.reshape((channels, 1))?)?;
    let y = y
        .reshape((channels, batch, height, width))?
        .transpose(0, 1)?
        .contiguous()?;
    let numbers = |t: &Tensor| {
        t.detach()
            .flatten_all()?
            .to_dtype(candle_core::DType::F64)?
            .to_vec1::<f64>()
    };
    let moments = Moments {
        mean: numbers(&mean)?,
        variance: numbers(&variance)?,
        count,
    };
    Ok((if relu { y.relu()? } else { y }, moments))
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gamma: &CpuStorage,
        lg: &Layout,
        beta: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            op: &BatchNorm,
            x: &CpuStorage,
            lx: &Layout,
            gamma: &CpuStorage,
            lg: &Layout,
            beta: &CpuStorage,
            lb: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            let (batch, channels, height, width) = lx.shape().dims4()?;
            let image = height * width;
            let (x, gamma, beta) = (
                cells::<T>(x, lx)?,
                cells::<T>(gamma, lg)?,
                cells::<T>(beta, lb)?,
            );
            let count = batch * image;
            let moments: Vec<(f64, f64)> = (0..channels)
                .into_par_iter()
                .map(|c| {
                    let planes =
                        || (0..batch).map(move |b| &x[(b * channels + c) * image..][..image]);
                    let mean = planes().map(|p| sum_of(p, |v| v)).sum::<f64>() / count as f64;
                    let variance = planes()
                        .map(|p| sum_of(p, |v| (v - mean) * (v - mean)))
                        .sum::<f64>()
                        / count as f64;
                    (mean, variance)
                })
                .collect();
            let mut out = vec![T::default(); x.len()];
            out.par_chunks_mut(image)
                .zip(x.par_chunks(image))
                .enumerate()
                .for_each(|(plane, (out, x))| {
                    let c = plane % channels;
                    let (mean, variance) = moments[c];
                    let scale = gamma[c].to_f64() / (variance + op.epsilon).sqrt();
                    let shift = beta[c].to_f64() - mean * scale;
                    let (scale, shift) = (T::from_f64(scale), T::from_f64(shift));
                    for (out, x) in out.iter_mut().zip(x) {
                        let y = *x * scale + shift;
                        *out = if op.relu && y < T::default() {
                            T::default()
                        } else {
                            y
                        };
                    }
                });
            *op.moments.lock().unwrap_or_else(PoisonError::into_inner) = Moments {
                mean: moments.iter().map(|m| m.0).collect(),
                variance: moments.iter().map(|m| m.1).collect(),
                count,
            };
            Ok((T::to_cpu_storage_owned(out), lx.shape().clone()))
        }
        by_type!(x, run(self, x, lx, gamma, lg, beta, lb))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _beta: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let channels = gamma.elem_count();
        let op = BatchNormGradient {
            gamma: gamma.to_dtype(candle_core::DType::F64)?.to_vec1()?,
            epsilon: self.epsilon,
            relu: self.relu,
            moments: self
                .moments
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        };
        let all = x
            .contiguous()?
            .apply_op3_no_bwd(&y.contiguous()?, &grad.contiguous()?, &op)?;
        let count = x.elem_count();
        Ok((
            Some(all.narrow(0, 0, count)?.reshape(x.shape())?),
            Some(all.narrow(0, count, channels)?),
            Some(all.narrow(0, count + channels, channels)?),
        ))
    }
}

fn sum_of<T: Real>(values: &[T], f: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f(value.to_f64());
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|v| f(v.to_f64())).sum::<f64>()
}

/// x, y, grad -> gradients of x, gamma, beta, one after the other.
struct BatchNormGradient {
    gamma: Vec<f64>,
    epsilon: f64,
    relu: bool,
    moments: Moments,
}

impl CustomOp3 for BatchNormGradient {
    fn name(&self) -> &'static str {
        "batch-norm-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            op: &BatchNormGradient,
            x: &CpuStorage,
            lx: &Layout,
            y: &CpuStorage,
            ly: &Layout,
            g: &CpuStorage,
            lg: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            let (batch, channels, height, width) = lx.shape().dims4()?;
            let image = height * width;
            let (x, y, g) = (cells::<T>(x, lx)?, cells::<T>(y, ly)?, cells::<T>(g, lg)?);
            let count = (batch * image) as f64;
            let zero = T::default();
            // Per channel: sum of grad, sum of grad times normalised x.
            let sums: Vec<(f64, f64)> = (0..channels)
                .into_par_iter()
                .map(|c| {
                    let mean = op.moments.mean[c];
                    let inverse = 1.0 / (op.moments.variance[c] + op.epsilon).sqrt();
                    let (mut plain, mut weighted) = ([0.0_f64; 8], [0.0_f64; 8]);
                    for b in 0..batch {
                        let at = (b * channels + c) * image;
                        let planes = x[at..at + image]
                            .iter()
                            .zip(&y[at..at + image])
                            .zip(&g[at..at + image]);
                        for (i, ((x, y), g)) in planes.enumerate() {
                            let g = if op.relu && *y <= zero {
                                0.0
                            } else {
                                g.to_f64()
                            };
                            plain[i % 8] += g;
                            weighted[i % 8] += g * (x.to_f64() - mean);
                        }
                    }
                    (plain.iter().sum(), weighted.iter().sum::<f64>() * inverse)
                })
                .collect();
            let total = x.len();
            let mut out = vec![zero; total + 2 * channels];
            let (dx, tail) = out.split_at_mut(total);
            dx.par_chunks_mut(image)
                .enumerate()
                .for_each(|(plane, dx)| {
                    let c = plane % channels;
                    let inverse = 1.0 / (op.moments.variance[c] + op.epsilon).sqrt();
                    let (plain, weighted) = sums[c];
                    // dx = scale * (g - plain / n - x_hat * weighted / n), with x_hat = (x - mean) * inverse
                    let scale = T::from_f64(op.gamma[c] * inverse);
                    let slope = -weighted / count * inverse;
                    let offset = T::from_f64(-plain / count - slope * op.moments.mean[c]);
                    let slope = T::from_f64(slope);
                    let at = plane * image;
                    let planes = x[at..at + image]
                        .iter()
                        .zip(&y[at..at + image])
                        .zip(&g[at..at + image]);
                    for (dx, ((x, y), g)) in dx.iter_mut().zip(planes) {
                        let g = if op.relu && *y <= zero { zero } else { *g };
                        *dx = scale * (g + offset + slope * *x);
                    }
                });
            for c in 0..channels {
                tail[c] = T::from_f64(sums[c].1);
                tail[channels + c] = T::from_f64(sums[c].0);
            }
            let length = out.len();
            Ok((T::to_cpu_storage_owned(out), Shape::from(length)))
        }
        by_type!(x, run(self, x, lx, y, ly, g, lg))
    }
}
