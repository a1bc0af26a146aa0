//! The head: a 1x1 convolution from the finest map to the class logits. (The published one pads by 1 by mistake.)

use candle_core::{Result, Tensor};

use super::conv::Kind;
use super::graph::{Builder, Graph};

/// Background, peak, artifact.
pub const CLASSES: usize = 3;

pub fn declare(b: &mut Builder, channels: &[usize]) -> Result<()> {
    let inputs = channels.first().copied().unwrap_or(1);
    b.conv("head", Kind::Point, inputs, CLASSES)
}

pub fn forward(g: &Graph, map: &Tensor) -> Result<Tensor> {
    g.conv(map, "head", Kind::Point)
}
