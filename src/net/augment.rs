//! Augmentation of training patches: the paper's rotation, shift and zero rectangles; the eight symmetries of a square; gain,
//! offset and noise after the standardisation, which would undo a gain before it.
//!
//! The same transform is applied to input and classes; whatever is filled gets no target and weighs nothing.

use rand::Rng;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;

use super::loss::NO_TARGET;

/// The background's sigma in a prepared frame: its noise is divided by 4 before the arc sine.
const SIGMA: f32 = 0.25;

/// A square training patch: prepared input and target codes, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    pub side: usize,
    pub input: Vec<f32>,
    pub target: Vec<u8>,
}

/// How strongly patches are varied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// Share of patches that are rotated by any angle (nearest neighbour, zero fill).
    pub rotated: f64,
    /// Share of patches that are shifted by up to 20 % of their side.
    pub shifted: f64,
    /// Share of patches that get zero rectangles: 50 of nominally 100 x 100 px on 1920 x 1920, scaled to the patch.
    pub covered: f64,
    /// Share of patches whose input is scaled by 0.75 to 1.33 and moved by up to half a sigma.
    pub scaled: f64,
    /// Share of patches that get noise of up to a third of their own.
    pub noised: f64,
}

impl Default for Strength {
    fn default() -> Self {
        Self {
            rotated: 0.25,
            shifted: 0.25,
            covered: 0.25,
            scaled: 0.25,
            noised: 0.25,
        }
    }
}

impl Patch {
    /// A patch of nothing: 0, and no target anywhere.
    pub fn empty(side: usize) -> Self {
        Self {
            side,
            input: vec![0.0; side * side],
            target: vec![NO_TARGET; side * side],
        }
    }

    /// Changes the input where there is any: what is exactly 0 is a bad pixel or was filled.
    fn vary(&mut self, mut change: impl FnMut(f32) -> f32) {
        for value in self.input.iter_mut().filter(|value| **value != 0.0) {
            *value = change(*value);
        }
    }

    /// Resamples by a function from output to source position; outside is filled.
    fn resample(&self, source: impl Fn(f32, f32) -> (f32, f32)) -> Self {
        let side = self.side;
        let mut out = Self::empty(side);
        for y in 0..side {
            for x in 0..side {
                let (sx, sy) = source(x as f32 + 0.5, y as f32 + 0.5);
                if sx < 0.0 || sy < 0.0 {
                    continue;
                }
                let (sx, sy) = (sx as usize, sy as usize);
                if sx < side && sy < side {
                    out.input[y * side + x] = self.input[sy * side + sx];
                    out.target[y * side + x] = self.target[sy * side + sx];
                }
            }
        }
        out
    }
}

/// A varied copy; the same generator state gives the same patch.
pub fn augment(patch: &Patch, strength: Strength, rng: &mut Pcg64Mcg) -> Patch {
    let side = patch.side as f32;
    let symmetry = rng.random_range(0..8_u32);
    let mut out = patch.resample(|x, y| {
        let (x, y) = if symmetry & 1 != 0 {
            (side - x, y)
        } else {
            (x, y)
        };
        let (x, y) = if symmetry & 2 != 0 {
            (x, side - y)
        } else {
            (x, y)
        };
        if symmetry & 4 != 0 { (y, x) } else { (x, y) }
    });
    if rng.random_bool(strength.rotated) {
        let (sine, cosine) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
        let middle = side / 2.0;
        out = out.resample(|x, y| {
            let (x, y) = (x - middle, y - middle);
            (
                cosine * x - sine * y + middle,
                sine * x + cosine * y + middle,
            )
        });
    }
    if rng.random_bool(strength.shifted) {
        let reach = 0.2 * side;
        let (dx, dy) = (
            rng.random_range(-reach..=reach).round(),
            rng.random_range(-reach..=reach).round(),
        );
        out = out.resample(|x, y| (x - dx, y - dy));
    }
    if rng.random_bool(strength.scaled) {
        let gain = 2.0_f32.powf(rng.random_range(-0.415..0.415));
        let offset = SIGMA * rng.random_range(-0.5..0.5_f32);
        out.vary(|value| value * gain + offset);
    }
    if rng.random_bool(strength.noised) {
        let sigma = SIGMA * rng.random_range(0.0..0.33_f32);
        out.vary(|value| value + sigma * rng.sample::<f32, _>(StandardNormal));
    }
    if rng.random_bool(strength.covered) {
        cover(&mut out, rng);
    }
    out
}

/// Zero rectangles of the paper's density: 50 of 100 x 100 px, each side varied by 20 %, on 1920 x 1920.
fn cover(patch: &mut Patch, rng: &mut Pcg64Mcg) {
    let side = patch.side;
    let mean = 50.0 * (side as f64 / 1920.0).powi(2);
    let count = mean.ceil() as usize;
    for _ in 0..count {
        let mut edge = || (100.0 * rng.random_range(0.8..1.2)) as usize;
        let (width, height) = (edge().min(side), edge().min(side));
        // Part of a rectangle may lie outside, as on a whole frame.
        let x0 = rng.random_range(0..side) as isize - width as isize / 2;
        let y0 = rng.random_range(0..side) as isize - height as isize / 2;
        let clip = |v: isize| v.clamp(0, side as isize) as usize;
        for y in clip(y0)..clip(y0 + height as isize) {
            let row = y * side;
            let (from, to) = (row + clip(x0), row + clip(x0 + width as isize));
            patch.input[from..to].fill(0.0);
            patch.target[from..to].fill(NO_TARGET);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Input and target always move together, filled pixels have no target, and a seed repeats.
    #[test]
    fn input_and_target_move_together() {
        let side = 64;
        let classes: Vec<u8> = (0..side * side).map(|i| (i * 7 % 3) as u8).collect();
        let patch = Patch {
            side,
            input: classes.iter().map(|c| f32::from(*c) + 1.0).collect(),
            target: classes,
        };
        let always = Strength {
            rotated: 1.0,
            shifted: 1.0,
            covered: 1.0,
            scaled: 0.0,
            noised: 0.0,
        };
        for seed in 0..20 {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            let varied = augment(&patch, always, &mut rng);
            for (input, target) in varied.input.iter().zip(&varied.target) {
                let expected = if *target == NO_TARGET {
                    0.0
                } else {
                    f32::from(*target) + 1.0
                };
                assert_eq!(*input, expected);
            }
            assert!(varied.target.contains(&NO_TARGET));
            assert_eq!(
                varied,
                augment(&patch, always, &mut Pcg64Mcg::seed_from_u64(seed))
            );
        }
    }
}
