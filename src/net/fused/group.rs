//! Convolutions in groups, with stride: what RegNet and the separable convolutions of BiFPN are made of.
//!
//! Each group is a small convolution of its own over the inner loops of [`super::super::lanes`]. With stride 2 the source is
//! copied as the four planes of its even and odd rows and columns, so that every tap is a shifted view again.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::super::conv::Extent;
use super::super::conv::tiles::Scratch;
use super::super::lanes::{ALIGN, BLOCK, Forward, Real};
use super::super::norm::plain_sums;
use super::{cells, extent_of, tensor, with_cells};

/// A square convolution in groups, padded so that stride 1 keeps the size; weights `[out, in / groups, kernel, kernel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// 1 or 3.
    pub kernel: usize,
    /// 1 or 2; with 2 height and width must be even.
    pub stride: usize,
    pub groups: usize,
}

/// Channels of the whole convolution.
#[derive(Clone, Copy)]
struct Channels {
    inputs: usize,
    outputs: usize,
}

/// Rows `y..y + height` and columns `x..x + width` of the output of one group of one batch item.
#[derive(Clone, Copy)]
struct Tile {
    y: usize,
    x: usize,
    height: usize,
    width: usize,
}

impl Group {
    pub const fn shape(self, inputs: usize, outputs: usize) -> [usize; 4] {
        [outputs, inputs / self.groups, self.kernel, self.kernel]
    }

    const fn taps(self) -> usize {
        self.kernel * self.kernel
    }

    const fn coarse(self, extent: Extent) -> Extent {
        Extent {
            height: extent.height / self.stride,
            width: extent.width / self.stride,
            ..extent
        }
    }

    /// Height and width of a tile whose scratch stays in the second-level cache.
    fn tile(self, coarse: Extent, width: usize) -> (usize, usize) {
        let planes = width * self.stride * self.stride;
        let area = (60_000 / planes.max(1)).clamp(256, 4096);
        let across = coarse.width.div_ceil(256).max(1);
        let width = coarse.width.div_ceil(across).max(1);
        ((area / width).clamp(2, 32), width)
    }

