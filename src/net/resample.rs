//! Operations between scales: 2x2 max-pool, bilinear doubling, cells to channels and back; and the attention gate.
//!
//! As in [`super::ops`], the CPU has its own code with a gradient, other devices use candle's operations.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};
use rayon::prelude::*;

use super::kernels::Real;

fn cells<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("an operation of the net was given a tensor that is not contiguous");
    };
    Ok(&storage.as_slice::<T>()?[from..to])
}

/// An operation on every plane (height x width) of a tensor (.., H, W) by itself.
trait PlaneOp: Sync {
    const NAME: &'static str;
    /// Height and width of a result plane.
    fn shape(&self, height: usize, width: usize) -> (usize, usize);
    fn plane<T: Real>(&self, from: &[T], width: usize, to: &mut [T]);
}

fn planes<T: Real, P: PlaneOp>(op: &P, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
    let (batch, channels, height, width) = lx.shape().dims4()?;
    let (to_height, to_width) = op.shape(height, width);
    let x = cells::<T>(x, lx)?;
    let mut out = vec![T::default(); batch * channels * to_height * to_width];
    out.par_chunks_mut((to_height * to_width).max(1))
        .zip(x.par_chunks((height * width).max(1)))
        .for_each(|(to, from)| op.plane(from, width, to));
    let shape = Shape::from((batch, channels, to_height, to_width));
    Ok((T::to_cpu_storage_owned(out), shape))
}

fn planes_of_any<P: PlaneOp>(op: &P, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
    match x {
        CpuStorage::F32(_) => planes::<f32, P>(op, x, lx),
        CpuStorage::F64(_) => planes::<f64, P>(op, x, lx),
        _ => bail!("the net computes in f32 or f64"),
    }
}

/// 2x2 maximum, stride 2; height and width must be even.
pub fn max_pool(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(MaxPool);
    }
    // candle's max_pool2d has a wrong gradient: four strided views and `maximum` have the right one.
    let (b, c, h, w) = x.dims4()?;
    let x = x.reshape((b, c, h / 2, 2, w / 2, 2))?;
    let part = |i: usize, j: usize| {
        x.narrow(3, i, 1)?
            .narrow(5, j, 1)?
            .reshape((b, c, h / 2, w / 2))
    };
    part(0, 0)?
        .maximum(&part(0, 1)?)?
        .maximum(&part(1, 0)?.maximum(&part(1, 1)?)?)
}

struct MaxPool;

impl PlaneOp for MaxPool {
    const NAME: &'static str = "max-pool";
    fn shape(&self, height: usize, width: usize) -> (usize, usize) {
        (height / 2, width / 2)
    }
    fn plane<T: Real>(&self, from: &[T], width: usize, to: &mut [T]) {
        let larger = |a: T, b: T| if b > a { b } else { a };
        for (rows, to) in from
            .chunks_exact(2 * width)
            .zip(to.chunks_mut((width / 2).max(1)))
        {
            let (upper, lower) = rows.split_at(width);
            for ((u, l), to) in upper.chunks_exact(2).zip(lower.chunks_exact(2)).zip(to) {
                *to = larger(larger(u[0], u[1]), larger(l[0], l[1]));
            }
        }
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        planes_of_any(self, x, lx)
    }
    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        Ok(Some(x.contiguous()?.apply_op3_no_bwd(
            y,
            &grad,
            &MaxPoolGradient,
        )?))
    }
}

/// Gives the gradient of each window to its first maximum.
struct MaxPoolGradient;

impl CustomOp3 for MaxPoolGradient {
    fn name(&self) -> &'static str {
        "max-pool-gradient"
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
            x: (&CpuStorage, &Layout),
            y: (&CpuStorage, &Layout),
            g: (&CpuStorage, &Layout),
        ) -> Result<(CpuStorage, Shape)> {
            let (_, _, height, width) = x.1.shape().dims4()?;
            let (cx, cy, cg) = (
                cells::<T>(x.0, x.1)?,
                cells::<T>(y.0, y.1)?,
                cells::<T>(g.0, g.1)?,
            );
            let image = (height * width).max(1);
            let mut out = vec![T::default(); cx.len()];
            let small = (image / 4).max(1);
            out.par_chunks_mut(image)
                .enumerate()
                .for_each(|(plane, out)| {
                    let (x, y, g) = (
                        &cx[plane * image..],
                        &cy[plane * small..],
                        &cg[plane * small..],
                    );
                    for row in 0..height / 2 {
                        for column in 0..width / 2 {
                            let best = y[row * (width / 2) + column];
                            let at = 2 * row * width + 2 * column;
                            for place in [at, at + 1, at + width, at + width + 1] {
                                if x[place] == best {
                                    out[place] = g[row * (width / 2) + column];
                                    break;
                                }
                            }
                        }
                    }
                });
            Ok((T::to_cpu_storage_owned(out), x.1.shape().clone()))
        }
        match x {
            CpuStorage::F32(_) => run::<f32>((x, lx), (y, ly), (g, lg)),
            CpuStorage::F64(_) => run::<f64>((x, lx), (y, ly), (g, lg)),
            _ => bail!("the net computes in f32 or f64"),
        }
    }
}

