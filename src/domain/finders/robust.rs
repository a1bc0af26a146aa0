//! Robust Peak Finder: background level and scale of every patch by order statistics, without being told how much of it is
//! peaks.
//!
//! Hadian-Jazi, Messerschmidt, Darmanin, Giewekemeyer, Mancuso & Abbey, J. Appl. Cryst. 50 (2017) 1705; MSSE: Bab-Hadiashar &
//! Suter, Robotica 17 (1999) 649. Here the patches tile the frame, the background of a patch is a constant, and in frames of
//! whole counts the scale is at least that of its photons.

use super::super::frame::{Frame, bad};
use super::super::grid::PixelRect;
use super::super::peaks::is_counting;
use super::components;

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Robust {
    /// Pixels more than so many scales above their background belong to a peak; also where MSSE stops.
    pub lambda: f32,
    /// The brightest pixel of a peak is at least so many scales above.
    pub min_snr: f32,
    pub min_pixels: usize,
    pub max_pixels: usize,
    /// Edge of a patch, pixels.
    pub patch: usize,
}

impl Robust {
    pub const USUAL: Self = Self {
        lambda: 4.0,
        min_snr: 8.0,
        min_pixels: 2,
        max_pixels: 50,
        patch: 24,
    };
}

impl Default for Robust {
    fn default() -> Self {
        Self::USUAL
    }
}

/// The share of a patch that is background for certain.
const CERTAIN: f64 = 0.5;
/// Fewer valid pixels say nothing of a patch.
const LEAST: usize = 16;

/// Level and scale of a sample by the modified selective statistical estimator; the sample is put in order.
///
/// Starting from the half of the values nearest the median, the next nearest is taken in until its squared residual is more
/// than lambda squared times the variance of those already in; level and scale are the mean and the standard deviation of
/// those. `None` for samples that are too small.
pub fn msse(sample: &mut [f32], lambda: f32) -> Option<(f32, f32)> {
    let n = sample.len();
    if n < LEAST {
        return None;
    }
    sample.sort_unstable_by(f32::total_cmp);
    let median = f64::from(*sample.get(n / 2)?);
    // The sorted values nearest the median lie side by side: they are taken in from both ends of a growing window.
    let (mut low, mut high) = (n / 2, n / 2 + 1);
    let (mut sum, mut squares) = (0.0, 0.0);
    let residual = |at: usize| sample.get(at).map(|value| f64::from(*value) - median);
    let first = residual(low)?;
    sum += first;
    squares += first * first;
    let limit = f64::from(lambda) * f64::from(lambda);
    let certain = ((n as f64 * CERTAIN) as usize).max(2);
    while high - low < n {
        let below = low.checked_sub(1).and_then(residual);
        let above = residual(high).filter(|_| high < n);
        let is_below = match (below, above) {
            (Some(below), Some(above)) => -below <= above,
            (below, _) => below.is_some(),
        };
        let next = if is_below { below } else { above }.unwrap_or(0.0);
        let count = high - low;
        if count >= certain {
            // One level was fitted: one degree of freedom is gone.
            let variance = squares / (count as f64 - 1.0);
            if next * next > limit * variance && variance > 0.0 {
                break;
            }
        }
        sum += next;
        squares += next * next;
        if is_below {
            low -= 1;
        } else {
            high += 1;
        }
    }
    let count = (high - low) as f64;
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0) * count / (count - 1.0);
    Some(((median + mean) as f32, variance.sqrt() as f32))
}

