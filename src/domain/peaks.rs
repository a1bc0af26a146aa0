//! Peaks: the connected components of class peak, measured above their local background.

use super::components::{Component, components};
use super::frame::{Frame, bad};
use super::grid::PixelRect;
use super::labels::{Class, Sheet};

/// One found peak. Positions are continuous pixels of the slab (centre of the first cell = 0.5).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    pub x: f32,
    pub y: f32,
    /// Background-subtracted sum, in the frame's units.
    pub total: f32,
    /// Background-subtracted maximum, in the frame's units.
    pub maximum: f32,
    /// total / sqrt(total + n x background variance): labels rule.
    pub snr: f32,
    /// How many valid pixels it has.
    pub pixels: u32,
    /// Distance of the farthest pixel from the centroid, plus half a pixel.
    pub radius: f32,
}

/// What is asked of a component before it counts as a peak, and how its noise is understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakOptions {
    /// Components with fewer valid pixels are left out.
    pub min_pixels: usize,
    /// The frame's units per photon; 1 where it is not known.
    pub units_per_photon: f32,
}

impl Default for PeakOptions {
    fn default() -> Self {
        Self {
            min_pixels: 1,
            units_per_photon: 1.0,
        }
    }
}

/// A predicted component weaker than this against its background is no peak: the labelling rule's lower bound of doubt.
pub const LEAST_SNR: f32 = super::labels_rule::DOUBT_SNR;

/// Level and noise of the pixels around a component, in the frame's units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LocalBackground {
    pub level: f32,
    pub variance: f32,
    /// How many pixels were looked at; 0: nothing is known, level and variance are 0.
    pub pixels: usize,
}

/// Measures every component of class peak with default options; see [`measure_peaks_with`].
pub fn measure_peaks(frame: &Frame, classes: &Sheet) -> Vec<Peak> {
    measure_peaks_with(frame, classes, &PeakOptions::default())
}

/// Measures every component of class peak, in raster order of their first pixel.
///
/// The background is that of [`local_background`]. Centroid weights are the background-subtracted values, never
/// negative; where none is positive the centroid is that of the component's shape. Only valid pixels count; a
/// component without any is left out. Returns nothing when frame and sheet differ in shape.
pub fn measure_peaks_with(frame: &Frame, classes: &Sheet, options: &PeakOptions) -> Vec<Peak> {
    if (frame.width(), frame.height()) != (classes.width(), classes.height()) {
        return Vec::new();
    }
    components(classes, Class::Peak.code())
        .iter()
        .filter_map(|component| measure(frame, classes, component, options))
        .collect()
}

/// The peaks of a predicted class map, after the labelling rule has had its word.
///
/// A component whose total is less than [`LEAST_SNR`] sigmas of its own local background (the ring, for a fragment on a ring)
/// is no peak by the rule: it takes the class that surrounds it, in the map too. The sigma has the spot's own photon
/// noise where the pixels are whole counts (one photon on a dark pixel is no peak); elsewhere the unit is not known
/// and the background's noise alone is taken.
pub fn settle_peaks(frame: &Frame, classes: &mut Sheet) -> Vec<Peak> {
    let options = PeakOptions::default();
    let photon = if is_counting(frame) { 1.0 } else { 0.0 };
    let mut kept = Vec::new();
    let mut doubtful = Vec::new();
    for component in components(classes, Class::Peak.code()) {
        let background = local_background(frame, classes, component.rect);
        let peak = measure_over(frame, &component, background, &options);
        let noise = component.count as f32 * background.variance.max(0.0);
        let sigma = |peak: &Peak| (noise + photon * peak.total.max(0.0)).sqrt();
        match peak {
            Some(peak) if background.pixels == 0 || peak.total > LEAST_SNR * sigma(&peak) => {
                kept.push(peak);
            }
            _ => doubtful.push(component),
        }
    }
    for component in doubtful {
        let around = grown(component.rect, 2, &classes.rect());
        let of = |class: Class| {
            let rows = around.y0..around.y1;
            rows.map(|y| {
                let row = classes.row(y).get(around.x0..around.x1).unwrap_or_default();
                row.iter().filter(|c| **c == class.code()).count()
            })
            .sum::<usize>()
        };
        let class = if of(Class::Artifact) > of(Class::Background) {
            Class::Artifact
        } else {
            Class::Background
        };
        for pixel in component.pixels() {
            if let Some(cell) = classes.get_mut(pixel.x, pixel.y) {
                *cell = class.code();
            }
        }
    }
    kept
}