/// Doubles height and width by bilinear interpolation, as PyTorch's `interpolate(scale_factor=2, mode="bilinear",
/// align_corners=False)`: weights 3/4 and 1/4, edges repeated.
pub fn double(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Double);
    }
    // Repeat the edge, then four weighted shifted views: every step has a right gradient.
    let along = |x: &Tensor, dim: usize| -> Result<Tensor> {
        let n = x.dim(dim)?;
        let first = x.narrow(dim, 0, 1)?;
        let last = x.narrow(dim, n - 1, 1)?;
        let padded = Tensor::cat(&[&first, x, &last], dim)?;
        let before = padded.narrow(dim, 0, n)?;
        let after = padded.narrow(dim, 2, n)?;
        let main = (x * 0.75)?;
        let even = (&main + (before * 0.25)?)?;
        let odd = (&main + (after * 0.25)?)?;
        let mut shape = x.dims().to_vec();
        shape[dim] *= 2;
        Tensor::stack(&[even, odd], dim + 1)?.reshape(shape)
    };
    along(&along(x, 2)?, 3)
}

struct Double;

impl PlaneOp for Double {
    const NAME: &'static str = "double";
    fn shape(&self, height: usize, width: usize) -> (usize, usize) {
        (height * 2, width * 2)
    }
    fn plane<T: Real>(&self, from: &[T], width: usize, to: &mut [T]) {
        let (main, side) = (T::from_f64(0.75), T::from_f64(0.25));
        let height = from.len() / width.max(1);
        let row_of = |y: usize| &from[y * width..(y + 1) * width];
        for (y, to) in to.chunks_mut(2 * width).enumerate() {
            let near = y / 2;
            let far = if y % 2 == 0 {
                near.saturating_sub(1)
            } else {
                (near + 1).min(height - 1)
            };
            let (near, far) = (row_of(near), row_of(far));
            let mixed = |x: usize| main * near[x] + side * far[x];
            for x in 0..width {
                let here = mixed(x);
                to[2 * x] = main * here + side * mixed(x.saturating_sub(1));
                to[2 * x + 1] = main * here + side * mixed((x + 1).min(width - 1));
            }
        }
    }
}

impl CustomOp1 for Double {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        planes_of_any(self, x, lx)
    }
    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&DoubleGradient)?))
    }
}

/// The transpose of [`Double`].
struct DoubleGradient;

impl PlaneOp for DoubleGradient {
    const NAME: &'static str = "double-gradient";
    fn shape(&self, height: usize, width: usize) -> (usize, usize) {
        (height / 2, width / 2)
    }
    fn plane<T: Real>(&self, from: &[T], width: usize, to: &mut [T]) {
        let (main, side) = (T::from_f64(0.75), T::from_f64(0.25));
        let small = width / 2;
        let height = from.len() / width.max(1);
        for (y, row) in from.chunks(width).enumerate() {
            let near = y / 2;
            let far = if y % 2 == 0 {
                near.saturating_sub(1)
            } else {
                (near + 1).min(height / 2 - 1)
            };
            for (x, value) in row.iter().enumerate() {
                let close = x / 2;
                let away = if x % 2 == 0 {
                    close.saturating_sub(1)
                } else {
                    (close + 1).min(small - 1)
                };
                to[near * small + close] += main * main * *value;
                to[near * small + away] += main * side * *value;
                to[far * small + close] += side * main * *value;
                to[far * small + away] += side * side * *value;
            }
        }
    }
}

impl CustomOp1 for DoubleGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        planes_of_any(self, x, lx)
    }
}

/// 2x2 cells to channels: (B, C, H, W) -> (B, 4 C, H/2, W/2), channel = 4 c + 2 dy + dx; or back.
#[derive(Clone, Copy)]
struct Cells {
    to_channels: bool,
}

/// (B, C, H, W) -> (B, 4 C, H/2, W/2), so that a 2x2 convolution of stride 2 is a matrix product.
pub fn cells_to_channels(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Cells { to_channels: true });
    }
    let (b, c, h, w) = x.dims4()?;
    x.reshape((b, c, h / 2, 2, w / 2, 2))?
        .permute((0, 1, 3, 5, 2, 4))?
        .reshape((b, c * 4, h / 2, w / 2))
}

