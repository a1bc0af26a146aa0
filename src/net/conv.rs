//! Convolutions on plain slices: forward, gradient of the input, gradient of the weights.
//!
//! Layout is that of candle and PyTorch: batch, channel, row, column. Work is cut into tiles; a tile's
//! rows are copied (and, where asked, normalised on the way) into a scratch buffer in which every tap
//! of the kernel is one shifted view, see [`super::lanes`]. Sums over tiles are taken in a fixed order,
//! so results do not depend on the number of threads.

use rayon::prelude::*;

use super::lanes::line::{Line, Terms};
use super::lanes::{ALIGN, BLOCK, Forward, Real, WeightGradient};

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

/// Scale and shift per channel that a batch norm comes down to.
#[derive(Clone, Debug, Default)]
pub struct Affine<T> {
    pub scale: Vec<T>,
    pub shift: Vec<T>,
}

/// Coefficients of the gradient of a batch norm: `dx = scale g + slope x + offset`.
#[derive(Clone, Debug, Default)]
pub struct NormGradient<T> {
    pub slope: Vec<T>,
    pub offset: Vec<T>,
}

/// What a convolution reads, computed row by row while it is copied into scratch.
pub enum Source<'a, T> {
    /// One or two tensors whose channels follow each other.
    Plain([(&'a [T], usize); 2]),
    /// `relu(scale x + shift)`.
    NormRelu(&'a [T], &'a Affine<T>),
    /// `relu(scale_a a + shift_a + scale_b b + shift_b)`.
    SumNormRelu([&'a [T]; 2], [&'a Affine<T>; 2]),
    /// The gradient before a batch norm from the gradient `g` after it, zeroed where the following
    /// ReLU (if any) was off.
    NormGrad {
        x: &'a [T],
        g: &'a [T],
        affine: &'a Affine<T>,
        gradient: &'a NormGradient<T>,
        relu: bool,
    },
}

impl<T: Real> Source<'_, T> {
    fn channels(&self) -> usize {
        match self {
            Self::Plain([a, b]) => a.1 + b.1,
            Self::NormRelu(_, affine)
            | Self::SumNormRelu(_, [affine, _])
            | Self::NormGrad { affine, .. } => affine.scale.len(),
        }
    }

    /// Cells `x0..x1` of one row.
    #[inline]
    fn row(&self, extent: Extent, n: usize, c: usize, y: usize, x0: usize, out: &mut [T]) {
        let cut = |from: &[T], channels: usize, c: usize| -> usize {
            debug_assert_eq!(from.len(), extent.batch * channels * extent.plane());
            ((n * channels + c) * extent.height + y) * extent.width + x0
        };
        let len = out.len();
        match self {
            Self::Plain([a, b]) => {
                let (from, channels, c) = if c < a.1 {
                    (a.0, a.1, c)
                } else {
                    (b.0, b.1, c - a.1)
                };
                let start = cut(from, channels, c);
                out.copy_from_slice(&from[start..start + len]);
            }
            Self::NormRelu(x, affine) => {
                let start = cut(x, affine.scale.len(), c);
                let (scale, shift) = (affine.scale[c], affine.shift[c]);
                for (out, &x) in out.iter_mut().zip(&x[start..start + len]) {
                    let y = scale * x + shift;
                    *out = if y > T::default() { y } else { T::default() };
                }
            }
            Self::SumNormRelu([a, b], [na, nb]) => {
                let start = cut(a, na.scale.len(), c);
                let (sa, sb) = (na.scale[c], nb.scale[c]);
                let shift = na.shift[c] + nb.shift[c];
                let (a, b) = (&a[start..start + len], &b[start..start + len]);
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    let y = sa * a + sb * b + shift;
                    *out = if y > T::default() { y } else { T::default() };
                }
            }
            Self::NormGrad {
                x,
                g,
                affine,
                gradient,
                relu,
            } => {
                let start = cut(x, affine.scale.len(), c);
                let (scale, shift) = (affine.scale[c], affine.shift[c]);
                let (slope, offset) = (gradient.slope[c], gradient.offset[c]);
                let (x, g) = (&x[start..start + len], &g[start..start + len]);
                if *relu {
                    for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
                        let g = if scale * x + shift > T::default() {
                            g
                        } else {
                            T::default()
                        };
                        *out = scale * g + slope * x + offset;
                    }
                } else {
                    for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
                        *out = scale * g + slope * x + offset;
                    }
                }
            }
        }
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