/// Whether the valid pixels (some thousands of them) are whole numbers.
pub(super) fn is_counting(frame: &Frame) -> bool {
    let step = (frame.pixels.len() / 4096).max(1) | 1;
    let cells = frame.pixels.cells().iter().zip(frame.bad.cells());
    cells
        .step_by(step)
        .filter(|(_, bits)| *bits & bad::NOT_VALID == 0)
        .all(|(value, _)| value.fract() == 0.0)
}

fn measure(
    frame: &Frame,
    classes: &Sheet,
    component: &Component,
    options: &PeakOptions,
) -> Option<Peak> {
    let background = local_background(frame, classes, component.rect);
    measure_over(frame, component, background, options)
}

fn measure_over(
    frame: &Frame,
    component: &Component,
    background: LocalBackground,
    options: &PeakOptions,
) -> Option<Peak> {
    let values: Vec<(f64, f64, f64)> = component
        .pixels()
        .filter(|p| frame.is_valid(p.x, p.y))
        .filter_map(|p| {
            let value = f64::from(*frame.pixels.get(p.x, p.y)?) - f64::from(background.level);
            Some((p.x as f64 + 0.5, p.y as f64 + 0.5, value))
        })
        .collect();
    if values.is_empty() || values.len() < options.min_pixels {
        return None;
    }
    let count = values.len() as f64;
    let shape_only = !values.iter().any(|v| v.2 > 0.0);
    let weight = |value: f64| if shape_only { 1.0 } else { value.max(0.0) };
    let sum: f64 = values.iter().map(|v| weight(v.2)).sum();
    let x = values.iter().map(|v| weight(v.2) * v.0).sum::<f64>() / sum;
    let y = values.iter().map(|v| weight(v.2) * v.1).sum::<f64>() / sum;
    let total: f64 = values.iter().map(|v| v.2).sum();
    let maximum = values.iter().map(|v| v.2).fold(f64::NEG_INFINITY, f64::max);
    let radius = values
        .iter()
        .map(|v| (v.0 - x).hypot(v.1 - y))
        .fold(0.0, f64::max)
        + 0.5;
    let unit = f64::from(options.units_per_photon.max(f32::MIN_POSITIVE));
    let variance = total.max(0.0) * unit + count * f64::from(background.variance);
    let snr = if variance > 0.0 {
        total / variance.sqrt()
    } else {
        0.0
    };
    Some(Peak {
        x: x as f32,
        y: y as f32,
        total: total as f32,
        maximum: maximum as f32,
        snr: snr as f32,
        pixels: values.len() as u32,
        radius: radius as f32,
    })
}

