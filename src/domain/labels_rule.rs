//! What is a peak pixel: the one labelling rule, for the simulator, for peak-grow and for imports.
//!
//! **Peak.** From the spot's brightest pixel outwards, all touching pixels whose expected signal is at least one
//! sigma of their own background (background photons and read noise; never less than [`LEAST_SIGMA`] photons, the
//! step of a counting detector). The spot's SNR is its total divided by sqrt(total + pixels x background
//! variance), in photons. Above 6 it is a peak; from 3 to 6 it is *ignore*, because nobody can be sure; below 3 it
//! stays what it was. The one-pixel rim around a peak is ignore too: whether it belongs is a matter of taste.
//!
//! **Peak on a ring or streak.** The ring counts as background: a peak only if it stands out of the ring by more
//! than 6. Peak wins over artifact where both hold.
//!
//! **Artifact.** Rings, arcs and the grains on them, salt and ice spots, jet streaks: where their expected signal
//! is at least half a sigma of the background. They are long, so an eye follows them where a single pixel would
//! not do. Between a quarter and half a sigma: ignore.
//!
//! **Saturated.** The core is peak, the tail of the bloom ignore. **Invalid** pixels carry no class: ignore.

use super::grid::PixelRect;
use super::labels::{Class, Sheet};

/// A spot above this SNR is a peak.
pub const PEAK_SNR: f32 = 6.0;
/// A spot above this SNR, up to [`PEAK_SNR`], is ignored; below it is background.
pub const DOUBT_SNR: f32 = 3.0;
/// An artifact's expected signal in sigmas of the background, from which a pixel is artifact.
pub const ARTIFACT_SIGMAS: f32 = 0.5;
/// The same, from which it is ignored.
pub const ARTIFACT_DOUBT_SIGMAS: f32 = 0.25;
/// No background is known better than this, photons.
pub const LEAST_SIGMA: f32 = 0.2;

/// What the rule makes of a spot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ruling {
    pub class: Class,
    pub snr: f32,
    /// How many pixels its footprint has.
    pub pixels: usize,
}

/// The class of a spot of this SNR.
pub fn class_of_snr(snr: f32) -> Class {
    if snr > PEAK_SNR {
        Class::Peak
    } else if snr >= DOUBT_SNR {
        Class::Ignore
    } else {
        Class::Background
    }
}

/// Background-subtracted total over its sigma, all in photons.
pub fn spot_snr(total: f32, background_variance_sum: f32) -> f32 {
    let variance = total.max(0.0) + background_variance_sum;
    if variance > 0.0 {
        total / variance.sqrt()
    } else {
        0.0
    }
}

/// Labels one spot in the sheet by the rule.
///
/// `signal` holds the spot's expected photons in the cells of `rect`, row by row; NaN or 0 where the pixel is invalid;
/// `variance(x, y)` the variance of everything else in that pixel (background, ring, read noise), photons squared.
/// A doubtful spot does not overwrite a peak. Call [`rim`] once all spots of a frame are labelled.
pub fn label_spot(
    sheet: &mut Sheet,
    rect: PixelRect,
    signal: &[f32],
    variance: impl Fn(usize, usize) -> f32,
) -> Ruling {
    label_spot_from(sheet, rect, signal, variance, 1.0)
}

