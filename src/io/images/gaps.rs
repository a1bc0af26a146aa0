//! Gaps between the modules of frames that a script has assembled: solid areas of zeros that no mask tells of.

use crate::domain::frame::bad;

/// A sample of so many pixels decides.
const SAMPLE: usize = 1 << 18;
/// So many of the pixels that are not zero must have only their own kind around them.
const SOLID: f64 = 0.9;
/// The same for zeros: gaps are as narrow as three pixels.
const SOLID_ZEROS: f64 = 0.3;

/// Marks zeros as missing where zeros are gaps: where they and the other pixels both form solid areas.
///
/// In a frame of few photons zeros and counts lie mixed, and where light is bright there are no zeros; neither is touched.
pub fn mark_gaps(width: usize, pixels: &[f32], bits: &mut [u16]) {
    if width < 3 || pixels.len() != bits.len() {
        return;
    }
    let height = pixels.len() / width;
    let step = (pixels.len() / SAMPLE).max(1) | 1;
    // Zeros and others: how many there are, how many have only their own kind around them.
    let mut counts = [[0_u32; 2]; 2];
    for at in (0..pixels.len()).step_by(step) {
        let (x, y) = (at % width, at / width);
        if x == 0 || y == 0 || x + 1 >= width || y + 1 >= height {
            continue;
        }
        let is_zero = |at: usize| pixels.get(at).is_some_and(|value| *value == 0.0);
        let here = is_zero(at);
        let around = [at - 1, at + 1, at - width, at + width];
        let is_solid = around.into_iter().all(|at| is_zero(at) == here);
        let [all, solid] = &mut counts[usize::from(here)];
        *all += 1;
        *solid += u32::from(is_solid);
    }
    let is_solid = |[all, solid]: [u32; 2], share: f64| f64::from(solid) >= share * f64::from(all);
    let [others, zeros] = counts;
    // A handful of dead pixels is no gap.
    let are_many = zeros[0] > (others[0] + zeros[0]) / 500 && others[0] > 0;
    if are_many && is_solid(others, SOLID) && is_solid(zeros, SOLID_ZEROS) {
        for (bits, value) in bits.iter_mut().zip(pixels) {
            if *value == 0.0 {
                *bits |= bad::MISSING;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(value: impl Fn(usize, usize) -> f32) -> usize {
        let pixels: Vec<f32> = (0..200 * 300).map(|i| value(i % 200, i / 200)).collect();
        let mut bits = vec![0; pixels.len()];
        mark_gaps(200, &pixels, &mut bits);
        bits.iter().filter(|bits| **bits == bad::MISSING).count()
    }

    #[test]
    fn module_gaps_are_found_and_dark_pixels_are_not() {
        let gap = |x: usize, y: usize| y.abs_diff(150) < 10 || x.abs_diff(90) < 6;
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 1013) as f32 / 1013.0;
        let bright = |x: usize, y: usize| if gap(x, y) { 0.0 } else { 50.0 + noise(x, y) };
        assert_eq!(missing(bright), 19 * 200 + 11 * 300 - 19 * 11);
        // Counts of few photons, bright counts without gaps, gaps among few photons: zeros are measurements.
        assert_eq!(missing(|x, y| f32::from(noise(x, y) > 0.8)), 0);
        assert_eq!(missing(|x, y| f32::from(noise(x, y) > 0.005)), 0);
        assert_eq!(missing(|x, y| 9.0 + noise(x, y)), 0);
        assert_eq!(missing(|_, _| 0.0), 0);
    }
}