/// Level and variance of the valid background pixels in a frame around `rect`.
///
/// The frame begins 3 cells outside the rectangle (the ignore rim and the spot's tail stay out) and is 4 cells wide, wider
/// where fewer than 24 background pixels lie in it. Where most of what surrounds the rectangle is artifact (a
/// peak on a ring) the artifact pixels are its background. Starts at median and median deviation, then clips at
/// 4 sigma to the mean, because the median of sparse photon counts is 0 whatever their mean.
pub fn local_background(frame: &Frame, classes: &Sheet, rect: PixelRect) -> LocalBackground {
    const GAP: usize = 3;
    const ENOUGH: usize = 24;
    let inner = grown(rect, GAP, &frame.pixels.rect());
    let mut sample = Vec::new();
    for width in [4, 8, 16, 32] {
        let outer = grown(rect, GAP + width, &frame.pixels.rect());
        sample.clear();
        let mut artifact = Vec::new();
        for y in outer.y0..outer.y1 {
            let inside = y >= inner.y0 && y < inner.y1;
            let (left, right) = if inside {
                (outer.x0..inner.x0, inner.x1..outer.x1)
            } else {
                (outer.x0..outer.x1, 0..0)
            };
            for x in left.chain(right) {
                if !frame.is_valid(x, y) {
                    continue;
                }
                let (Some(value), Some(class)) = (frame.pixels.get(x, y), classes.get(x, y)) else {
                    continue;
                };
                if *class == Class::Background.code() {
                    sample.push(*value);
                } else if *class == Class::Artifact.code() {
                    artifact.push(*value);
                }
            }
        }
        if artifact.len() > sample.len() {
            sample = artifact;
        }
        if sample.len() >= ENOUGH {
            break;
        }
    }
    clipped(&mut sample)
}

fn grown(rect: PixelRect, by: usize, limits: &PixelRect) -> PixelRect {
    PixelRect::new(
        rect.x0.saturating_sub(by),
        rect.y0.saturating_sub(by),
        rect.x1.saturating_add(by),
        rect.y1.saturating_add(by),
    )
    .intersect(limits)
}

