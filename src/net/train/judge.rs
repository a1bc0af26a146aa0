//! Validation frames, and how a net does on them.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::feed::target_of;
use super::{Labelled, Validation};
use crate::net::graph::{Graph, Parameters};
use crate::net::head::CLASSES;
use crate::net::loss::{NO_TARGET, focal};
use crate::net::standardise::Standardisation;
use crate::net::{Architecture, forward};

/// A prepared validation frame, padded to a multiple of the net's step.
pub struct Judged {
    width: usize,
    height: usize,
    input: Vec<f32>,
    target: Arc<Vec<u8>>,
}

impl Judged {
    pub fn new(labelled: &Labelled, step: usize, way: Standardisation) -> Self {
        let prepared = way.apply(&labelled.frame);
        let (width, height) = (
            prepared.width().next_multiple_of(step),
            prepared.height().next_multiple_of(step),
        );
        let mut input = vec![0.0; width * height];
        let mut target = vec![NO_TARGET; width * height];
        for y in 0..prepared.height() {
            for x in 0..prepared.width() {
                input[y * width + x] = prepared.row(y)[x];
                target[y * width + x] = target_of(labelled, x, y);
            }
        }
        Self {
            width,
            height,
            input,
            target: Arc::new(target),
        }
    }
}

/// Loss, peak pixel F1 and artifact IoU over the validation frames.
pub fn validate(
    parameters: &Parameters,
    net: &Architecture,
    alpha: [f64; CLASSES],
    device: &Device,
    validation: &[Judged],
) -> candle_core::Result<Validation> {
    let graph = Graph::folded(parameters)?;
    let mut loss = 0.0;
    // Per class: agreed, only found, only true.
    let mut counts = [[0_u64; 3]; CLASSES];
    for judged in validation {
        let input = Tensor::from_slice(&judged.input, (1, 1, judged.height, judged.width), device)?;
        let logits = forward(&graph, &input, net)?
            .logits
            .to_device(&Device::Cpu)?;
        loss += f64::from(focal(&logits, judged.target.clone(), alpha)?.to_scalar::<f32>()?);
        let z = logits.flatten_all()?.to_vec1::<f32>()?;
        let area = judged.target.len();
        for (i, target) in judged.target.iter().enumerate() {
            if *target == NO_TARGET {
                continue;
            }
            let target = usize::from(*target);
            let found = (1..CLASSES).fold(0, |best, c| {
                if z[c * area + i] > z[best * area + i] {
                    c
                } else {
                    best
                }
            });
            if found == target {
                counts[found][0] += 1;
            } else {
                counts[found][1] += 1;
                counts[target][2] += 1;
            }
        }
    }
    let part = |a: u64, b: f64| if b > 0.0 { a as f64 / b } else { 0.0 };
    let [hit, extra, missed] = counts[1];
    let [both, more, less] = counts[2];
    Ok(Validation {
        validation_loss: loss / validation.len().max(1) as f64,
        peak_f1: part(2 * hit, (2 * hit + extra + missed) as f64),
        artifact_iou: part(both, (both + more + less) as f64),
        ..Validation::default()
    })
}
