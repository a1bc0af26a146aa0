//! The heads: class logits from the finest map by a 1x1 convolution (the published one pads by 1 by mistake), and the hit head.

pub mod hit;

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
    let name = "head".to_owned();
    let mut layers = vec![Layer::new(name, Kind::Point, inputs, CLASSES, 0)];
    if net.hit_head.is_some() {
        layers.push(hit::layer(net));
    }
    layers
}

/// Logits (B, 3, H, W) of the neck's map.
pub fn forward(g: &Graph, map: &Tensor) -> Result<Tensor> {
    g.conv(map, "head", Kind::Point)
}
