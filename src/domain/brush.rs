//! Brushes and fills: each paints a class into a sheet and says which rectangle it changed.
//!
//! Positions are continuous pixels `(x, y)`: the first cell's centre is (0.5, 0.5). A cell is painted when its
//! centre lies inside the shape. Pixels that are not valid carry no class, so they can only be erased.

pub mod shape;

use self::shape::Shape;
use super::frame::bad;
use super::grid::{Grid, Pixel, PixelRect};
use super::labels::{Class, Sheet};
use super::packed::differing;

/// A set of classes: those that a person protects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSet(u8);

impl ClassSet {
    /// What carries a label: peak, artifact and ignore.
    pub const LABELS: Self = Self(0b1110);

    const fn bit(class: Class) -> u8 {
        match class {
            Class::Background => 1,
            Class::Peak => 2,
            Class::Artifact => 4,
            Class::Ignore => 8,
        }
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, class: Class) -> bool {
        self.0 & Self::bit(class) != 0
    }

    /// The set with this class put in, or taken out where it was in.
    pub const fn toggled(self, class: Class) -> Self {
        Self(self.0 ^ Self::bit(class))
    }

    /// Whether the class of this code is in the set; codes of no class are not.
    pub fn has_code(self, code: u8) -> bool {
        Class::from_code(code).is_some_and(|class| self.contains(class))
    }
}

/// The class that a person paints, and whether what is already labelled is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    pub class: Class,
    /// Only background is painted over; every other class is left as it is.
    pub only_background: bool,
}

/// Which classes give way to the painted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Everything,
    Only(Class),
    Except(Class),
    /// Every class but the protected ones.
    Unprotected(ClassSet),
}

impl Over {
    pub fn allows(self, code: u8) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(class) => code == class.code(),
            Self::Except(class) => code != class.code(),
            Self::Unprotected(spared) => !spared.has_code(code),
        }
    }
}

/// A class and what it may cover; every shape below takes one, or a [`Paint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ink {
    pub class: Class,
    pub over: Over,
}

impl Ink {
    /// Takes away one class, or every class when `only` is `None`.
    pub const fn eraser(only: Option<Class>) -> Self {
        Self {
            class: Class::Background,
            over: match only {
                Some(class) => Over::Only(class),
                None => Over::Everything,
            },
        }
    }
}

impl From<Paint> for Ink {
    fn from(paint: Paint) -> Self {
        Self {
            class: paint.class,
            over: if paint.only_background {
                Over::Only(Class::Background)
            } else {
                Over::Everything
            },
        }
    }
}

pub const NOTHING: PixelRect = PixelRect::new(0, 0, 0, 0);

/// Paints every pixel within half a diameter of the line from `from` to `to`: a brush dragged between two pointer
/// positions, or one dab when they are the same. Returns the changed rectangle, empty when nothing changed.
pub fn stroke(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    from: (f32, f32),
    to: (f32, f32),
    diameter_px: f32,
    ink: impl Into<Ink>,
) -> PixelRect {
    let whole = sheet.rect();
    stroke_within(sheet, bad, whole, from, to, diameter_px, ink)
}

/// The part of a [`stroke`] that lies within a rectangle: one panel of a slab whose neighbours lie elsewhere in space.
pub fn stroke_within(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    within: PixelRect,
    from: (f32, f32),
    to: (f32, f32),
    diameter_px: f32,
    ink: impl Into<Ink>,
) -> PixelRect {
    let shape = Shape::Stroke {
        from,
        to,
        diameter_px,
    };
    paint(sheet, bad, within, &shape, ink)
}

/// Paints the part of a shape that lies within a rectangle; returns the changed rectangle.
pub fn paint(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    within: PixelRect,
    shape: &Shape<'_>,
    ink: impl Into<Ink>,
) -> PixelRect {
    let ink = ink.into();
    let mut touched = NOTHING;
    shape.spans(within.intersect(&sheet.rect()), |y, span| {
        paint_span(sheet, bad, y, span, ink, &mut touched);
    });
    touched
}

/// Paints the rectangle, clipped to the sheet.
pub fn rectangle(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    rect: PixelRect,
    ink: impl Into<Ink>,
) -> PixelRect {
    let ink = ink.into();
    let rect = rect.intersect(&sheet.rect());
    let mut touched = NOTHING;
    for y in rect.y0..rect.y1 {
        paint_span(sheet, bad, y, rect.x0..rect.x1, ink, &mut touched);
    }
    touched
}

