//! Rings and arcs: of metal and nozzles, of powders, of ice, lipids and calibrants; smooth, textured, or made of grains.

use std::f32::consts::TAU;

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::super::chance::{
    Spread, azimuth, chance, exp_fast, exponential, normal, poisson, sin_cos, smooth_noise,
};
use super::super::spots::{Profile, Spot};
use super::{Scene, add_spot};
use crate::domain::grid::Grid;

/// How the brightness varies along a ring; 1 on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Texture {
    /// Log-normal speckle: exponent (0 smooth, 2 spotted) and length along the arc in pixels.
    Speckle { rough: f32, grain_px: f64 },
    /// Single crystallites of a coarse powder: how many per pixel of arc, the log-normal sigma of their volumes, and how
    /// far each reaches along the arc (mosaic spread), pixels.
    Crystallites {
        per_px: f64,
        volumes: f64,
        length_px: f64,
    },
}

/// One sharp ring or arc.
pub struct Ring {
    pub radius: f64,
    pub sigma: f32,
    pub amplitude: f32,
    /// Offset of its centre from the beam, pixels.
    pub offset: [f32; 2],
    pub texture: Texture,
    /// Share of the circle, and where the arc's middle is.
    pub arc: Option<[f32; 2]>,
    /// Bright spots on it.
    pub grains: u32,
}

impl Ring {
    pub const fn plain(radius: f64, sigma: f32, amplitude: f32) -> Self {
        Self {
            radius,
            sigma,
            amplitude,
            offset: [0.0; 2],
            texture: Texture::Speckle {
                rough: 0.0,
                grain_px: 4.0,
            },
            arc: None,
            grains: 0,
        }
    }

    pub fn metal(radius: f64, amplitude: f32, rng: &mut Pcg64Mcg) -> Self {
        let sigma = Spread::new(0.45, 5.0).draw_log(rng) as f32;
        let mut ring = Self::plain(radius, sigma, amplitude);
        ring.texture = if chance(rng, 0.35) {
            crystallites(rng)
        } else {
            Texture::Speckle {
                rough: rng.random_range(0.0..2.2),
                grain_px: Spread::new(1.0, 60.0).draw_log(rng),
            }
        };
        if chance(rng, 0.3) {
            let reach = (radius * 0.12) as f32;
            ring.offset = [
                rng.random_range(-1.0..1.0) * reach,
                rng.random_range(-1.0..1.0) * reach,
            ];
        }
        if chance(rng, 0.45) {
            ring.arc = Some([rng.random_range(0.04..0.6), rng.random_range(0.0..TAU)]);
        }
        if chance(rng, 0.65) {
            // Fewer would not show that they lie on a ring: nobody could tell them from Bragg peaks.
            let per_pixel = Spread::new(0.012, 0.08).draw_log(rng);
            ring.grains = (per_pixel * radius * f64::from(TAU)).min(800.0) as u32;
        }
        ring
    }

    /// Brightness along the circle, 1 on average but for the arc's ends; and where an arc is at all.
    fn texture(&self, rng: &mut Pcg64Mcg) -> (Vec<f32>, Vec<f32>) {
        let length = ((self.radius * f64::from(TAU)) as usize).clamp(64, 16_384);
        let px = self.radius * f64::from(TAU) / length as f64;
        let fine = match self.texture {
            Texture::Speckle { rough, grain_px } => {
                // Grains are about as long as the ring is wide: finer ones would look like needles.
                let grain_px = grain_px.max(1.2 * f64::from(self.sigma));
                smooth_noise(rng, length, grain_px / px)
                    .iter()
                    .map(|fine| exp_fast(rough * fine.clamp(-4.0, 4.0) - rough * rough / 2.0))
                    .collect()
            }
            Texture::Crystallites {
                per_px,
                volumes,
                length_px,
            } => {
                let length_px = length_px.max(1.2 * f64::from(self.sigma));
                coarse(rng, length, per_px * px, volumes, length_px / px)
            }
        };
        let coarse = smooth_noise(rng, length, length as f64 / 6.0);
        let window: Vec<f32> = (0..length)
            .map(|i| {
                let angle = i as f32 / length as f32 * TAU;
                self.arc.map_or(1.0, |[share, middle]| {
                    let away = (angle - middle + 1.5 * TAU) % TAU - TAU / 2.0;
                    let outside = (away.abs() - share * TAU / 2.0) * self.radius as f32;
                    1.0 / (1.0 + exp_fast((outside / 12.0).clamp(-60.0, 60.0)))
                })
            })
            .collect();
        let texture = fine
            .iter()
            .zip(&coarse)
            .zip(&window)
            .map(|((fine, coarse), window)| window * fine * (1.0 + 0.25 * coarse).max(0.1))
            .collect();
        (texture, window)
    }

