//! Row-major grids and pixel rectangles: the only place that knows how (x, y) becomes an index.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// One cell of a grid: `x` counts along the fast axis (columns), `y` along the slow axis (rows).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pixel {
    pub x: usize,
    pub y: usize,
}

/// Cells in a set, told apart by a few multiplications: sets of them are asked millions of times.
pub type PixelSet = HashSet<Pixel, BuildHasherDefault<PixelHasher>>;

/// Mixes the two numbers of a [`Pixel`]; no defence against keys that are chosen to collide, which pixels are not.
#[derive(Clone, Copy, Debug, Default)]
pub struct PixelHasher(u64);

impl Hasher for PixelHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = (self.0.rotate_left(23) ^ number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A half-open rectangle of cells: `x0 <= x < x1`, `y0 <= y < y1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelRect {
    pub x0: usize,
    pub y0: usize,
    pub x1: usize,
    pub y1: usize,
}

impl PixelRect {
    pub const fn new(x0: usize, y0: usize, x1: usize, y1: usize) -> Self {
        Self { x0, y0, x1, y1 }
    }

    /// The rectangle of one cell.
    pub const fn of(pixel: Pixel) -> Self {
        Self::new(pixel.x, pixel.y, pixel.x + 1, pixel.y + 1)
    }

    pub const fn width(&self) -> usize {
        self.x1.saturating_sub(self.x0)
    }

    pub const fn height(&self) -> usize {
        self.y1.saturating_sub(self.y0)
    }

    pub const fn area(&self) -> usize {
        self.width() * self.height()
    }

    pub const fn is_empty(&self) -> bool {
        self.area() == 0
    }

    pub const fn contains(&self, pixel: Pixel) -> bool {
        pixel.x >= self.x0 && pixel.x < self.x1 && pixel.y >= self.y0 && pixel.y < self.y1
    }

    /// The smallest rectangle that covers both; an empty one counts as nothing.
    pub fn union(&self, other: &Self) -> Self {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }

    /// The cells that both cover, possibly none.
    pub fn intersect(&self, other: &Self) -> Self {
        let x0 = self.x0.max(other.x0);
        let y0 = self.y0.max(other.y0);
        Self {
            x0,
            y0,
            x1: self.x1.min(other.x1).max(x0),
            y1: self.y1.min(other.y1).max(y0),
        }
    }
}

/// A dense two-dimensional array of cells, rows one after another.
///
/// Invariant: `cells.len() == width * height`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid<T> {
    width: usize,
    height: usize,
    cells: Vec<T>,
}

impl<T> Grid<T> {
    /// A grid from its cells, row by row; `None` when their number is not `width * height`.
    pub fn from_cells(width: usize, height: usize, cells: Vec<T>) -> Option<Self> {
        (width.checked_mul(height)? == cells.len()).then_some(Self {
            width,
            height,
            cells,
        })
    }

    /// A grid whose every cell is computed from its position.
    pub fn from_fn(width: usize, height: usize, mut value: impl FnMut(usize, usize) -> T) -> Self {
        let mut cells = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                cells.push(value(x, y));
            }
        }
        Self {
            width,
            height,
            cells,
        }
    }

    pub const fn width(&self) -> usize {
        self.width
    }

    pub const fn height(&self) -> usize {
        self.height
    }

    pub const fn len(&self) -> usize {
        self.cells.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The rectangle that covers the whole grid.
    pub const fn rect(&self) -> PixelRect {
        PixelRect::new(0, 0, self.width, self.height)
    }

    pub fn cells(&self) -> &[T] {
        &self.cells
    }

    pub fn cells_mut(&mut self) -> &mut [T] {
        &mut self.cells
    }

    pub fn into_cells(self) -> Vec<T> {
        self.cells
    }

    /// One row; empty when `y` lies outside.
    pub fn row(&self, y: usize) -> &[T] {
        let start = y.saturating_mul(self.width);
        self.cells.get(start..start + self.width).unwrap_or(&[])
    }

    /// One row to write; empty when `y` lies outside.
    pub fn row_mut(&mut self, y: usize) -> &mut [T] {
        let start = y.saturating_mul(self.width);
        self.cells
            .get_mut(start..start + self.width)
            .unwrap_or(&mut [])
    }

    pub fn get(&self, x: usize, y: usize) -> Option<&T> {
        if x < self.width {
            self.cells.get(y * self.width + x)
        } else {
            None
        }
    }

    pub fn get_mut(&mut self, x: usize, y: usize) -> Option<&mut T> {
        if x < self.width {
            self.cells.get_mut(y * self.width + x)
        } else {
            None
        }
    }

    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Grid<U> {
        Grid {
            width: self.width,
            height: self.height,
            cells: self.cells.iter().map(f).collect(),
        }
    }
}

impl<T: Copy> Grid<T> {
    pub fn filled(width: usize, height: usize, value: T) -> Self {
        Self {
            width,
            height,
            cells: vec![value; width * height],
        }
    }

    /// The cells of a rectangle (clipped to the grid), row by row.
    pub fn copy_rect(&self, rect: PixelRect) -> Vec<T> {
        let rect = rect.intersect(&self.rect());
        if rect.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(rect.area());
        for y in rect.y0..rect.y1 {
            out.extend_from_slice(&self.row(y)[rect.x0..rect.x1]);
        }
        out
    }

    /// Writes cells back where `copy_rect` took them; does nothing when their number does not fit.
    pub fn paste_rect(&mut self, rect: PixelRect, values: &[T]) {
        let rect = rect.intersect(&self.rect());
        if rect.is_empty() || values.len() != rect.area() {
            return;
        }
        for (y, values) in (rect.y0..rect.y1).zip(values.chunks_exact(rect.width())) {
            self.row_mut(y)[rect.x0..rect.x1].copy_from_slice(values);
        }
    }
}
