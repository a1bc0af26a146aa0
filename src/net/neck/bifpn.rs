//! Bidirectional feature pyramid (EfficientDet, Tan et al. 2020): learnt, normalised weights fuse the levels from coarse to
//! fine and from fine to coarse, again and again.
//!
//! A node is fusion, ReLU (the paper has swish, which costs an exponential a cell), a depthwise 3x3 and a pointwise 1x1
//! convolution, norm. The head sees the finest map alone, so the last round has no way back from fine to coarse, and ends
//! with a ReLU. One round is thus from coarse to fine; two are down, up, down.

use candle_core::{Result, Tensor, bail};

use crate::net::conv::Kind;
use crate::net::fused::group::Group;
use crate::net::graph::Graph;
use crate::net::layer::{Form, Layer};

const fn depthwise(width: usize) -> Group {
    Group {
        kernel: 3,
        stride: 1,
        groups: width,
    }
}

fn node(name: &str, inputs: usize, width: usize, level: usize) -> [Layer; 3] {
    let fusion = format!("{name}.fusion");
    let (depth, point) = (format!("{name}.conv_depth"), format!("{name}.conv_point"));
    [
        Layer::new(fusion, Form::Fusion, inputs, 1, level),
        Layer::new(depth, depthwise(width), width, width, level),
        Layer::new(point, Kind::Point, width, width, level).with_norm(),
    ]
}

pub fn layers(channels: &[usize], width: usize, repeats: usize) -> Vec<Layer> {
    let input = |(level, &inputs): (usize, &usize)| {
        let name = format!("neck.level{level}.conv_in");
        Layer::new(name, Kind::Point, inputs, width, level).with_norm()
    };
    let mut layers: Vec<Layer> = channels.iter().enumerate().map(input).collect();
    let deepest = channels.len().saturating_sub(1);
    for repeat in 0..repeats {
        for level in (0..deepest).rev() {
            let name = format!("neck.repeat{repeat}.down{level}");
            layers.extend(node(&name, 2, width, level));
        }
        for level in 1..=deepest {
            if repeat + 1 == repeats {
                break;
            }
            let name = format!("neck.repeat{repeat}.up{level}");
            let inputs = if level == deepest { 2 } else { 3 };
            layers.extend(node(&name, inputs, width, level));
        }
    }
    layers
}

fn run_node(
    g: &Graph,
    name: &str,
    maps: &[&Tensor],
    doubled: bool,
    width: usize,
    relu: bool,
) -> Result<Tensor> {
    let y = g.fusion(&format!("{name}.fusion"), maps, doubled)?;
    let y = g.unit(&y, &format!("{name}.conv_depth"), depthwise(width), false)?;
    g.unit(&y, &format!("{name}.conv_point"), Kind::Point, relu)
}

/// The finest map, from the backbone's maps (finest first).
pub fn forward(g: &Graph, maps: &[Tensor], width: usize, repeats: usize) -> Result<Tensor> {
    let mut maps = maps
        .iter()
        .enumerate()
        .map(|(level, map)| {
            let name = format!("neck.level{level}.conv_in");
            g.unit(map, &name, Kind::Point, false)
        })
        .collect::<Result<Vec<Tensor>>>()?;
    for repeat in 0..repeats {
        let is_last = repeat + 1 == repeats;
        let mut down = maps.clone();
        for level in (0..maps.len().saturating_sub(1)).rev() {
            let name = format!("neck.repeat{repeat}.down{level}");
            let inputs = [&maps[level], &down[level + 1]];
            down[level] = run_node(g, &name, &inputs, true, width, is_last && level == 0)?;
        }
        if is_last {
            maps = down;
            break;
        }
        let mut up = down.clone();
        for level in 1..maps.len() {
            let name = format!("neck.repeat{repeat}.up{level}");
            let finer = g.max_pool(&up[level - 1])?;
            let all = [&maps[level], &down[level], &finer];
            let inputs = if level + 1 == maps.len() {
                &[&maps[level], &finer][..]
            } else {
                &all[..]
            };
            up[level] = run_node(g, &name, inputs, false, width, false)?;
        }
        maps = up;
    }
    match maps.into_iter().next() {
        Some(finest) => Ok(finest),
        None => bail!("the neck was given no maps"),
    }
}
