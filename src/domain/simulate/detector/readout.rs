//! What happens to drawn photons on their way to stored numbers.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::Detector;
use crate::domain::frame::bad;
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::simulate::background::Mottle;
use crate::domain::simulate::chance::{chance, exp, exp_fast, exponential, normal, sin_cos};

impl Detector {
    /// Turns drawn photons into stored values, and bad pixels into bits of `bits`.
    ///
    /// Returns the pixels that are bright only because a full neighbour ran over into them.
    pub fn read_out(
        &self,
        photons: &mut Grid<f32>,
        bits: &mut Grid<u16>,
        rng: &mut Pcg64Mcg,
    ) -> Vec<[usize; 2]> {
        if self.spread_px > 0.0 {
            blur(photons, self.spread_px);
        }
        if self.halo[0] > 0.0 {
            add_halo(photons, self.halo);
        }
        self.amplify(photons, rng);
        self.add_bad_pixels(photons, bits, rng);
        if chance(rng, self.bad_line) {
            self.add_bad_line(photons, rng);
        }
        self.add_zingers(photons, rng);
        let spilt = if self.blooms {
            self.run_over(photons)
        } else {
            Vec::new()
        };
        self.digitise(photons, bits, rng);
        if let Some(disc) = self.disc {
            self.outside(disc, |x, y| {
                if let Some(value) = photons.get_mut(x, y) {
                    *value = 0.0;
                }
            });
        }
        spilt
    }

    /// Photons to stored units: gains and offsets of tiles, of rows, and a smooth map.
    fn amplify(&self, photons: &mut Grid<f32>, rng: &mut Pcg64Mcg) {
        if self.gain_map > 0.0 {
            let strength = self.gain_map * (0.3 + 1.4 * rng.random::<f32>());
            let map = Mottle::random(strength, photons.width(), photons.height(), rng);
            for y in 0..photons.height() {
                for (x, cell) in photons.row_mut(y).iter_mut().enumerate() {
                    *cell *= map.at(x, y);
                }
            }
        }
        for tile in &self.tiles {
            let offset = self.offset + self.tile_offset * normal(rng) as f32;
            let gain = (1.0 + self.tile_gain * normal(rng) as f32).max(0.3) * self.units_per_photon;
            for y in tile.rect.y0..tile.rect.y1 {
                let offset = if self.row_noise > 0.0 {
                    offset + self.row_noise * normal(rng) as f32
                } else {
                    offset
                };
                let Some(cells) = photons.row_mut(y).get_mut(tile.rect.x0..tile.rect.x1) else {
                    continue;
                };
                for cell in cells {
                    *cell = *cell * gain + offset;
                }
            }
        }
    }

    fn digitise(&self, values: &mut Grid<f32>, bits: &mut Grid<u16>, rng: &mut Pcg64Mcg) {
        for (value, bits) in values.cells_mut().iter_mut().zip(bits.cells_mut()) {
            if *bits & bad::MISSING != 0 {
                *value = self.gap_value;
                continue;
            }
            if self.read_noise > 0.0 {
                *value += self.read_noise * rng.sample::<f32, _>(rand_distr::StandardNormal);
            }
            if self.integers {
                *value = value.round();
            }
            if !self.negatives {
                *value = value.max(0.0);
            }
            if *value >= self.ceiling {
                *value = self.ceiling;
                *bits |= bad::SATURATED;
            }
        }
    }

    fn add_bad_pixels(&self, values: &mut Grid<f32>, bits: &mut Grid<u16>, rng: &mut Pcg64Mcg) {
        let megapixels = values.len() as f64 / 1e6;
        for (rate, bit) in [
            (self.hot_per_megapixel, bad::HOT),
            (self.dead_per_megapixel, bad::DEAD),
        ] {
            let count = rate.draw_log(rng) * megapixels;
            let count = count.floor() as usize + usize::from(chance(rng, count.fract()));
            for _ in 0..count {
                let (x, y) = anywhere(values, rng);
                let level = if bit == bad::HOT {
                    let photons = 3.0 * exp(7.0 * rng.random::<f64>());
                    self.offset + photons as f32 * self.units_per_photon
                } else {
                    self.offset
                };
                let known = chance(rng, self.known_bad);
                if let (Some(value), Some(bits)) = (values.get_mut(x, y), bits.get_mut(x, y)) {
                    *value = level.min(self.ceiling * 0.999);
                    if known {
                        *bits |= bit;
                    }
                }
            }
        }
    }

    /// Part of a row or column gets a level of its own.
    fn add_bad_line(&self, values: &mut Grid<f32>, rng: &mut Pcg64Mcg) {
        let (x, y) = anywhere(values, rng);
        let photons = exponential(rng) as f32 * 8.0 - 1.0;
        let level = photons * self.units_per_photon.max(self.read_noise);
        let along_x = chance(rng, 0.5);
        let reach = rng.random_range(20..1000_u32) as usize;
        for step in 0..reach {
            let (x, y) = if along_x {
                (x + step, y)
            } else {
                (x, y + step)
            };
            if let Some(value) = values.get_mut(x, y) {
                *value += level;
            }
        }
    }

