//! Level and noise of what surrounds a peak, from an annulus of pixels that are neither bad nor of another peak.

use crate::domain::frame::{Frame, bad};
use crate::domain::grid::PixelRect;
use crate::domain::labels::{Class, Sheet};

/// Level and noise of the pixels around a component, in the frame's units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LocalBackground {
    pub level: f32,
    pub variance: f32,
    /// How many pixels were looked at; 0: nothing is known, level and variance are 0.
    pub pixels: usize,
}

/// Cells between the rectangle and the annulus: the ignore rim and the spot's tail stay out.
const GAP: usize = 3;
/// An annulus with fewer pixels is made wider.
const ENOUGH: usize = 24;
/// Widths of the annulus, in cells, from the first that is tried.
const WIDTHS: [usize; 4] = [4, 8, 16, 32];
/// So far from the rectangle a component's own surroundings reach, which say whether it sits on a ring.
const NEAR: usize = 2;

/// Level and variance of the valid background pixels in an annulus around `rect`.
///
/// The annulus is rectangular, begins 3 cells outside the rectangle and is 4 cells wide, wider where fewer than 24 such pixels lie in it.
/// Artifact pixels, other peaks and the cells that touch them stay out. Only where most of the 2 cells around the
/// rectangle are artifact does the component sit on a ring, and then the artifact pixels are its background. Starts at
/// median and median deviation, then clips at 4 sigma to the mean, because the median of sparse photon counts is 0
/// whatever their mean.
pub fn local_background(frame: &Frame, classes: &Sheet, rect: PixelRect) -> LocalBackground {
    Annulus::default().measure(frame, classes, rect)
}

/// The class, background or artifact, of most of the cells around a rectangle.
pub fn surroundings(classes: &Sheet, rect: PixelRect) -> Class {
    let around = grown(rect, NEAR, &classes.rect());
    let (mut background, mut artifact) = (0_usize, 0_usize);
    for y in around.y0..around.y1 {
        for class in classes.row(y).get(around.x0..around.x1).unwrap_or_default() {
            background += usize::from(*class == Class::Background.code());
            artifact += usize::from(*class == Class::Artifact.code());
        }
    }
    if artifact > background {
        Class::Artifact
    } else {
        Class::Background
    }
}

/// `rect`, larger by so many cells on each side, within limits.
pub fn grown(rect: PixelRect, by: usize, limits: &PixelRect) -> PixelRect {
    PixelRect::new(
        rect.x0.saturating_sub(by),
        rect.y0.saturating_sub(by),
        rect.x1.saturating_add(by),
        rect.y1.saturating_add(by),
    )
    .intersect(limits)
}

/// Buffers for the values of one annulus after another.
#[derive(Debug, Default)]
pub struct Annulus {
    plain: Vec<f32>,
    artifact: Vec<f32>,
    deviation: Vec<f32>,
    /// Of the columns of the current row: whether a peak is in it, one row above or below.
    column: Vec<bool>,
}

impl Annulus {
    /// As [`local_background`], without memory of its own for every call.
    pub fn measure(&mut self, frame: &Frame, classes: &Sheet, rect: PixelRect) -> LocalBackground {
        self.measure_within(frame, classes, rect, frame.pixels.rect())
    }

    /// The same of pixels within `limits` alone: one panel of a slab whose neighbours lie elsewhere in space.
    pub fn measure_within(
        &mut self,
        frame: &Frame,
        classes: &Sheet,
        rect: PixelRect,
        limits: PixelRect,
    ) -> LocalBackground {
        let limits = limits.intersect(&frame.pixels.rect());
        let on_ring = surroundings(classes, rect) == Class::Artifact;
        let inner = grown(rect, GAP, &limits);
        for width in WIDTHS {
            let outer = grown(rect, GAP + width, &limits);
            self.plain.clear();
            self.artifact.clear();
            for y in outer.y0..outer.y1 {
                self.mark_peaks(classes, y, outer);
                if y >= inner.y0 && y < inner.y1 {
                    self.gather(frame, classes, y, outer, outer.x0..inner.x0);
                    self.gather(frame, classes, y, outer, inner.x1..outer.x1);
                } else {
                    self.gather(frame, classes, y, outer, outer.x0..outer.x1);
                }
            }
            let wanted = if on_ring { &self.artifact } else { &self.plain };
            if wanted.len() >= ENOUGH {
                break;
            }
        }
        let few = |sample: &[f32]| sample.len() < ENOUGH / 3;
        let of_ring = if on_ring {
            !few(&self.artifact) || few(&self.plain)
        } else {
            few(&self.plain) && !few(&self.artifact)
        };
        let sample = if of_ring {
            &mut self.artifact
        } else {
            &mut self.plain
        };
        clipped(sample, &mut self.deviation)
    }

    /// Marks the columns from one left of `outer` to one right of it that have a peak in rows y - 1 to y + 1.
    fn mark_peaks(&mut self, classes: &Sheet, y: usize, outer: PixelRect) {
        let left = outer.x0.saturating_sub(1);
        let columns = left..(outer.x1 + 1).min(classes.width());
        self.column.clear();
        // A column that does not exist has no peak.
        self.column.resize(outer.width() + 2, false);
        let shift = usize::from(outer.x0 == 0);
        for y in y.saturating_sub(1)..=y + 1 {
            let row = classes.row(y).get(columns.clone()).unwrap_or_default();
            for (mark, class) in self.column.iter_mut().skip(shift).zip(row) {
                *mark |= *class == Class::Peak.code();
            }
        }
    }

