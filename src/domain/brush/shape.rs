//! The shapes that tools draw, as stretches of rows: a cell belongs to a shape when its centre lies inside.

use std::ops::Range;

use crate::domain::grid::{Pixel, PixelRect};

/// Brushes of a smaller diameter draw a line of single pixels.
pub const THIN_PX: f32 = 1.5;

/// A shape in continuous pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape<'a> {
    /// All that lies within half a diameter of a straight line.
    Stroke {
        from: (f32, f32),
        to: (f32, f32),
        diameter_px: f32,
    },
    /// The inside of a closed polygon, by the even-odd rule.
    Polygon(&'a [(f32, f32)]),
}

impl Shape<'_> {
    /// Hands on the cells of the shape within a rectangle: rows, and stretches of columns. None for positions that are not finite.
    pub fn spans(&self, within: PixelRect, take: impl FnMut(usize, Range<usize>)) {
        match *self {
            Self::Stroke {
                from,
                to,
                diameter_px,
            } => stroke(from, to, diameter_px, within, take),
            Self::Polygon(corners) => polygon(corners, within, take),
        }
    }
}

fn stroke(
    from: (f32, f32),
    to: (f32, f32),
    diameter_px: f32,
    within: PixelRect,
    mut take: impl FnMut(usize, Range<usize>),
) {
    if ![from.0, from.1, to.0, to.1, diameter_px]
        .iter()
        .all(|v| v.is_finite())
    {
        return;
    }
    if diameter_px < THIN_PX {
        return line(from, to, within, take);
    }
    let capsule = Capsule::new(from, to, f64::from(diameter_px) / 2.0);
    for y in cells_between(capsule.top, capsule.bottom, within.y0..within.y1) {
        if let Some((low, high)) = capsule.row(y as f64 + 0.5) {
            let span = cells_between(low, high, within.x0..within.x1);
            if !span.is_empty() {
                take(y, span);
            }
        }
    }
}

fn polygon(corners: &[(f32, f32)], within: PixelRect, mut take: impl FnMut(usize, Range<usize>)) {
    if corners.len() < 3 || !corners.iter().all(|(x, y)| x.is_finite() && y.is_finite()) {
        return;
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
            if !span.is_empty() {
                take(y, span);
            }
        }
    }
}

/// The line of single pixels between two positions, without gaps.
fn line(
    from: (f32, f32),
    to: (f32, f32),
    within: PixelRect,
    mut take: impl FnMut(usize, Range<usize>),
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
                take(y, x..x + 1);
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
pub fn cells_between(low: f64, high: f64, cells: Range<usize>) -> Range<usize> {
    // Float to integer saturates, so far-away positions stay harmless.
    let first = (low - 0.5).ceil().max(0.0) as usize;
    let past = ((high - 0.5).floor() + 1.0).max(0.0) as usize;
    let first = first.clamp(cells.start, cells.end);
    first..past.min(cells.end).max(first)
}