impl Robust {
    /// The pixels of every peak, as places in the frame's cells.
    pub(super) fn peaks(&self, frame: &Frame, panels: &[PixelRect]) -> Vec<Vec<usize>> {
        let width = frame.width();
        let (pixels, bits) = (frame.pixels.cells(), frame.bad.cells());
        let mut is_above = vec![false; pixels.len()];
        let mut is_bright = vec![false; pixels.len()];
        let mut sample: Vec<f32> = Vec::new();
        let edge = self.patch.max(6);
        let counts = is_counting(frame);
        for rect in panels
            .iter()
            .map(|rect| rect.intersect(&frame.pixels.rect()))
        {
            for top in (rect.y0..rect.y1).step_by(edge) {
                for left in (rect.x0..rect.x1).step_by(edge) {
                    let rows = top..(top + edge).min(rect.y1);
                    let columns = left..(left + edge).min(rect.x1);
                    sample.clear();
                    // Every other pixel, as on a chess board, is sample enough.
                    for y in rows.clone() {
                        let start = y * width + columns.start + (y & 1);
                        for at in (start..y * width + columns.end).step_by(2) {
                            if let (Some(value), Some(bits)) = (pixels.get(at), bits.get(at))
                                && bits & bad::NOT_VALID == 0
                            {
                                sample.push(*value);
                            }
                        }
                    }
                    let Some((level, scale)) = msse(&mut sample, self.lambda) else {
                        continue;
                    };
                    // Photons have their own noise, which the half of a patch that is dark does not show.
                    let scale = scale.max(if counts { level.max(1.0).sqrt() } else { 0.0 });
                    if scale <= 0.0 {
                        continue; // nothing can stand out of no noise
                    }
                    let (low, high) = (level + self.lambda * scale, level + self.min_snr * scale);
                    for y in rows.clone() {
                        for at in y * width + columns.start..y * width + columns.end {
                            if let (Some(value), Some(bits)) = (pixels.get(at), bits.get(at)) {
                                let is_valid = bits & bad::NOT_VALID == 0;
                                is_above[at] = is_valid && *value > low;
                                is_bright[at] = is_valid && *value >= high;
                            }
                        }
                    }
                }
            }
        }
        let sizes = self.min_pixels..=self.max_pixels;
        let is_peak = |peak: &Vec<usize>| {
            sizes.contains(&peak.len()) && peak.iter().any(|at| is_bright.get(*at) == Some(&true))
        };
        let found = components(frame, panels, is_above).into_iter();
        found.map(|(_, peak)| peak).filter(is_peak).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, Normal};

    /// The estimator by its definition: residuals sorted, one more taken in at a time, all sums made anew.
    fn slowly(sample: &[f32], lambda: f32) -> (f32, f32) {
        let mut sorted: Vec<f64> = sample.iter().map(|v| f64::from(*v)).collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        sorted.sort_by(|a, b| (a - median).abs().total_cmp(&(b - median).abs()));
        let mut kept = ((sorted.len() as f64 * CERTAIN) as usize).max(2);
        while kept < sorted.len() {
            let variance = sorted[..kept]
                .iter()
                .map(|v| (v - median).powi(2))
                .sum::<f64>()
                / (kept as f64 - 1.0);
            if variance > 0.0
                && (sorted[kept] - median).powi(2) > f64::from(lambda).powi(2) * variance
            {
                break;
            }
            kept += 1;
        }
        let mean = sorted[..kept].iter().sum::<f64>() / kept as f64;
        let variance = sorted[..kept]
            .iter()
            .map(|v| (v - mean).powi(2))
            .sum::<f64>()
            / (kept as f64 - 1.0);
        (mean as f32, variance.sqrt() as f32)
    }

    #[test]
    fn level_and_scale_are_those_of_the_definition_and_ignore_peaks() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
        for round in 0..200 {
            let n = rng.random_range(16..300);
            let (level, scale) = (
                rng.random_range(-50.0..500.0_f32),
                rng.random_range(0.5..30.0_f32),
            );
            let noise = Normal::new(level, scale).unwrap();
            let outliers = n * rng.random_range(0..35) / 100;
            let mut sample: Vec<f32> = (0..n)
                .map(|at| {
                    if at < outliers {
                        level + scale * rng.random_range(12.0..400.0_f32)
                    } else {
                        noise.sample(&mut rng)
                    }
                })
                .collect();
            let wanted = slowly(&sample, 4.0);
            let found = msse(&mut sample, 4.0).unwrap();
            assert!(
                (found.0 - wanted.0).abs() < 1e-3 * scale
                    && (found.1 - wanted.1).abs() < 1e-3 * scale,
                "{round}: {found:?} {wanted:?}"
            );
            if n > 100 {
                assert!(
                    (found.0 - level).abs() < scale && (0.5..1.6).contains(&(found.1 / scale)),
                    "{round}: {found:?} {level} {scale}"
                );
            }
        }
        assert!(msse(&mut [1.0; 15], 4.0).is_none());
        assert_eq!(msse(&mut [3.0; 20], 4.0), Some((3.0, 0.0)));
    }
}