/// (B, 4 C, H, W) -> (B, C, 2 H, 2 W), the inverse.
pub fn channels_to_cells(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Cells { to_channels: false });
    }
    let (b, c, h, w) = x.dims4()?;
    x.reshape((b, c / 4, 2, 2, h, w))?
        .permute((0, 1, 4, 2, 5, 3))?
        .reshape((b, c / 4, h * 2, w * 2))
}

impl CustomOp1 for Cells {
    fn name(&self) -> &'static str {
        "cells"
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(op: Cells, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
            let (b, c, h, w) = lx.shape().dims4()?;
            let x = cells::<T>(x, lx)?;
            let mut out = vec![T::default(); x.len()];
            // The fine image has 2 rows by 2 columns for each cell of the four coarse ones.
            let (fine_width, coarse) = if op.to_channels {
                (w, h * w / 4)
            } else {
                (2 * w, h * w)
            };
            let shape = if op.to_channels {
                (b, c * 4, h / 2, w / 2)
            } else {
                (b, c / 4, h * 2, w * 2)
            };
            let chunk = (coarse * 4).max(1);
            out.par_chunks_mut(chunk)
                .zip(x.par_chunks(chunk))
                .for_each(|(to, from)| {
                    for cell in 0..coarse {
                        let (y, x) = (cell / (fine_width / 2), cell % (fine_width / 2));
                        for part in 0..4 {
                            let fine = (2 * y + part / 2) * fine_width + 2 * x + part % 2;
                            if op.to_channels {
                                to[part * coarse + cell] = from[fine];
                            } else {
                                to[fine] = from[part * coarse + cell];
                            }
                        }
                    }
                });
            Ok((T::to_cpu_storage_owned(out), Shape::from(shape)))
        }
        match x {
            CpuStorage::F32(_) => run::<f32>(*self, x, lx),
            CpuStorage::F64(_) => run::<f64>(*self, x, lx),
            _ => bail!("the net computes in f32 or f64"),
        }
    }
    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = Self {
            to_channels: !self.to_channels,
        };
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&back)?))
    }
}

/// Multiplies every channel of x (B, C, H, W) by the gate (B, 1, H, W).
pub fn gate(x: &Tensor, gate: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op2(&gate.contiguous()?, Gate);
    }
    x.broadcast_mul(gate)
}

struct Gate;

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        a: &CpuStorage,
        la: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            x: &CpuStorage,
            lx: &Layout,
            a: &CpuStorage,
            la: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            let (_, channels, height, width) = lx.shape().dims4()?;
            let image = (height * width).max(1);
            let (x, a) = (cells::<T>(x, lx)?, cells::<T>(a, la)?);
            let mut out = vec![T::default(); x.len()];
            out.par_chunks_mut(image)
                .zip(x.par_chunks(image))
                .enumerate()
                .for_each(|(plane, (to, x))| {
                    let a = &a[plane / channels * image..][..image];
                    for ((to, x), a) in to.iter_mut().zip(x).zip(a) {
                        *to = *x * *a;
                    }
                });
            Ok((T::to_cpu_storage_owned(out), lx.shape().clone()))
        }
        match x {
            CpuStorage::F32(_) => run::<f32>(x, lx, a, la),
            CpuStorage::F64(_) => run::<f64>(x, lx, a, la),
            _ => bail!("the net computes in f32 or f64"),
        }
    }
    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let grad_x = grad.apply_op2_no_bwd(&a.contiguous()?, &Self)?;
        let grad_a = x.contiguous()?.apply_op2_no_bwd(&grad, &GateGradient)?;
        Ok((Some(grad_x), Some(grad_a)))
    }
}

/// Sum over channels of x times grad: (B, C, H, W) -> (B, 1, H, W).
struct GateGradient;

impl CustomOp2 for GateGradient {
    fn name(&self) -> &'static str {
        "gate-gradient"
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
            let (batch, channels, height, width) = lx.shape().dims4()?;
            let image = (height * width).max(1);
            let (x, g) = (cells::<T>(x, lx)?, cells::<T>(g, lg)?);
            let mut out = vec![T::default(); batch * image];
            out.par_chunks_mut(image).enumerate().for_each(|(b, to)| {
                for c in 0..channels {
                    let at = (b * channels + c) * image;
                    for ((to, x), g) in to
                        .iter_mut()
                        .zip(&x[at..at + image])
                        .zip(&g[at..at + image])
                    {
                        *to += *x * *g;
                    }
                }
            });
            Ok((
                T::to_cpu_storage_owned(out),
                Shape::from((batch, 1, height, width)),
            ))
        }
        match x {
            CpuStorage::F32(_) => run::<f32>(x, lx, g, lg),
            CpuStorage::F64(_) => run::<f64>(x, lx, g, lg),
            _ => bail!("the net computes in f32 or f64"),
        }
    }
}
