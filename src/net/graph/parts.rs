//! The operations of the parts beside the paper's: convolution with norm, fusion of maps, squeeze and excitation.

use candle_core::{Result, Tensor};

use super::{Graph, Mode, record};
use crate::net::fused::blend::{Blend, blend};
use crate::net::fused::group::{folded_group_convolution, group_convolution};
use crate::net::fused::normalise::normalise;
use crate::net::fused::sure::sure_pixels;
use crate::net::fused::{Seen, convolution};
use crate::net::layer::Form;
use crate::net::norm::EPSILON;
use crate::net::{conv, ops};

/// Keeps the sum of fusion weights from being zero (EfficientDet).
const FUSION_EPSILON: f64 = 1e-4;

impl Graph {
    /// The convolution `NAME`, its norm where it has one (`norm` for `conv` in the name), and a ReLU where wanted.
    pub fn unit(
        &self,
        x: &Tensor,
        name: &str,
        form: impl Into<Form>,
        relu: bool,
    ) -> Result<Tensor> {
        let form = form.into();
        let (weight, bias) = self.weight_and_bias(name)?;
        let fuses = self.fuses(x);
        let norm = name.replace("conv", "norm");
        let recorder = match &self.mode {
            // Names without `conv` have no norm.
            Mode::Training(recorder) if norm != name && self.has(&norm) => Some(recorder),
            _ => None,
        };
        if fuses && matches!(self.mode, Mode::Folded) {
            return match form {
                Form::Group(group) => folded_group_convolution(group, x, weight, bias, relu),
                Form::Kind(kind) => convolution::folded_convolution(kind, x, weight, bias, relu),
                Form::Fusion => candle_core::bail!("{name} is no convolution"),
            };
        }
        let y = match (form, fuses) {
            (Form::Kind(kind), _) => self.conv(x, name, kind)?,
            (Form::Group(group), true) => group_convolution(group, x, weight, bias)?,
            (Form::Group(group), false) => {
                let pad = group.kernel / 2;
                x.conv2d(weight, pad, group.stride, 1, group.groups)?
                    .broadcast_add(&bias.reshape((1, (), 1, 1))?)?
            }
            (Form::Fusion, _) => candle_core::bail!("{name} is no convolution"),
        };
        let Some(recorder) = recorder else {
            return if relu { y.relu() } else { Ok(y) };
        };
        let (gamma, beta) = self.weight_and_bias(&norm)?;
        if fuses {
            let seen = Seen::default();
            let y = normalise(&y, gamma, beta, relu, &seen)?;
            let statistics = seen.lock().map(|mut seen| std::mem::take(&mut *seen));
            record(
                recorder,
                statistics.into_iter().flatten().map(|s| (norm.clone(), s)),
            );
            return Ok(y);
        }
        let (y, seen) = ops::batch_norm(&y, gamma, beta, EPSILON)?;
        record(recorder, [(norm, seen)]);
        if relu { y.relu() } else { Ok(y) }
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&format!("{name}.weight"))
    }

    /// `weights[0] a + weights[1] b`.
    fn blend(&self, how: Blend, a: &Tensor, b: &Tensor, weights: &Tensor) -> Result<Tensor> {
        if self.fuses(a) {
            return blend(how, a, b, weights);
        }
        let b = if how.doubled {
            let (n, c, h, w) = b.dims4()?;
            b.reshape((n, c, h, 1, w, 1))?
                .broadcast_as((n, c, h, 2, w, 2))?
                .reshape((n, c, 2 * h, 2 * w))?
        } else {
            b.clone()
        };
        let weight = |i: usize| weights.narrow(0, i, 1)?.reshape((1, 1, 1, 1));
        let y = (a.broadcast_mul(&weight(0)?)? + b.broadcast_mul(&weight(1)?)?)?;
        if how.relu { y.relu() } else { Ok(y) }
    }

    /// The sum of two maps, the second perhaps the next coarser.
    pub fn add(&self, a: &Tensor, b: &Tensor, doubled: bool, relu: bool) -> Result<Tensor> {
        let ones = Tensor::ones(2, a.dtype(), a.device())?;
        self.blend(Blend { doubled, relu }, a, b, &ones)
    }

    /// Fast normalised fusion with a ReLU after it: maps weighted by learnt weights over their sum (Tan et al. 2020).
    ///
    /// The second map may be the next coarser (`doubled`).
    pub fn fusion(&self, name: &str, maps: &[&Tensor], doubled: bool) -> Result<Tensor> {
        let weights = self.tensor(name)?.relu()?;
        let sum = (weights.sum_keepdim(0)? + FUSION_EPSILON)?;
        let weights = weights.broadcast_div(&sum)?;
        let (first, second) = match maps {
            [first, second, ..] => (first, second),
            _ => candle_core::bail!("a fusion needs two maps"),
        };
        let how = Blend {
            doubled,
            relu: maps.len() == 2,
        };
        let mut y = self.blend(how, first, second, &weights.narrow(0, 0, 2)?)?;
        for (i, map) in maps.iter().enumerate().skip(2) {
            let how = Blend {
                doubled: false,
                relu: i + 1 == maps.len(),
            };
            let one = Tensor::ones(1, y.dtype(), y.device())?;
            let pair = Tensor::cat(&[&one, &weights.narrow(0, i, 1)?], 0)?;
            y = self.blend(how, &y, map, &pair)?;
        }
        Ok(y)
    }

    /// Squeeze and excitation (Hu et al. 2018): every channel weighted by what the mean of all channels says.
    pub fn squeeze(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let mean = x.mean_keepdim(3)?.mean_keepdim(2)?;
        let kind = conv::Kind::Point;
        let hidden = self.unit(&mean, &format!("{name}.reduce"), kind, true)?;
        let weight = self.unit(&hidden, &format!("{name}.expand"), kind, false)?;
        let weight = candle_nn::ops::sigmoid(&weight)?;
        x.broadcast_mul(&weight)
    }

    /// Sums of `max(0, 2 p - 1)` over the pixels, for the probabilities of peak and artifact; (B, 3, H, W) to (B, 2).
    pub fn sure_pixels(&self, logits: &Tensor) -> Result<Tensor> {
        if self.fuses(logits) {
            return sure_pixels(logits);
        }
        let top = logits.detach().max_keepdim(1)?;
        let e = logits.broadcast_sub(&top)?.exp()?;
        let p = e.narrow(1, 1, 2)?.broadcast_div(&e.sum_keepdim(1)?)?;
        ((p * 2.0)? - 1.0)?.relu()?.sum(3)?.sum(2)
    }
}
