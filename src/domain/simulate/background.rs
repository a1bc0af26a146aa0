//! What is not Bragg and not artifact: solvent ring, air scatter, slopes, shadows, beamstop.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::chance::{Spread, chance, exp, exp_fast, sin_cos, smooth_noise};
use crate::domain::grid::Grid;

/// The diffuse scattering of a frame; every range is drawn from once a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// Photons in a typical pixel.
    pub photons: Spread,
    /// Air scatter near the beam, relative to the typical pixel.
    pub air: Spread,
    /// Height of the solvent ring, relative.
    pub solvent: Spread,
    /// Difference over the frame, relative.
    pub slope: Spread,
    /// Soft patches, relative.
    pub mottle: Spread,
    /// How often something (goniometer, nozzle, vignette) casts a shadow.
    pub shadow: f64,
    /// How often sheets (kapton, a holder's edge) darken a strip with sharp edges.
    pub strip: f64,
    /// Radius of the beamstop, pixels; 0: none.
    pub beamstop_px: Spread,
    /// How often its holder casts a shadow.
    pub holder: f64,
}

/// Plane position of every pixel relative to the beam, pixels; NaN in gaps.
pub struct Plane {
    pub u: Grid<f32>,
    pub v: Grid<f32>,
    /// Distance from the beam.
    pub r: Grid<f32>,
}

/// Expected photons of the diffuse scattering, and how much light reaches each pixel (0..1).
pub fn scatter(
    scatter: &Scatter,
    plane: &Plane,
    wavelength_angstrom: f64,
    distance_px: f64,
    rng: &mut Pcg64Mcg,
) -> (Grid<f32>, Grid<f32>) {
    let (width, height) = (plane.r.width(), plane.r.height());
    let farthest = plane
        .r
        .cells()
        .iter()
        .copied()
        .filter(|r| r.is_finite())
        .fold(1.0, f32::max);
    let profile = radial_profile(
        scatter,
        f64::from(farthest),
        wavelength_angstrom,
        distance_px,
        rng,
    );
    let level = scatter.photons.draw_log(rng) as f32;
    let slope = scatter.slope.draw(rng) as f32;
    let (sin, cos) = sin_cos(rng.random::<f64>() * std::f64::consts::TAU);
    let (sin, cos) = (sin as f32, cos as f32);
    let mottle = Mottle::random(scatter.mottle.draw(rng) as f32, width, height, rng);
    let diagonal = (width as f32).hypot(height as f32);
    let mut expected = Grid::filled(width, height, 0.0_f32);
    for y in 0..height {
        let rs = plane.r.row(y);
        for (x, out) in expected.row_mut(y).iter_mut().enumerate() {
            let r = rs[x];
            if !r.is_finite() {
                continue;
            }
            let at = (r / PROFILE_STEP).max(0.0);
            let index = (at as usize).min(profile.len() - 2);
            let part = (at - index as f32).clamp(0.0, 1.0);
            let radial = profile[index] * (1.0 - part) + profile[index + 1] * part;
            let tilt = ((x as f32 - width as f32 / 2.0) * cos
                + (y as f32 - height as f32 / 2.0) * sin)
                / diagonal;
            *out = (level * radial * (1.0 + slope * tilt) * mottle.at(x, y)).max(0.0);
        }
    }
    let light = shadows(scatter, plane, rng);
    (expected, light)
}

const PROFILE_STEP: f32 = 2.0;

/// Scattering by radius in steps of 2 px, around 1 at typical radii.
fn radial_profile(
    scatter: &Scatter,
    farthest: f64,
    wavelength_angstrom: f64,
    distance_px: f64,
    rng: &mut Pcg64Mcg,
) -> Vec<f32> {
    let air = scatter.air.draw_log(rng);
    let air_radius = distance_px * (0.01 + 0.04 * rng.random::<f64>()) + 8.0;
    let air_power = 1.0 + 1.5 * rng.random::<f64>();
    let solvent = scatter.solvent.draw(rng);
    // Water at 3.2 angstrom, lipid chains at 4.5, oils and greases between; broad, so nobody masks them.
    let d = [3.2, 3.3, 4.5, 4.9, 6.5][rng.random_range(0..5_usize)]
        * (0.95 + 0.1 * rng.random::<f64>());
    let width = 0.11 + 0.13 * rng.random::<f64>();
    let second = if chance(rng, 0.3) { 0.4 } else { 0.0 };
    let slow = 0.25 + 0.6 * rng.random::<f64>();
    let count = (farthest / f64::from(PROFILE_STEP)).ceil() as usize + 3;
    (0..count)
        .map(|i| {
            let r = i as f64 * f64::from(PROFILE_STEP);
            let cos = distance_px / distance_px.hypot(r);
            let q = (2.0 * (1.0 - cos)).sqrt() / wavelength_angstrom;
            let ring = |d: f64, width: f64| {
                let t = (q * d - 1.0) / if q * d < 1.0 { width } else { 1.4 * width };
                exp(-t * t / 2.0)
            };
            let fall = exp(-q * slow * 1.5);
            let ratio = r / air_radius;
            let air = air
                / (1.0
                    + if ratio > 0.0 {
                        ratio * ratio * (1.0 + ratio * (air_power - 1.0))
                    } else {
                        0.0
                    });
            let total =
                fall * (0.6 + solvent * (ring(d, width) + second * ring(d * 0.65, width))) + air;
            (total * cos.powi(3)) as f32
        })
        .collect()
}

/// Soft random patches: bilinear between random knots.
pub struct Mottle {
    strength: f32,
    step: f32,
    columns: usize,
    knots: Vec<f32>,
}

