//! RegNet X and Y (Radosavovic et al. 2020): stages of bottleneck blocks with group convolutions.
//!
//! Peaks are a few pixels large, so the stem keeps the full resolution and every stage but the first halves it: the stages
//! give one map per level. A block is 1x1, 3x3 in groups (with the stride of the stage's first block), perhaps squeeze and
//! excitation (RegNetY), 1x1, each with its norm, and a ReLU after the shortcut is added; the bottleneck ratio is 1.

use candle_core::{Result, Tensor};

use crate::net::architecture::RegNet;
use crate::net::conv::Kind;
use crate::net::fused::group::Group;
use crate::net::graph::Graph;
use crate::net::layer::Layer;

/// The inner width of the excitation is a quarter of the block's input.
const SQUEEZE: usize = 4;

/// One block of the net, before a weight is made.
struct Block {
    name: String,
    inputs: usize,
    outputs: usize,
    level: usize,
    stride: usize,
}

impl Block {
    /// A shortcut that changes nothing needs no convolution.
    const fn projects(&self) -> bool {
        self.stride != 1 || self.inputs != self.outputs
    }

    fn group(&self, of: &RegNet) -> Group {
        Group {
            kernel: 3,
            stride: self.stride,
            groups: self.outputs / of.group_width.min(self.outputs).max(1),
        }
    }

    const fn shortcut(&self) -> Group {
        Group {
            kernel: 1,
            stride: self.stride,
            groups: 1,
        }
    }
}

fn blocks(channels: &[usize], of: &RegNet) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut inputs = channels.first().copied().unwrap_or(1);
    for (level, &outputs) in channels.iter().enumerate() {
        for number in 0..of.depth(level) {
            blocks.push(Block {
                name: format!("backbone.level{level}.block{number}"),
                inputs,
                outputs,
                level,
                stride: if level > 0 && number == 0 { 2 } else { 1 },
            });
            inputs = outputs;
        }
    }
    blocks
}

pub fn layers(channels: &[usize], of: &RegNet) -> Vec<Layer> {
    let stem = channels.first().copied().unwrap_or(1);
    let mut layers =
        vec![Layer::new("backbone.stem.conv".to_owned(), Kind::Same3, 1, stem, 0).with_norm()];
    for block in blocks(channels, of) {
        let (inputs, outputs, level) = (block.inputs, block.outputs, block.level);
        let name = |part: &str| format!("{}.{part}", block.name);
        let before = if block.stride == 2 { level - 1 } else { level };
        layers.extend([
            Layer::new(name("conv1"), Kind::Point, inputs, outputs, before).with_norm(),
            Layer::new(name("conv2"), block.group(of), outputs, outputs, level).with_norm(),
        ]);
        if of.squeeze {
            let inner = (inputs / SQUEEZE).max(1);
            layers.push(Layer::pooled(name("se.reduce"), outputs, inner));
            layers.push(Layer::pooled(name("se.expand"), inner, outputs));
        }
        layers.push(Layer::new(name("conv3"), Kind::Point, outputs, outputs, level).with_norm());
        if block.projects() {
            let shortcut = block.shortcut();
            layers
                .push(Layer::new(name("conv_skip"), shortcut, inputs, outputs, level).with_norm());
        }
    }
    layers
}

/// One map per level, finest first; the last is the bottleneck.
pub fn forward(g: &Graph, x: &Tensor, channels: &[usize], of: &RegNet) -> Result<Vec<Tensor>> {
    let mut maps: Vec<Tensor> = Vec::with_capacity(channels.len());
    let mut x = g.unit(x, "backbone.stem.conv", Kind::Same3, true)?;
    let mut level = 0;
    for block in blocks(channels, of) {
        if block.level > level {
            maps.push(x.clone());
            level = block.level;
        }
        let name = |part: &str| format!("{}.{part}", block.name);
        let y = g.unit(&x, &name("conv1"), Kind::Point, true)?;
        let y = g.unit(&y, &name("conv2"), block.group(of), true)?;
        let y = if of.squeeze {
            g.squeeze(&y, &name("se"))?
        } else {
            y
        };
        let y = g.unit(&y, &name("conv3"), Kind::Point, false)?;
        let shortcut = if block.projects() {
            g.unit(&x, &name("conv_skip"), block.shortcut(), false)?
        } else {
            x
        };
        x = g.add(&y, &shortcut, false, true)?;
    }
    maps.push(x);
    Ok(maps)
}
