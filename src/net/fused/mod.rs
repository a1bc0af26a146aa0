//! The blocks of the net as single differentiable operations of candle on the CPU.
//!
//! Candle's element-wise work is single-threaded, allocates for every step and accumulates every
//! gradient into fresh zeros; a block as one operation keeps what it needs and touches memory least.
//! All parameters of a block come as one flat tensor (see [`Pieces`]) so that a block has at most
//! three arguments, which is what candle's custom operations allow.

pub mod blend;
pub mod convolution;
pub mod double;
pub mod gate;
pub mod group;
pub mod normalise;
pub mod pool;
pub mod rows;
pub mod sure;

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::conv::Extent;
use super::lanes::Real;
use super::norm::BatchStatistics;

/// Where the batch statistics of a block's norms go: one entry per norm.
pub type Seen = Arc<Mutex<Vec<BatchStatistics>>>;

pub fn note(seen: &Seen, statistics: Vec<BatchStatistics>) {
    if let Ok(mut seen) = seen.lock() {
        *seen = statistics;
    }
}

/// Takes slices off the front of a flat parameter tensor, in order.
pub struct Pieces<'a, T>(pub &'a [T]);

impl<'a, T> Pieces<'a, T> {
    pub fn take(&mut self, len: usize) -> Result<&'a [T]> {
        let Some((head, tail)) = self.0.split_at_checked(len) else {
            bail!("a block of the net has too few parameters");
        };
        self.0 = tail;
        Ok(head)
    }
}

/// The cells of contiguous CPU storage.
pub fn cells<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let all = T::cpu_storage_as_slice(storage)?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!("a fused block needs contiguous tensors"),
    }
}

/// Runs a function on the cells of a contiguous CPU tensor.
pub fn with_cells<T: Real, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(cells(storage, layout)?),
        _ => bail!("a fused block needs tensors on the CPU"),
    }
}

/// `(channels, extent)` of a batch of planes.
pub fn extent_of(shape: &Shape) -> Result<(usize, Extent)> {
    let (batch, channels, height, width) = shape.dims4()?;
    Ok((
        channels,
        Extent {
            batch,
            height,
            width,
        },
    ))
}

pub fn tensor<T: Real>(values: Vec<T>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), &Device::Cpu)
}

/// Zeros, written by all threads: one alone takes a tenth of the time that a large map is computed in.
pub fn zeros<T: Real>(len: usize) -> Vec<T> {
    rayon::iter::repeat_n(T::default(), len).collect()
}

pub fn each_plane<T: Real>(
    out: &mut [T],
    plane: usize,
    channels: usize,
    f: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    out.par_chunks_mut(plane.max(1))
        .enumerate()
        .for_each(|(i, out)| f(i, i % channels, out));
}

/// The statistics as the running ones want them: with the bias that the fused convolution leaves out.
pub fn with_bias<T: Real>(mut statistics: BatchStatistics, bias: &[T]) -> BatchStatistics {
    for (mean, bias) in statistics.mean.iter_mut().zip(bias) {
        *mean += bias.wide();
    }
    statistics
}
