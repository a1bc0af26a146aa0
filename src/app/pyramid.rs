//! Maximum pyramids: what the canvas shows where many pixels fall onto one of the screen.

use crate::domain::frame::{Frame, bad};
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::{Class, Sheet};

/// Levels of every pyramid: the last one has one cell for 64 x 64 pixels.
pub const LEVELS: usize = 7;
/// Value of a cell without a valid pixel; the shader knows it as "bad".
pub const BAD: f32 = -3.0e38;

/// How a frame is cut into layers of one array texture; tile edges are multiples of 64, so that levels line up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    pub width: usize,
    pub height: usize,
    pub tile_width: usize,
    pub tile_height: usize,
    pub tiles_x: usize,
    pub tiles_y: usize,
}

impl Tiling {
    /// As few tiles as the largest allowed edge (texels) permits; `None` for an empty frame or over 256 tiles.
    pub fn new(width: usize, height: usize, max_edge: usize) -> Option<Self> {
        let max_edge = (max_edge.min(4096) / 64 * 64).max(64);
        if width == 0 || height == 0 {
            return None;
        }
        let edge = |length: usize| {
            length
                .div_ceil(length.div_ceil(max_edge))
                .next_multiple_of(64)
        };
        let (tile_width, tile_height) = (edge(width), edge(height));
        let (tiles_x, tiles_y) = (width.div_ceil(tile_width), height.div_ceil(tile_height));
        (tiles_x * tiles_y <= 256).then_some(Self {
            width,
            height,
            tile_width,
            tile_height,
            tiles_x,
            tiles_y,
        })
    }

    /// The pieces of a rectangle of one level's cells: layer, place in it, place in the level.
    pub fn pieces(&self, rect: PixelRect, level: usize) -> Vec<Piece> {
        let (tile_width, tile_height) = (self.tile_width >> level, self.tile_height >> level);
        let mut pieces = Vec::new();
        if rect.is_empty() {
            return pieces;
        }
        for ty in rect.y0 / tile_height..=(rect.y1 - 1) / tile_height {
            for tx in rect.x0 / tile_width..=(rect.x1 - 1) / tile_width {
                let (left, top) = (tx * tile_width, ty * tile_height);
                let tile = PixelRect::new(left, top, left + tile_width, top + tile_height);
                let source = rect.intersect(&tile);
                pieces.push(Piece {
                    layer: ty * self.tiles_x + tx,
                    x: source.x0 - left,
                    y: source.y0 - top,
                    source,
                });
            }
        }
        pieces
    }
}

/// A part of an upload that lies within one tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub layer: usize,
    pub x: usize,
    pub y: usize,
    /// Where it comes from in the level's grid.
    pub source: PixelRect,
}

/// Hands out the maximum pyramid of a frame in bands of whole rows: level, first row in that level, cells.
///
/// Bad pixels count as [`BAD`] unless they shall be shown like others. A band is about 2 MB, so that every level of it is
/// made while the one below is still in the cache, and no copy of the frame is ever held.
pub fn value_bands(
    frame: &Frame,
    is_bad_shown: bool,
    mut put: impl FnMut(usize, usize, &Grid<f32>),
) {
    let (width, height) = (frame.width(), frame.height());
    let rows = ((1 << 19) / width.max(1)).max(64) / 64 * 64;
    for top in (0..height).step_by(rows) {
        let bottom = (top + rows).min(height);
        let part = top * width..bottom * width;
        let pixels = frame.pixels.cells().get(part.clone()).unwrap_or_default();
        let bits = frame.bad.cells().get(part).unwrap_or_default();
        let cells = pixels.iter().zip(bits).map(|(value, bits)| {
            let is_bad = if is_bad_shown {
                bits & bad::NOT_VALID != 0
            } else {
                !value.is_finite()
            };
            if is_bad { BAD } else { *value }
        });
        let Some(mut level) = Grid::from_cells(width, bottom - top, cells.collect()) else {
            return;
        };
        put(0, top, &level);
        for step in 1..LEVELS {
            level = halved(&level);
            put(step, top >> step, &level);
        }
    }
}

