//! The backbone: residual double convolutions with 2x2 max-pool between them (PeakNet, Wang et al. 2023).

use candle_core::{Result, Tensor};

use super::conv::Kind;
use super::graph::{Builder, Graph};

/// Declares a residual double convolution.
pub fn declare_block(b: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Result<()> {
    for (part, kind, from) in [
        ("1", Kind::Same3, inputs),
        ("2", Kind::Same3, outputs),
        ("_skip", Kind::Point, inputs),
    ] {
        b.conv(&format!("{name}.conv{part}"), kind, from, outputs)?;
        b.norm(&format!("{name}.norm{part}"), outputs)?;
    }
    Ok(())
}

pub fn declare(b: &mut Builder, channels: &[usize]) -> Result<()> {
    let mut inputs = 1;
    for (level, &outputs) in channels.iter().enumerate() {
        declare_block(b, &format!("backbone.level{level}"), inputs, outputs)?;
        inputs = outputs;
    }
    Ok(())
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
