//! Peaks: the connected components of class peak, parted at their saddles and measured above their local background.

pub mod background;
pub mod circles;
pub mod confidence;
pub mod recheck;
pub mod split;

use self::background::{Annulus, LocalBackground, surroundings};
use self::split::{PixelNoise, Splitter};
use super::components::{Component, components};
use super::frame::{Frame, bad};
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
    /// Whether the detector says of one of its pixels, or of one that touches it, that it was saturated: its total is too low.
    pub saturated: bool,
    /// Whether CrystFEL's re-check of peak lists drops it; see [`recheck`].
    pub near_bad: bool,
}

/// What is asked of a component before it counts as a peak, and how its noise is understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakOptions {
    /// Components with fewer valid pixels are left out.
    pub min_pixels: usize,
    /// Least SNR of a predicted peak.
    pub min_snr: f32,
    /// The frame's units per photon; `None` where it is not known.
    pub units_per_photon: Option<f32>,
    /// Whether a component with several summits becomes several peaks.
    pub split: bool,
}

impl Default for PeakOptions {
    fn default() -> Self {
        Self {
            min_pixels: 1,
            min_snr: LEAST_SNR,
            units_per_photon: None,
            split: true,
        }
    }
}

/// A predicted component weaker than this against its background is no peak: the labelling rule's lower bound of doubt.
pub const LEAST_SNR: f32 = super::labels_rule::DOUBT_SNR;

/// Measures every component of class peak as one peak, as labels and classical finders mean it; see [`measure_peaks_with`].
pub fn measure_peaks(frame: &Frame, classes: &Sheet) -> Vec<Peak> {
    let options = PeakOptions {
        split: false,
        ..PeakOptions::default()
    };
    measure_peaks_with(frame, classes, &options)
}

/// Measures every component of class peak, in raster order of their first pixel.
///
/// A component with several summits becomes several peaks where that is asked for: [`split`]. The background is that of
/// [`background::local_background`]. Centroid weights are the background-subtracted values, never negative; where none is
/// positive the centroid is that of the component's shape. Only valid pixels count; a component without any, or with
/// fewer than asked for, is left out; its SNR is not asked. Returns nothing when frame and sheet differ in shape.
pub fn measure_peaks_with(frame: &Frame, classes: &Sheet, options: &PeakOptions) -> Vec<Peak> {
    if (frame.width(), frame.height()) != (classes.width(), classes.height()) {
        return Vec::new();
    }
    let found = with_backgrounds(frame, classes);
    let mut measure = Measure::of(frame, options, &found);
    let mut peaks = Vec::with_capacity(found.len());
    for (component, background) in &found {
        measure.each(component, *background, |part, peak| {
            peaks.extend(peak.filter(|_| part.count > 0))
        });
    }
    peaks
}

/// One component, measured as [`measure_peaks`] measures it; `None` where no pixel of it is valid.
///
/// Looks at nothing but its surroundings, so that it can be asked whenever the pointer moves.
pub fn measure_component(frame: &Frame, classes: &Sheet, component: &Component) -> Option<Peak> {
    let background = background::local_background(frame, classes, component.rect);
    Measure::of_one(frame).peak(component, background)
}

/// The parts of a component with several summits, parted at their saddles; `None` where it has one. A unit counts as a photon.
pub fn split_component(
    frame: &Frame,
    classes: &Sheet,
    component: &Component,
) -> Option<Vec<Component>> {
    let background = background::local_background(frame, classes, component.rect);
    let noise = PixelNoise {
        units: 1.0,
        is_known: true,
    };
    Splitter::default().split(frame, component, background, noise)
}

/// The peaks of a predicted class map, after the labelling rule has had its word; see [`settle_peaks_with`].
pub fn settle_peaks(frame: &Frame, classes: &mut Sheet) -> Vec<Peak> {
    settle_peaks_with(frame, classes, &PeakOptions::default())
}

