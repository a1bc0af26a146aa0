//! The weighted sum of two maps, the second doubled where it is the coarser, with a ReLU where wanted.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::super::conv::Extent;
use super::super::conv::source::sum_of3;
use super::super::lanes::Real;
use super::{cells, extent_of, tensor, with_cells};

/// How two maps are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blend {
    /// The second map has half the size; each of its cells stands for four (nearest neighbour).
    pub doubled: bool,
    pub relu: bool,
}

/// The operation of candle; arguments first map, second map, their two weights.
struct BlendOp(Blend);

impl BlendOp {
    fn sizes(&self, a: &Shape, b: &Shape) -> Result<Extent> {
        let ((channels, extent), (others, other)) = (extent_of(a)?, extent_of(b)?);
        let scale = if self.0.doubled { 2 } else { 1 };
        let fits = channels == others
            && other.batch == extent.batch
            && [other.height * scale, other.width * scale] == [extent.height, extent.width];
        if !fits {
            bail!("maps of {a:?} and {b:?} cannot be added");
        }
        Ok(extent)
    }

    fn run<T: Real>(&self, s: [&CpuStorage; 3], l: [&Layout; 3]) -> Result<CpuStorage> {
        let extent = self.sizes(l[0].shape(), l[1].shape())?;
        let (a, b) = (cells::<T>(s[0], l[0])?, cells::<T>(s[1], l[1])?);
        let &[first, second] = cells::<T>(s[2], l[2])? else {
            bail!("two maps are added with two weights");
        };
        let zero = T::default();
        let finish = |y: T| if self.0.relu && y < zero { zero } else { y };
        let width = extent.width.max(1);
        let mut out = vec![zero; a.len()];
        out.par_chunks_mut(2 * width)
            .zip(a.par_chunks(2 * width))
            .enumerate()
            .for_each(|(pair, (out, a))| {
                if self.0.doubled {
                    let b = &b[pair * (width / 2)..][..width / 2];
                    for (out, a) in out.chunks_exact_mut(width).zip(a.chunks_exact(width)) {
                        let cells = out.chunks_exact_mut(2).zip(a.chunks_exact(2));
                        for ((out, a), &b) in cells.zip(b) {
                            out[0] = finish(first * a[0] + second * b);
                            out[1] = finish(first * a[1] + second * b);
                        }
                    }
                } else {
                    let b = &b[pair * 2 * width..][..out.len()];
                    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                        *out = finish(first * a + second * b);
                    }
                }
            });
        Ok(T::to_cpu_storage_owned(out))
    }

    /// Gradients of both maps and of the weights.
    fn back<T: Real>(
        &self,
        a: &[T],
        b: &[T],
        weights: &[T],
        y: &[T],
        g: &[T],
        extent: Extent,
    ) -> Result<[Vec<T>; 3]> {
        let &[first, second] = weights else {
            bail!("two maps are added with two weights");
        };
        let zero = T::default();
        let plane = extent.plane().max(1);
        let mut masked = g.to_vec();
        if self.0.relu {
            masked
                .par_chunks_mut(plane)
                .zip(y.par_chunks(plane))
                .for_each(|(g, y)| {
                    for (g, &y) in g.iter_mut().zip(y) {
                        *g = if y > zero { *g } else { zero };
                    }
                });
        }
        // The gradient as the second map sees it: summed over the four cells that one of it stands for.
        let seen = if self.0.doubled {
            let width = extent.width;
            let mut summed = vec![zero; b.len()];
            summed
                .par_chunks_mut((width / 2).max(1))
                .zip(masked.par_chunks((2 * width).max(1)))
                .for_each(|(to, g)| {
                    let (top, bottom) = g.split_at(width);
                    let pairs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
                    for (to, (t, b)) in to.iter_mut().zip(pairs) {
                        *to = (t[0] + t[1]) + (b[0] + b[1]);
                    }
                });
            Some(summed)
        } else {
            None
        };
        let seen = seen.as_deref().unwrap_or(&masked);
        let product = |g: &[T], x: &[T]| {
            let parts: Vec<f64> = g
                .par_chunks(plane)
                .zip(x.par_chunks(plane))
                .map(|(g, x)| sum_of3(g, x, x, |g, x, _| [g * x])[0])
                .collect();
            T::real(parts.iter().sum())
        };
        let gw = vec![product(&masked, a), product(seen, b)];
        let scaled = |g: &[T], weight: T| g.par_iter().map(|&g| weight * g).collect::<Vec<T>>();
        Ok([scaled(&masked, first), scaled(seen, second), gw])
    }

    fn typed<T: Real>(
        &self,
        [a, b, w, y, g]: [&Tensor; 5],
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let extent = self.sizes(a.shape(), b.shape())?;
        let [ga, gb, gw] = with_cells::<T, _>(a, |a| {
            with_cells::<T, _>(b, |b| {
                with_cells::<T, _>(w, |w| {
                    with_cells::<T, _>(y, |y| {
                        with_cells::<T, _>(g, |g| self.back(a, b, w, y, g, extent))
                    })
                })
            })
        })?;
        Ok((
            Some(tensor(ga, a)?),
            Some(tensor(gb, b)?),
            Some(tensor(gw, w)?),
        ))
    }
}

impl CustomOp3 for BlendOp {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (s, l) = ([s1, s2, s3], [l1, l2, l3]);
        let out = match s1 {
            CpuStorage::F32(_) => self.run::<f32>(s, l)?,
            CpuStorage::F64(_) => self.run::<f64>(s, l)?,
            _ => bail!("the net computes in f32 or f64"),
        };
        Ok((out, l1.shape().clone()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        w: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        match a.dtype() {
            DType::F64 => self.typed::<f64>([a, b, w, y, g]),
            _ => self.typed::<f32>([a, b, w, y, g]),
        }
    }
}

/// The weighted sum of two maps on the CPU, differentiable in both and in the two weights.
pub fn blend(how: Blend, a: &Tensor, b: &Tensor, weights: &Tensor) -> Result<Tensor> {
    a.contiguous()?
        .apply_op3(&b.contiguous()?, &weights.contiguous()?, BlendOp(how))
}
