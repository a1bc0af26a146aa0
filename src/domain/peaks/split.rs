//! Touching peaks of one component are parted at the saddle between them, as water parts hills.
//!
//! The pixels are flooded from the highest down; each joins the basin of its highest neighbour. Where two basins meet, the
//! lower summit counts as a peak of its own only if it stands above the saddle by more than the noise of both explains;
//! else it is noise on the other's slope (watershed by topological persistence: Edelsbrunner et al. 2002).

use super::background::LocalBackground;
use crate::domain::components::{Component, Span};
use crate::domain::frame::Frame;
use crate::domain::grid::PixelRect;

/// A summit stands so many sigmas above the saddle, or it is noise.
struct SaddleSigmas {
    /// Of smoothed values.
    smooth: f32,
    /// Of the values themselves.
    raw: f32,
    /// Of smoothed values where the noise is guessed.
    unsure: f32,
}

/// By simulation: of 7,700 single spots with known noise none is parted at these, nor at 3.5 of both. Where a unit of 25 per photon is
/// taken for 1, 4 sigmas of the raw values part one spot in twenty, 5 of the smoothed ones two in a thousand.
const SADDLE_SIGMAS: SaddleSigmas = SaddleSigmas {
    smooth: 4.0,
    raw: 4.5,
    unsure: 5.0,
};
/// How far pixels differ in gain, at most: noise that grows with the signal.
const GAIN_SPREAD: f32 = 0.06;
/// Components with fewer valid pixels hold one peak.
const LEAST_PIXELS: usize = 5;
/// No real frame has a component of so many pixels that holds peaks worth parting.
const MOST_PIXELS: usize = 20_000;

/// What is known of the noise of single pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelNoise {
    /// Units per photon that the noise shows.
    pub units: f32,
    /// Whether that is known, and not the best that could be guessed.
    pub is_known: bool,
}

/// Which values are flooded.
#[derive(Clone, Copy)]
enum Field {
    Raw,
    Smooth,
}

/// Buffers for one component after another.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Values above the background in the component's rectangle and one cell around; NaN where not valid.
    raw: Vec<f32>,
    smooth: Vec<f32>,
    /// Of each cell its basin, `NONE` outside the component.
    basin: Vec<u32>,
    order: Vec<u32>,
    parent: Vec<u32>,
    summit: Vec<f32>,
}

