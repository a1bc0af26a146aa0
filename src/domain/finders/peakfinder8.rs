//! peakfinder8: a threshold per ring of equal distance from the beam, then the signal-to-noise ratio above a local background.
//!
//! Barty, Kirian, Maia, Hantke, Yoon, White & Chapman, J. Appl. Cryst. 47 (2014) 1118 (Cheetah). Defaults are those of
//! CrystFEL's indexamajig but for the threshold in detector units, which no two detectors share.

use super::super::frame::{Frame, bad};
use super::super::geometry::Geometry;
use super::super::grid::{Grid, PixelRect};
use super::super::radial;
use super::components;

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peakfinder8 {
    /// No pixel below counts, in the frame's units.
    pub threshold: f32,
    pub min_snr: f32,
    pub min_pixels: usize,
    pub max_pixels: usize,
    /// Half the reach of the local background, pixels.
    pub local_background_radius: usize,
    /// Distances from the beam within which peaks are looked for, pixels.
    pub min_radius: u16,
    pub max_radius: u16,
}

impl Peakfinder8 {
    pub const USUAL: Self = Self {
        threshold: f32::NEG_INFINITY,
        min_snr: 5.0,
        min_pixels: 2,
        max_pixels: 200,
        local_background_radius: 3,
        min_radius: 0,
        max_radius: u16::MAX,
    };
}

impl Default for Peakfinder8 {
    fn default() -> Self {
        Self::USUAL
    }
}

const ROUNDS: usize = 5;

/// The distance of every pixel from the beam ([`radial::radius_bins`]); from the middle of the frame where the beam is not known.
pub fn radius_bins(geometry: &Geometry, width: usize, height: usize) -> Grid<u16> {
    let middle = Geometry {
        beam_center_px: Some([width as f64 / 2.0, height as f64 / 2.0]),
        ..Geometry::default()
    };
    radial::radius_bins(geometry, width, height)
        .or_else(|| radial::radius_bins(&middle, width, height))
        .unwrap_or_else(|| Grid::filled(width, height, 0))
}

/// Level and noise of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ring {
    mean: f32,
    sigma: f32,
    /// Pixels above are peak pixels.
    threshold: f32,
}

impl Peakfinder8 {
    /// The pixels of every peak, as places in the frame's cells.
    pub(super) fn peaks(
        &self,
        frame: &Frame,
        bins: &Grid<u16>,
        panels: &[PixelRect],
    ) -> Vec<Vec<usize>> {
        if (bins.width(), bins.height()) != (frame.width(), frame.height()) {
            return Vec::new();
        }
        let rings = self.rings(frame, bins);
        let ring = |at: usize| {
            let bin = bins.cells().get(at).copied().unwrap_or(0);
            rings.get(usize::from(bin)).copied().unwrap_or_default()
        };
        let (pixels, bits) = (frame.pixels.cells(), frame.bad.cells());
        let reach = self.min_radius..=self.max_radius;
        let above: Vec<bool> = pixels
            .iter()
            .zip(bits)
            .zip(bins.cells())
            .map(|((value, bits), bin)| {
                let threshold = rings
                    .get(usize::from(*bin))
                    .map_or(f32::MAX, |r| r.threshold);
                *value > threshold && bits & bad::NOT_VALID == 0 && reach.contains(bin)
            })
            .collect();
        let sizes = self.min_pixels..=self.max_pixels;
        components(frame, panels, above.clone())
            .into_iter()
            .filter(|(rect, peak)| {
                sizes.contains(&peak.len()) && self.stands_out(frame, peak, &above, *rect, &ring)
            })
            .map(|(_, peak)| peak)
            .collect()
    }

    /// Mean and sigma of every ring by five rounds in which pixels beyond the ring's own threshold are left out.
    fn rings(&self, frame: &Frame, bins: &Grid<u16>) -> Vec<Ring> {
        let count = bins
            .cells()
            .iter()
            .copied()
            .max()
            .map_or(0, |most| usize::from(most) + 1);
        let mut limits = vec![(f32::NEG_INFINITY, f32::INFINITY); count];
        let mut rings = vec![Ring::default(); count];
        for _ in 0..ROUNDS {
            let mut sums = vec![(0.0_f64, 0.0_f64, 0_u32); count];
            let cells = frame.pixels.cells().iter().zip(frame.bad.cells());
            for ((value, bits), bin) in cells.zip(bins.cells()) {
                let bin = usize::from(*bin);
                let (Some((low, high)), Some(sum)) = (limits.get(bin), sums.get_mut(bin)) else {
                    continue;
                };
                if bits & bad::NOT_VALID == 0 && value > low && value < high {
                    let value = f64::from(*value);
                    sum.0 += value;
                    sum.1 += value * value;
                    sum.2 += 1;
                }
            }
            for ((sum, ring), limits) in sums.iter().zip(&mut rings).zip(&mut limits) {
                *ring = if sum.2 == 0 {
                    Ring {
                        threshold: f32::MAX,
                        ..Ring::default()
                    }
                } else {
                    let mean = sum.0 / f64::from(sum.2);
                    let variance = sum.1 / f64::from(sum.2) - mean * mean;
                    let (mean, sigma) = (mean as f32, variance.max(0.0).sqrt() as f32);
                    Ring {
                        mean,
                        sigma,
                        threshold: (mean + self.min_snr * sigma).max(self.threshold),
                    }
                };
                // A ring of one value only would leave itself out.
                *limits = if ring.sigma > 0.0 {
                    (ring.mean - self.min_snr * ring.sigma, ring.threshold)
                } else {
                    (f32::NEG_INFINITY, f32::INFINITY)
                };
            }
        }
        rings
    }

