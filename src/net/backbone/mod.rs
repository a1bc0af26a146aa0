//! The backbone: from the input to one map per level, each of half the size of the one before.

pub mod regnet;
pub mod residual;

use candle_core::{Result, Tensor};

use super::architecture::{Architecture, Backbone};
use super::graph::Graph;
use super::layer::Layer;

pub fn layers(net: &Architecture) -> Vec<Layer> {
    match &net.backbone {
        Backbone::Residual => residual::layers(&net.channels),
        Backbone::RegNet(of) => regnet::layers(&net.channels, of),
    }
}

/// One map per level, finest first; the last is the bottleneck.
pub fn forward(g: &Graph, x: &Tensor, net: &Architecture) -> Result<Vec<Tensor>> {
    match &net.backbone {
        Backbone::Residual => residual::forward(g, x, net.levels()),
        Backbone::RegNet(of) => regnet::forward(g, x, &net.channels, of),
    }
}