fn clipped(sample: &mut [f32]) -> LocalBackground {
    const SIGMAS: f64 = 4.0;
    if sample.is_empty() {
        return LocalBackground::default();
    }
    let middle = sample.len() / 2;
    let median = f64::from(*sample.select_nth_unstable_by(middle, f32::total_cmp).1);
    let mut deviation: Vec<f32> = sample.iter().map(|v| (v - median as f32).abs()).collect();
    let mad = f64::from(*deviation.select_nth_unstable_by(middle, f32::total_cmp).1);
    let (mut level, mut sigma) = (median, 1.4826 * mad);
    if sigma == 0.0 {
        // More than half of the values are equal: take the scale from the lower nine tenths of the deviations.
        let ninth = sample.len() * 9 / 10;
        let (low, _, _) = deviation.select_nth_unstable_by(ninth, f32::total_cmp);
        let squares: f64 = low.iter().map(|d| f64::from(*d).powi(2)).sum();
        sigma = (squares / low.len().max(1) as f64).sqrt().max(0.25);
    }
    for _ in 0..3 {
        let reach = SIGMAS * sigma;
        let kept = || {
            sample
                .iter()
                .map(|v| f64::from(*v))
                .filter(|v| (v - level).abs() <= reach)
        };
        let count = kept().count() as f64;
        if count == 0.0 {
            break;
        }
        let mean = kept().sum::<f64>() / count;
        let variance = kept().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        (level, sigma) = (mean, variance.sqrt());
        if sigma == 0.0 {
            break;
        }
    }
    LocalBackground {
        level: level as f32,
        variance: (sigma * sigma) as f32,
        pixels: sample.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    /// A spot of 3 x 3 pixels on a level of 10, with class peak; `extra` changes frame and classes.
    fn measured(extra: impl Fn(&mut Frame, &mut Sheet)) -> Vec<Peak> {
        let mut pixels = Grid::from_fn(32, 32, |x, y| 10.0 + ((x * 7 + y * 13) % 3) as f32 - 1.0);
        let mut classes = Grid::filled(32, 32, 0);
        for (dx, dy, signal) in [(0, 0, 100.0), (1, 0, 50.0), (0, 1, 50.0), (1, 1, 40.0)] {
            *pixels.get_mut(10 + dx, 20 + dy).unwrap() = 10.0 + signal;
            *classes.get_mut(10 + dx, 20 + dy).unwrap() = 1;
        }
        let mut frame = Frame::new(0, pixels, Grid::filled(32, 32, 0)).unwrap();
        extra(&mut frame, &mut classes);
        measure_peaks(&frame, &classes)
    }

    #[test]
    fn a_spot_is_measured_above_its_background() {
        let peaks = measured(|_, _| {});
        let [peak] = peaks[..] else {
            panic!("{peaks:?}")
        };
        assert!((peak.total - 240.0).abs() < 1.0, "{peak:?}");
        assert!((peak.x - (10.5 + 90.0 / 240.0)).abs() < 0.01, "{peak:?}");
        assert!((peak.y - (20.5 + 90.0 / 240.0)).abs() < 0.01, "{peak:?}");
        assert!((peak.maximum - 100.0).abs() < 0.5, "{peak:?}");
        assert_eq!(peak.pixels, 4);
        let expected = 240.0 / (240.0_f32 + 4.0 * 2.0 / 3.0).sqrt();
        assert!((peak.snr - expected).abs() < 0.1, "{peak:?} {expected}");
    }

    #[test]
    fn neighbours_hot_and_bad_pixels_do_not_move_it() {
        let plain = measured(|_, _| {})[0];
        let disturbed = measured(|frame, classes| {
            *frame.pixels.get_mut(15, 20).unwrap() = 60_000.0;
            *frame.pixels.get_mut(5, 20).unwrap() = -60_000.0;
            *frame.pixels.get_mut(10, 25).unwrap() = 4e9;
            *frame.bad.get_mut(10, 25).unwrap() = crate::domain::frame::bad::HOT;
            *frame.pixels.get_mut(10, 15).unwrap() = 900.0;
            *classes.get_mut(10, 15).unwrap() = 255;
        })[0];
        assert!((plain.total - disturbed.total).abs() < 1.0);
        assert!((plain.x - disturbed.x).abs() < 0.01);
    }

    #[test]
    fn a_component_without_signal_or_valid_pixels_is_no_nan() {
        let flat = measured(|frame, _| frame.pixels.cells_mut().fill(3.0))[0];
        assert_eq!((flat.x, flat.y, flat.snr), (11.0, 21.0, 0.0));
        let none = measured(|frame, _| frame.bad.cells_mut().fill(1));
        assert!(none.is_empty());
    }

    #[test]
    fn sparse_photons_have_a_mean_not_a_median() {
        let mut sample: Vec<f32> = (0..100).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
        let background = clipped(&mut sample);
        assert!((background.level - 0.2).abs() < 1e-6, "{background:?}");
        assert!((background.variance - 0.16).abs() < 1e-3, "{background:?}");
    }

    /// One photon in the dark and a bright stretch of a ring are no peaks, a spot is; the map is told.
    #[test]
    fn the_rule_has_the_last_word_on_predicted_peaks() {
        let mut pixels = Grid::filled(80, 80, 0.0_f32);
        let mut classes = Sheet::filled(80, 80, 0);
        let mut set = |x: usize, y: usize, value: f32, class: Class| {
            if let Some(pixel) = pixels.get_mut(x, y) {
                *pixel = value;
            }
            if let Some(cell) = classes.get_mut(x, y) {
                *cell = class.code();
            }
        };
        for y in 50..70 {
            for x in 0..80 {
                // A ring of some 100 counts, whose noise is its own.
                set(
                    x,
                    y,
                    100.0 + ((x * 7 + y * 13) % 21) as f32 - 10.0,
                    Class::Artifact,
                );
            }
        }
        set(40, 60, 112.0, Class::Peak);
        set(10, 10, 1.0, Class::Peak);
        for (x, y) in [(30, 20), (31, 20), (30, 21), (31, 21)] {
            set(x, y, 40.0, Class::Peak);
        }
        let bad = Grid::filled(80, 80, 0);
        let frame = Frame::new(0, pixels, bad).unwrap();
        let found = settle_peaks(&frame, &mut classes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].x - 31.0).abs() < 0.1 && (found[0].y - 21.0).abs() < 0.1);
        assert_eq!(classes.get(10, 10), Some(&Class::Background.code()));
        assert_eq!(classes.get(40, 60), Some(&Class::Artifact.code()));
        assert_eq!(classes.get(30, 20), Some(&Class::Peak.code()));
    }
}
