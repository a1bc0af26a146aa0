//! The hit head: would the frame index? One logit a frame, from what the net sees as a whole.
//!
//! It reads the mean of the deepest map and, as logarithms, how many pixels the net is sure are peak and are artifact. A
//! count means the same in a patch as in a whole frame, which a mean over pixels does not.

use candle_core::{Result, Tensor};

use crate::net::architecture::Architecture;
use crate::net::conv::Kind;
use crate::net::graph::Graph;
use crate::net::layer::Layer;

/// Sums over sure pixels: of peak and of artifact.
const COUNTS: usize = 2;

/// What the hit head says of a batch.
#[derive(Clone, Debug)]
pub struct Hit {
    /// (B, C + 2): means of the deepest map, then counts of sure pixels; tiles of a frame are joined in this form.
    pub pooled: Tensor,
    /// (B).
    pub logit: Tensor,
}

pub fn layer(net: &Architecture) -> Layer {
    let deepest = net.channels.last().copied().unwrap_or(1);
    Layer::pooled("hit".to_owned(), deepest + COUNTS, 1)
}

pub fn forward(g: &Graph, deepest: &Tensor, logits: &Tensor) -> Result<Hit> {
    let mean = deepest.mean(3)?.mean(2)?;
    let pooled = Tensor::cat(&[mean, g.sure_pixels(logits)?], 1)?;
    let logit = logit(g, &pooled)?;
    Ok(Hit { pooled, logit })
}

/// The logits (B) of pooled numbers (B, C + 2).
pub fn logit(g: &Graph, pooled: &Tensor) -> Result<Tensor> {
    let (batch, width) = pooled.dims2()?;
    let means = pooled.narrow(1, 0, width - COUNTS)?;
    let counts = (pooled.narrow(1, width - COUNTS, COUNTS)? + 1.0)?.log()?;
    let x = Tensor::cat(&[means, counts], 1)?.reshape((batch, width, 1, 1))?;
    g.conv(&x, "hit", Kind::Point)?.reshape(batch)
}

/// Pooled numbers of a tile as its part of a frame: means by the tile's share of the frame, counts by the part of the tile
/// that is not margin.
pub fn part_of_frame(pooled: &Tensor, share: f64, inner: f64) -> Result<Tensor> {
    let width = pooled.dim(1)?;
    let means = (pooled.narrow(1, 0, width - COUNTS)? * share)?;
    let counts = (pooled.narrow(1, width - COUNTS, COUNTS)? * inner)?;
    Tensor::cat(&[means, counts], 1)
}