/// Paints the pixels of a rectangle for which `inside` is true: ring sectors, and any shape that is a rule.
pub fn region(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    rect: PixelRect,
    mut inside: impl FnMut(Pixel) -> bool,
    ink: impl Into<Ink>,
) -> PixelRect {
    let ink = ink.into();
    let rect = rect.intersect(&sheet.rect());
    let mut touched = NOTHING;
    for y in rect.y0..rect.y1 {
        let mut x = rect.x0;
        while x < rect.x1 {
            if !inside(Pixel { x, y }) {
                x += 1;
                continue;
            }
            let start = x;
            while x < rect.x1 && (x == start || inside(Pixel { x, y })) {
                x += 1;
            }
            paint_span(sheet, bad, y, start..x, ink, &mut touched);
        }
    }
    touched
}

/// Paints the pixels whose centre lies inside the closed polygon, by the even-odd rule.
pub fn polygon(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    corners: &[(f32, f32)],
    ink: impl Into<Ink>,
) -> PixelRect {
    let whole = sheet.rect();
    polygon_within(sheet, bad, whole, corners, ink)
}

/// The part of a [`polygon`] that lies within a rectangle.
pub fn polygon_within(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    within: PixelRect,
    corners: &[(f32, f32)],
    ink: impl Into<Ink>,
) -> PixelRect {
    paint(sheet, bad, within, &Shape::Polygon(corners), ink)
}

/// Gives the connected region of one class around `at` the class `class`.
///
/// A labelled region reaches over corners, as components do; background does not, so that a contour drawn with a
/// one-pixel brush holds the fill in.
pub fn fill(sheet: &mut Sheet, bad: &Grid<u16>, at: Pixel, class: Class) -> PixelRect {
    fill_counted(sheet, bad, at, class).0
}

/// The same, with the number of filled pixels.
pub fn fill_counted(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    at: Pixel,
    class: Class,
) -> (PixelRect, usize) {
    let Some(&old) = sheet.get(at.x, at.y) else {
        return (NOTHING, 0);
    };
    let new = class.code();
    if old == new {
        return (NOTHING, 0);
    }
    let corners = usize::from(old != Class::Background.code());
    let refused = refused_bits(class);
    let is_fillable = move |code: u8, bits: u16| (code == old) & (bits & refused == 0);
    let (mut touched, mut count) = (NOTHING, 0);
    let mut waiting = vec![at];
    while let Some(Pixel { x, y }) = waiting.pop() {
        let (cells, bits) = (sheet.row(y), bad.row(y));
        let length = cells.len().min(bits.len());
        let (Some(cells), Some(bits)) = (cells.get(..length), bits.get(..length)) else {
            continue;
        };
        let (before, after) = (cells.split_at(x.min(length)), bits.split_at(x.min(length)));
        let x1 = x + leading(before.1, after.1, is_fillable);
        if x1 == x {
            continue;
        }
        let x0 = x - trailing(before.0, after.0, is_fillable);
        if let Some(cells) = sheet.row_mut(y).get_mut(x0..x1) {
            cells.fill(new);
        }
        count += x1 - x0;
        touched = touched.union(&PixelRect::new(x0, y, x1, y + 1));
        let beside = x0.saturating_sub(corners)..(x1 + corners).min(sheet.width());
        for y in [y.checked_sub(1), Some(y + 1)].into_iter().flatten() {
            let rows = (
                sheet.row(y).get(beside.clone()),
                bad.row(y).get(beside.clone()),
            );
            let (Some(mut cells), Some(mut bits)) = rows else {
                continue;
            };
            // One start per gap-free stretch is enough: the stretch is filled whole when it is taken up.
            let mut x = beside.start;
            while !cells.is_empty() {
                let skip = leading(cells, bits, |code, bits| !is_fillable(code, bits));
                (cells, bits) = (cells.split_at(skip).1, bits.split_at(skip).1);
                let stretch = leading(cells, bits, is_fillable);
                if stretch > 0 {
                    waiting.push(Pixel { x: x + skip, y });
                }
                (cells, bits) = (cells.split_at(stretch).1, bits.split_at(stretch).1);
                x += skip + stretch;
            }
        }
    }
    (touched, count)
}

/// So many cells are looked at together; without a branch inside, they are a few vector operations.
const BLOCK: usize = 64;

/// How many of the first cells are meant.
fn leading(cells: &[u8], bits: &[u16], is_meant: impl Fn(u8, u16) -> bool) -> usize {
    let mut done = 0;
    for (cells, bits) in cells.chunks(BLOCK).zip(bits.chunks(BLOCK)) {
        let pairs = || cells.iter().zip(bits);
        if !pairs().fold(true, |all, (code, bits)| all & is_meant(*code, *bits)) {
            let here = pairs().position(|(code, bits)| !is_meant(*code, *bits));
            return done + here.unwrap_or(0);
        }
        done += cells.len();
    }
    done
}