/// A rectangle of the coarser of input and output grid, of one batch item.
#[derive(Clone, Copy)]
struct Tile {
    n: usize,
    y: usize,
    x: usize,
    height: usize,
    width: usize,
}

struct Tiles {
    height: usize,
    width: usize,
    list: Vec<Tile>,
}

impl Tiles {
    /// Tiles of about `area` cells, none wider than 256, and at least a few for the threads to share.
    fn new(extent: Extent, area: usize) -> Self {
        let across = extent.width.div_ceil(256).max(1);
        let width = extent.width.div_ceil(across).max(1);
        let most = (extent.height * extent.batch).div_ceil(4).max(1);
        let height = (area / width)
            .clamp(2, most.max(2))
            .min(extent.height.max(1));
        let down = extent.height.div_ceil(height).max(1);
        let height = extent.height.div_ceil(down).max(1);
        let mut list = Vec::new();
        for n in 0..extent.batch {
            for y in (0..extent.height).step_by(height) {
                for x in (0..extent.width).step_by(width) {
                    list.push(Tile {
                        n,
                        y,
                        x,
                        height: height.min(extent.height - y),
                        width: width.min(extent.width - x),
                    });
                }
            }
        }
        Self {
            height,
            width,
            list,
        }
    }

    /// The rows of the outputs that each tile writes, in the order channel, row.
    fn rows<'a, T>(
        &self,
        extent: Extent,
        scale: usize,
        outputs: Vec<(&'a mut [T], usize)>,
    ) -> Vec<Vec<&'a mut [T]>> {
        let across = extent.width.div_ceil(self.width);
        let down = extent.height.div_ceil(self.height);
        let mut rows: Vec<Vec<&mut [T]>> = Vec::new();
        rows.resize_with(self.list.len(), Vec::new);
        let plane = extent.plane() * scale * scale;
        for (values, channels) in outputs {
            if channels == 0 {
                continue;
            }
            for (n, item) in values.chunks_mut(channels * plane).enumerate() {
                for (y, row) in item.chunks_mut(extent.width * scale).enumerate() {
                    let y = (y % (extent.height * scale)) / scale / self.height;
                    for (x, piece) in row.chunks_mut(self.width * scale).enumerate() {
                        if let Some(tile) = rows.get_mut((n * down + y) * across + x) {
                            tile.push(piece);
                        }
                    }
                }
            }
        }
        rows
    }
}

/// A tile's input in scratch: one plane per channel (four for `Down2`), every column a shifted view.
struct Scratch<T> {
    cells: Vec<T>,
    /// Distance of two rows.
    pitch: usize,
    flat: usize,
    columns: Vec<usize>,
}

impl<T: Real> Scratch<T> {
    const fn empty() -> Self {
        Self {
            cells: Vec::new(),
            pitch: 0,
            flat: 0,
            columns: Vec::new(),
        }
    }

