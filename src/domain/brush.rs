//! Brushes and fills: each paints a class into a sheet and says which rectangle it changed.
//!
//! Positions are continuous pixels `(x, y)`: the first cell's centre is (0.5, 0.5). A cell is painted when its
//! centre lies inside the shape. Pixels that are not valid carry no class, so they can only be erased.

use super::frame::bad;
use super::grid::{Grid, Pixel, PixelRect};
use super::labels::{Class, Sheet};

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
}

impl Over {
    const fn allows(self, code: u8) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(class) => code == class.code(),
            Self::Except(class) => code != class.code(),
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

const NOTHING: PixelRect = PixelRect::new(0, 0, 0, 0);

/// Brushes of a smaller diameter draw a line of single pixels.
const THIN_PX: f32 = 1.5;

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
    let ink = ink.into();
    let within = within.intersect(&sheet.rect());
    if ![from.0, from.1, to.0, to.1, diameter_px]
        .iter()
        .all(|v| v.is_finite())
    {
        return NOTHING;
    }
    let mut touched = NOTHING;
    if diameter_px < THIN_PX {
        line(sheet, bad, within, from, to, ink, &mut touched);
        return touched;
    }
    let capsule = Capsule::new(from, to, f64::from(diameter_px) / 2.0);
    for y in cells_between(capsule.top, capsule.bottom, within.y0..within.y1) {
        if let Some((low, high)) = capsule.row(y as f64 + 0.5) {
            let span = cells_between(low, high, within.x0..within.x1);
            paint_span(sheet, bad, y, span, ink, &mut touched);
        }
    }
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
    let ink = ink.into();
    let within = within.intersect(&sheet.rect());
    if corners.len() < 3 || !corners.iter().all(|(x, y)| x.is_finite() && y.is_finite()) {
        return NOTHING;
    }
    let corners: Vec<(f64, f64)> = corners
        .iter()
        .map(|(x, y)| (f64::from(*x), f64::from(*y)))
        .collect();
    let top = corners.iter().map(|c| c.1).fold(f64::INFINITY, f64::min);
    let bottom = corners
        .iter()
        .map(|c| c.1)
        .fold(f64::NEG_INFINITY, f64::max);
    let mut touched = NOTHING;
    let mut crossings = Vec::new();
    for y in cells_between(top, bottom, within.y0..within.y1) {
        let center = y as f64 + 0.5;
        crossings.clear();
        let following = corners.iter().cycle().skip(1);
        for (a, b) in corners.iter().zip(following) {
            // Half open in y, so that a corner on the line of centres counts once.
            if (a.1 <= center) != (b.1 <= center) {
                crossings.push(a.0 + (center - a.1) / (b.1 - a.1) * (b.0 - a.0));
            }
        }
        crossings.sort_unstable_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let &[low, high] = pair else { continue };
            let span = cells_between(low, high, within.x0..within.x1);
            paint_span(sheet, bad, y, span, ink, &mut touched);
        }
    }
    touched
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

/// The line of single pixels between two positions, without gaps.
fn line(
    sheet: &mut Sheet,
    bad: &Grid<u16>,
    within: PixelRect,
    from: (f32, f32),
    to: (f32, f32),
    ink: Ink,
    touched: &mut PixelRect,
) {
    let Some((from, to)) = clip(from, to, within) else {
        return;
    };
    let steps = (to.0 - from.0)
        .abs()
        .max((to.1 - from.1).abs())
        .ceil()
        .max(1.0);
    for step in 0..=steps as usize {
        let t = step as f64 / steps;
        let x = (from.0 + (to.0 - from.0) * t).floor();
        let y = (from.1 + (to.1 - from.1) * t).floor();
        if x >= 0.0 && y >= 0.0 {
            let (x, y) = (x as usize, y as usize);
            if within.contains(Pixel { x, y }) {
                paint_span(sheet, bad, y, x..x + 1, ink, touched);
            }
        }
    }
}

/// The part of a line that lies within a rectangle (Liang and Barsky); `None` when no part does.
fn clip(from: (f32, f32), to: (f32, f32), within: PixelRect) -> Option<((f64, f64), (f64, f64))> {
    let (x, y) = (f64::from(from.0), f64::from(from.1));
    let (dx, dy) = (f64::from(to.0) - x, f64::from(to.1) - y);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (start, step, low, high) in [
        (x, dx, within.x0 as f64, within.x1 as f64),
        (y, dy, within.y0 as f64, within.y1 as f64),
    ] {
        if step == 0.0 {
            if start < low || start > high {
                return None;
            }
            continue;
        }
        let (a, b) = ((low - start) / step, (high - start) / step);
        enter = enter.max(a.min(b));
        leave = leave.min(a.max(b));
    }
    let at = |t: f64| (x + dx * t, y + dy * t);
    (enter <= leave).then_some((at(enter), at(leave)))
}

/// All points within a radius of a segment. It is convex, so each row of it is one interval.
struct Capsule {
    a: (f64, f64),
    b: (f64, f64),
    radius: f64,
    /// The corners of the straight part.
    corners: [(f64, f64); 4],
    top: f64,
    bottom: f64,
}

impl Capsule {
    fn new(from: (f32, f32), to: (f32, f32), radius: f64) -> Self {
        let a = (f64::from(from.0), f64::from(from.1));
        let b = (f64::from(to.0), f64::from(to.1));
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        let (nx, ny) = if length > 0.0 {
            (
                -(b.1 - a.1) / length * radius,
                (b.0 - a.0) / length * radius,
            )
        } else {
            (0.0, 0.0)
        };
        Self {
            a,
            b,
            radius,
            corners: [
                (a.0 + nx, a.1 + ny),
                (b.0 + nx, b.1 + ny),
                (b.0 - nx, b.1 - ny),
                (a.0 - nx, a.1 - ny),
            ],
            top: a.1.min(b.1) - radius,
            bottom: a.1.max(b.1) + radius,
        }
    }

    /// The interval of x at one y; `None` where the row misses it.
    fn row(&self, y: f64) -> Option<(f64, f64)> {
        let mut low = f64::INFINITY;
        let mut high = f64::NEG_INFINITY;
        let mut cover = |x: f64| {
            low = low.min(x);
            high = high.max(x);
        };
        for center in [self.a, self.b] {
            let square = self.radius * self.radius - (y - center.1) * (y - center.1);
            if square >= 0.0 {
                cover(center.0 - square.sqrt());
                cover(center.0 + square.sqrt());
            }
        }
        for i in 0..4 {
            let (p, q) = (self.corners[i], self.corners[(i + 1) % 4]);
            if (p.1 <= y) != (q.1 <= y) {
                cover(p.0 + (y - p.1) / (q.1 - p.1) * (q.0 - p.0));
            }
        }
        (low <= high).then_some((low, high))
    }
}

/// The cells whose centre lies within a closed interval, clipped to a range of cells.
fn cells_between(low: f64, high: f64, cells: std::ops::Range<usize>) -> std::ops::Range<usize> {
    // Float to integer saturates, so far-away positions stay harmless.
    let first = (low - 0.5).ceil().max(0.0) as usize;
    let past = ((high - 0.5).floor() + 1.0).max(0.0) as usize;
    let first = first.clamp(cells.start, cells.end);
    first..past.min(cells.end).max(first)
}

/// Whether a pixel with these mask bits may carry the class.
fn may_carry(bits: Option<&u16>, class: Class) -> bool {
    class == Class::Background || bits.is_some_and(|bits| bits & bad::NOT_VALID == 0)
}

/// Paints a stretch of one row and widens `touched` by what changed.
fn paint_span(
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

#[cfg(test)]
mod tests;