    pub fn draw(&self, out: &mut Grid<f32>, scene: &Scene<'_>, rng: &mut Pcg64Mcg) {
        let (texture, window) = self.texture(rng);
        let amplitude = self.amplitude * self.legible(&texture, scene.sigma);
        let reach = 5.0 * self.sigma + 1.0;
        let radius = self.radius as f32;
        let entries = texture.len() as f32;
        let shift = self.offset[0].abs() + self.offset[1].abs();
        for y in 0..out.height() {
            let (us, vs, rs) = (
                scene.plane.u.row(y),
                scene.plane.v.row(y),
                scene.plane.r.row(y),
            );
            for (x, cell) in out.row_mut(y).iter_mut().enumerate() {
                // NaN in gaps compares false.
                let near = (rs[x] - radius).abs() < reach + shift;
                if !near {
                    continue;
                }
                let (u, v) = (us[x] - self.offset[0], vs[x] - self.offset[1]);
                let away = (u * u + v * v).sqrt() - radius;
                if away.abs() > reach {
                    continue;
                }
                let angle = azimuth(f64::from(v), f64::from(u)) as f32;
                let index = ((angle / TAU * entries) as usize).min(texture.len() - 1);
                let t = away / self.sigma;
                let shape = 0.9 * exp_fast(-t * t / 2.0) + 0.1 * exp_fast(-t * t / 8.0);
                *cell += amplitude * texture[index] * shape;
            }
        }
        for _ in 0..self.grains {
            let angle = rng.random_range(0.0..TAU);
            let index = ((angle / TAU * entries) as usize).min(window.len() - 1);
            // Grains sit where the arc is.
            if window[index] < 0.3 {
                continue;
            }
            let (sin, cos) = sin_cos(f64::from(angle));
            let along = self.radius + f64::from(self.sigma) * normal(rng) * 0.7;
            let width = rng.random_range(0.5..2.2_f32);
            let area = TAU * width * width;
            let bright = amplitude * (1.0 + 6.0 * exponential(rng) as f32) * area;
            add_spot(
                out,
                scene,
                &Spot {
                    u: scene.beam[0] + f64::from(self.offset[0]) + along * cos,
                    v: scene.beam[1] + f64::from(self.offset[1]) + along * sin,
                    total: bright,
                    sigma: [width, width * rng.random_range(0.7..2.5)],
                    axis: [cos as f32, sin as f32],
                    profile: Profile::Gauss,
                },
            );
        }
    }

    /// By how much a spotted ring must be brighter so that one sees that it is a ring.
    ///
    /// Where fewer than one pixel in 25 stands out by 3 sigma of background and its own photons, the few bright ones could as
    /// well be Bragg peaks, and a label that nobody can know teaches nothing.
    fn legible(&self, texture: &[f32], sigma: f32) -> f32 {
        let is_spotted = match self.texture {
            Texture::Crystallites { .. } => true,
            Texture::Speckle { rough, .. } => rough > 0.8,
        };
        if !is_spotted {
            return 1.0;
        }
        let mut sorted = texture.to_vec();
        let share = self.arc.map_or(1.0, |[share, _]| share);
        let at = sorted.len() as f32 * (1.0 - 0.04 * share);
        let at = (at as usize).min(sorted.len().saturating_sub(1));
        let seen = *sorted.select_nth_unstable_by(at, f32::total_cmp).1 * self.amplitude;
        // The photons s above a background of variance sigma^2 for which s^2 = 9 (s + sigma^2).
        let clear = f32::midpoint(9.0, (81.0 + 36.0 * sigma * sigma).sqrt());
        (clear / seen.max(1e-6)).clamp(1.0, 30.0)
    }
}

/// The texture of some coarse powder.
fn crystallites(rng: &mut Pcg64Mcg) -> Texture {
    Texture::Crystallites {
        per_px: Spread::new(0.04, 3.0).draw_log(rng),
        volumes: rng.random_range(0.2..1.3),
        length_px: Spread::new(0.5, 6.0).draw_log(rng),
    }
}

