//! The classes of a rectangle as stretches of equal code: what an edit of millions of pixels changed takes kilobytes.

use std::ops::Range;

use super::grid::{Grid, PixelRect};

/// So many cells are compared at once.
const BLOCK: usize = 64;

/// The codes of a rectangle's cells in raster order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Where each stretch ends, counted in cells; no stretch is empty, and neighbours differ in their code.
    ends: Vec<usize>,
    codes: Vec<u8>,
}

impl From<&[u8]> for Packed {
    fn from(cells: &[u8]) -> Self {
        let mut packed = Self::default();
        packed.extend(cells);
        packed
    }
}

impl From<Vec<u8>> for Packed {
    fn from(cells: Vec<u8>) -> Self {
        Self::from(cells.as_slice())
    }
}

impl Packed {
    /// The cells of a rectangle, clipped to the grid.
    pub fn of(sheet: &Grid<u8>, rect: PixelRect) -> Self {
        let rect = rect.intersect(&sheet.rect());
        let mut packed = Self::default();
        for y in rect.y0..rect.y1 {
            packed.extend(sheet.row(y).get(rect.x0..rect.x1).unwrap_or_default());
        }
        packed
    }

    /// More cells after the last one.
    pub fn extend(&mut self, mut cells: &[u8]) {
        let mut end = self.len();
        while let Some(&code) = cells.first() {
            let (same, rest) = cells.split_at(equal_cells(cells, code));
            end += same.len();
            cells = rest;
            match (self.codes.last(), self.ends.last_mut()) {
                (Some(last), Some(last_end)) if *last == code => *last_end = end,
                _ => {
                    self.ends.push(end);
                    self.codes.push(code);
                }
            }
        }
    }

    /// How many cells they are.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The code of a cell, counted from the first.
    pub fn get(&self, index: usize) -> Option<u8> {
        let stretch = self.ends.partition_point(|end| *end <= index);
        self.codes.get(stretch).copied()
    }

    /// The stretches in order, with their code.
    pub fn stretches(&self) -> impl Iterator<Item = (Range<usize>, u8)> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .zip(&self.codes)
            .map(|((start, end), code)| (start..*end, *code))
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut cells = Vec::with_capacity(self.len());
        for (stretch, code) in self.stretches() {
            cells.resize(stretch.end, code);
        }
        cells
    }

    /// Writes the cells where [`Packed::of`] took them; does nothing when their number does not fit.
    pub fn paste(&self, sheet: &mut Grid<u8>, rect: PixelRect) {
        let rect = rect.intersect(&sheet.rect());
        if rect.is_empty() || self.len() != rect.area() {
            return;
        }
        for (stretch, code) in self.stretches() {
            in_rows(rect, stretch, |y, span| {
                if let Some(cells) = sheet.row_mut(y).get_mut(span) {
                    cells.fill(code);
                }
            });
        }
    }

    /// Hands on the stretches in which two packings of the same cells differ.
    pub fn differences(&self, other: &Self, mut take: impl FnMut(Range<usize>)) {
        let (mut mine, mut theirs) = (self.stretches(), other.stretches());
        let (mut a, mut b) = (mine.next(), theirs.next());
        while let (Some((one, code)), Some((two, other_code))) = (&a, &b) {
            let shared = one.start.max(two.start)..one.end.min(two.end);
            if code != other_code && !shared.is_empty() {
                take(shared.clone());
            }
            let (one_ends, two_ends) = (one.end == shared.end, two.end == shared.end);
            if one_ends {
                a = mine.next();
            }
            if two_ends {
                b = theirs.next();
            }
        }
    }

    pub const fn bytes(&self) -> usize {
        self.codes.len() + size_of::<usize>() * self.ends.len()
    }
}

/// Hands on a stretch of a rectangle's cells as stretches of rows of the grid.
pub fn in_rows(rect: PixelRect, stretch: Range<usize>, mut take: impl FnMut(usize, Range<usize>)) {
    let width = rect.width().max(1);
    let mut start = stretch.start;
    while start < stretch.end {
        let (row, column) = (start / width, start % width);
        let length = (width - column).min(stretch.end - start);
        let x = rect.x0 + column;
        take(rect.y0 + row, x..x + length);
        start += length;
    }
}

