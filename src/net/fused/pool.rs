//! The 2x2 maximum as a differentiable operation.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::super::conv::Extent;
use super::super::lanes::Real;
use super::{cells, extent_of, tensor, with_cells, zeros};

/// 2x2 maximum with stride 2; the gradient goes to the first of equal cells, as in PyTorch.
struct MaxPool;

/// The maximum of every 2x2 square; height and width are even.
pub fn max_pool_cells<T: Real>(x: &[T], extent: Extent) -> Vec<T> {
    let (height, width) = (extent.height / 2, extent.width / 2);
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut out = zeros(x.len() / 4);
    out.par_chunks_mut((height * width).max(1))
        .zip(x.par_chunks(extent.plane().max(1)))
        .for_each(|(out, x)| {
            for (out, pair) in out
                .chunks_exact_mut(width)
                .zip(x.chunks_exact(extent.width * 2))
            {
                let (top, bottom) = pair.split_at(extent.width);
                for ((out, t), b) in out
                    .iter_mut()
                    .zip(top.chunks_exact(2))
                    .zip(bottom.chunks_exact(2))
                {
                    *out = larger(larger(t[0], t[1]), larger(b[0], b[1]));
                }
            }
        });
    out
}

impl MaxPool {
    fn back<T: Real>(x: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (_, extent) = extent_of(x.shape())?;
        let (height, width) = (extent.height / 2, extent.width / 2);
        with_cells::<T, _>(x, |xs| {
            with_cells::<T, _>(g, |g| {
                let mut out = zeros(xs.len());
                out.par_chunks_mut(extent.plane().max(1))
                    .zip(xs.par_chunks(extent.plane().max(1)))
                    .zip(g.par_chunks((height * width).max(1)))
                    .for_each(|((out, x), g)| {
                        let w = extent.width;
                        for ((out, x), g) in out
                            .chunks_exact_mut(2 * w)
                            .zip(x.chunks_exact(2 * w))
                            .zip(g.chunks_exact(width))
                        {
                            for (i, &g) in g.iter().enumerate() {
                                let at = [2 * i, 2 * i + 1, w + 2 * i, w + 2 * i + 1];
                                let mut best = at[0];
                                for k in at {
                                    if x[k] > x[best] {
                                        best = k;
                                    }
                                }
                                out[best] = g;
                            }
                        }
                    });
                Ok(Some(tensor(out, x)?))
            })
        })
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (channels, extent) = extent_of(l.shape())?;
        let shape = Shape::from((extent.batch, channels, extent.height / 2, extent.width / 2));
        let out = match s {
            CpuStorage::F64(_) => CpuStorage::F64(max_pool_cells(cells(s, l)?, extent)),
            _ => CpuStorage::F32(max_pool_cells(cells(s, l)?, extent)),
        };
        Ok((out, shape))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        match x.dtype() {
            DType::F64 => Self::back::<f64>(x, g),
            _ => Self::back::<f32>(x, g),
        }
    }
}

/// The maximum of every 2x2 square, on the CPU.
pub fn max_pool(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool)
}
