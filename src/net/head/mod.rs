//! The heads: from the finest map to the class logits by a 1x1 convolution. (The published one pads by 1 by mistake.)

use candle_core::{Result, Tensor};

use super::architecture::Architecture;
use super::conv::Kind;
use super::graph::Graph;
use super::layer::Layer;
use super::neck;

/// Background, peak, artifact.
pub const CLASSES: usize = 3;

pub fn layers(net: &Architecture) -> Vec<Layer> {
    let inputs = neck::outputs(net);
    vec![Layer::new(
        "head".to_owned(),
        Kind::Point,
        inputs,
        CLASSES,
        0,
    )]
}

/// Logits (B, 3, H, W) of the neck's map.
pub fn forward(g: &Graph, map: &Tensor) -> Result<Tensor> {
    g.conv(map, "head", Kind::Point)
}