    fn add_zingers(&self, values: &mut Grid<f32>, rng: &mut Pcg64Mcg) {
        let count = self.zingers_per_megapixel.draw(rng) * values.len() as f64 / 1e6;
        let count = count.floor() as usize + usize::from(chance(rng, count.fract()));
        for _ in 0..count {
            let (x, y) = anywhere(values, rng);
            let (x, y) = (
                x as f64 + rng.random::<f64>(),
                y as f64 + rng.random::<f64>(),
            );
            let charge = (6.0 + 60.0 * exponential(rng)) as f32 * self.units_per_photon;
            // Mostly one or two pixels, sometimes the track of a cosmic ray.
            let length = if chance(rng, 0.15) {
                rng.random_range(3.0..14.0)
            } else {
                rng.random_range(0.0..1.6)
            };
            let (sin, cos) = sin_cos(rng.random::<f64>() * std::f64::consts::TAU);
            let mut step = 0.0;
            while step <= length {
                let at = [x + cos * step, y + sin * step];
                self.deposit(values, at, charge * (0.3 + 0.7 * rng.random::<f32>()));
                step += 1.0;
            }
            if chance(rng, self.zinger_trail) {
                let reach = rng.random_range(3..24_u32);
                for step in 1..=reach {
                    let share = 0.15 * exp_fast(-(step as f32) / 6.0);
                    if let Some(value) = values.get_mut(x as usize + step as usize, y as usize) {
                        *value += charge * share;
                    }
                }
            }
        }
    }

    /// Puts charge at a continuous position, spread as zingers are.
    fn deposit(&self, values: &mut Grid<f32>, [x, y]: [f64; 2], charge: f32) {
        if x < 0.0 || y < 0.0 {
            return;
        }
        if self.zinger_spread_px < 0.1 {
            if let Some(value) = values.get_mut(x as usize, y as usize) {
                *value += charge;
            }
            return;
        }
        let sigma2 = 2.0 * self.zinger_spread_px * self.zinger_spread_px;
        let (left, top) = (
            (x as usize).saturating_sub(2),
            (y as usize).saturating_sub(2),
        );
        let rect = PixelRect::new(left, top, x as usize + 3, y as usize + 3);
        let weight = |px: usize, py: usize| {
            let (dx, dy) = (px as f64 + 0.5 - x, py as f64 + 0.5 - y);
            exp_fast(-((dx * dx + dy * dy) as f32) / sigma2)
        };
        let cells = || (rect.y0..rect.y1).flat_map(|py| (rect.x0..rect.x1).map(move |px| (px, py)));
        let sum: f32 = cells().map(|(px, py)| weight(px, py)).sum();
        for (px, py) in cells() {
            if let Some(value) = values.get_mut(px, py) {
                *value += charge * weight(px, py) / sum.max(1e-6);
            }
        }
    }

    /// Charge beyond the ceiling fills the neighbours above and below; returns the pixels that got any.
    fn run_over(&self, values: &mut Grid<f32>) -> Vec<[usize; 2]> {
        const FARTHEST: usize = 60;
        let full: Vec<(usize, usize, f32)> = (0..values.height())
            .flat_map(|y| {
                let row = values.row(y).iter().enumerate();
                row.filter(|(_, value)| **value > self.ceiling)
                    .map(move |(x, value)| (x, y, value - self.ceiling))
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut spilt = Vec::new();
        for (x, y, excess) in full {
            for up in [false, true] {
                let mut rest = excess / 2.0;
                for step in 1..=FARTHEST {
                    let next = if up {
                        y.checked_sub(step)
                    } else {
                        Some(y + step)
                    };
                    let Some(next) = next else { break };
                    let Some(value) = values.get_mut(x, next) else {
                        break;
                    };
                    let room = (self.ceiling - *value).clamp(0.0, rest);
                    if room > 0.0 {
                        *value += room;
                        rest -= room;
                        spilt.push([x, next]);
                    }
                    if rest <= 0.0 {
                        break;
                    }
                }
            }
        }
        spilt
    }
}

fn anywhere(grid: &Grid<f32>, rng: &mut Pcg64Mcg) -> (usize, usize) {
    let x = rng.random_range(0..grid.width().max(1) as u32);
    let y = rng.random_range(0..grid.height().max(1) as u32);
    (x as usize, y as usize)
}

/// Gaussian blur by a separable kernel; beyond the grid its edge is thought to go on.
pub fn blur(grid: &mut Grid<f32>, sigma: f32) {
    let reach = ((3.0 * sigma).ceil() as usize).max(1);
    // The kernel is a Gaussian integrated over pixels, here by ten samples a pixel.
    let mut kernel: Vec<f32> = (0..=2 * reach)
        .map(|i| {
            (0..10)
                .map(|s| {
                    let x = i as f32 - reach as f32 + (s as f32 - 4.5) / 10.0;
                    exp_fast(-x * x / (2.0 * sigma * sigma))
                })
                .sum()
        })
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= sum);
    let (width, height) = (grid.width(), grid.height());
    if width == 0 || height == 0 {
        return;
    }
    let mut padded = vec![0.0; width + 2 * reach];
    for y in 0..height {
        let row = grid.row_mut(y);
        padded[reach..reach + width].copy_from_slice(row);
        let (first, last) = (padded[reach], padded[reach + width - 1]);
        padded[..reach].fill(first);
        padded[reach + width..].fill(last);
        row.fill(0.0);
        for (offset, k) in kernel.iter().enumerate() {
            for (out, value) in row.iter_mut().zip(&padded[offset..]) {
                *out += k * value;
            }
        }
    }
    let old = grid.clone();
    for y in 0..height {
        let row = grid.row_mut(y);
        row.fill(0.0);
        for (offset, k) in kernel.iter().enumerate() {
            let source = (y + offset).saturating_sub(reach).min(height - 1);
            for (out, value) in row.iter_mut().zip(old.row(source)) {
                *out += k * value;
            }
        }
    }
}

/// Moves a share of the light into a wide halo.
pub fn add_halo(grid: &mut Grid<f32>, [share, sigma]: [f32; 2]) {
    let mut wide = grid.clone();
    for _ in 0..2 {
        blur(&mut wide, sigma / std::f32::consts::SQRT_2);
    }
    for (value, wide) in grid.cells_mut().iter_mut().zip(wide.cells()) {
        *value = *value * (1.0 - share) + wide * share;
    }
}
