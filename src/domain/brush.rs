//! Brushes and fills: each paints a class into a sheet and says which rectangle it changed.
//!
//! Positions are continuous pixels `(x, y)`: the first cell's centre is (0.5, 0.5). A cell is painted when its
//! centre lies inside the shape. Pixels that are not valid carry no class, so they can only be erased.

pub mod shape;

use self::shape::Shape;
use super::frame::bad;
use super::grid::{Grid, Pixel, PixelRect};
use super::labels::{Class, Sheet};

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
    let Some(&old) = sheet.get(at.x, at.y) else {
        return NOTHING;
    };
    let new = class.code();
    if old == new {
        return NOTHING;
    }
    let corners = usize::from(old != Class::Background.code());
    let ink = Ink {
        class,
        over: Over::Everything,
    };
    let fillable = |sheet: &Sheet, x: usize, y: usize| {
        sheet.get(x, y) == Some(&old) && may_carry(bad.get(x, y), class)
    };
    let mut touched = NOTHING;
    let mut waiting = vec![at];
    while let Some(Pixel { x, y }) = waiting.pop() {
        if !fillable(sheet, x, y) {
            continue;
        }
        let mut x0 = x;
        while x0 > 0 && fillable(sheet, x0 - 1, y) {
            x0 -= 1;
        }
        let mut x1 = x + 1;
        while fillable(sheet, x1, y) {
            x1 += 1;
        }
        paint_span(sheet, bad, y, x0..x1, ink, &mut touched);
        let beside = x0.saturating_sub(corners)..(x1 + corners).min(sheet.width());
        for y in [y.checked_sub(1), Some(y + 1)].into_iter().flatten() {
            // One start per gap-free stretch is enough: the stretch is filled whole when it is taken up.
            let mut inside = false;
            for x in beside.clone() {
                let now = fillable(sheet, x, y);
                if now && !inside {
                    waiting.push(Pixel { x, y });
                }
                inside = now;
            }
        }
    }
    touched
}

/// Whether a pixel with these mask bits may carry the class.
pub fn may_carry(bits: Option<&u16>, class: Class) -> bool {
    class == Class::Background || bits.is_some_and(|bits| bits & bad::NOT_VALID == 0)
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
    let code = ink.class.code();
    let bad_row = bad.row(y);
    let Some(cells) = sheet.row_mut(y).get_mut(span.clone()) else {
        return;
    };
    let mut changed: Option<(usize, usize)> = None;
    for (x, cell) in span.zip(cells) {
        if *cell != code && ink.over.allows(*cell) && may_carry(bad_row.get(x), ink.class) {
            *cell = code;
            changed = Some((changed.map_or(x, |(first, _)| first), x));
        }
    }
    if let Some((first, last)) = changed {
        *touched = touched.union(&PixelRect::new(first, y, last + 1, y + 1));
    }
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
    for x in span {
        let class = from.get(x, y).and_then(|code| Class::from_code(*code));
        if let Some(class) = class {
            paint_span(sheet, bad, y, x..x + 1, Ink { class, over }, touched);
        }
    }
}

#[cfg(test)]
mod tests;