    /// Copies what the tile needs of `channels` planes that follow each other.
    fn fill<T: Real>(
        self,
        scratch: &mut Scratch<T>,
        planes: &[T],
        channels: usize,
        extent: Extent,
        tile: Tile,
    ) {
        let pad = self.kernel / 2;
        // With a 3x3 kernel and stride 2: four planes of even and odd rows and columns, which lose one to the left.
        let parted = self.stride == 2 && self.kernel == 3;
        let (phases, border) = if parted { (2, 1) } else { (1, 2 * pad) };
        let rows = tile.height + border;
        scratch.pitch = tile.width + border;
        scratch.flat = (tile.height * scratch.pitch).next_multiple_of(ALIGN);
        let plane = (scratch.flat + border * (scratch.pitch + 1)).next_multiple_of(ALIGN);
        scratch.cells.clear();
        scratch
            .cells
            .resize(channels * phases * phases * plane, T::default());
        scratch.columns.clear();
        for c in 0..channels {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let (at, y, x) = if parted {
                        // Phase 1 holds the odd rows, the first of them above the tile.
                        let phase = usize::from(ky != 1) * 2 + usize::from(kx != 1);
                        (c * 4 + phase, ky / 2, kx / 2)
                    } else {
                        (c, ky, kx)
                    };
                    scratch.columns.push(at * plane + y * scratch.pitch + x);
                }
            }
        }
        let step = self.stride;
        for (index, to) in scratch.cells.chunks_exact_mut(plane).enumerate() {
            let (c, phase) = (index / (phases * phases), index % (phases * phases));
            let (before_y, before_x) = if parted {
                (phase / 2, phase % 2)
            } else {
                (pad, pad)
            };
            let from = &planes[c * extent.plane()..(c + 1) * extent.plane()];
            for (j, row) in to.chunks_exact_mut(scratch.pitch).take(rows).enumerate() {
                let y = (tile.y + j) * step;
                if y < before_y || y - before_y >= extent.height {
                    continue;
                }
                let line = &from[(y - before_y) * extent.width..][..extent.width];
                let start = tile.x * step;
                let skipped = usize::from(start < before_x);
                let first = start + skipped * step - before_x;
                let line = line.get(first..).unwrap_or_default();
                if step == 1 {
                    let count = line.len().min(row.len() - skipped);
                    row[skipped..skipped + count].copy_from_slice(&line[..count]);
                } else {
                    for (to, from) in row[skipped..].iter_mut().zip(line.iter().step_by(step)) {
                        *to = *from;
                    }
                }
            }
        }
    }

    /// The weights of each group in blocks of outputs: `[group][block][column][BLOCK]`.
    fn pack<T: Real>(self, weights: &[T], channels: Channels) -> Vec<T> {
        let (width, outputs) = (
            channels.inputs / self.groups,
            channels.outputs / self.groups,
        );
        let columns = width * self.taps();
        let mut packed = Vec::new();
        for group in weights.chunks_exact((outputs * columns).max(1)) {
            for first in (0..outputs).step_by(BLOCK) {
                for column in 0..columns {
                    for row in first..first + BLOCK {
                        let value = group.get(row * columns + column);
                        packed.push(value.copied().filter(|_| row < outputs).unwrap_or_default());
                    }
                }
            }
        }
        packed
    }

    /// The weights that carry a gradient back: inputs and outputs of each group exchanged, taps turned round.
    fn transposed<T: Real>(self, weights: &[T], channels: Channels) -> Vec<T> {
        let (width, outputs) = (
            channels.inputs / self.groups,
            channels.outputs / self.groups,
        );
        let taps = self.taps();
        let mut turned = Vec::with_capacity(weights.len());
        for group in weights.chunks_exact((outputs * width * taps).max(1)) {
            for i in 0..width {
                for o in 0..outputs {
                    turned.extend(
                        (0..taps)
                            .rev()
                            .map(|tap| group[(o * width + i) * taps + tap]),
                    );
                }
            }
        }
        turned
    }

    /// The convolution of x, with bias and ReLU where wanted.
    fn run<T: Real>(
        self,
        x: &[T],
        weights: &[T],
        bias: Option<&[T]>,
        relu: bool,
        channels: Channels,
        extent: Extent,
    ) -> Vec<T> {
        let coarse = self.coarse(extent);
        let (width, outputs) = (
            channels.inputs / self.groups,
            channels.outputs / self.groups,
        );
        let columns = width * self.taps();
        let packed = self.pack(weights, channels);
        let (tile_height, tile_width) = self.tile(coarse, width);
        let bands = coarse.height.div_ceil(tile_height).max(1);
        let mut out = vec![T::default(); coarse.batch * channels.outputs * coarse.plane()];
        // The rows of a band of all outputs of one group of one batch item.
        let mut pieces: Vec<Vec<&mut [T]>> = Vec::new();
        pieces.resize_with(coarse.batch * self.groups * bands, Vec::new);
        for (index, plane) in out.chunks_mut(coarse.plane().max(1)).enumerate() {
            let of = index / outputs.max(1);
            for (band, rows) in plane
                .chunks_mut((tile_height * coarse.width).max(1))
                .enumerate()
            {
                if let Some(piece) = pieces.get_mut(of * bands + band) {
                    piece.push(rows);
                }
            }
        }
        let zero = T::default();
        let group_planes = width * extent.plane();
        let group_weights = outputs.div_ceil(BLOCK) * columns * BLOCK;
        pieces.into_par_iter().enumerate().for_each_init(
            || (Scratch::empty(), Vec::new()),
            |(scratch, sums), (index, mut rows)| {
                let (of, band) = (index / bands, index % bands);
                let planes = &x[of * group_planes..][..group_planes];
                let group = of % self.groups;
                let packed = &packed[group * group_weights..][..group_weights];
                for left in (0..coarse.width).step_by(tile_width) {
                    let tile = Tile {
                        y: band * tile_height,
                        x: left,
                        height: tile_height.min(coarse.height - band * tile_height),
                        width: tile_width.min(coarse.width - left),
                    };
                    self.fill(scratch, planes, width, extent, tile);
                    sums.resize(BLOCK * scratch.flat, zero);
                    for (block, weights) in packed.chunks_exact(columns * BLOCK).enumerate() {
                        let used = BLOCK.min(outputs - block * BLOCK);
                        T::forward(Forward {
                            input: &scratch.cells,
                            columns: &scratch.columns,
                            weights,
                            out: sums,
                            flat: scratch.flat,
                            used,
                        });
                        for (i, sums) in sums.chunks_exact(scratch.flat).take(used).enumerate() {
                            let c = block * BLOCK + i;
                            let bias = bias.map_or(zero, |bias| bias[group * outputs + c]);
                            for r in 0..tile.height {
                                let to = &mut rows[c][r * coarse.width + left..][..tile.width];
                                let sums = &sums[r * scratch.pitch..][..tile.width];
                                for (to, &sum) in to.iter_mut().zip(sums) {
                                    let sum = sum + bias;
                                    *to = if relu && sum < zero { zero } else { sum };
                                }
                            }
                        }
                    }
                }
            },
        );
        out
    }

    /// The gradient of the weights; `g` is that of the output.
    fn weight_gradient<T: Real>(
        self,
        x: &[T],
        g: &[T],
        channels: Channels,
        extent: Extent,
    ) -> Vec<T> {
        let coarse = self.coarse(extent);
        let (width, outputs) = (
            channels.inputs / self.groups,
            channels.outputs / self.groups,
        );
        let columns = width * self.taps();
        let padded = outputs.next_multiple_of(BLOCK);
        let (tile_height, tile_width) = self.tile(coarse, width);
        let bands = coarse.height.div_ceil(tile_height).max(1);
        // A fixed number of parts a group, whatever the threads: the order of the sums must not change.
        const PARTS: usize = 8;
        let jobs: Vec<(usize, usize)> = (0..self.groups)
            .flat_map(|group| (0..PARTS).map(move |part| (group, part)))
            .collect();
        let sums: Vec<Vec<T>> = jobs
            .par_iter()
            .map(|&(group, part)| {
                let mut scratch = Scratch::empty();
                let mut rows: Vec<T> = Vec::new();
                let mut sums = vec![T::default(); padded * columns];
                for job in (part..coarse.batch * bands).step_by(PARTS) {
                    let (n, band) = (job / bands, job % bands);
                    let of = n * self.groups + group;
                    let planes = &x[of * width * extent.plane()..][..width * extent.plane()];
                    let g = &g[of * outputs * coarse.plane()..][..outputs * coarse.plane()];
                    for left in (0..coarse.width).step_by(tile_width) {
                        let tile = Tile {
                            y: band * tile_height,
                            x: left,
                            height: tile_height.min(coarse.height - band * tile_height),
                            width: tile_width.min(coarse.width - left),
                        };
                        self.fill(&mut scratch, planes, width, extent, tile);
                        let flat = scratch.flat;
                        rows.clear();
                        rows.resize(padded * flat, T::default());
                        for (c, to) in rows.chunks_exact_mut(flat).take(outputs).enumerate() {
                            for r in 0..tile.height {
                                let from =
                                    c * coarse.plane() + (tile.y + r) * coarse.width + tile.x;
                                to[r * scratch.pitch..][..tile.width]
                                    .copy_from_slice(&g[from..from + tile.width]);
                            }
                        }
                        scratch.add_weight_gradient(&rows, outputs, &mut sums);
                    }
                }
                sums
            })
            .collect();
        let mut out = vec![T::default(); channels.outputs * columns];
        for (&(group, _), part) in jobs.iter().zip(&sums) {
            for (block, sums) in part.chunks_exact(columns * BLOCK).enumerate() {
                for (column, sums) in sums.chunks_exact(BLOCK).enumerate() {
                    for (i, &sum) in sums.iter().enumerate() {
                        let row = block * BLOCK + i;
                        if row < outputs {
                            out[(group * outputs + row) * columns + column] += sum;
                        }
                    }
                }
            }
        }
        out
    }

    /// Channels and extent of a convolution whose tensors fit together.
    fn sizes(self, x: &Shape, w: &Shape) -> Result<(Channels, Extent)> {
        let (inputs, extent) = extent_of(x)?;
        let (outputs, width, height, across) = w.dims4()?;
        let fits = width * self.groups == inputs
            && outputs.is_multiple_of(self.groups)
            && [height, across] == [self.kernel; 2]
            && extent.height.is_multiple_of(self.stride)
            && extent.width.is_multiple_of(self.stride);
        if !fits {
            bail!("a convolution in groups got {x:?} for weights {w:?}");
        }
        Ok((Channels { inputs, outputs }, extent))
    }
}

