//! The folded double convolution row by row: the input is read once, the output written once, and the map between the
//! two 3x3 convolutions lives in three rows per channel that stay in the cache.

use rayon::prelude::*;

use super::super::conv::{Extent, Kind, Packed};
use super::super::lanes::line::{Line, Terms};
use super::super::lanes::{BLOCK, Real};
use super::zeros;

/// Weight and bias of a convolution, as PyTorch stores them.
pub type Slices<'a, T> = (&'a [T], &'a [T]);

/// Columns of the widest tile: three rows of the channels of any level then fit a second-level cache of 1 MiB.
const WIDEST: usize = 1056;
/// Rows of the lowest band: every band computes two rows of the map between the convolutions that its neighbours have, too.
const LOWEST: usize = 24;

/// A rectangle of the output of one batch item.
#[derive(Clone, Copy)]
struct Tile {
    n: usize,
    y: usize,
    x: usize,
    height: usize,
    width: usize,
}

/// Packed weights, their bias in blocks, and where each column starts, for each place of the first row in the ring.
struct Side<T> {
    packed: Packed<T>,
    bias: Vec<[T; BLOCK]>,
    columns: [Vec<usize>; 3],
    relu: bool,
}

impl<T: Real> Side<T> {
    /// `pitch` is the distance of two rows of the ring, which holds three rows of every channel.
    fn new(kind: Kind, (weight, bias): Slices<'_, T>, inputs: usize, pitch: usize) -> Self {
        let outputs = bias.len();
        let at = |slot: usize, c: usize, x: usize| (slot % 3 * inputs + c) * pitch + x;
        let columns = std::array::from_fn(|slot| match kind {
            Kind::Same3 => (0..inputs * 9)
                .map(|i| at(slot + i % 9 / 3, i / 9, i % 3))
                .collect(),
            // The input's ring starts two pixels before the tile.
            _ => (0..inputs).map(|c| at(slot, c, 2)).collect(),
        });
        let blocks = bias.chunks(BLOCK).map(|bias| {
            let mut block = [T::default(); BLOCK];
            block[..bias.len()].copy_from_slice(bias);
            block
        });
        Self {
            packed: Packed::new(kind, weight, inputs, outputs),
            bias: blocks.collect(),
            columns,
            relu: kind == Kind::Same3,
        }
    }

    fn terms<'a>(&'a self, input: &'a [T], slot: usize, block: usize) -> Terms<'a, T> {
        Terms {
            input,
            columns: &self.columns[slot % 3],
            weights: self.packed.block(block),
            bias: self.bias[block],
            relu: self.relu,
        }
    }
}