/// A table of mean 1: crystallites fall on its entries by chance, each bright by its volume and smeared along the arc.
fn coarse(rng: &mut Pcg64Mcg, length: usize, per_entry: f64, volumes: f64, reach: f64) -> Vec<f32> {
    let mut table = vec![0.0_f32; length];
    let half = (reach / 2.0) as usize;
    for i in 0..length {
        let count = poisson(rng, per_entry as f32);
        let mut bright = 0.0_f32;
        for _ in 0..count as usize {
            bright += exp_fast((volumes * normal(rng) - volumes * volumes / 2.0) as f32);
        }
        if bright == 0.0 {
            continue;
        }
        // A triangle, so that long ones have no steps at their ends.
        let norm = ((half + 1) * (half + 1)) as f32;
        for j in 0..=2 * half {
            let weight = (half + 1 - j.abs_diff(half)) as f32 / norm;
            table[(i + length + j - half.min(length)) % length] += bright * weight;
        }
    }
    let scale = 1.0 / per_entry.max(1e-9) as f32;
    table.iter_mut().for_each(|value| *value *= scale);
    table
}

/// The rings of a calibrant where the geometry says that they are.
pub fn calibrant_rings(
    out: &mut Grid<f32>,
    scene: &Scene<'_>,
    spacings: &[f64],
    amplitude: f32,
    rng: &mut Pcg64Mcg,
) {
    // Rings of a wide beam or a thick sample reach this far.
    let sigma = Spread::new(1.0, 10.0).draw_log(rng) as f32;
    for (order, d) in spacings.iter().enumerate() {
        let Some(radius) = scene.radius_of_d(*d) else {
            break;
        };
        if radius > scene.radius_px[1] + 10.0 {
            break;
        }
        // Intensities of the orders fall off, odd ones slower.
        let odd = if order % 2 == 0 { 1.0 } else { 0.55 };
        let height = amplitude.max(scene.sigma * 2.5) * odd * exp_fast(-(order as f32) * 0.28);
        let mut ring = Ring::plain(radius, sigma, height);
        ring.texture = Texture::Speckle {
            rough: 0.05,
            grain_px: 30.0,
        };
        ring.draw(out, scene, rng);
    }
}

/// Rings of one powder: equally spaced (silver behenate), or those of a cubic cell.
pub fn powder(out: &mut Grid<f32>, scene: &Scene<'_>, amplitude: f32, rng: &mut Pcg64Mcg) {
    const FCC: [f64; 8] = [3.0, 4.0, 8.0, 11.0, 12.0, 16.0, 19.0, 20.0];
    const SIMPLE: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0];
    let first = scene.some_radius(rng);
    let sigma = Spread::new(0.4, 10.0).draw_log(rng) as f32;
    let look = rng.random_range(0..10_u32);
    let texture = match look {
        0..=1 => Texture::Speckle {
            rough: rng.random_range(0.0..0.2),
            grain_px: 40.0,
        },
        2..=3 => Texture::Speckle {
            rough: rng.random_range(0.5..2.6),
            grain_px: rng.random_range(1.0..5.0),
        },
        _ => crystallites(rng),
    };
    let grains = (2..=3).contains(&look) && chance(rng, 0.6);
    let kind = rng.random_range(0..3_u32);
    let start = rng.random_range(0..3_u32);
    let radii: Vec<f64> = match kind {
        0 => (1..=14)
            .map(|n| first * f64::from(n) / f64::from(1 + start * 2))
            .collect(),
        1 => FCC
            .iter()
            .map(|s| first * (s / 3.0).sqrt() * 0.75)
            .collect(),
        _ => SIMPLE.iter().map(|s| first * s.sqrt() * 0.7).collect(),
    };
    for radius in radii {
        if radius < 8.0 || radius > scene.radius_px[1] + 10.0 {
            continue;
        }
        let height = amplitude * (0.25 + exponential(rng) as f32);
        let mut ring = Ring::plain(radius, sigma, height);
        ring.texture = texture;
        if grains {
            ring.grains = (radius * rng.random_range(0.05..0.3)) as u32;
        }
        ring.draw(out, scene, rng);
    }
}
