//! Batch normalisation as coefficients per channel, forward and backward.

use rayon::prelude::*;

use super::conv::source::{Affine, NormGradient, sum_of, sum_of3};
use super::conv::{Extent, Moments};
use super::lanes::Real;

/// Added to the variance, as PyTorch does.
pub const EPSILON: f64 = 1e-5;

/// What a batch said about the channels of one norm.
#[derive(Clone, Debug, Default)]
pub struct BatchStatistics {
    pub mean: Vec<f64>,
    /// Divided by n, as the normalisation uses it.
    pub variance: Vec<f64>,
    /// Values per channel.
    pub count: f64,
}

impl BatchStatistics {
    pub fn from_moments(moments: &[Moments], extent: Extent) -> Self {
        let count = (extent.batch * extent.plane()) as f64;
        let mean: Vec<f64> = moments.iter().map(|m| m[0] / count).collect();
        let variance = moments
            .iter()
            .zip(&mean)
            .map(|(m, mean)| (m[1] / count - mean * mean).max(0.0))
            .collect();
        Self {
            mean,
            variance,
            count,
        }
    }

    fn deviation(&self, c: usize) -> f64 {
        (self.variance[c] + EPSILON).sqrt()
    }

    /// The norm as scale and shift.
    pub fn affine<T: Real>(&self, gamma: &[T], beta: &[T]) -> Affine<T> {
        let mut affine = Affine::default();
        for (c, (gamma, beta)) in gamma.iter().zip(beta).enumerate() {
            let scale = gamma.wide() / self.deviation(c);
            affine.scale.push(T::real(scale));
            affine
                .shift
                .push(T::real(beta.wide() - self.mean[c] * scale));
        }
        affine
    }

    /// Coefficients of the gradient before the norm, and the gradients of gamma and beta, from
    /// the sums of `g` and `g x` over each channel (g after the ReLU's mask).
    pub fn backward<T: Real>(
        &self,
        affine: &Affine<T>,
        sums: &[[f64; 2]],
    ) -> (NormGradient<T>, Vec<T>, Vec<T>) {
        let mut gradient = NormGradient::default();
        let (mut gamma, mut beta) = (Vec::new(), Vec::new());
        for (c, &[g, gx]) in sums.iter().enumerate() {
            let deviation = self.deviation(c);
            let d_gamma = (gx - self.mean[c] * g) / deviation;
            let scale = affine.scale[c].wide();
            let slope = -scale * d_gamma / (self.count * deviation);
            gradient.slope.push(T::real(slope));
            gradient
                .offset
                .push(T::real(-scale * g / self.count - slope * self.mean[c]));
            gamma.push(T::real(d_gamma));
            beta.push(T::real(g));
        }
        (gradient, gamma, beta)
    }
}

/// Sums per channel of a function of every plane, planes in a fixed order.
pub fn channel_sums<const K: usize>(
    batch: usize,
    channels: usize,
    plane: impl Fn(usize, usize) -> [f64; K] + Sync,
) -> Vec<[f64; K]> {
    let parts: Vec<[f64; K]> = (0..batch * channels)
        .into_par_iter()
        .map(|i| plane(i, i % channels))
        .collect();
    let mut sums = vec![[0.0; K]; channels];
    for (i, part) in parts.iter().enumerate() {
        for k in 0..K {
            sums[i % channels][k] += part[k];
        }
    }
    sums
}

/// Per channel, sums of `g` and `g x` where `scale x + shift` is positive.
pub fn masked_sums<T: Real>(x: &[T], g: &[T], affine: &Affine<T>, extent: Extent) -> Vec<[f64; 2]> {
    let zero = T::default();
    channel_sums(extent.batch, affine.scale.len(), |i, c| {
        let range = i * extent.plane()..(i + 1) * extent.plane();
        let (scale, shift) = (affine.scale[c], affine.shift[c]);
        let (x, g) = (&x[range.clone()], &g[range]);
        sum_of3(x, g, g, |x, g, _| {
            let g = if scale * x + shift > zero { g } else { zero };
            [g, g * x]
        })
    })
}

/// Per channel, sums of `g` and `g x`.
pub fn plain_sums<T: Real>(x: &[T], g: &[T], channels: usize, extent: Extent) -> Vec<[f64; 2]> {
    channel_sums(extent.batch, channels, |i, _| {
        let range = i * extent.plane()..(i + 1) * extent.plane();
        let (x, g) = (&x[range.clone()], &g[range]);
        sum_of3(x, g, g, |x, g, _| [g, g * x])
    })
}

/// Per channel, sum and sum of squares.
pub fn moments<T: Real>(x: &[T], channels: usize, extent: Extent) -> Vec<Moments> {
    channel_sums(extent.batch, channels, |i, _| {
        sum_of(&x[i * extent.plane()..(i + 1) * extent.plane()], |x| {
            [x, x * x]
        })
    })
}