/// Puts every cell at twice its row and column, zeros between.
fn spread<T: Real>(g: &[T], coarse: Extent) -> Vec<T> {
    let width = coarse.width * 2;
    let mut out = vec![T::default(); g.len() * 4];
    out.par_chunks_mut((2 * width).max(1))
        .zip(g.par_chunks(coarse.width.max(1)))
        .for_each(|(out, g)| {
            for (to, from) in out.iter_mut().step_by(2).zip(g) {
                *to = *from;
            }
        });
    out
}

/// The operation of candle; arguments input, weight, bias.
struct GroupConvolution(Group);

/// Gradients of input, weight and bias.
type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl GroupConvolution {
    fn run<T: Real>(&self, s: [&CpuStorage; 3], l: [&Layout; 3]) -> Result<(CpuStorage, Shape)> {
        let (channels, extent) = self.0.sizes(l[0].shape(), l[1].shape())?;
        let (x, w, b) = (
            cells::<T>(s[0], l[0])?,
            cells(s[1], l[1])?,
            cells(s[2], l[2])?,
        );
        let out = self.0.run(x, w, Some(b), false, channels, extent);
        let coarse = self.0.coarse(extent);
        let shape = Shape::from((extent.batch, channels.outputs, coarse.height, coarse.width));
        Ok((T::to_cpu_storage_owned(out), shape))
    }

    fn back<T: Real>(&self, x: &Tensor, w: &Tensor, b: &Tensor, g: &Tensor) -> Result<Gradients> {
        let (channels, extent) = self.0.sizes(x.shape(), w.shape())?;
        let coarse = self.0.coarse(extent);
        with_cells::<T, _>(g, |g| {
            with_cells::<T, _>(x, |xs| {
                with_cells::<T, _>(w, |ws| {
                    let gw = self.0.weight_gradient(xs, g, channels, extent);
                    let gb = plain_sums(g, g, channels.outputs, coarse);
                    let gb: Vec<T> = gb.iter().map(|s| T::real(s[0])).collect();
                    let mut gx = None;
                    if x.track_op() {
                        let spread_out = (self.0.stride == 2).then(|| spread(g, coarse));
                        let dual = Group {
                            stride: 1,
                            ..self.0
                        };
                        let swapped = Channels {
                            inputs: channels.outputs,
                            outputs: channels.inputs,
                        };
                        let out = dual.run(
                            spread_out.as_deref().unwrap_or(g),
                            &self.0.transposed(ws, channels),
                            None,
                            false,
                            swapped,
                            extent,
                        );
                        gx = Some(tensor(out, x)?);
                    }
                    Ok((gx, Some(tensor(gw, w)?), Some(tensor(gb, b)?)))
                })
            })
        })
    }
}