    /// Whether the peak's sum is so many sigmas of its local background above it.
    ///
    /// The background are the valid pixels not above their thresholds within twice the local background's radius of the
    /// centroid, on the same panel; the ring's own where there are none.
    fn stands_out(
        &self,
        frame: &Frame,
        peak: &[usize],
        above: &[bool],
        rect: PixelRect,
        ring: &impl Fn(usize) -> Ring,
    ) -> bool {
        let width = frame.width();
        let pixels = frame.pixels.cells();
        let value = |at: usize| f64::from(pixels.get(at).copied().unwrap_or(0.0));
        let (mut weights, mut sum_x, mut sum_y, mut total) = (0.0, 0.0, 0.0, 0.0);
        for &at in peak {
            let weight = value(at) - f64::from(ring(at).mean);
            weights += weight;
            sum_x += weight * (at % width) as f64;
            sum_y += weight * (at / width) as f64;
            total += value(at);
        }
        let center = |sum: f64| (sum / weights).round().max(0.0) as usize;
        let (x, y) = (center(sum_x), center(sum_y));
        let reach = 2 * self.local_background_radius;
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0_u32);
        for v in y.saturating_sub(reach).max(rect.y0)..(y + reach + 1).min(rect.y1) {
            for u in x.saturating_sub(reach).max(rect.x0)..(x + reach + 1).min(rect.x1) {
                let at = v * width + u;
                let is_far = u.abs_diff(x).pow(2) + v.abs_diff(y).pow(2) > reach * reach;
                if is_far || above.get(at).copied().unwrap_or(true) || !frame.is_valid(u, v) {
                    continue;
                }
                sum += value(at);
                squares += value(at) * value(at);
                count += 1;
            }
        }
        let (mean, sigma) = if count == 0 {
            let ring = peak.first().map(|at| ring(*at)).unwrap_or_default();
            (f64::from(ring.mean), f64::from(ring.sigma))
        } else {
            let mean = sum / f64::from(count);
            let variance = squares / f64::from(count) - mean * mean;
            (mean, variance.max(0.0).sqrt())
        };
        let signal = total - mean * peak.len() as f64;
        signal > 0.0 && signal >= f64::from(self.min_snr) * sigma
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, Poisson};

    pub(crate) fn crystal(seed: u64, width: usize, height: usize) -> (Frame, Geometry) {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
        let spots: Vec<(f64, f64, f64)> = (0..25)
            .map(|_| {
                let place = |n: usize, rng: &mut rand_pcg::Pcg64| rng.random_range(0.0..n as f64);
                (
                    place(width, &mut rng),
                    place(height, &mut rng),
                    rng.random_range(20.0..900.0),
                )
            })
            .collect();
        let center = [width as f64 * 0.45, height as f64 * 0.55];
        let pixels = Grid::from_fn(width, height, |x, y| {
            let radius = (x as f64 + 0.5 - center[0]).hypot(y as f64 + 0.5 - center[1]);
            let spot: f64 = spots
                .iter()
                .map(|(u, v, total)| {
                    let r2 = (x as f64 - u).powi(2) + (y as f64 - v).powi(2);
                    total / std::f64::consts::TAU / 1.5 * (-r2 / 3.0).exp()
                })
                .sum();
            let level = 3.0 + 12.0 * (-((radius - 30.0) / 9.0).powi(2)).exp();
            Poisson::new(level + spot).unwrap().sample(&mut rng) as f32
        });
        let bits = Grid::from_fn(width, height, |x, y| {
            u16::from((x * 31 + y * 17) % 97 == 0) * bad::DEAD
        });
        let geometry = Geometry {
            beam_center_px: Some(center),
            ..Geometry::default()
        };
        (Frame::new(0, pixels, bits).unwrap(), geometry)
    }

    /// Every step by its definition, pixel by pixel and ring by ring, without anything shared with the finder.
    fn slowly(options: &Peakfinder8, frame: &Frame, bins: &Grid<u16>) -> Vec<Vec<usize>> {
        let (w, h) = (frame.width(), frame.height());
        let at = |x: usize, y: usize| {
            (
                frame.is_valid(x, y),
                *frame.pixels.get(x, y).unwrap(),
                *bins.get(x, y).unwrap(),
            )
        };
        let all: Vec<(usize, usize)> = (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).collect();
        let mut threshold = std::collections::HashMap::new();
        let mut means = std::collections::HashMap::new();
        for bin in 0..=*bins.cells().iter().max().unwrap() {
            let ring: Vec<f64> = all
                .iter()
                .map(|p| at(p.0, p.1))
                .filter(|p| p.0 && p.2 == bin)
                .map(|p| f64::from(p.1))
                .collect();
            let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
            let mut last = (0.0, f32::MAX);
            for _ in 0..5 {
                let kept: Vec<f64> = ring
                    .iter()
                    .copied()
                    .filter(|v| *v as f32 > low && (*v as f32) < high)
                    .collect();
                if kept.is_empty() {
                    last = (0.0, f32::MAX);
                    break;
                }
                let mean = kept.iter().sum::<f64>() / kept.len() as f64;
                let variance =
                    kept.iter().map(|v| v * v).sum::<f64>() / kept.len() as f64 - mean * mean;
                let sigma = variance.max(0.0).sqrt() as f32;
                last = (
                    mean as f32,
                    (mean as f32 + options.min_snr * sigma).max(options.threshold),
                );
                if sigma > 0.0 {
                    (low, high) = (mean as f32 - options.min_snr * sigma, last.1);
                }
            }
            means.insert(bin, last.0);
            threshold.insert(bin, last.1);
        }
        let above = |x: usize, y: usize| at(x, y).0 && at(x, y).1 > threshold[&at(x, y).2];
        let mut group = std::collections::HashMap::new();
        for (n, p) in all.iter().filter(|p| above(p.0, p.1)).enumerate() {
            group.insert(*p, n);
        }
        loop {
            let before = group.clone();
            for (p, q) in before
                .keys()
                .flat_map(|p| before.keys().map(move |q| (*p, *q)))
            {
                if p.0.abs_diff(q.0) < 2 && p.1.abs_diff(q.1) < 2 {
                    let least = group[&p].min(group[&q]);
                    group.insert(p, least);
                    group.insert(q, least);
                }
            }
            if group == before {
                break;
            }
        }
        let mut peaks: std::collections::BTreeMap<usize, Vec<(usize, usize)>> = Default::default();
        for p in &all {
            if let Some(n) = group.get(p) {
                peaks.entry(*n).or_default().push(*p);
            }
        }
        let reach = 2.0 * options.local_background_radius as f64;
        peaks
            .into_values()
            .filter(|peak| {
                if peak.len() < options.min_pixels || peak.len() > options.max_pixels {
                    return false;
                }
                let weight = |p: &(usize, usize)| {
                    f64::from(at(p.0, p.1).1) - f64::from(means[&at(p.0, p.1).2])
                };
                let sum: f64 = peak.iter().map(weight).sum();
                let x = (peak.iter().map(|p| weight(p) * p.0 as f64).sum::<f64>() / sum).round();
                let y = (peak.iter().map(|p| weight(p) * p.1 as f64).sum::<f64>() / sum).round();
                let near: Vec<f64> = all
                    .iter()
                    .filter(|p| {
                        (p.0 as f64 - x).hypot(p.1 as f64 - y) <= reach + 1e-9
                            && at(p.0, p.1).0
                            && !above(p.0, p.1)
                    })
                    .map(|p| f64::from(at(p.0, p.1).1))
                    .collect();
                let mean = near.iter().sum::<f64>() / near.len() as f64;
                let sigma = (near.iter().map(|v| v * v).sum::<f64>() / near.len() as f64
                    - mean * mean)
                    .sqrt();
                let signal = peak.iter().map(|p| f64::from(at(p.0, p.1).1)).sum::<f64>()
                    - mean * peak.len() as f64;
                signal >= f64::from(options.min_snr) * sigma
            })
            .map(|peak| {
                let mut places: Vec<usize> = peak.iter().map(|p| p.1 * w + p.0).collect();
                places.sort_unstable();
                places
            })
            .collect()
    }

    #[test]
    fn peaks_are_those_of_the_definition() {
        let mut found = 0;
        for seed in 0..6 {
            let (frame, geometry) = crystal(seed, 90, 80);
            let bins = radius_bins(&geometry, 90, 80);
            for options in [
                Peakfinder8::default(),
                Peakfinder8 {
                    threshold: 25.0,
                    min_snr: 3.0,
                    min_pixels: 1,
                    max_pixels: 9,
                    ..Peakfinder8::default()
                },
            ] {
                let mut peaks = options.peaks(&frame, &bins, &[frame.pixels.rect()]);
                peaks.iter_mut().for_each(|peak| peak.sort_unstable());
                peaks.sort();
                let mut wanted = slowly(&options, &frame, &bins);
                wanted.sort();
                found += peaks.len();
                assert_eq!(peaks, wanted, "seed {seed}");
            }
        }
        assert!(found > 50, "{found}");
    }
}