/// How many of the last cells are meant.
fn trailing(cells: &[u8], bits: &[u16], is_meant: impl Fn(u8, u16) -> bool) -> usize {
    let mut done = 0;
    for (cells, bits) in cells.rchunks(BLOCK).zip(bits.rchunks(BLOCK)) {
        let pairs = || cells.iter().zip(bits);
        if !pairs().fold(true, |all, (code, bits)| all & is_meant(*code, *bits)) {
            let here = pairs()
                .rev()
                .position(|(code, bits)| !is_meant(*code, *bits));
            return done + here.unwrap_or(0);
        }
        done += cells.len();
    }
    done
}

/// The mask bits that keep a pixel from carrying the class.
const fn refused_bits(class: Class) -> u16 {
    match class {
        Class::Background => 0,
        _ => bad::NOT_VALID,
    }
}

/// Whether a pixel with these mask bits may carry the class.
pub fn may_carry(bits: Option<&u16>, class: Class) -> bool {
    class == Class::Background || bits.is_some_and(|bits| bits & bad::NOT_VALID == 0)
}

/// [`Over`] as comparisons without a branch, for long stretches of cells.
#[derive(Clone, Copy)]
struct Gate {
    only: u16,
    spared: [u16; 4],
}

impl Gate {
    /// No cell has this code.
    const NONE: u16 = 0x100;

    fn of(over: Over) -> Self {
        let mut gate = Self {
            only: Self::NONE,
            spared: [Self::NONE; 4],
        };
        match over {
            Over::Everything => {}
            Over::Only(class) => gate.only = u16::from(class.code()),
            Over::Except(class) => gate.spared[0] = u16::from(class.code()),
            Over::Unprotected(set) => {
                for (spared, class) in gate.spared.iter_mut().zip(Class::ALL) {
                    if set.contains(class) {
                        *spared = u16::from(class.code());
                    }
                }
            }
        }
        gate
    }

    /// Whether every code gives way.
    fn is_open(self) -> bool {
        self.only == Self::NONE && self.spared == [Self::NONE; 4]
    }

    const fn lets(self, code: u8) -> bool {
        let code = code as u16;
        let [a, b, c, d] = self.spared;
        ((self.only == Self::NONE) | (self.only == code))
            & (code != a)
            & (code != b)
            & (code != c)
            & (code != d)
    }
}

/// Has blocks of cells given new codes; the first and the last cell that changed.
///
/// `recode` gets the place of the block's first cell, its cells and their mask bits.
fn change_cells(
    cells: &mut [u8],
    bits: &[u16],
    mut recode: impl FnMut(usize, &mut [u8], &[u16]),
) -> Option<(usize, usize)> {
    let mut first = None;
    // The last block that changed: where it begins, how long it is, what it was.
    let mut last = (0, 0, [0; BLOCK]);
    let mut old = [0; BLOCK];
    let blocks = cells.chunks_mut(BLOCK).zip(bits.chunks(BLOCK));
    for (start, (cells, bits)) in (0..).step_by(BLOCK).zip(blocks) {
        let length = cells.len();
        let Some(before) = old.get_mut(..length) else {
            continue;
        };
        before.copy_from_slice(cells);
        recode(start, cells, bits);
        if before != cells {
            if first.is_none() {
                let here = before.iter().zip(cells.iter()).position(|(a, b)| a != b);
                first = here.map(|here| start + here);
            }
            last = (start, length, old);
        }
    }
    let (start, length, old) = last;
    let changed = cells.get(start..start + length)?;
    let pairs = old.get(..length)?.iter().zip(changed);
    let end = pairs.rev().position(|(old, new)| old != new)?;
    Some((first?, start + length - 1 - end))
}