/// `relu(c2(relu(c1(x)))) + c3(x)`, its output in candle's order; `x` is one or two tensors whose channels follow each other.
pub fn double_convolution<T: Real>(
    x: [(&[T], usize); 2],
    extent: Extent,
    [first, second, short]: [Slices<'_, T>; 3],
) -> Vec<T> {
    let (inputs, outputs) = (x[0].1 + x[1].1, first.1.len());
    let mut out = zeros(extent.batch * outputs * extent.plane());
    if out.is_empty() {
        return out;
    }
    let across = extent.width.div_ceil(WIDEST);
    let width = extent.width.div_ceil(across).next_multiple_of(16);
    let pitch = pitch_of(width);
    let first = Side::new(Kind::Same3, first, inputs, pitch);
    let second = Side::new(Kind::Same3, second, outputs, pitch);
    let short = Side::new(Kind::Point, short, inputs, pitch);
    let height = band(extent);
    let tiles = tiles(&mut out, extent, outputs, (width, height));
    tiles.into_par_iter().for_each_init(
        || {
            (
                vec![T::default(); 3 * inputs * pitch],
                vec![T::default(); 3 * outputs * pitch],
            )
        },
        |(input, hidden), (tile, mut rows)| {
            // Row y lies in slot (y + 3) % 3 of its ring; rows start two before the tile.
            let slot = |y: usize, less: usize| y + 3 - less;
            for back in [2, 1] {
                load(input, slot(tile.y, back), x, extent, tile, pitch, back, 0);
            }
            load(input, slot(tile.y, 0), x, extent, tile, pitch, 0, 0);
            let next = |y: usize, less: usize, input: &[T], hidden: &mut [T]| {
                let slot = slot(y, less);
                let ring = &mut hidden[slot % 3 * outputs * pitch..][..outputs * pitch];
                if y < less || y - less >= extent.height {
                    ring.fill(T::default());
                    return;
                }
                for (block, ring) in ring.chunks_mut(BLOCK * pitch).enumerate() {
                    let mut rows = ring.chunks_exact_mut(pitch);
                    let mut rows: [&mut [T]; BLOCK] =
                        std::array::from_fn(|_| rows.next().unwrap_or_default());
                    let used = BLOCK.min(outputs - block * BLOCK);
                    T::line(Line {
                        terms: &[first.terms(input, slot + 2, block)],
                        out: &mut rows[..used],
                        width: tile.width + 2,
                    });
                    // Outside of the image the second convolution reads zeros, not what the first makes of them.
                    for row in &mut rows[..used] {
                        if tile.x == 0 {
                            row[0] = T::default();
                        }
                        if tile.x + tile.width == extent.width {
                            row[tile.width + 1] = T::default();
                        }
                    }
                }
            };
            next(tile.y, 1, input, hidden);
            load(input, slot(tile.y, 0) + 1, x, extent, tile, pitch, 0, 1);
            next(tile.y, 0, input, hidden);
            for (r, rows) in rows.chunks_mut(outputs).enumerate() {
                let y = tile.y + r;
                load(
                    input,
                    slot(y, 0) + 2,
                    x,
                    extent,
                    Tile { y, ..tile },
                    pitch,
                    0,
                    2,
                );
                next(y + 1, 0, input, hidden);
                for (block, rows) in rows.chunks_mut(BLOCK).enumerate() {
                    T::line(Line {
                        terms: &[
                            second.terms(hidden, slot(y, 1), block),
                            short.terms(input, slot(y, 0), block),
                        ],
                        out: rows,
                        width: tile.width,
                    });
                }
            }
        },
    );
    out
}

/// Distance of two rows of a ring: room for two pixels on each side and a last vector, and no power of two, because rows
/// that lie a power of two apart displace each other from the cache.
const fn pitch_of(width: usize) -> usize {
    let vectors = (width + 2).div_ceil(16) + 1;
    (vectors | 1) * 16
}

/// Rows of a band: several bands for every thread, none lower than [`LOWEST`] where there is a choice.
fn band(extent: Extent) -> usize {
    let threads = rayon::current_num_threads().max(1);
    let most = (4 * threads).div_ceil(extent.batch);
    let count = (extent.height / LOWEST).clamp(1, most);
    // Bands of one length keep all threads busy to the end.
    let count = if count > threads {
        count / threads * threads
    } else {
        count
    };
    extent.height.div_ceil(count).max(1)
}

/// The tiles and, in the order row, channel, the pieces of rows that each writes.
fn tiles<T>(
    out: &mut [T],
    extent: Extent,
    outputs: usize,
    (width, height): (usize, usize),
) -> Vec<(Tile, Vec<&mut [T]>)> {
    let mut tiles: Vec<(Tile, Vec<&mut [T]>)> = Vec::new();
    for n in 0..extent.batch {
        for y in (0..extent.height).step_by(height) {
            for x in (0..extent.width).step_by(width) {
                let tile = Tile {
                    n,
                    y,
                    x,
                    height: height.min(extent.height - y),
                    width: width.min(extent.width - x),
                };
                let mut rows = Vec::new();
                rows.resize_with(tile.height * outputs, Default::default);
                tiles.push((tile, rows));
            }
        }
    }
    let (across, down) = (extent.width.div_ceil(width), extent.height.div_ceil(height));
    for (i, row) in out.chunks_mut(extent.width).enumerate() {
        let (y, plane) = (i % extent.height, i / extent.height);
        let (n, c) = (plane / outputs, plane % outputs);
        for (x, piece) in row.chunks_mut(width).enumerate() {
            let place = tiles
                .get_mut((n * down + y / height) * across + x)
                .and_then(|(_, rows)| rows.get_mut(y % height * outputs + c));
            if let Some(place) = place {
                *place = piece;
            }
        }
    }
    tiles
}

/// Puts row `tile.y - back + on` of all channels into a slot of the ring, zeros where the image has none.
#[expect(
    clippy::too_many_arguments,
    reason = "one loop, called in three places of another"
)]
fn load<T: Real>(
    ring: &mut [T],
    slot: usize,
    x: [(&[T], usize); 2],
    extent: Extent,
    tile: Tile,
    pitch: usize,
    back: usize,
    on: usize,
) {
    let channels = x[0].1 + x[1].1;
    let rows = &mut ring[slot % 3 * channels * pitch..][..channels * pitch];
    let y = tile.y + on;
    if y < back || y - back >= extent.height {
        rows.fill(T::default());
        return;
    }
    let y = y - back;
    // The ring's first pixel is two before the tile's.
    let before = 2_usize.saturating_sub(tile.x);
    let from = (tile.x + before).saturating_sub(2);
    let to = (tile.x + tile.width + 2).min(extent.width);
    let mut rows = rows.chunks_exact_mut(pitch);
    for (values, channels) in x {
        for (c, row) in (0..channels).zip(&mut rows) {
            let start = ((tile.n * channels + c) * extent.height + y) * extent.width;
            row[..before].fill(T::default());
            row[before..before + to - from].copy_from_slice(&values[start + from..start + to]);
            row[before + to - from..tile.width + 4].fill(T::default());
        }
    }
}
