//! What a training minimises: the focal loss of the pixels and, where the net has a hit head, the cross entropy of hits.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::Output;
use super::architecture::HitHead;
use super::head::CLASSES;
use super::loss::focal;
use crate::domain::components::components;
use crate::domain::grid::Grid;
use crate::domain::labels::Class;

/// The weights of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossConfig {
    /// Of background, peak and artifact.
    pub alpha: [f64; CLASSES],
    /// How hits are counted and weighed; `None` leaves the hit head alone.
    pub hit: Option<HitHead>,
}

/// The loss of a batch against B x H x W class codes (255 weighs nothing). Returns a scalar.
pub fn loss_of(output: &Output, targets: Arc<Vec<u8>>, config: &LossConfig) -> Result<Tensor> {
    let hits = match (&output.hit, &config.hit) {
        (Some(hit), Some(head)) => {
            let (_, _, height, width) = output.logits.dims4()?;
            let hits = hit_targets(&targets, height, width, head.min_peaks);
            Some((cross_entropy(&hit.logit, &hits)? * head.weight)?)
        }
        _ => None,
    };
    let pixels = focal(&output.logits, targets, config.alpha)?;
    match hits {
        Some(hits) => pixels + hits.to_device(&candle_core::Device::Cpu)?,
        None => Ok(pixels),
    }
}

/// Whether each patch shows a crystal: from `min_peaks` separate labelled peaks on it does, without any it does not, and
/// between the two nobody can say.
pub fn hit_targets(
    targets: &[u8],
    height: usize,
    width: usize,
    min_peaks: usize,
) -> Vec<Option<bool>> {
    let patches = targets.chunks_exact((height * width).max(1));
    patches
        .map(|patch| {
            let map = Grid::from_cells(width, height, patch.to_vec())?;
            match components(&map, Class::Peak.code()).len() {
                0 => Some(false),
                peaks if peaks >= min_peaks => Some(true),
                _ => None,
            }
        })
        .collect()
}

/// Mean binary cross entropy of logits (B), those without a target left out; stable for every logit.
///
/// `ln(1 + e^z) - t z`, with `ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|)`.
pub fn cross_entropy(logits: &Tensor, targets: &[Option<bool>]) -> Result<Tensor> {
    let row = |value: fn(&Option<bool>) -> f64| {
        let values: Vec<f64> = targets.iter().map(value).collect();
        Tensor::from_vec(values, targets.len(), &candle_core::Device::Cpu)?
            .to_dtype(logits.dtype())?
            .to_device(logits.device())
    };
    let is_hit = row(|target| f64::from(u8::from(*target == Some(true))))?;
    let counts = row(|target| f64::from(u8::from(target.is_some())))?;
    let counted = targets.iter().flatten().count().max(1);
    let positive = logits.relu()?;
    let size = (&positive + logits.neg()?.relu()?)?;
    let softplus = (positive + (size.neg()?.exp()? + 1.0)?.log()?)?;
    let each = ((softplus - (logits * is_hit)?)? * counts)?;
    each.sum_all()? / counted as f64
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Values and gradients at ordinary and at extreme logits, against the plain formula where it holds.
    #[test]
    fn the_cross_entropy_is_stable() {
        let z = [-200.0, -3.0, 0.5, 200.0_f64];
        for target in [Some(true), Some(false), None] {
            let var = Var::from_slice(&z, 4, &Device::Cpu).unwrap();
            let loss = cross_entropy(&var, &[target; 4]).unwrap();
            let gradient = loss.backward().unwrap().get(&var).cloned().unwrap();
            let gradient = gradient.to_vec1::<f64>().unwrap();
            let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
            let Some(is_hit) = target else {
                assert_eq!(loss.to_scalar::<f64>().unwrap(), 0.0);
                continue;
            };
            let t = if is_hit { 1.0 } else { 0.0 };
            // An extreme logit costs its size where it is wrong and nothing where it is right.
            let ordinary: f64 = [-3.0, 0.5]
                .into_iter()
                .map(|z: f64| z.exp().ln_1p() - t * z)
                .sum();
            let expected = (200.0 + ordinary) / 4.0;
            assert!((loss.to_scalar::<f64>().unwrap() - expected).abs() < 1e-12);
            for (z, g) in z.into_iter().zip(gradient) {
                assert!((g - (sigmoid(z) - t) / 4.0).abs() < 1e-12, "{z}: {g}");
            }
        }
    }

    #[test]
    fn hits_are_counted_in_separate_peaks() {
        // Three patches of 3 x 4: two peaks, one peak of two touching pixels, ignore and artifact alone.
        let patches = [
            [1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
            [255, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        let targets = patches.concat();
        let hits = hit_targets(&targets, 3, 4, 2);
        assert_eq!(hits, [Some(true), None, Some(false)]);
    }
}
