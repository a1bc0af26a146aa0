//! Feature pyramid (Lin et al. 2017): lateral 1x1 convolutions, the coarser map doubled (nearest neighbour) and added, and a
//! 3x3 convolution that smooths the finest sum, here with norm and ReLU before the head.

use candle_core::{Result, Tensor, bail};

use crate::net::conv::Kind;
use crate::net::graph::Graph;
use crate::net::layer::Layer;

pub fn layers(channels: &[usize], width: usize) -> Vec<Layer> {
    let lateral = |(level, &inputs): (usize, &usize)| {
        let name = format!("neck.level{level}.lateral");
        Layer::new(name, Kind::Point, inputs, width, level)
    };
    let mut layers: Vec<Layer> = channels.iter().enumerate().rev().map(lateral).collect();
    let name = "neck.conv_smooth".to_owned();
    layers.push(Layer::new(name, Kind::Same3, width, width, 0).with_norm());
    layers
}

/// The finest map, from the backbone's maps (finest first).
pub fn forward(g: &Graph, maps: &[Tensor]) -> Result<Tensor> {
    let mut coarse: Option<Tensor> = None;
    for (level, map) in maps.iter().enumerate().rev() {
        let name = format!("neck.level{level}.lateral");
        let lateral = g.unit(map, &name, Kind::Point, false)?;
        coarse = Some(match coarse {
            Some(coarse) => g.add(&lateral, &coarse, true, false)?,
            None => lateral,
        });
    }
    match coarse {
        Some(finest) => g.unit(&finest, "neck.conv_smooth", Kind::Same3, true),
        None => bail!("the neck was given no maps"),
    }
}
