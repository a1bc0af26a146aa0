//! The backbone: residual double convolutions with 2x2 max-pool between them (PeakNet, Wang et al. 2023).

use candle_core::{Result, Tensor};

use super::graph::{Builder, Graph, Kind};
use super::resample::max_pool;

/// Declares a residual double convolution.
pub fn declare_block(b: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Result<()> {
    for (part, kind, from) in [
        ("1", Kind::Three, inputs),
        ("2", Kind::Three, outputs),
        ("_skip", Kind::One, inputs),
    ] {
        b.conv(&format!("{name}.conv{part}"), kind, from, outputs)?;
        b.norm(&format!("{name}.norm{part}"), outputs)?;
    }
    Ok(())
}

/// Twice convolution, norm, ReLU; beside it a 1x1 convolution and norm of the input; added, no activation after.
pub fn block(g: &Graph, name: &str, x: &Tensor) -> Result<Tensor> {
    let y = g.conv_norm(x, &format!("{name}.conv1"), Kind::Three, true)?;
    let y = g.conv_norm(&y, &format!("{name}.conv2"), Kind::Three, true)?;
    y + g.conv_norm(x, &format!("{name}.conv_skip"), Kind::One, false)?
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
        let pooled = maps.last().map(max_pool).transpose()?;
        let x = pooled.as_ref().unwrap_or(x);
        maps.push(block(g, &format!("backbone.level{level}"), x)?);
    }
    Ok(maps)
}