/// The peaks of a predicted class map, after the labelling rule has had its word.
///
/// A component whose total is less than `min_snr` sigmas of its own local background (the ring, for a fragment on a ring)
/// is no peak by the rule: it takes the class that surrounds it, in the map too. So does one with too few pixels. The sigma has the spot's own photon
/// noise: one unit a photon where the pixels are whole counts (one photon on a dark pixel is no peak), the step of counts that
/// carry a gain and an offset, or as much as the noise grows
/// with the background, at most one unit; else the background's noise alone is taken. A given unit is not asked here:
/// those of geometries are often nominal, and one too large costs real peaks.
pub fn settle_peaks_with(frame: &Frame, classes: &mut Sheet, options: &PeakOptions) -> Vec<Peak> {
    if (frame.width(), frame.height()) != (classes.width(), classes.height()) {
        return Vec::new();
    }
    let found = with_backgrounds(frame, classes);
    let mut measure = Measure::of(frame, options, &found);
    let photon = measure.photon;
    let mut kept = Vec::with_capacity(found.len());
    let mut doubtful: Vec<Component> = Vec::new();
    for (component, background) in &found {
        measure.each(component, *background, |part, peak| {
            let stands_out = |peak: &Peak| {
                let noise = peak.pixels as f32 * background.variance;
                let sigma = (noise + photon * peak.total.max(0.0)).sqrt();
                background.pixels == 0 || peak.total > options.min_snr * sigma
            };
            match peak.filter(stands_out) {
                Some(peak) => kept.push(peak),
                None => doubtful.push(part.clone()),
            }
        });
    }
    for component in doubtful {
        let class = surroundings(classes, component.rect);
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

/// The step of the frame's values: 1 where they are whole numbers, else the common distance of counts that carry a gain.
///
/// `None` where the values (some thousands of them are looked at) lie on no such ladder. A photon is never less than it.
fn count_step(frame: &Frame) -> Option<f32> {
    if is_counting(frame) {
        return Some(1.0);
    }
    let stride = (frame.pixels.len() / 4096).max(1) | 1;
    let cells = frame.pixels.cells().iter().zip(frame.bad.cells());
    let mut values: Vec<f32> = cells
        .step_by(stride)
        .filter(|(value, bits)| *bits & bad::NOT_VALID == 0 && value.is_finite())
        .map(|(value, _)| *value)
        .collect();
    let looked_at = values.len();
    values.sort_unstable_by(f32::total_cmp);
    // Counts come again and again; noise hardly ever gives one number twice.
    values.dedup();
    if values.len() < 2 || values.len() * 8 > looked_at {
        return None;
    }
    let gaps = || values.windows(2).map(|pair| pair[1] - pair[0]);
    let step = gaps().fold(f32::INFINITY, f32::min);
    let on_ladder = |gap: f32| {
        let steps = gap / step;
        (steps - steps.round()).abs() < 0.02 * steps.max(1.0)
    };
    gaps().all(on_ladder).then_some(step)
}

fn with_backgrounds(frame: &Frame, classes: &Sheet) -> Vec<(Component, LocalBackground)> {
    let mut annulus = Annulus::default();
    components(classes, Class::Peak.code())
        .into_iter()
        .map(|component| {
            let background = annulus.measure(frame, classes, component.rect);
            (component, background)
        })
        .collect()
}

/// Measures the components of one frame.
struct Measure<'a> {
    frame: &'a Frame,
    options: PeakOptions,
    splitter: Splitter,
    pixel_noise: PixelNoise,
    /// Units per photon that surely are not too many; 0 where nothing is known.
    photon: f32,
}

impl<'a> Measure<'a> {
    /// Measures components as they are, whatever else is in the frame.
    fn of_one(frame: &'a Frame) -> Self {
        Self {
            frame,
            options: PeakOptions {
                split: false,
                ..PeakOptions::default()
            },
            splitter: Splitter::default(),
            pixel_noise: PixelNoise {
                units: 1.0,
                is_known: false,
            },
            photon: 0.0,
        }
    }

    fn of(frame: &'a Frame, options: &PeakOptions, found: &[(Component, LocalBackground)]) -> Self {
        let step = count_step(frame);
        let shown = split::pixel_units(found.iter().map(|(_, level)| *level));
        // Of counts none is less than a photon.
        let least = step.unwrap_or(f32::MIN_POSITIVE);
        let units = options.units_per_photon.or(shown).unwrap_or(1.0);
        let unsure = step.unwrap_or_else(|| shown.map_or(0.0, |shown| shown.min(1.0)));
        let is_photons = step
            .zip(shown)
            .is_some_and(|(step, shown)| (0.5..1.5).contains(&(shown / step)));
        Self {
            frame,
            options: *options,
            splitter: Splitter::default(),
            pixel_noise: PixelNoise {
                units: units.max(least),
                is_known: is_photons || options.units_per_photon.is_some(),
            },
            photon: unsure,
        }
    }

    /// Hands on every part of a component with its peak, `None` where it has too few valid pixels.
    fn each(
        &mut self,
        component: &Component,
        background: LocalBackground,
        mut take: impl FnMut(&Component, Option<Peak>),
    ) {
        let parts = if self.options.split {
            self.splitter
                .split(self.frame, component, background, self.pixel_noise)
        } else {
            None
        };
        match parts {
            Some(parts) => {
                for part in &parts {
                    take(part, self.peak(part, background));
                }
            }
            None => take(component, self.peak(component, background)),
        }
    }

    fn peak(&self, component: &Component, background: LocalBackground) -> Option<Peak> {
        let level = f64::from(background.level);
        let values = || {
            component.pixels().filter_map(|p| {
                let (value, bits) = (
                    self.frame.pixels.get(p.x, p.y)?,
                    self.frame.bad.get(p.x, p.y)?,
                );
                let valid = bits & bad::NOT_VALID == 0;
                valid.then(|| {
                    (
                        p.x as f64 + 0.5,
                        p.y as f64 + 0.5,
                        f64::from(*value) - level,
                    )
                })
            })
        };
        let (mut pixels, mut total, mut maximum) = (0_u32, 0.0, f64::NEG_INFINITY);
        for (_, _, value) in values() {
            pixels += 1;
            total += value;
            maximum = maximum.max(value);
        }
        if pixels == 0 || (pixels as usize) < self.options.min_pixels {
            return None;
        }
        let weight = |value: f64| if maximum > 0.0 { value.max(0.0) } else { 1.0 };
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for (px, py, value) in values() {
            let weight = weight(value);
            sum += weight;
            x += weight * px;
            y += weight * py;
        }
        let (x, y) = (x / sum, y / sum);
        let radius = values()
            .map(|(px, py, _)| (px - x).hypot(py - y))
            .fold(0.0, f64::max)
            + 0.5;
        let unit = f64::from(
            self.options
                .units_per_photon
                .unwrap_or(1.0)
                .max(f32::MIN_POSITIVE),
        );
        let variance = total.max(0.0) * unit + f64::from(pixels) * f64::from(background.variance);
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
            pixels,
            radius: radius as f32,
            saturated: self.is_saturated(component),
            near_bad: false,
        })
    }

    /// Whether a pixel of the component, or one that touches it, is saturated: an overflowing pixel may be invalid, and then no part of it.
    fn is_saturated(&self, component: &Component) -> bool {
        component.spans.iter().any(|span| {
            let columns = span.x0.saturating_sub(1)..(span.x1 + 1).min(self.frame.width());
            (span.y.saturating_sub(1)..=span.y + 1).any(|y| {
                let bits = self.frame.bad.row(y).get(columns.clone());
                let mut bits = bits.unwrap_or_default().iter();
                bits.any(|bits| bits & bad::SATURATED != 0)
            })
        })
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

    /// One photon in the dark is no peak, whatever the gain and the offset; numbers with noise have no step.
    #[test]
    fn a_photon_is_no_peak_whatever_its_unit() {
        for (gain, offset) in [(1.0, 0.0), (7.3, 250.0), (0.37, -12.5)] {
            let photons =
                |x: usize, y: usize| f32::from(u8::from((x * 7 + y * 13).is_multiple_of(101)));
            let mut pixels = Grid::from_fn(80, 80, |x, y| offset + gain * photons(x, y));
            let mut classes = Sheet::filled(80, 80, 0);
            for (x, y, count) in [(40, 40, 30.0), (41, 40, 20.0), (20, 21, 1.0)] {
                *pixels.get_mut(x, y).unwrap() = offset + gain * count;
                *classes.get_mut(x, y).unwrap() = 1;
            }
            let frame = Frame::new(0, pixels, Grid::filled(80, 80, 0)).unwrap();
            if gain.fract() != 0.0 {
                let step = count_step(&frame).unwrap();
                assert!((step / gain - 1.0).abs() < 1e-3, "{step} for {gain}");
            }
            let found = settle_peaks(&frame, &mut classes);
            assert_eq!(found.len(), 1, "gain {gain}: {found:?}");
            assert_eq!(found[0].pixels, 2);
        }
        let noise = Grid::from_fn(80, 80, |x, y| ((x * 31 + y * 977) as f32 * 0.618).sin());
        let frame = Frame::new(0, noise, Grid::filled(80, 80, 0)).unwrap();
        assert_eq!(count_step(&frame), None);
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
    fn saturated_pixels_in_a_peak_or_touching_it_are_told() {
        for (x, y, told) in [(10, 20, true), (12, 22, true), (13, 20, false)] {
            let code = bad::SATURATED | if told { bad::INVALID } else { 0 };
            let peak = measured(|frame, _| *frame.bad.get_mut(x, y).unwrap() = code)[0];
            assert_eq!(peak.saturated, told, "{x} {y}");
        }
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
