//! Convolutions on plain slices: forward, gradient of the input, gradient of the weights.
//!
//! Layout is that of candle and PyTorch: batch, channel, row, column. Work is cut into tiles; a tile's
//! rows are copied (and, where asked, normalised on the way) into a scratch buffer in which every tap
//! of the kernel is one shifted view, see [`super::lanes`]. Sums over tiles are taken in a fixed order,
//! so results do not depend on the number of threads.

pub mod source;
pub mod tiles;

use rayon::prelude::*;

use self::source::{Source, sum_of};
use self::tiles::{Scratch, Tile, Tiles, tile_area};
use super::lanes::line::{Line, Terms};
use super::lanes::{BLOCK, Forward, Real};

/// The four convolutions of the net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 3x3, padded by 1; weights `[out, in, 3, 3]`.
    Same3,
    /// 1x1; weights `[out, in, 1, 1]`.
    Point,
    /// 2x2, stride 2; weights `[out, in, 2, 2]`.
    Down2,
    /// Transposed 2x2, stride 2; weights `[in, out, 2, 2]`.
    Up2,
}

impl Kind {
    /// Shape of the weight in a checkpoint, as PyTorch's `Conv2d` and `ConvTranspose2d` have it.
    pub const fn shape(self, inputs: usize, outputs: usize) -> [usize; 4] {
        match self {
            Self::Same3 => [outputs, inputs, 3, 3],
            Self::Point => [outputs, inputs, 1, 1],
            Self::Down2 => [outputs, inputs, 2, 2],
            Self::Up2 => [inputs, outputs, 2, 2],
        }
    }

    pub const fn taps(self) -> usize {
        match self {
            Self::Same3 => 9,
            Self::Point => 1,
            Self::Down2 | Self::Up2 => 4,
        }
    }

    /// Height and width of the output.
    pub const fn output(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            Self::Same3 | Self::Point => (height, width),
            Self::Down2 => (height / 2, width / 2),
            Self::Up2 => (height * 2, width * 2),
        }
    }

    /// The convolution that carries a gradient back through this one.
    const fn dual(self) -> Self {
        match self {
            Self::Same3 => Self::Same3,
            Self::Point => Self::Point,
            Self::Down2 => Self::Up2,
            Self::Up2 => Self::Down2,
        }
    }

    /// Columns that one input channel makes.
    const fn columns(self) -> usize {
        match self {
            Self::Same3 => 9,
            Self::Point | Self::Up2 => 1,
            Self::Down2 => 4,
        }
    }

    /// Rows of the matrix that one output channel makes.
    const fn rows(self) -> usize {
        match self {
            Self::Up2 => 4,
            _ => 1,
        }
    }
}

/// Batch, height and width that a set of planes shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
}

impl Extent {
    pub const fn plane(self) -> usize {
        self.height * self.width
    }
}

/// Weights in the order of the inner loop: `[block][column][BLOCK]`.
#[derive(Clone, Debug)]
pub struct Packed<T> {
    kind: Kind,
    inputs: usize,
    outputs: usize,
    blocks: Vec<T>,
}

impl<T: Real> Packed<T> {
    fn pack(kind: Kind, inputs: usize, outputs: usize, value: impl Fn(usize, usize) -> T) -> Self {
        let (rows, columns) = (outputs * kind.rows(), inputs * kind.columns());
        let mut blocks = Vec::with_capacity(rows.next_multiple_of(BLOCK) * columns);
        for first in (0..rows).step_by(BLOCK) {
            for column in 0..columns {
                for row in first..first + BLOCK {
                    blocks.push(if row < rows {
                        value(row, column)
                    } else {
                        T::default()
                    });
                }
            }
        }
        Self {
            kind,
            inputs,
            outputs,
            blocks,
        }
    }

    /// Weights for [`forward`]; `weights` as PyTorch stores them.
    pub fn new(kind: Kind, weights: &[T], inputs: usize, outputs: usize) -> Self {
        let columns = inputs * kind.columns();
        let rows = outputs * kind.rows();
        Self::pack(kind, inputs, outputs, |row, column| match kind {
            Kind::Up2 => weights[column * rows + row],
            _ => weights[row * columns + column],
        })
    }

    /// The weights of one block of output channels, `[column][BLOCK]`.
    pub fn block(&self, number: usize) -> &[T] {
        let len = self.inputs * self.kind.columns() * BLOCK;
        &self.blocks[number * len..(number + 1) * len]
    }

    /// Weights that carry the gradient of the output of such a convolution back to its input;
    /// only the input channels `from..from + count`.
    pub fn transposed(
        kind: Kind,
        weights: &[T],
        inputs: usize,
        outputs: usize,
        from: usize,
        count: usize,
    ) -> Self {
        Self::pack(kind.dual(), outputs, count, |row, column| match kind {
            Kind::Same3 => weights[((column / 9) * inputs + from + row) * 9 + 8 - column % 9],
            Kind::Point => weights[column * inputs + from + row],
            Kind::Down2 => weights[(column * inputs + from) * 4 + row],
            Kind::Up2 => weights[(from + row) * outputs * 4 + column],
        })
    }
}

