//! Residual double convolutions with 2x2 max-pool between them (PeakNet, Wang et al. 2023).

use candle_core::{Result, Tensor};

use crate::net::conv::Kind;
use crate::net::graph::Graph;
use crate::net::layer::Layer;

/// A residual double convolution.
pub fn block(name: &str, inputs: usize, outputs: usize, level: usize) -> Vec<Layer> {
    [
        ("1", Kind::Same3, inputs),
        ("2", Kind::Same3, outputs),
        ("_skip", Kind::Point, inputs),
    ]
    .into_iter()
    .map(|(part, kind, from)| {
        Layer::new(format!("{name}.conv{part}"), kind, from, outputs, level).with_norm()
    })
    .collect()
}

pub fn layers(channels: &[usize]) -> Vec<Layer> {
    let mut inputs = 1;
    let mut layers = Vec::new();
    for (level, &outputs) in channels.iter().enumerate() {
        let name = format!("backbone.level{level}");
        layers.extend(block(&name, inputs, outputs, level));
        inputs = outputs;
    }
    layers
}

/// One map per level, finest first; the last is the bottleneck.
pub fn forward(g: &Graph, x: &Tensor, levels: usize) -> Result<Vec<Tensor>> {
    let mut maps: Vec<Tensor> = Vec::with_capacity(levels);
    for level in 0..levels {
        let pooled = maps.last().map(|map| g.max_pool(map)).transpose()?;
        let x = pooled.as_ref().unwrap_or(x);
        maps.push(g.double_convolution(&format!("backbone.level{level}"), x, None)?);
    }
    Ok(maps)
}
