//! The neck: from coarse to fine, attention-gated skip maps joined with the doubled coarser map.

use candle_core::{Result, Tensor, bail};

use super::backbone::declare_block;
use super::conv::Kind;
use super::graph::{Builder, Graph};

pub fn declare(b: &mut Builder, channels: &[usize]) -> Result<()> {
    for (level, pair) in channels.windows(2).enumerate().rev() {
        let (fine, coarse) = (pair[0], pair[1]);
        let name = format!("neck.level{level}");
        b.conv(&format!("{name}.up"), Kind::Up2, coarse, fine)?;
        b.conv(&format!("{name}.gate.conv_map"), Kind::Down2, fine, fine)?;
        b.norm(&format!("{name}.gate.norm_map"), fine)?;
        b.conv(
            &format!("{name}.gate.conv_signal"),
            Kind::Point,
            coarse,
            fine,
        )?;
        b.norm(&format!("{name}.gate.norm_signal"), fine)?;
        b.conv(&format!("{name}.gate.conv_weight"), Kind::Point, fine, 1)?;
        b.norm(&format!("{name}.gate.norm_weight"), 1)?;
        declare_block(b, &name, 2 * fine, fine)?;
    }
    Ok(())
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