/// A grid of half the size whose cells are the maximum of 2 x 2.
fn halved(below: &Grid<f32>) -> Grid<f32> {
    let (width, height) = (below.width().div_ceil(2), below.height().div_ceil(2));
    let mut out = Grid::filled(width, height, BAD);
    let mut both = vec![BAD; width * 2];
    for y in 0..height {
        let (upper, lower) = (
            below.row(2 * y),
            below.row((2 * y + 1).min(below.height() - 1)),
        );
        for ((both, a), b) in both.iter_mut().zip(upper).zip(lower) {
            *both = if a > b { *a } else { *b };
        }
        for (cell, pair) in out.row_mut(y).iter_mut().zip(both.as_chunks::<2>().0) {
            *cell = if pair[0] > pair[1] { pair[0] } else { pair[1] };
        }
    }
    out
}

/// Whether a sheet has no class but background.
pub fn is_blank(sheet: &Sheet) -> bool {
    let background = Class::Background.code();
    // In pieces, so that each is looked at as fast as memory allows.
    let mut pieces = sheet.cells().chunks(1 << 14);
    pieces.all(|piece| piece.iter().fold(0, |any, code| any | (code ^ background)) == 0)
}

/// Bits of a class in a mark: peak 1, artifact 2, ignore 4.
const fn class_bits(code: u8) -> u8 {
    match Class::from_code(code) {
        Some(Class::Peak) => 1,
        Some(Class::Artifact) => 2,
        Some(Class::Ignore) => 4,
        _ => 0,
    }
}

const BITS: [u8; 256] = {
    let mut bits = [0; 256];
    let mut code = 0;
    while code < 256 {
        bits[code] = class_bits(code as u8);
        code += 1;
    }
    bits
};

/// Pyramid of the classes of label (bits 0..3) and net (bits 3..6); a cell has the bits of all it covers.
#[derive(Clone, Debug)]
pub struct Marks {
    pub levels: Vec<Grid<u8>>,
}

impl Marks {
    pub fn new(width: usize, height: usize) -> Self {
        let mut levels = vec![Grid::filled(width, height, 0)];
        let (mut width, mut height) = (width, height);
        for _ in 1..LEVELS {
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
            levels.push(Grid::filled(width, height, 0));
        }
        Self { levels }
    }