impl CustomOp3 for GroupConvolution {
    fn name(&self) -> &'static str {
        "group-convolution"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (s, l) = ([s1, s2, s3], [l1, l2, l3]);
        match s1 {
            CpuStorage::F32(_) => self.run::<f32>(s, l),
            CpuStorage::F64(_) => self.run::<f64>(s, l),
            _ => bail!("the net computes in f32 or f64"),
        }
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, b: &Tensor, _: &Tensor, g: &Tensor) -> Result<Gradients> {
        match x.dtype() {
            DType::F64 => self.back::<f64>(x, w, b, g),
            _ => self.back::<f32>(x, w, b, g),
        }
    }
}

/// A convolution in groups on the CPU, differentiable in all three arguments.
pub fn group_convolution(
    group: Group,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    x.contiguous()?.apply_op3(
        &weight.contiguous()?,
        &bias.contiguous()?,
        GroupConvolution(group),
    )
}

/// The same with a ReLU where wanted; no graph is kept.
pub fn folded_group_convolution(
    group: Group,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    relu: bool,
) -> Result<Tensor> {
    fn typed<T: Real>(
        group: Group,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        relu: bool,
    ) -> Result<Tensor> {
        let (channels, extent) = group.sizes(x.shape(), w.shape())?;
        let out = with_cells::<T, _>(x, |x| {
            with_cells::<T, _>(w, |w| {
                with_cells::<T, _>(b, |b| Ok(group.run(x, w, Some(b), relu, channels, extent)))
            })
        })?;
        let coarse = group.coarse(extent);
        Tensor::from_vec(
            out,
            (extent.batch, channels.outputs, coarse.height, coarse.width),
            x.device(),
        )
    }
    match x.dtype() {
        DType::F64 => typed::<f64>(group, x, weight, bias, relu),
        _ => typed::<f32>(group, x, weight, bias, relu),
    }
}