impl Mottle {
    pub fn random(strength: f32, width: usize, height: usize, rng: &mut Pcg64Mcg) -> Self {
        let step = rng.random_range(40.0..160.0_f32);
        let columns = (width as f32 / step) as usize + 2;
        let rows = (height as f32 / step) as usize + 2;
        Self {
            strength,
            step,
            columns,
            knots: smooth_noise(rng, columns * rows, 0.0),
        }
    }

    pub fn at(&self, x: usize, y: usize) -> f32 {
        if self.strength == 0.0 {
            return 1.0;
        }
        let (fx, fy) = (x as f32 / self.step, y as f32 / self.step);
        let (ix, iy) = (fx as usize, fy as usize);
        // Smoothstep, so that no creases show.
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (tx, ty) = (ease(fx - ix as f32), ease(fy - iy as f32));
        let knot = |dx: usize, dy: usize| {
            let index = (iy + dy) * self.columns + ix + dx;
            self.knots.get(index).copied().unwrap_or(0.0)
        };
        let top = knot(0, 0) * (1.0 - tx) + knot(1, 0) * tx;
        let bottom = knot(0, 1) * (1.0 - tx) + knot(1, 1) * tx;
        (1.0 + self.strength * (top * (1.0 - ty) + bottom * ty)).max(0.1)
    }
}

fn shadows(scatter: &Scatter, plane: &Plane, rng: &mut Pcg64Mcg) -> Grid<f32> {
    let (width, height) = (plane.r.width(), plane.r.height());
    let mut light = Grid::filled(width, height, 1.0_f32);
    let soft_edge = |distance: f32, softness: f32| {
        1.0 / (1.0 + exp_fast((distance / softness).clamp(-60.0, 60.0)))
    };
    if chance(rng, scatter.shadow) {
        let through = rng.random_range(0.02..0.8_f32);
        let softness = rng.random_range(0.4..12.0_f32);
        // A half plane, a disc, or all outside a disc.
        let kind = rng.random_range(0..3_u32);
        let (sin, cos) = sin_cos(rng.random::<f64>() * std::f64::consts::TAU);
        let (sin, cos) = (sin as f32, cos as f32);
        let x0 = rng.random_range(0.0..1.0_f32) * width as f32;
        let y0 = rng.random_range(0.0..1.0_f32) * height as f32;
        let size = rng.random_range(0.05..0.5_f32) * width as f32;
        for y in 0..height {
            for (x, out) in light.row_mut(y).iter_mut().enumerate() {
                let (dx, dy) = (x as f32 - x0, y as f32 - y0);
                let outside = match kind {
                    0 => dx * cos + dy * sin,
                    1 => dx.hypot(dy) - size,
                    _ => 2.0 * size - dx.hypot(dy),
                };
                *out *= through + (1.0 - through) * (1.0 - soft_edge(outside, softness));
            }
        }
    }
    if chance(rng, scatter.strip) {
        strips(&mut light, rng);
    }
    let radius = scatter.beamstop_px.draw(rng) as f32;
    if radius > 0.5 {
        let square = chance(rng, 0.25);
        let through = if chance(rng, 0.3) {
            rng.random_range(0.0..0.1_f32)
        } else {
            0.0
        };
        let edge = rng.random_range(0.3..2.5_f32);
        let (sin, cos) = sin_cos(rng.random::<f64>() * std::f64::consts::TAU);
        let (sin, cos) = (sin as f32, cos as f32);
        let holder = chance(rng, scatter.holder);
        let thick = rng.random_range(0.15..0.8_f32) * radius + 1.5;
        let arm_through = rng.random_range(0.0..0.7_f32);
        for y in 0..height {
            let (us, vs, rs) = (plane.u.row(y), plane.v.row(y), plane.r.row(y));
            for (x, out) in light.row_mut(y).iter_mut().enumerate() {
                let (u, v, r) = (us[x], vs[x], rs[x]);
                if !r.is_finite() {
                    continue;
                }
                let (along, across) = (u * cos + v * sin, (v * cos - u * sin).abs());
                let outside = if square { along.abs().max(across) } else { r } - radius;
                if outside < 8.0 * edge {
                    *out *= through + (1.0 - through) * (1.0 - soft_edge(outside, edge));
                }
                if holder && along > 0.0 && across < thick + 8.0 * edge {
                    *out *=
                        arm_through + (1.0 - arm_through) * (1.0 - soft_edge(across - thick, edge));
                }
            }
        }
    }
    light
}

/// One to three straight strips or half planes that let most of the light through, with sharp edges.
fn strips(light: &mut Grid<f32>, rng: &mut Pcg64Mcg) {
    let (width, height) = (light.width() as f32, light.height() as f32);
    for _ in 0..rng.random_range(1..=3_u32) {
        let through = rng.random_range(0.5..0.98_f32);
        let softness = rng.random_range(0.15..1.5_f32);
        let (sin, cos) = sin_cos(rng.random::<f64>() * std::f64::consts::TAU);
        let (sin, cos) = (sin as f32, cos as f32);
        let x0 = rng.random_range(0.0..1.0_f32) * width;
        let y0 = rng.random_range(0.0..1.0_f32) * height;
        let thick = Spread::new(4.0, 800.0).draw_log(rng) as f32;
        for y in 0..light.height() {
            for (x, out) in light.row_mut(y).iter_mut().enumerate() {
                let across = (x as f32 - x0) * cos + (y as f32 - y0) * sin;
                let outside = ((across - thick / 2.0).abs() - thick / 2.0) / softness;
                if outside < 8.0 {
                    let inside = 1.0 / (1.0 + exp_fast(outside.max(-60.0)));
                    *out *= 1.0 - (1.0 - through) * inside;
                }
            }
        }
    }
}