/// What happens to a sum before it is stored.
#[derive(Clone, Copy)]
pub struct Finish<'a, T> {
    /// Added per output channel.
    pub bias: Option<&'a [T]>,
    pub relu: bool,
    /// Add to what the output holds already, after bias and ReLU.
    pub accumulate: bool,
}

impl<T> Finish<'_, T> {
    pub const PLAIN: Self = Self {
        bias: None,
        relu: false,
        accumulate: false,
    };
}

/// Sum and sum of squares of one channel.
pub type Moments = [f64; 2];

/// The convolution of a source; returns sum and sum of squares per output channel if asked.
///
/// `extent` is the source's; `outputs` are one or two tensors (to accumulate, filled ones) whose
/// channels follow each other, of `kind.output` size. Sizes for `Down2` are even.
pub fn forward<T: Real>(
    source: &Source<'_, T>,
    extent: Extent,
    weights: &Packed<T>,
    finish: Finish<'_, T>,
    outputs: Vec<(&mut [T], usize)>,
    moments: bool,
) -> Vec<Moments> {
    let kind = weights.kind;
    debug_assert_eq!(source.channels(), weights.inputs);
    let coarse = match kind {
        Kind::Down2 => Extent {
            height: extent.height / 2,
            width: extent.width / 2,
            ..extent
        },
        _ => extent,
    };
    let scale = if kind == Kind::Up2 { 2 } else { 1 };
    let tiles = Tiles::new(
        coarse,
        tile_area(weights.inputs * kind.columns().clamp(1, 4)),
    );
    let rows = tiles.rows(coarse, scale, outputs);
    let block_weights = weights.inputs * kind.columns() * BLOCK;
    let matrix_rows = weights.outputs * kind.rows();
    let sums: Vec<Vec<Moments>> = tiles
        .list
        .par_iter()
        .zip(rows)
        .map_init(
            || (Scratch::empty(), Vec::new()),
            |(scratch, sums), (&tile, mut rows)| {
                scratch.fill(kind, source, extent, tile);
                sums.resize(BLOCK * scratch.flat, T::default());
                let mut found = vec![[0.0; 2]; if moments { weights.outputs } else { 0 }];
                for (block, packed) in weights.blocks.chunks_exact(block_weights).enumerate() {
                    let first = block * BLOCK;
                    let used = BLOCK.min(matrix_rows - first);
                    if tile.width >= LINE && kind != Kind::Up2 && !finish.accumulate {
                        lines(scratch, packed, first, tile, finish, &mut rows[..], used);
                    } else {
                        T::forward(Forward {
                            input: &scratch.cells,
                            columns: &scratch.columns,
                            weights: packed,
                            out: sums,
                            flat: scratch.flat,
                            used,
                        });
                        store(
                            kind,
                            scratch,
                            sums,
                            first,
                            matrix_rows,
                            tile,
                            finish,
                            &mut rows,
                        );
                    }
                    if moments {
                        let channels =
                            first / kind.rows()..(first + BLOCK).min(matrix_rows) / kind.rows();
                        for c in channels {
                            let height = tile.height * scale;
                            for row in &rows[c * height..(c + 1) * height] {
                                let [a, b] = sum_of(row, |x| [x, x * x]);
                                found[c][0] += a;
                                found[c][1] += b;
                            }
                        }
                    }
                }
                found
            },
        )
        .collect();
    let mut total = vec![[0.0; 2]; if moments { weights.outputs } else { 0 }];
    for tile in &sums {
        for (total, part) in total.iter_mut().zip(tile) {
            total[0] += part[0];
            total[1] += part[1];
        }
    }
    total
}

/// Rows at least this long are computed one by one and stored where they belong; shorter ones several at once, because
/// vectors would stick out of them.
const LINE: usize = 64;

