//! From coarse to fine, attention-gated skip maps joined with the doubled coarser map (PeakNet, Wang et al. 2023).

use candle_core::{Result, Tensor, bail};

use crate::net::backbone::residual::block;
use crate::net::conv::Kind;
use crate::net::graph::Graph;
use crate::net::layer::Layer;

pub fn layers(channels: &[usize]) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (level, pair) in channels.windows(2).enumerate().rev() {
        let (fine, coarse) = (pair[0], pair[1]);
        let name = format!("neck.level{level}");
        let gate = |part: &str, kind, inputs, outputs| {
            let name = format!("{name}.gate.conv{part}");
            Layer::new(name, kind, inputs, outputs, level + 1).with_norm()
        };
        layers.extend([
            Layer::new(format!("{name}.up"), Kind::Up2, coarse, fine, level),
            gate("_map", Kind::Down2, fine, fine),
            gate("_signal", Kind::Point, coarse, fine),
            gate("_weight", Kind::Point, fine, 1),
        ]);
        layers.extend(block(&name, 2 * fine, fine, level));
    }
    layers
}

/// The finest map, from the backbone's maps (finest first).
pub fn forward(g: &Graph, maps: &[Tensor]) -> Result<Tensor> {
    let Some((deepest, skips)) = maps.split_last() else {
        bail!("the neck was given no maps");
    };
    let mut coarse = deepest.clone();
    for (level, skip) in skips.iter().enumerate().rev() {
        let name = format!("neck.level{level}");
        let up = g.conv(&coarse, &format!("{name}.up"), Kind::Up2)?;
        let gated = g.attention_gate(&format!("{name}.gate"), skip, &coarse)?;
        coarse = g.double_convolution(&name, &gated, Some(&up))?;
    }
    Ok(coarse)
}
