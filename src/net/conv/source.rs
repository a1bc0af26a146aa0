//! What a convolution reads: tensors, or what a norm, a ReLU or a gradient makes of them, row by row; and sums over cells.

use super::Extent;
use crate::net::lanes::Real;

/// Scale and shift per channel that a batch norm comes down to.
#[derive(Clone, Debug, Default)]
pub struct Affine<T> {
    pub scale: Vec<T>,
    pub shift: Vec<T>,
}

/// Coefficients of the gradient of a batch norm: `dx = scale g + slope x + offset`.
#[derive(Clone, Debug, Default)]
pub struct NormGradient<T> {
    pub slope: Vec<T>,
    pub offset: Vec<T>,
}

/// What a convolution reads, computed row by row while it is copied into scratch.
pub enum Source<'a, T> {
    /// One or two tensors whose channels follow each other.
    Plain([(&'a [T], usize); 2]),
    /// `relu(scale x + shift)`.
    NormRelu(&'a [T], &'a Affine<T>),
    /// `relu(scale_a a + shift_a + scale_b b + shift_b)`.
    SumNormRelu([&'a [T]; 2], [&'a Affine<T>; 2]),
    /// The gradient before a batch norm from the gradient `g` after it, zeroed where the following
    /// ReLU (if any) was off.
    NormGrad {
        x: &'a [T],
        g: &'a [T],
        affine: &'a Affine<T>,
        gradient: &'a NormGradient<T>,
        relu: bool,
    },
}

impl<T: Real> Source<'_, T> {
    pub(super) fn channels(&self) -> usize {
        match self {
            Self::Plain([a, b]) => a.1 + b.1,
            Self::NormRelu(_, affine)
            | Self::SumNormRelu(_, [affine, _])
            | Self::NormGrad { affine, .. } => affine.scale.len(),
        }
    }

    /// Cells `x0..x1` of one row.
    #[inline]
    pub(super) fn row(
        &self,
        extent: Extent,
        n: usize,
        c: usize,
        y: usize,
        x0: usize,
        out: &mut [T],
    ) {
        let cut = |from: &[T], channels: usize, c: usize| -> usize {
            debug_assert_eq!(from.len(), extent.batch * channels * extent.plane());
            ((n * channels + c) * extent.height + y) * extent.width + x0
        };
        let len = out.len();
        match self {
            Self::Plain([a, b]) => {
                let (from, channels, c) = if c < a.1 {
                    (a.0, a.1, c)
                } else {
                    (b.0, b.1, c - a.1)
                };
                let start = cut(from, channels, c);
                out.copy_from_slice(&from[start..start + len]);
            }
            Self::NormRelu(x, affine) => {
                let start = cut(x, affine.scale.len(), c);
                let (scale, shift) = (affine.scale[c], affine.shift[c]);
                for (out, &x) in out.iter_mut().zip(&x[start..start + len]) {
                    let y = scale * x + shift;
                    *out = if y > T::default() { y } else { T::default() };
                }
            }
            Self::SumNormRelu([a, b], [na, nb]) => {
                let start = cut(a, na.scale.len(), c);
                let (sa, sb) = (na.scale[c], nb.scale[c]);
                let shift = na.shift[c] + nb.shift[c];
                let (a, b) = (&a[start..start + len], &b[start..start + len]);
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    let y = sa * a + sb * b + shift;
                    *out = if y > T::default() { y } else { T::default() };
                }
            }
            Self::NormGrad {
                x,
                g,
                affine,
                gradient,
                relu,
            } => {
                let start = cut(x, affine.scale.len(), c);
                let (scale, shift) = (affine.scale[c], affine.shift[c]);
                let (slope, offset) = (gradient.slope[c], gradient.offset[c]);
                let (x, g) = (&x[start..start + len], &g[start..start + len]);
                if *relu {
                    for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
                        let g = if scale * x + shift > T::default() {
                            g
                        } else {
                            T::default()
                        };
                        *out = scale * g + slope * x + offset;
                    }
                } else {
                    for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
                        *out = scale * g + slope * x + offset;
                    }
                }
            }
        }
    }
}

/// Sums of `K` values per cell, in sixteen interleaved partial sums so that it vectorises.
#[inline(always)]
pub fn sum_of<T: Real, const K: usize>(cells: &[T], f: impl Fn(T) -> [T; K]) -> [f64; K] {
    sum_of3(cells, cells, cells, |a, _, _| f(a))
}

/// As [`sum_of`] over three slices of one length.
#[inline(always)]
pub fn sum_of3<T: Real, const K: usize>(
    a: &[T],
    b: &[T],
    c: &[T],
    f: impl Fn(T, T, T) -> [T; K],
) -> [f64; K] {
    const LANES: usize = 16;
    let mut total = [0.0; K];
    for ((a, b), c) in a.chunks(1024).zip(b.chunks(1024)).zip(c.chunks(1024)) {
        let mut lanes = [[T::default(); LANES]; K];
        let whole = a.len() / LANES * LANES;
        for ((a, b), c) in a
            .chunks_exact(LANES)
            .zip(b.chunks_exact(LANES))
            .zip(c.chunks_exact(LANES))
        {
            for i in 0..LANES {
                let values = f(a[i], b[i], c[i]);
                for k in 0..K {
                    lanes[k][i] += values[k];
                }
            }
        }
        for ((&a, &b), &c) in a[whole..].iter().zip(&b[whole..]).zip(&c[whole..]) {
            let values = f(a, b, c);
            for k in 0..K {
                lanes[k][0] += values[k];
            }
        }
        for k in 0..K {
            total[k] += lanes[k].iter().map(|v| v.wide()).sum::<f64>();
        }
    }
    total
}
