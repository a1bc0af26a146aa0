//! A batch norm with the ReLU that may follow it, as one differentiable operation.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::super::conv::Extent;
use super::super::conv::source::Affine;
use super::super::lanes::Real;
use super::super::norm::{BatchStatistics, masked_sums, moments, plain_sums};
use super::{Seen, cells, each_plane, extent_of, note, tensor, with_cells};

/// Normalises by the moments of the batch; arguments input, gamma, beta.
struct Normalise<T> {
    relu: bool,
    seen: Seen,
    saved: OnceLock<(BatchStatistics, Affine<T>)>,
}

impl<T: Real> Normalise<T> {
    fn run(&self, x: &[T], gamma: &[T], beta: &[T], extent: Extent) -> Result<Vec<T>> {
        let channels = gamma.len();
        let statistics = BatchStatistics::from_moments(&moments(x, channels, extent), extent);
        let affine = statistics.affine(gamma, beta);
        let plane = extent.plane();
        let mut out = vec![T::default(); x.len()];
        each_plane(&mut out, plane, channels, |i, c, out| {
            let (scale, shift) = (affine.scale[c], affine.shift[c]);
            for (to, &x) in out.iter_mut().zip(&x[i * plane..(i + 1) * plane]) {
                let y = scale * x + shift;
                *to = if self.relu && y < T::default() {
                    T::default()
                } else {
                    y
                };
            }
        });
        note(&self.seen, vec![statistics.clone()]);
        if self.saved.set((statistics, affine)).is_err() {
            bail!("a norm ran twice in one graph");
        }
        Ok(out)
    }

    fn back(&self, x: &[T], g: &[T], extent: Extent) -> Result<[Vec<T>; 3]> {
        let Some((statistics, affine)) = self.saved.get() else {
            bail!("a norm has no forward pass to go back through");
        };
        let channels = affine.scale.len();
        let sums = if self.relu {
            masked_sums(x, g, affine, extent)
        } else {
            plain_sums(x, g, channels, extent)
        };
        let (gradient, gamma, beta) = statistics.backward(affine, &sums);
        let plane = extent.plane();
        let mut out = vec![T::default(); x.len()];
        out.par_chunks_mut(plane.max(1))
            .zip(x.par_chunks(plane.max(1)))
            .zip(g.par_chunks(plane.max(1)))
            .enumerate()
            .for_each(|(i, ((out, x), g))| {
                let c = i % channels;
                let (scale, shift) = (affine.scale[c], affine.shift[c]);
                let (slope, offset) = (gradient.slope[c], gradient.offset[c]);
                for ((to, &x), &g) in out.iter_mut().zip(x).zip(g) {
                    let on = !self.relu || scale * x + shift > T::default();
                    let g = if on { g } else { T::default() };
                    *to = scale * g + slope * x + offset;
                }
            });
        Ok([out, gamma, beta])
    }
}

impl<T: Real> CustomOp3 for Normalise<T> {
    fn name(&self) -> &'static str {
        "normalise"
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
        let (channels, extent) = extent_of(l1.shape())?;
        let (gamma, beta) = (cells::<T>(s2, l2)?, cells::<T>(s3, l3)?);
        if gamma.len() != channels || beta.len() != channels {
            bail!("a norm got {channels} channels for {} weights", gamma.len());
        }
        let out = self.run(cells(s1, l1)?, gamma, beta, extent)?;
        Ok((T::to_cpu_storage_owned(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, extent) = extent_of(x.shape())?;
        let [gx, ggamma, gbeta] =
            with_cells::<T, _>(x, |x| with_cells::<T, _>(g, |g| self.back(x, g, extent)))?;
        Ok((
            Some(tensor(gx, x)?),
            Some(tensor(ggamma, gamma)?),
            Some(tensor(gbeta, beta)?),
        ))
    }
}

/// A batch norm in training mode on the CPU; what it saw goes to `seen`.
pub fn normalise(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    relu: bool,
    seen: &Seen,
) -> Result<Tensor> {
    fn typed<T: Real>(
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        relu: bool,
        seen: &Seen,
    ) -> Result<Tensor> {
        let op = Normalise::<T> {
            relu,
            seen: seen.clone(),
            saved: OnceLock::new(),
        };
        x.contiguous()?.apply_op3(gamma, beta, op)
    }
    match x.dtype() {
        DType::F64 => typed::<f64>(x, gamma, beta, relu, seen),
        _ => typed::<f32>(x, gamma, beta, relu, seen),
    }
}
