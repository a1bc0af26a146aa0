//! Tiles of a convolution's grid, and the scratch that a tile's input is copied to.

use super::source::Source;
use super::{Extent, Kind};
use crate::net::lanes::{ALIGN, BLOCK, Real, WeightGradient};

/// A rectangle of the coarser of input and output grid, of one batch item.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) n: usize,
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

pub(super) struct Tiles {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) list: Vec<Tile>,
}

impl Tiles {
    /// Tiles of about `area` cells, none wider than 256, and at least a few for the threads to share.
    pub(super) fn new(extent: Extent, area: usize) -> Self {
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
    pub(super) fn rows<'a, T>(
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
pub struct Scratch<T> {
    pub cells: Vec<T>,
    /// Distance of two rows.
    pub pitch: usize,
    /// Length of a plane of sums.
    pub flat: usize,
    /// Where each column starts in `cells`.
    pub columns: Vec<usize>,
}

impl<T: Real> Scratch<T> {
    pub const fn empty() -> Self {
        Self {
            cells: Vec::new(),
            pitch: 0,
            flat: 0,
            columns: Vec::new(),
        }
    }

    /// Copies what the tile needs; cells between rows and after the end hold zeros or values of earlier tiles.
    pub(super) fn fill(&mut self, kind: Kind, source: &Source<'_, T>, extent: Extent, tile: Tile) {
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

impl<T: Real> Scratch<T> {
    /// Adds the gradient of the weights that this tile gives to `sums` (blocks of channels, columns, channels).
    ///
    /// `rows` is the gradient of the output: `outputs` planes of `flat`, padded to whole blocks, 0 where no output pixel is.
    pub fn add_weight_gradient(&self, rows: &[T], outputs: usize, sums: &mut [T]) {
        let blocks = sums
            .chunks_exact_mut(self.columns.len() * BLOCK)
            .zip(rows.chunks_exact(BLOCK * self.flat));
        for (block, (sums, rows)) in blocks.enumerate() {
            T::weight_gradient(WeightGradient {
                input: &self.cells,
                columns: &self.columns,
                gradient: rows,
                out: sums,
                flat: self.flat,
                used: BLOCK.min(outputs - block * BLOCK),
            });
        }
    }
}

/// Cells of a tile so that its scratch stays in the second-level cache.
pub(super) fn tile_area(planes: usize) -> usize {
    (80_000 / planes.max(1)).clamp(256, 4096)
}