    fn gather(
        &mut self,
        frame: &Frame,
        classes: &Sheet,
        y: usize,
        outer: PixelRect,
        columns: std::ops::Range<usize>,
    ) {
        let marks = columns.start - outer.x0..columns.end - outer.x0 + 2;
        let (Some(values), Some(bits), Some(kinds), Some(marks)) = (
            frame.pixels.row(y).get(columns.clone()),
            frame.bad.row(y).get(columns.clone()),
            classes.row(y).get(columns),
            self.column.get(marks),
        ) else {
            return;
        };
        let cells = values.iter().zip(bits).zip(kinds).zip(marks.windows(3));
        for (((value, bits), class), near) in cells {
            if *bits & bad::NOT_VALID != 0 || near.contains(&true) {
                continue;
            }
            if *class == Class::Background.code() {
                self.plain.push(*value);
            } else if *class == Class::Artifact.code() {
                self.artifact.push(*value);
            }
        }
    }
}

fn clipped(sample: &mut [f32], deviation: &mut Vec<f32>) -> LocalBackground {
    const SIGMAS: f32 = 4.0;
    if sample.is_empty() {
        return LocalBackground::default();
    }
    let middle = sample.len() / 2;
    let median = *sample.select_nth_unstable_by(middle, f32::total_cmp).1;
    deviation.clear();
    deviation.extend(sample.iter().map(|v| (v - median).abs()));
    let mad = *deviation.select_nth_unstable_by(middle, f32::total_cmp).1;
    let (mut shift, mut sigma) = (0.0_f32, 1.4826 * mad);
    if sigma == 0.0 {
        // More than half of the values are equal: take the scale from the lower nine tenths of the deviations.
        let ninth = sample.len() * 9 / 10;
        let (low, _, _) = deviation.select_nth_unstable_by(ninth, f32::total_cmp);
        let squares: f32 = low.iter().map(|d| d * d).sum();
        sigma = (squares / low.len().max(1) as f32).sqrt().max(0.25);
    }
    // From here on values count from the median, so that single precision does for the sums.
    for value in sample.iter_mut() {
        *value -= median;
    }
    for _ in 0..3 {
        let reach = SIGMAS * sigma;
        let (mut count, mut sum, mut squares) = (0.0_f32, 0.0_f32, 0.0_f32);
        for value in sample.iter() {
            let away = value - shift;
            if away.abs() <= reach {
                count += 1.0;
                sum += away;
                squares += away * away;
            }
        }
        if count == 0.0 {
            break;
        }
        let mean = sum / count;
        sigma = (squares / count - mean * mean).max(0.0).sqrt();
        shift += mean;
        if sigma == 0.0 {
            break;
        }
    }
    LocalBackground {
        level: median + shift,
        variance: sigma * sigma,
        pixels: sample.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    #[test]
    fn sparse_photons_have_a_mean_not_a_median() {
        let mut sample: Vec<f32> = (0..100).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
        let background = clipped(&mut sample, &mut Vec::new());
        assert!((background.level - 0.2).abs() < 1e-6, "{background:?}");
        assert!((background.variance - 0.16).abs() < 1e-3, "{background:?}");
    }

    /// Level 10 with noise; around the spot at (20, 20) a picture of what must not count.
    fn level_with(change: impl Fn(usize, usize) -> Option<(f32, u8)>) -> LocalBackground {
        let mut pixels = Grid::from_fn(41, 41, |x, y| 9.0 + ((x * 7 + y * 13) % 3) as f32);
        let mut classes = Grid::filled(41, 41, 0);
        for y in 0..41 {
            for x in 0..41 {
                if let Some((value, class)) = change(x, y) {
                    *pixels.get_mut(x, y).unwrap() = value;
                    *classes.get_mut(x, y).unwrap() = class;
                }
            }
        }
        let frame = Frame::new(0, pixels, Grid::filled(41, 41, 0)).unwrap();
        local_background(&frame, &classes, PixelRect::new(19, 19, 22, 22))
    }

    #[test]
    fn rings_other_peaks_and_their_rims_stay_out_unless_the_peak_sits_on_the_ring() {
        let peak = Class::Peak.code();
        let artifact = Class::Artifact.code();
        let plain = level_with(|_, _| None);
        assert!((plain.level - 10.0).abs() < 0.1 && (plain.variance - 2.0 / 3.0).abs() < 0.1);
        // A wide ring that misses the peak by three cells: most of the annulus, but not what the peak sits on.
        let ring = level_with(|_, y| (!(16..=24).contains(&y)).then_some((500.0, artifact)));
        assert!((ring.level - 10.0).abs() < 0.1, "{ring:?}");
        // Another peak with a bright rim of class background, two peaks wide.
        let neighbour = level_with(|x, y| {
            let away = x.abs_diff(27).max(y.abs_diff(20));
            (away <= 6 && x > 23).then_some((15.0, if away <= 5 { peak } else { 0 }))
        });
        assert!((neighbour.level - 10.0).abs() < 0.1, "{neighbour:?}");
        assert!(neighbour.variance < 0.8, "{neighbour:?}");
        // On a ring of 7 cells the ring is the background, though most of the annulus is not ring.
        let on_ring = level_with(|x, y| {
            let value = 200.0 + ((x * 5 + y * 3) % 7) as f32 - 3.0;
            (17..24).contains(&y).then_some((value, artifact))
        });
        assert!((on_ring.level - 200.0).abs() < 1.0, "{on_ring:?}");
    }
}