/// How many of the first cells have this code.
fn equal_cells(cells: &[u8], code: u8) -> usize {
    // Blocks first: most of a sheet is background, and a block is a few instructions.
    let (blocks, _) = cells.as_chunks::<BLOCK>();
    let is_other = |block: &[u8; BLOCK]| block.iter().fold(0, |any, cell| any | (cell ^ code)) != 0;
    let equal = blocks.iter().position(is_other).unwrap_or(blocks.len()) * BLOCK;
    let cells = cells.get(equal..).unwrap_or_default();
    // Then eight at a time: the first that differs is the first byte that is left of the word.
    let (words, rest) = cells.as_chunks::<8>();
    let same = u64::from_le_bytes([code; 8]);
    for (index, word) in words.iter().enumerate() {
        let left = u64::from_le_bytes(*word) ^ same;
        if left != 0 {
            return equal + index * 8 + left.trailing_zeros() as usize / 8;
        }
    }
    let here = rest.iter().position(|cell| *cell != code);
    equal + words.len() * 8 + here.unwrap_or(rest.len())
}

/// The first and the last place in which two rows of cells differ.
pub fn differing(old: &[u8], new: &[u8]) -> Option<(usize, usize)> {
    if old == new {
        return None;
    }
    let length = old.len().min(new.len());
    let (old, new) = (old.get(..length)?, new.get(..length)?);
    let pairs = || old.chunks(BLOCK).zip(new.chunks(BLOCK));
    let (first, (a, b)) = pairs().enumerate().find(|(_, (a, b))| a != b)?;
    let start = first * BLOCK + a.iter().zip(b).position(|(a, b)| a != b)?;
    let (last, (a, b)) = pairs().enumerate().rfind(|(_, (a, b))| a != b)?;
    let end = last * BLOCK + a.iter().zip(b).rposition(|(a, b)| a != b)?;
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cells() -> impl Strategy<Value = Vec<u8>> {
        let stretch = (
            proptest::sample::select(vec![0_u8, 1, 2, 255]),
            1_usize..150,
        );
        proptest::collection::vec(stretch, 0..12).prop_map(|stretches| {
            let cells = stretches
                .into_iter()
                .flat_map(|(code, n)| std::iter::repeat_n(code, n));
            cells.collect()
        })
    }

    proptest! {
        #[test]
        fn cells_come_back_as_they_were(cells in cells()) {
            let packed = Packed::from(cells.as_slice());
            prop_assert_eq!(packed.to_vec(), cells.clone());
            prop_assert_eq!((packed.len(), packed.is_empty()), (cells.len(), cells.is_empty()));
            for index in 0..cells.len() + 2 {
                prop_assert_eq!(packed.get(index), cells.get(index).copied());
            }
        }

        #[test]
        fn a_rectangle_is_pasted_where_it_was_taken(
            codes in proptest::collection::vec(0_u8..3, 70 * 9), x in 0_usize..80, y in 0_usize..12,
            width in 0_usize..80, height in 0_usize..12,
        ) {
            let sheet = Grid::from_cells(70, 9, codes).unwrap();
            let rect = PixelRect::new(x, y, x + width, y + height);
            let packed = Packed::of(&sheet, rect);
            prop_assert_eq!(packed.to_vec(), sheet.copy_rect(rect));
            let mut blank = Grid::filled(70, 9, 7);
            let mut expected = blank.clone();
            packed.paste(&mut blank, rect);
            expected.paste_rect(rect, &sheet.copy_rect(rect));
            prop_assert_eq!(blank, expected);
        }

        #[test]
        fn differences_are_found_from_both_ends(old in cells(), new in cells()) {
            let length = old.len().min(new.len());
            let (old, new) = (&old[..length], &new[..length]);
            let differ = |i: &usize| old[*i] != new[*i];
            let all: Vec<usize> = (0..length).filter(differ).collect();
            prop_assert_eq!(differing(old, new), all.first().copied().zip(all.last().copied()));
            let mut found = Vec::new();
            Packed::from(old).differences(&Packed::from(new), |stretch| found.extend(stretch));
            prop_assert_eq!(found, all);
        }
    }
}