/// As [`label_spot`], with the spot's pixels from so many sigmas of their background on instead of one.
pub fn label_spot_from(
    sheet: &mut Sheet,
    rect: PixelRect,
    signal: &[f32],
    variance: impl Fn(usize, usize) -> f32,
    sigmas: f32,
) -> Ruling {
    let nothing = Ruling {
        class: Class::Background,
        snr: 0.0,
        pixels: 0,
    };
    let width = rect.width();
    if signal.len() != rect.area() || width == 0 {
        return nothing;
    }
    let least = LEAST_SIGMA * LEAST_SIGMA;
    let noise: Vec<f32> = (0..signal.len())
        .map(|i| variance(rect.x0 + i % width, rect.y0 + i / width).max(least))
        .collect();
    let brightest = signal
        .iter()
        .enumerate()
        .filter(|(_, s)| **s > 0.0)
        .max_by(|a, b| a.1.total_cmp(b.1));
    let Some((start, &maximum)) = brightest else {
        return nothing;
    };
    // A broad weak spot is judged over its half maximum, where one sigma would leave a single pixel.
    let least = |i: usize| sigmas * noise[i].sqrt();
    let highest = maximum * if sigmas > 1.0 { 0.9 } else { 0.5 };
    let belongs = |i: usize| signal[i] >= least(i).min(highest);
    let mut taken = vec![false; signal.len()];
    let mut queue = vec![start];
    taken[start] = true;
    let mut next = 0;
    while let Some(&cell) = queue.get(next) {
        next += 1;
        let (x, y) = (cell % width, cell / width);
        for ny in y.saturating_sub(1)..(y + 2).min(rect.height()) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                let neighbour = ny * width + nx;
                if !taken[neighbour] && belongs(neighbour) {
                    taken[neighbour] = true;
                    queue.push(neighbour);
                }
            }
        }
    }
    let total: f32 = queue.iter().map(|i| signal[*i]).sum();
    let snr = spot_snr(total, queue.iter().map(|i| noise[*i]).sum());
    let class = class_of_snr(snr);
    for &cell in &queue {
        let strong = cell == start || signal[cell] >= least(cell);
        let code = match class {
            Class::Peak if strong => Class::Peak.code(),
            Class::Peak | Class::Ignore => Class::Ignore.code(),
            _ => continue,
        };
        if let Some(slot) = sheet.get_mut(rect.x0 + cell % width, rect.y0 + cell / width)
            && *slot != Class::Peak.code()
        {
            *slot = code;
        }
    }
    Ruling {
        class,
        snr,
        pixels: queue.len(),
    }
}

/// The class of a pixel by the expected signal of artifacts in it and the variance of the rest, in photons.
pub fn artifact_class(signal: f32, variance: f32) -> Class {
    let sigma = variance.max(LEAST_SIGMA * LEAST_SIGMA).sqrt();
    if signal >= ARTIFACT_SIGMAS * sigma {
        Class::Artifact
    } else if signal >= ARTIFACT_DOUBT_SIGMAS * sigma {
        Class::Ignore
    } else {
        Class::Background
    }
}

/// Puts the one-pixel ignore rim around all peak pixels.
pub fn rim(sheet: &mut Sheet) {
    let (width, height) = (sheet.width(), sheet.height());
    let mut edges = Vec::new();
    for y in 0..height {
        for (x, code) in sheet.row(y).iter().enumerate() {
            if *code == Class::Peak.code() {
                edges.push((x, y));
            }
        }
    }
    for (x, y) in edges {
        for ny in y.saturating_sub(1)..(y + 2).min(height) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                if let Some(slot) = sheet.get_mut(nx, ny)
                    && *slot != Class::Peak.code()
                {
                    *slot = Class::Ignore.code();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    fn ruled(total: f32, sigma_px: f32, variance: f32) -> (Ruling, Sheet) {
        let rect = PixelRect::new(4, 4, 17, 17);
        let shape = |i: usize| {
            let (x, y) = ((i % 13) as f32 - 6.0, (i / 13) as f32 - 6.0);
            (-(x * x + y * y) / (2.0 * sigma_px * sigma_px)).exp()
        };
        let sum: f32 = (0..169).map(shape).sum();
        let signal: Vec<f32> = (0..169).map(|i| total * shape(i) / sum).collect();
        let mut sheet = Grid::filled(20, 20, 0);
        let ruling = label_spot(&mut sheet, rect, &signal, |_, _| variance);
        rim(&mut sheet);
        (ruling, sheet)
    }

    #[test]
    fn strong_doubtful_and_weak_spots() {
        for (total, sigma, variance, class) in [
            (500.0, 1.0, 4.0, Class::Peak),
            (45.0, 1.0, 4.0, Class::Ignore),
            (12.0, 1.0, 4.0, Class::Background),
            (40.0, 0.7, 0.01, Class::Peak),
            (20.0, 0.7, 0.01, Class::Ignore),
            (500.0, 1.0, 40_000.0, Class::Background),
        ] {
            let (ruling, sheet) = ruled(total, sigma, variance);
            assert_eq!(ruling.class, class, "{total} {sigma} {variance} {ruling:?}");
            let at = |x, y| *sheet.get(x, y).unwrap();
            assert_eq!(at(10, 10), class.code());
            assert_eq!(at(0, 0), 0);
            if class == Class::Peak {
                let peaks = sheet.cells().iter().filter(|c| **c == 1).count();
                let rim = sheet.cells().iter().filter(|c| **c == 255).count();
                assert!(peaks >= 5 && rim >= 12, "{peaks} {rim}");
            }
        }
    }
}