/// Units per photon as the noise of single pixels shows them, from the backgrounds of a frame's components.
///
/// The slope of variance against level, between the lower and the upper quarter; `None` where too little is known. A
/// detector's point spread makes it smaller than the true unit, in the measure in which it makes a pixel's noise smaller.
pub fn pixel_units(backgrounds: impl Iterator<Item = LocalBackground>) -> Option<f32> {
    const ENOUGH: usize = 16;
    let mut known: Vec<LocalBackground> = backgrounds.filter(|b| b.pixels > 0).collect();
    if known.len() < ENOUGH {
        return None;
    }
    known.sort_unstable_by(|a, b| a.level.total_cmp(&b.level));
    let quarter = known.len() / 4;
    let median = |part: &[LocalBackground], of: fn(&LocalBackground) -> f32| {
        let mut values: Vec<f32> = part.iter().map(of).collect();
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    let (low, high) = (known.get(..quarter)?, known.get(known.len() - quarter..)?);
    let rise = median(high, |b| b.level) - median(low, |b| b.level);
    let noise = median(high, |b| b.variance) - median(low, |b| b.variance);
    (rise > 0.0 && noise > 0.0).then(|| noise / rise)
}

const NONE: u32 = u32::MAX;
/// Not yet flooded.
const DRY: u32 = u32::MAX - 1;

/// Share of the noise that remains when pixels of independent noise are smoothed by the kernel 1 2 1 in both directions.
const SMOOTHED: f32 = 36.0 / 256.0;

impl Splitter {
    /// The parts of a component that holds several peaks, in raster order of their first cell; `None` where it holds one.
    ///
    /// Smoothed values are asked first; where they show one summit, the values themselves, for spots as small as a pixel.
    pub fn split(
        &mut self,
        frame: &Frame,
        component: &Component,
        background: LocalBackground,
        pixel_noise: PixelNoise,
    ) -> Option<Vec<Component>> {
        let rect = component.rect;
        if component.count < LEAST_PIXELS
            || component.count > MOST_PIXELS
            || rect.width().max(rect.height()) < 3
        {
            return None;
        }
        let width = rect.width() + 2;
        self.load(frame, component, background.level, width);
        let noise = |value: f32| {
            let photons = background.variance + pixel_noise.units * value.max(0.0);
            photons + (GAIN_SPREAD * value).powi(2)
        };
        let least =
            |sigmas: f32, share: f32| move |value: f32| sigmas * sigmas * share * noise(value);
        let floods = [
            (Field::Smooth, least(SADDLE_SIGMAS.smooth, SMOOTHED)),
            (Field::Raw, least(SADDLE_SIGMAS.raw, 1.0)),
        ];
        let unsure = [(Field::Smooth, least(SADDLE_SIGMAS.unsure, SMOOTHED))];
        let floods = if pixel_noise.is_known {
            &floods[..]
        } else {
            &unsure[..]
        };
        if !(floods.iter()).any(|(field, least)| self.flood(width, *field, least) > 1) {
            return None;
        }
        let parts = self.parts(component, width);
        (parts.len() > 1).then_some(parts)
    }

    fn load(&mut self, frame: &Frame, component: &Component, level: f32, width: usize) {
        let rect = component.rect;
        let height = rect.height() + 2;
        self.raw.clear();
        self.raw.resize(width * height, f32::NAN);
        self.basin.clear();
        self.basin.resize(width * height, NONE);
        for (row, cells) in self.raw.chunks_exact_mut(width).enumerate() {
            let Some(y) = (rect.y0 + row).checked_sub(1) else {
                continue;
            };
            for (column, cell) in cells.iter_mut().enumerate() {
                if let Some(x) = (rect.x0 + column).checked_sub(1)
                    && frame.is_valid(x, y)
                    && let Some(value) = frame.pixels.get(x, y)
                {
                    *cell = value - level;
                }
            }
        }
        self.smooth.clear();
        self.smooth.extend_from_slice(&self.raw);
        self.order.clear();
        for pixel in component.pixels() {
            let at = (pixel.y + 1 - rect.y0) * width + pixel.x + 1 - rect.x0;
            if self.raw.get(at).is_some_and(|value| !value.is_nan()) {
                if let Some(basin) = self.basin.get_mut(at) {
                    *basin = DRY;
                }
                let value = smoothed(&self.raw, at, width);
                if let Some(cell) = self.smooth.get_mut(at) {
                    *cell = value;
                }
                self.order.push(at as u32);
            }
        }
    }

    /// Floods the component and returns how many basins remain.
    ///
    /// `least` is the square of the height above a saddle that a summit of this value needs, and a saddle adds.
    fn flood(&mut self, width: usize, field: Field, least: impl Fn(f32) -> f32) -> usize {
        let values = match field {
            Field::Raw => &self.raw,
            Field::Smooth => &self.smooth,
        };
        let value = |at: u32| values.get(at as usize).copied().unwrap_or(0.0);
        for at in &self.order {
            if let Some(cell) = self.basin.get_mut(*at as usize) {
                *cell = DRY;
            }
        }
        self.order
            .sort_unstable_by(|a, b| value(*b).total_cmp(&value(*a)).then(a.cmp(b)));
        self.parent.clear();
        self.summit.clear();
        let mut alive = 0;
        for &at in &self.order {
            let here = value(at);
            let mut best: Option<(f32, u32)> = None;
            let mut touched = [NONE; 8];
            let mut count = 0;
            for next in neighbours(at as usize, width) {
                let Some(&basin) = self.basin.get(next) else {
                    continue;
                };
                if basin >= DRY {
                    continue;
                }
                let basin = root(&self.parent, basin);
                let height = value(next as u32);
                if best.is_none_or(|(highest, _)| height > highest) {
                    best = Some((height, basin));
                }
                if !touched.contains(&basin) {
                    if let Some(slot) = touched.get_mut(count) {
                        *slot = basin;
                    }
                    count += 1;
                }
            }
            let own = match best {
                Some((_, basin)) => basin,
                None => {
                    self.parent.push(self.parent.len() as u32);
                    self.summit.push(here);
                    alive += 1;
                    self.parent.len() as u32 - 1
                }
            };
            if let Some(cell) = self.basin.get_mut(at as usize) {
                *cell = own;
            }
            let touched = touched.get_mut(..count).unwrap_or_default();
            // From the highest summit down: each is compared with the highest basin that it touches.
            let height = |basin: u32| self.summit.get(basin as usize).copied().unwrap_or(0.0);
            touched.sort_unstable_by(|a, b| height(*b).total_cmp(&height(*a)).then(a.cmp(b)));
            let Some((&highest, lower)) = touched.split_first() else {
                continue;
            };
            for &low in lower {
                let summit = height(low);
                if summit - here <= (least(summit) + least(here)).sqrt() {
                    if let Some(parent) = self.parent.get_mut(low as usize) {
                        *parent = highest;
                    }
                    alive -= 1;
                }
            }
        }
        alive
    }

    fn parts(&self, component: &Component, width: usize) -> Vec<Component> {
        let rect = component.rect;
        let mut parts: Vec<(u32, Component)> = Vec::new();
        for pixel in component.pixels() {
            let at = (pixel.y + 1 - rect.y0) * width + pixel.x + 1 - rect.x0;
            let Some(&basin) = self.basin.get(at).filter(|basin| **basin < DRY) else {
                continue;
            };
            let basin = root(&self.parent, basin);
            let cell = PixelRect::of(pixel);
            let span = Span {
                y: pixel.y,
                x0: pixel.x,
                x1: pixel.x + 1,
            };
            match parts.iter_mut().find(|(of, _)| *of == basin) {
                Some((_, part)) => {
                    part.rect = part.rect.union(&cell);
                    part.count += 1;
                    match part.spans.last_mut() {
                        Some(last) if last.y == pixel.y && last.x1 == pixel.x => last.x1 += 1,
                        _ => part.spans.push(span),
                    }
                }
                None => parts.push((
                    basin,
                    Component {
                        spans: vec![span],
                        rect: cell,
                        count: 1,
                    },
                )),
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

fn root(parent: &[u32], mut basin: u32) -> u32 {
    while let Some(&up) = parent.get(basin as usize) {
        if up == basin {
            break;
        }
        basin = up;
    }
    basin
}

/// The eight cells around one that is not on the border of the buffer.
fn neighbours(at: usize, width: usize) -> [usize; 8] {
    let (up, down) = (at.wrapping_sub(width), at.wrapping_add(width));
    [
        up.wrapping_sub(1),
        up,
        up.wrapping_add(1),
        at.wrapping_sub(1),
        at.wrapping_add(1),
        down.wrapping_sub(1),
        down,
        down.wrapping_add(1),
    ]
}

/// The mean of a cell and its valid neighbours, weights 4, 2 and 1.
fn smoothed(raw: &[f32], at: usize, width: usize) -> f32 {
    const WEIGHTS: [f32; 8] = [1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0];
    let mut sum = 4.0 * raw.get(at).copied().unwrap_or(0.0);
    let mut weights = 4.0;
    for (next, weight) in neighbours(at, width).into_iter().zip(WEIGHTS) {
        if let Some(value) = raw.get(next).filter(|value| !value.is_nan()) {
            sum += weight * value;
            weights += weight;
        }
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use crate::domain::frame::Frame;
    use crate::domain::grid::Grid;
    use crate::domain::labels::Class;
    use crate::domain::labels_rule::label_spot;
    use crate::domain::peaks::{Peak, PeakOptions, measure_peaks_with};
    use crate::domain::simulate::Detector;
    use crate::domain::simulate::chance::poisson;
    use crate::domain::simulate::detector::modules;
    use crate::domain::simulate::spots::{Profile, Spot, stamp};
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    /// Spots on a small detector of this kind, read out and labelled by the rule; then measured.
    fn found(
        kind: &str,
        background: f32,
        spots: &[Spot],
        seed: u64,
        units: Option<f32>,
    ) -> (Vec<Peak>, f32) {
        let named = if kind == "plain" {
            Detector::plain()
        } else {
            Detector::named(kind).unwrap()
        };
        let (width, height, tiles) = modules(1, 1, [64, 64], [0, 0]);
        let none = crate::domain::simulate::chance::Spread::new(0.0, 0.0);
        let detector = Detector {
            width,
            height,
            tiles,
            double_borders: None,
            hot_per_megapixel: none,
            dead_per_megapixel: none,
            zingers_per_megapixel: none,
            ..named
        };
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut expected = Grid::filled(width, height, background);
        let mut sheet = Grid::filled(width, height, Class::Background.code());
        let mut weakest = f32::INFINITY;
        for spot in spots {
            let light = stamp(&detector.tiles, spot, 0.0).unwrap();
            let seen = stamp(&detector.tiles, spot, detector.spread_px).unwrap();
            for (index, photons) in light.photons.iter().enumerate() {
                let (x, y) = (
                    light.rect.x0 + index % light.rect.width(),
                    light.rect.y0 + index / light.rect.width(),
                );
                *expected.get_mut(x, y).unwrap() += photons;
            }
            let ruling = label_spot(&mut sheet, seen.rect, &seen.photons, |_, _| {
                background + detector.read_variance()
            });
            weakest = weakest.min(ruling.snr);
        }
        let mut photons = Grid::from_fn(width, height, |x, y| {
            poisson(&mut rng, *expected.get(x, y).unwrap())
        });
        if detector.pixel_gain > 0.0 {
            for value in photons.cells_mut() {
                *value *= 1.0
                    + detector.pixel_gain
                        * crate::domain::simulate::chance::normal(&mut rng) as f32;
            }
        }
        let mut bits = Grid::filled(width, height, 0);
        detector.read_out(&mut photons, &mut bits, &mut rng);
        let frame = Frame {
            number: 0,
            pixels: photons,
            bad: bits,
        };
        let options = PeakOptions {
            units_per_photon: units.map(|u| u * detector.units_per_photon),
            ..PeakOptions::default()
        };
        (measure_peaks_with(&frame, &sheet, &options), weakest)
    }

    fn spot(x: f64, y: f64, total: f32, sigma: [f32; 2], profile: Profile) -> Spot {
        Spot {
            u: x,
            v: y,
            total,
            sigma,
            axis: [0.8, 0.6],
            profile,
        }
    }

    /// Share of the single spots above SNR 6 that come out as several, of all shapes, sizes and brightnesses.
    fn parted_singles(kind: &str, units: Option<f32>) -> (usize, usize) {
        let shapes = [
            Profile::Gauss,
            Profile::Tailed,
            Profile::Plateau,
            Profile::Comet,
            Profile::Split(2.5),
        ];
        let sizes = [[0.4, 0.4], [0.8, 0.8], [1.5, 1.0], [2.5, 2.5], [5.0, 2.0]];
        let (mut all, mut parted) = (0, 0);
        for shape in shapes {
            for total in [100.0, 1e3, 1e4, 1e5] {
                for (size, background) in sizes.iter().flat_map(|s| [(*s, 0.05), (*s, 10.0)]) {
                    for seed in 0..2 {
                        let one = spot(32.1 + seed as f64 * 0.41, 32.5, total, size, shape);
                        let (peaks, snr) = found(kind, background, &[one], seed, units);
                        if snr > 6.0 {
                            all += 1;
                            parted += usize::from(peaks.len() > 1);
                        }
                    }
                }
            }
        }
        (parted, all)
    }

    /// Share of the pairs of round spots above SNR 6, so many pixels apart, of which both are found within a pixel, and nothing else.
    fn found_pairs(kind: &str, units: Option<f32>, distance: f64) -> f64 {
        let (mut all, mut both) = (0_u32, 0_u32);
        for sigma in [0.4, 0.7, 1.0] {
            for (total, ratio) in [(100.0, 1.0), (1e3, 1.0), (1e4, 1.0), (1e3, 0.4), (1e4, 0.4)] {
                for background in [0.05, 10.0] {
                    for seed in 0..3 {
                        let (sin, cos) = (seed as f64 * 0.7).sin_cos();
                        let sizes = [sigma, sigma];
                        let pair = [
                            spot(30.3, 31.1, total, sizes, Profile::Gauss),
                            spot(
                                30.3 + distance * cos,
                                31.1 + distance * sin,
                                total * ratio,
                                sizes,
                                Profile::Gauss,
                            ),
                        ];
                        let (peaks, snr) = found(kind, background, &pair, seed, units);
                        if snr > 6.0 {
                            all += 1;
                            let is_found = |s: &Spot| {
                                let away =
                                    |p: &Peak| (f64::from(p.x) - s.u).hypot(f64::from(p.y) - s.v);
                                peaks.iter().any(|p| away(p) < 1.0)
                            };
                            both += u32::from(peaks.len() == 2 && pair.iter().all(is_found));
                        }
                    }
                }
            }
        }
        f64::from(both) / f64::from(all)
    }

    #[test]
    fn pairs_are_parted_and_noise_parts_no_single_spot() {
        // Of the detectors without a point spread, with ADU of 25 a photon, and with a wide point spread: the least share of pairs 3 to 8 px apart.
        for (kind, least) in [
            ("plain", [0.4, 0.75, 0.9, 0.95, 0.98, 0.98]),
            ("cspad", [0.3, 0.7, 0.9, 0.95, 0.98, 0.98]),
            ("ccd", [0.0, 0.2, 0.7, 0.9, 0.98, 0.98]),
        ] {
            let (parted, all) = parted_singles(kind, Some(1.0));
            assert_eq!(parted, 0, "{kind} of {all}");
            assert!(all > 250, "{kind} {all}");
            let (parted, all) = parted_singles(kind, None);
            assert!(
                parted * 100 <= all,
                "{kind}, unit unknown: {parted} of {all}"
            );
            for (distance, least) in (3..=8).zip(least) {
                let share = found_pairs(kind, Some(1.0), f64::from(distance));
                eprintln!("{kind} {distance} px: {share:.3}");
                assert!(share >= least, "{kind} {distance} px: {share}");
            }
        }
    }
}
