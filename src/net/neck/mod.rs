//! The neck: from the maps of all levels to one map of the finest.

pub mod bifpn;
pub mod fpn;
pub mod gated;

use candle_core::{Result, Tensor};

use super::architecture::{Architecture, Neck};
use super::graph::Graph;
use super::layer::Layer;

pub fn layers(net: &Architecture) -> Vec<Layer> {
    match net.neck {
        Neck::Gated => gated::layers(&net.channels),
        Neck::Fpn { channels } => fpn::layers(&net.channels, channels),
        Neck::BiFpn { channels, repeats } => bifpn::layers(&net.channels, channels, repeats),
    }
}

/// Channels of the map that the neck ends with.
pub fn outputs(net: &Architecture) -> usize {
    match net.neck {
        Neck::Gated => net.channels.first().copied().unwrap_or(1),
        Neck::Fpn { channels } | Neck::BiFpn { channels, .. } => channels,
    }
}

/// The finest map, from the backbone's maps (finest first).
pub fn forward(g: &Graph, maps: &[Tensor], net: &Architecture) -> Result<Tensor> {
    match net.neck {
        Neck::Gated => gated::forward(g, maps),
        Neck::Fpn { .. } => fpn::forward(g, maps),
        Neck::BiFpn { channels, repeats } => bifpn::forward(g, maps, channels, repeats),
    }
}
