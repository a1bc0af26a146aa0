//! What comparisons with other programs need of the net: logits on disk, and the training step alone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};

use super::graph::Graph;
use super::loss::focal;
use super::standardise::Standardisation;
use super::train::optimizer::{AdamW, Settings};
use super::{Architecture, DeviceChoice, Error, Net, declare, forward, open_device};
use crate::domain::frame::Frame;

impl Net {
    /// Writes `input` (1, 1, H, W), padded as the net sees it, and its `logits` (1, 3, H, W) as safetensors.
    pub fn write_logits(&self, frame: &Frame, path: &Path) -> Result<(), Error> {
        let said = |error: candle_core::Error| {
            Error::new(
                format!("the logits cannot be written ({error}); try another path"),
                path,
            )
        };
        let step = self.architecture.step();
        let way = Standardisation::named(&self.card.standardisation).unwrap_or_default();
        let input = self
            .input(&[way.apply(frame)], frame.pixels.rect(), step)
            .map_err(said)?;
        let logits = forward(&self.graph, &input, &self.architecture)
            .map_err(said)?
            .logits;
        let tensors = HashMap::from([("input", input), ("logits", logits)]);
        candle_core::safetensors::save(&tensors, path).map_err(said)
    }
}

/// How long training steps take: forward, focal loss, backward, AdamW, on one seeded batch of square patches in f32.
///
/// The first step, which warms caches up, is not among the `repeat` times.
pub fn training_steps(
    net: &Architecture,
    patch: usize,
    batch: usize,
    repeat: usize,
    device: DeviceChoice,
) -> Result<Vec<Duration>, Error> {
    let device = open_device(device)?;
    let said = |error: candle_core::Error| {
        Error::new(
            format!("the training could not compute ({error}); try smaller batches"),
            Path::new("training"),
        )
    };
    let steps = || -> candle_core::Result<Vec<Duration>> {
        let mut parameters = declare(net, 1, DType::F32, &device)?;
        let settings = Settings {
            weight_decay: 1e-4,
            clip: 1.0,
            average: 0.998,
        };
        let mut optimizer = AdamW::new(&parameters, settings)?;
        let cells = batch * patch * patch;
        // Numbers without a pattern that a net could be quick at; one pixel in fifty is a peak.
        let number = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 8;
        let input: Vec<f32> = (0..cells)
            .map(|i| number(i) as f32 / 8_388_608.0 - 1.0)
            .collect();
        let targets: Arc<Vec<u8>> = Arc::new(
            (0..cells)
                .map(|i| u8::from(number(i + cells).is_multiple_of(50)))
                .collect(),
        );
        let mut took = Vec::with_capacity(repeat + 1);
        for _ in 0..=repeat {
            let start = Instant::now();
            let input = Tensor::from_slice(&input, (batch, 1, patch, patch), &device)?;
            let graph = Graph::training(&parameters);
            let logits = forward(&graph, &input, net)?.logits;
            let loss = focal(&logits, targets.clone(), [1.2; 3])?;
            optimizer.step(&parameters.vars, &loss.backward()?, 1e-3)?;
            graph.update_running(&mut parameters.running, 0.05);
            optimizer.average_moments(&parameters.running);
            // A card has only finished when somebody reads from it.
            loss.to_device(&Device::Cpu)?.to_scalar::<f32>()?;
            took.push(start.elapsed());
        }
        took.remove(0);
        Ok(took)
    };
    steps().map_err(said)
}