    /// Takes over the classes within a rectangle; returns the touched rectangle of every level.
    pub fn update(
        &mut self,
        rect: PixelRect,
        label: Option<&Sheet>,
        net: Option<&Sheet>,
    ) -> Vec<PixelRect> {
        let Some(first) = self.levels.first_mut() else {
            return Vec::new();
        };
        let rect = rect.intersect(&first.rect());
        if rect.is_empty() {
            return Vec::new();
        }
        for y in rect.y0..rect.y1 {
            let label = label.and_then(|sheet| sheet.row(y).get(rect.x0..rect.x1));
            let net = net.and_then(|sheet| sheet.row(y).get(rect.x0..rect.x1));
            let Some(out) = first.row_mut(y).get_mut(rect.x0..rect.x1) else {
                continue;
            };
            match (label, net) {
                (Some(label), Some(net)) => {
                    for ((out, label), net) in out.iter_mut().zip(label).zip(net) {
                        *out = BITS[usize::from(*label)] | BITS[usize::from(*net)] << 3;
                    }
                }
                (Some(label), None) => {
                    out.iter_mut()
                        .zip(label)
                        .for_each(|(out, label)| *out = BITS[usize::from(*label)]);
                }
                (None, Some(net)) => {
                    out.iter_mut()
                        .zip(net)
                        .for_each(|(out, net)| *out = BITS[usize::from(*net)] << 3);
                }
                (None, None) => out.fill(0),
            }
        }
        let mut touched = vec![rect];
        for level in 1..self.levels.len() {
            let below_rect = touched[level - 1];
            let rect = PixelRect::new(
                below_rect.x0 / 2,
                below_rect.y0 / 2,
                below_rect.x1.div_ceil(2),
                below_rect.y1.div_ceil(2),
            );
            let (below, above) = self.levels.split_at_mut(level);
            let (Some(below), Some(above)) = (below.last(), above.first_mut()) else {
                break;
            };
            for y in rect.y0..rect.y1 {
                let (upper, lower) = (below.row(2 * y), below.row(2 * y + 1));
                let Some(out) = above.row_mut(y).get_mut(rect.x0..rect.x1) else {
                    continue;
                };
                for (x, out) in (rect.x0..rect.x1).zip(out) {
                    let bits = |row: &[u8]| {
                        row.get(2 * x).copied().unwrap_or(0)
                            | row.get(2 * x + 1).copied().unwrap_or(0)
                    };
                    *out = bits(upper) | bits(lower);
                }
            }
            touched.push(rect);
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_tiled_without_rest() {
        for (width, height) in [
            (1, 1),
            (1030, 16_448),
            (5071, 2463),
            (4362, 4148),
            (64, 64),
            (9000, 3),
        ] {
            let tiling = Tiling::new(width, height, 8192).expect("fits");
            for level in 0..LEVELS {
                let size = (width.div_ceil(1 << level), height.div_ceil(1 << level));
                let pieces = tiling.pieces(PixelRect::new(0, 0, size.0, size.1), level);
                let area: usize = pieces.iter().map(|piece| piece.source.area()).sum();
                assert_eq!(area, size.0 * size.1, "{width} x {height}, level {level}");
                assert!(
                    pieces
                        .iter()
                        .all(|p| p.layer < tiling.tiles_x * tiling.tiles_y
                            && p.x + p.source.width() <= tiling.tile_width >> level
                            && p.y + p.source.height() <= tiling.tile_height >> level)
                );
            }
        }
    }

    /// A frame of several bands has the same levels as one that is halved as a whole.
    #[test]
    fn bands_join_to_the_whole_pyramid() {
        let (width, height) = (9001, 203);
        let pixels = Grid::from_fn(width, height, |x, y| {
            ((x * 7919 + y * 104_729) % 9973) as f32
        });
        let bits = Grid::filled(width, height, 0);
        let frame = Frame::new(0, pixels.clone(), bits).expect("same shape");
        let mut levels: Vec<Vec<f32>> = vec![Vec::new(); LEVELS];
        let mut bands = 0;
        value_bands(&frame, true, |level, top, part| {
            assert_eq!(levels[level].len(), top * part.width());
            levels[level].extend_from_slice(part.cells());
            bands += usize::from(level == 0);
        });
        assert!(bands > 2, "{bands}");
        let mut expected = pixels;
        for level in levels {
            assert!(level == expected.cells());
            expected = halved(&expected);
        }
    }

    #[test]
    fn pyramid_keeps_single_pixels_and_leaves_bad_ones_out() {
        let mut pixels = Grid::filled(101, 67, 1.0);
        let mut bits = Grid::filled(101, 67, 0);
        *pixels.get_mut(100, 66).expect("inside") = 50.0;
        *pixels.get_mut(3, 3).expect("inside") = 9e9;
        *bits.get_mut(3, 3).expect("inside") = bad::HOT;
        let frame = Frame::new(0, pixels, bits).expect("same shape");
        let level = |is_bad_shown: bool, wanted: usize| {
            let mut cells = Vec::new();
            value_bands(&frame, is_bad_shown, |level, top, part| {
                if level == wanted {
                    assert_eq!(cells.len(), top * part.width(), "bands follow each other");
                    cells.extend_from_slice(part.cells());
                }
            });
            cells
        };
        assert_eq!(level(true, 6), [1.0, 1.0, 1.0, 50.0]);
        assert_eq!(level(true, 0)[3 * 101 + 3], BAD);
        assert_eq!(level(false, 6)[0], 9e9);
        let mut marks = Marks::new(101, 67);
        let mut sheet = Sheet::filled(101, 67, 0);
        *sheet.get_mut(100, 66).expect("inside") = Class::Peak.code();
        let touched = marks.update(PixelRect::new(100, 66, 101, 67), Some(&sheet), Some(&sheet));
        assert_eq!(touched.len(), LEVELS);
        assert_eq!(marks.levels[6].cells(), &[0, 0, 0, 0b1001]);
    }
}