/// Paints a stretch of one row and widens `touched` by what changed.
pub fn paint_span(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    y: usize,
    span: std::ops::Range<usize>,
    ink: Ink,
    touched: &mut PixelRect,
) {
    let (code, gate, refused) = (
        ink.class.code(),
        Gate::of(ink.over),
        refused_bits(ink.class),
    );
    let bits = bad.row(y).get(span.clone());
    let (Some(cells), Some(bits)) = (sheet.row_mut(y).get_mut(span.clone()), bits) else {
        return;
    };
    let paint = |_: usize, cells: &mut [u8], bits: &[u16]| {
        // Most blocks are of one class and have no bad pixel.
        let first = cells.first().copied().unwrap_or(code);
        let is_free = bits.iter().fold(0, |any, bits| any | bits) & refused == 0;
        if is_free && cells.iter().fold(0, |any, cell| any | (cell ^ first)) == 0 {
            if gate.lets(first) {
                cells.fill(code);
            }
            return;
        }
        for (cell, bits) in cells.iter_mut().zip(bits) {
            let gives_way = gate.lets(*cell) & (bits & refused == 0);
            *cell = if gives_way { code } else { *cell };
        }
    };
    widen(touched, y, span.start, change_cells(cells, bits, paint));
}

/// Copies a stretch of one row from another sheet of the same shape; widens `touched` by what changed.
pub fn copy_span(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    y: usize,
    span: std::ops::Range<usize>,
    from: &Sheet,
    over: Over,
    touched: &mut PixelRect,
) {
    let gate = Gate::of(over);
    let (bits, from) = (bad.row(y).get(span.clone()), from.row(y).get(span.clone()));
    let (Some(cells), Some(bits), Some(from)) =
        (sheet.row_mut(y).get_mut(span.clone()), bits, from)
    else {
        return;
    };
    let background = Class::Background.code();
    let is_open = gate.is_open();
    if cells == from {
        return;
    }
    let are_classes = || {
        from.iter()
            .fold(true, |all, code| all & Class::is_code(*code))
    };
    if is_open && are_valid(bits) && are_classes() {
        return widen(touched, y, span.start, replaced(cells, from));
    }
    let copy = |start: usize, cells: &mut [u8], bits: &[u16]| {
        let from = from.get(start..).unwrap_or_default();
        if from.starts_with(cells) {
            return;
        }
        if is_open && are_valid(bits) {
            // Fewer questions, and all of bytes: most blocks are answered so.
            for (cell, code) in cells.iter_mut().zip(from) {
                *cell = if Class::is_code(*code) { *code } else { *cell };
            }
            return;
        }
        for ((cell, bits), code) in cells.iter_mut().zip(bits).zip(from) {
            let is_class = Class::is_code(*code);
            let may_carry = (*code == background) | (bits & bad::NOT_VALID == 0);
            let gives_way = gate.lets(*cell) & is_class & may_carry;
            *cell = if gives_way { *code } else { *cell };
        }
    };
    widen(touched, y, span.start, change_cells(cells, bits, copy));
}

/// Gives the valid pixels of a row these codes; widens `touched` by what changed.
pub fn replace_row(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    y: usize,
    codes: &[u8],
    touched: &mut PixelRect,
) {
    let (cells, bits) = (sheet.row_mut(y), bad.row(y));
    if cells == codes {
        return;
    }
    if codes.len() == cells.len() && are_valid(bits) {
        return widen(touched, y, 0, replaced(cells, codes));
    }
    let replace = |start: usize, cells: &mut [u8], bits: &[u16]| {
        let codes = codes.get(start..).unwrap_or_default();
        if codes.starts_with(cells) {
            return;
        }
        if are_valid(bits) {
            cells
                .iter_mut()
                .zip(codes)
                .for_each(|(cell, code)| *cell = *code);
            return;
        }
        for ((cell, bits), code) in cells.iter_mut().zip(bits).zip(codes) {
            let is_valid = bits & bad::NOT_VALID == 0;
            *cell = if is_valid { *code } else { *cell };
        }
    };
    let ends = change_cells(cells, bits, replace);
    widen(touched, y, 0, ends);
}

/// Whether none of the pixels is invalid: asked in order, which memory likes better than here and there.
fn are_valid(bits: &[u16]) -> bool {
    bits.iter().fold(0, |any, bits| any | bits) & bad::NOT_VALID == 0
}

/// Gives cells these codes; the first and the last one that changed.
fn replaced(cells: &mut [u8], codes: &[u8]) -> Option<(usize, usize)> {
    let ends = differing(cells, codes)?;
    cells
        .iter_mut()
        .zip(codes)
        .for_each(|(cell, code)| *cell = *code);
    Some(ends)
}

/// Widens a rectangle by a stretch of a row whose first and last cell count from `start`.
fn widen(touched: &mut PixelRect, y: usize, start: usize, ends: Option<(usize, usize)>) {
    if let Some((first, last)) = ends {
        let (x0, x1) = (start + first, start + last + 1);
        *touched = touched.union(&PixelRect::new(x0, y, x1, y + 1));
    }
}

#[cfg(test)]
mod tests;