    /// Copies what the tile needs; cells between rows and after the end hold zeros or values of earlier tiles.
    fn fill(&mut self, kind: Kind, source: &Source<'_, T>, extent: Extent, tile: Tile) {
        let channels = source.channels();
        let border = usize::from(kind == Kind::Same3);
        self.pitch = tile.width + 2 * border;
        self.flat = (tile.height * self.pitch).next_multiple_of(ALIGN);
        let plane = (self.flat + border * (2 * self.pitch + 2)).next_multiple_of(ALIGN);
        let planes = channels * if kind == Kind::Down2 { 4 } else { 1 };
        // A row that is read alone is read in whole vectors, the last one over its end.
        self.cells.resize(planes * plane + ALIGN, T::default());
        self.columns.clear();
        for channel in 0..planes {
            match kind {
                Kind::Same3 => {
                    for ky in 0..3 {
                        for kx in 0..3 {
                            self.columns.push(channel * plane + ky * self.pitch + kx);
                        }
                    }
                }
                _ => self.columns.push(channel * plane),
            }
        }
        let (width, pitch) = (tile.width, self.pitch);
        match kind {
            Kind::Point | Kind::Up2 => {
                for (c, plane) in self.cells.chunks_exact_mut(plane).take(planes).enumerate() {
                    for (r, row) in plane.chunks_exact_mut(pitch).take(tile.height).enumerate() {
                        source.row(extent, tile.n, c, tile.y + r, tile.x, row);
                    }
                }
            }
            Kind::Same3 => {
                let left = usize::from(tile.x == 0);
                let right = usize::from(tile.x + width == extent.width);
                for (c, plane) in self.cells.chunks_exact_mut(plane).take(planes).enumerate() {
                    for r in 0..tile.height + 2 {
                        let row = &mut plane[r * pitch..(r + 1) * pitch];
                        let y = tile.y + r;
                        if y == 0 || y > extent.height {
                            row.fill(T::default());
                            continue;
                        }
                        row[0] = T::default();
                        row[pitch - 1] = T::default();
                        source.row(
                            extent,
                            tile.n,
                            c,
                            y - 1,
                            tile.x + left - 1,
                            &mut row[left..pitch - right],
                        );
                    }
                }
            }
            Kind::Down2 => {
                let mut line = vec![T::default(); width * 2];
                for c in 0..channels {
                    for r in 0..tile.height {
                        for ky in 0..2 {
                            let y = (tile.y + r) * 2 + ky;
                            source.row(extent, tile.n, c, y, tile.x * 2, &mut line);
                            let start = (c * 4 + ky * 2) * plane + r * pitch;
                            for kx in 0..2 {
                                let to = &mut self.cells[start + kx * plane..][..width];
                                for (to, pair) in to.iter_mut().zip(line.chunks_exact(2)) {
                                    *to = pair[kx];
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Cells of a tile so that its scratch stays in the second-level cache.
fn tile_area(planes: usize) -> usize {
    (80_000 / planes.max(1)).clamp(256, 4096)
}

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
                let blocks = sums
                    .chunks_exact_mut(columns * BLOCK)
                    .zip(rows.chunks_exact(BLOCK * flat));
                for (block, (sums, rows)) in blocks.enumerate() {
                    T::weight_gradient(WeightGradient {
                        input: &scratch.cells,
                        columns: &scratch.columns,
                        gradient: rows,
                        out: sums,
                        flat,
                        used: BLOCK.min(outputs - block * BLOCK),
                    });
                }
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

/// Sums of `K` values per cell, in sixteen interleaved partial sums so that it vectorises.
#[inline(always)]
pub fn sum_of<T: Real, const K: usize>(cells: &[T], f: impl Fn(T) -> [T; K]) -> [f64; K] {
    sum_of3(cells, cells, cells, |a, _, _| f(a))
}

/// As [`sum_of`] over three slices of one length.
#[inline(always)]
pub fn sum_of3<T: Real, const K: usize>(
    a: &[T],
    b: &[T],
    c: &[T],
    f: impl Fn(T, T, T) -> [T; K],
) -> [f64; K] {
    const LANES: usize = 16;
    let mut total = [0.0; K];
    for ((a, b), c) in a.chunks(1024).zip(b.chunks(1024)).zip(c.chunks(1024)) {
        let mut lanes = [[T::default(); LANES]; K];
        let whole = a.len() / LANES * LANES;
        for ((a, b), c) in a
            .chunks_exact(LANES)
            .zip(b.chunks_exact(LANES))
            .zip(c.chunks_exact(LANES))
        {
            for i in 0..LANES {
                let values = f(a[i], b[i], c[i]);
                for k in 0..K {
                    lanes[k][i] += values[k];
                }
            }
        }
        for ((&a, &b), &c) in a[whole..].iter().zip(&b[whole..]).zip(&c[whole..]) {
            let values = f(a, b, c);
            for k in 0..K {
                lanes[k][0] += values[k];
            }
        }
        for k in 0..K {
            total[k] += lanes[k].iter().map(|v| v.wide()).sum::<f64>();
        }
    }
    total
}