/// One block of output channels of a tile, row by row.
fn lines<T: Real>(
    scratch: &Scratch<T>,
    packed: &[T],
    first: usize,
    tile: Tile,
    finish: Finish<'_, T>,
    rows: &mut [&mut [T]],
    used: usize,
) {
    let bias = std::array::from_fn(|o| {
        let of = finish.bias.and_then(|bias| bias.get(first + o));
        of.copied().unwrap_or_default()
    });
    for r in 0..tile.height {
        let mut rows = rows
            .iter_mut()
            .skip(first * tile.height + r)
            .step_by(tile.height);
        let mut out: [&mut [T]; BLOCK] =
            std::array::from_fn(|_| rows.next().map(|row| &mut **row).unwrap_or_default());
        T::line(Line {
            terms: &[Terms {
                input: &scratch.cells[r * scratch.pitch..],
                columns: &scratch.columns,
                weights: packed,
                bias,
                relu: finish.relu,
            }],
            out: &mut out[..used],
            width: tile.width,
        });
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the tail of one loop, kept apart to be readable"
)]
fn store<T: Real>(
    kind: Kind,
    scratch: &Scratch<T>,
    sums: &[T],
    first: usize,
    matrix_rows: usize,
    tile: Tile,
    finish: Finish<'_, T>,
    rows: &mut [&mut [T]],
) {
    let zero = T::default();
    let ready = |sum: T, bias: T| {
        let sum = sum + bias;
        if !finish.relu || sum > zero {
            sum
        } else {
            zero
        }
    };
    let bias_of = |c: usize| finish.bias.and_then(|b| b.get(c)).copied().unwrap_or(zero);
    let used = BLOCK.min(matrix_rows - first);
    if kind == Kind::Up2 {
        for (index, pair) in sums
            .chunks_exact(2 * scratch.flat)
            .take(used / 2)
            .enumerate()
        {
            let (c, ky) = ((first + 2 * index) / 4, index % 2);
            let bias = bias_of(c);
            let (even, odd) = pair.split_at(scratch.flat);
            for r in 0..tile.height {
                let row = &mut rows[c * tile.height * 2 + r * 2 + ky];
                let even = &even[r * scratch.pitch..][..tile.width];
                let odd = &odd[r * scratch.pitch..][..tile.width];
                for ((to, &e), &o) in row.chunks_exact_mut(2).zip(even).zip(odd) {
                    if finish.accumulate {
                        to[0] += ready(e, bias);
                        to[1] += ready(o, bias);
                    } else {
                        to[0] = ready(e, bias);
                        to[1] = ready(o, bias);
                    }
                }
            }
        }
        return;
    }
    for (index, sums) in sums.chunks_exact(scratch.flat).take(used).enumerate() {
        let c = first + index;
        let bias = bias_of(c);
        for r in 0..tile.height {
            let row = &mut rows[c * tile.height + r];
            let sums = &sums[r * scratch.pitch..][..tile.width];
            match (finish.accumulate, finish.relu) {
                (false, false) => {
                    for (to, &sum) in row.iter_mut().zip(sums) {
                        *to = sum + bias;
                    }
                }
                (false, true) => {
                    for (to, &sum) in row.iter_mut().zip(sums) {
                        let sum = sum + bias;
                        *to = if sum > zero { sum } else { zero };
                    }
                }
                (true, _) => {
                    for (to, &sum) in row.iter_mut().zip(sums) {
                        *to += ready(sum, bias);
                    }
                }
            }
        }
    }
}

/// The gradient of the weights, in the order of PyTorch, from the gradient of the output.
///
/// `extent` is that of the convolution's input `source`.
pub fn weight_gradient<T: Real>(
    kind: Kind,
    source: &Source<'_, T>,
    extent: Extent,
    gradient: &Source<'_, T>,
) -> Vec<T> {
    // Up2 seen from its output is Down2 with input and gradient exchanged.
    if kind == Kind::Up2 {
        let (height, width) = kind.output(extent.height, extent.width);
        let fine = Extent {
            height,
            width,
            ..extent
        };
        return weight_gradient(Kind::Down2, gradient, fine, source);
    }
    let (height, width) = kind.output(extent.height, extent.width);
    let coarse = Extent {
        height,
        width,
        ..extent
    };
    let (inputs, outputs) = (source.channels(), gradient.channels());
    let columns = inputs * kind.columns();
    let padded = outputs.next_multiple_of(BLOCK);
    let tiles = Tiles::new(coarse, 1536);
    // A fixed number of groups, whatever the threads: the order of the sums must not change.
    let group = tiles.list.len().div_ceil(8).max(1);
    let parts: Vec<Vec<T>> = tiles
        .list
        .par_chunks(group)
        .map(|tiles| {
            let mut scratch = Scratch::empty();
            let mut rows = Vec::new();
            let mut sums = vec![T::default(); padded * columns];
            for &tile in tiles {
                scratch.fill(kind, source, extent, tile);
                let flat = scratch.flat;
                rows.resize(padded * flat, T::default());
                for (c, plane) in rows.chunks_exact_mut(flat).take(outputs).enumerate() {
                    for r in 0..tile.height {
                        let row = &mut plane[r * scratch.pitch..(r + 1) * scratch.pitch];
                        let (row, between) = row.split_at_mut(tile.width);
                        gradient.row(coarse, tile.n, c, tile.y + r, tile.x, row);
                        // What is no output pixel has no gradient, whatever the input holds there.
                        between.fill(T::default());
                    }
                    plane[tile.height * scratch.pitch..].fill(T::default());
                }
                scratch.add_weight_gradient(&rows, outputs, &mut sums);
            }
            sums
        })
        .collect();
    let mut out = vec![T::default(); outputs * columns];
    for part in &parts {
        for (block, sums) in part.chunks_exact(columns * BLOCK).enumerate() {
            for (column, sums) in sums.chunks_exact(BLOCK).enumerate() {
                for (i, &sum) in sums.iter().enumerate() {
                    let row = block * BLOCK + i;
                    if row < outputs {
                        out[row * columns + column] += sum;
                    }
                }
            }
        }
    }
    out
}
