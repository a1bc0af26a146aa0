//! Simulated frames with known truth: what a detector would show, which pixels are peaks, and where they are.
//!
//! A frame is made in the order of nature: expected photons of the diffuse background, the artifacts and the
//! Bragg spots; photons drawn from them (Poisson); then the detector's point spread, gain, offset, noise, bad
//! pixels and rounding. The labels follow from the expected photons by the one rule of
//! [`labels_rule`](super::labels_rule). The same recipe, seed and number give the same frame on every platform.

pub mod artifacts;
pub mod background;
pub mod chance;
pub mod detector;
pub mod lattice;
pub mod recipe;
pub mod spots;
mod truth;

use std::f64::consts::PI;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

pub use artifacts::Artifacts;
pub use detector::Detector;
pub use recipe::Recipe;

use self::artifacts::Scene;
use self::background::Plane;
use self::chance::{chance, poisson, sin_cos};
use self::lattice::View;
use self::spots::{Profile, Spot, Stamp, stamp};
use self::truth::{geometry, label};
use super::frame::{Frame, bad};
use super::geometry::Geometry;
use super::grid::Grid;
use super::labels::{Class, Sheet};
use super::labels_rule;

/// A reflection that is really there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruePeak {
    /// Continuous slab position (centre of the first cell = 0.5).
    pub x: f32,
    pub y: f32,
    /// Expected intensity in stored units.
    pub total: f32,
    /// SNR of the expected intensity: labels rule. Peaks below 3 are not listed.
    pub snr: f32,
    pub hkl: [i32; 3],
}

/// One simulated frame and all that is known of it.
#[derive(Clone, Debug)]
pub struct Simulated {
    pub frame: Frame,
    pub sheet: Sheet,
    pub peaks: Vec<TruePeak>,
    pub geometry: Geometry,
    /// Whether a crystal was in the beam.
    pub hit: bool,
}

/// Makes frame `number` of a run; depends on nothing but its arguments.
pub fn simulate(recipe: &Recipe, seed: u64, number: usize) -> Simulated {
    // Neighbouring seeds and numbers must not give related streams (splitmix64's multiplier).
    let mixed = seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut rng = Pcg64Mcg::seed_from_u64(mixed);
    let rng = &mut rng;
    let detector = &recipe.detector;
    let distance_px = recipe.distance_m / detector.pixel_size_m;
    let mut bits = detector.gaps();
    let (plane, radius_px) = plane(detector, recipe.beam_center_px);
    let (mut expected, mut light) = background::scatter(
        &recipe.scatter,
        &plane,
        recipe.wavelength_angstrom,
        distance_px,
        rng,
    );
    polarise(&plane, distance_px, recipe.polarised, &mut light);
    double_borders(detector, &mut light);
    if let Some(disc) = detector.disc {
        detector.outside(disc, |x, y| {
            if let Some(light) = light.get_mut(x, y) {
                *light = 0.0;
            }
        });
    }
    let sigma = typical_sigma(&expected, &bits, detector.read_variance());
    let scene = Scene {
        plane: &plane,
        tiles: &detector.tiles,
        beam: recipe.beam_center_px,
        wavelength_angstrom: recipe.wavelength_angstrom,
        distance_px,
        radius_px,
        sigma,
        calibrant: recipe.calibrant.map(|c| c.d_angstrom(40)),
    };
    let mut ring = artifacts::artifacts(&recipe.artifacts, &scene, rng);
    for cells in [expected.cells_mut(), ring.cells_mut()] {
        cells
            .iter_mut()
            .zip(light.cells())
            .for_each(|(value, light)| *value *= light);
    }
    let hit = chance(rng, recipe.hit_rate);
    let stamps = if hit {
        bragg(recipe, &scene, &light, sigma, rng)
    } else {
        Vec::new()
    };
    let mut spots = Grid::filled(detector.width, detector.height, 0.0_f32);
    for spot in &stamps {
        add(&mut spots, &spot.light);
    }
    let mut photons = draw(&expected, &ring, &spots, detector.pixel_gain, &bits, rng);
    let spilt = detector.read_out(&mut photons, &mut bits, rng);
    let (mut sheet, peaks) = label(detector, &expected, &mut ring, &mut spots, &bits, &stamps);
    for [x, y] in spilt {
        // The tail of a bloom: neither peak nor background.
        if let Some(class) = sheet.get_mut(x, y)
            && *class != Class::Peak.code()
        {
            *class = Class::Ignore.code();
        }
    }
    // A frame's own detector makes no non-finite values, and both grids have one shape.
    let frame = Frame {
        number,
        pixels: photons,
        bad: bits,
    };
    Simulated {
        frame,
        sheet,
        peaks,
        geometry: geometry(recipe),
        hit,
    }
}

/// A reflection's expected photons: as they arrive, and as the detector's point spread shows them.
struct Placed {
    hkl: [i32; 3],
    light: Stamp,
    seen: Stamp,
}

fn plane(detector: &Detector, beam: [f64; 2]) -> (Plane, [f64; 2]) {
    let empty = Grid::filled(detector.width, detector.height, f32::NAN);
    let mut plane = Plane {
        u: empty.clone(),
        v: empty.clone(),
        r: empty,
    };
    let (mut nearest, mut farthest) = (f32::MAX, 0.0_f32);
    for tile in &detector.tiles {
        for y in tile.rect.y0..tile.rect.y1 {
            let start = tile.plane_from_slab(tile.rect.x0 as f64 + 0.5, y as f64 + 0.5);
            let columns = tile.rect.x0..tile.rect.x1;
            let (Some(us), Some(vs), Some(rs)) = (
                plane.u.row_mut(y).get_mut(columns.clone()),
                plane.v.row_mut(y).get_mut(columns.clone()),
                plane.r.row_mut(y).get_mut(columns),
            ) else {
                continue;
            };
            for (step, ((u, v), r)) in us.iter_mut().zip(vs).zip(rs).enumerate() {
                *u = (start[0] - beam[0] + step as f64 * tile.fast[0]) as f32;
                *v = (start[1] - beam[1] + step as f64 * tile.fast[1]) as f32;
                *r = (*u * *u + *v * *v).sqrt();
                nearest = nearest.min(*r);
                farthest = farthest.max(*r);
            }
        }
    }
    (
        plane,
        [f64::from(nearest.min(farthest)), f64::from(farthest)],
    )
}

/// Weakens the light by the polarisation of the beam, `polarised` of it along x (Kahn et al. 1982).
///
/// P = 1 - sin^2(2 theta) (p cos^2(phi) + (1 - p) sin^2(phi)), phi from the x axis.
fn polarise(plane: &Plane, distance_px: f64, polarised: f64, light: &mut Grid<f32>) {
    let (along, across) = (polarised as f32, 1.0 - polarised as f32);
    let distance2 = (distance_px * distance_px) as f32;
    for y in 0..light.height() {
        let uv = plane.u.row(y).iter().zip(plane.v.row(y));
        for (light, (u, v)) in light.row_mut(y).iter_mut().zip(uv) {
            let (u2, v2) = (u * u, v * v);
            // NaN in gaps, where no light is looked at.
            let lost = (along * u2 + across * v2) / (u2 + v2 + distance2);
            if lost.is_finite() {
                *light *= 1.0 - lost;
            }
        }
    }
}

/// Pixels on the border of two chips are twice as large and see twice the light.
fn double_borders(detector: &Detector, light: &mut Grid<f32>) {
    let Some([chip_w, chip_h]) = detector.double_borders else {
        return;
    };
    let Some(tile) = detector.tiles.first() else {
        return;
    };
    // Of a window the corner says which part of the module it is.
    let (left, top) = (tile.corner[0] as usize, tile.corner[1] as usize);
    let border = |at: usize, chip: usize| {
        at > 0 && (at.is_multiple_of(chip) || (at + 1).is_multiple_of(chip))
    };
    for y in tile.rect.y0..tile.rect.y1 {
        let tall = if border(y - tile.rect.y0 + top, chip_h) {
            2.0
        } else {
            1.0
        };
        for x in tile.rect.x0..tile.rect.x1 {
            let wide = if border(x - tile.rect.x0 + left, chip_w) {
                2.0
            } else {
                1.0
            };
            if let Some(light) = light.get_mut(x, y) {
                *light *= tall * wide;
            }
        }
    }
}

fn typical_sigma(expected: &Grid<f32>, bits: &Grid<u16>, read_variance: f32) -> f32 {
    let mut sample: Vec<f32> = expected
        .cells()
        .iter()
        .zip(bits.cells())
        .step_by(expected.len() / 5000 + 1)
        .filter(|(_, bits)| **bits & bad::MISSING == 0)
        .map(|(value, _)| *value)
        .collect();
    sample.sort_unstable_by(f32::total_cmp);
    let median = sample.get(sample.len() / 2).copied().unwrap_or(1.0);
    let least = labels_rule::LEAST_SIGMA;
    (median + read_variance).max(least * least).sqrt()
}

fn bragg(
    recipe: &Recipe,
    scene: &Scene<'_>,
    light: &Grid<f32>,
    sigma: f32,
    rng: &mut Pcg64Mcg,
) -> Vec<Placed> {
    let crystals = &recipe.crystals;
    let detector = &recipe.detector;
    let mut bounds = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    let mut pixels = 0.0;
    for tile in &detector.tiles {
        pixels += tile.rect.area() as f64;
        for (x, y) in [
            (tile.rect.x0, tile.rect.y0),
            (tile.rect.x1, tile.rect.y0),
            (tile.rect.x0, tile.rect.y1),
            (tile.rect.x1, tile.rect.y1),
        ] {
            let [u, v] = tile.plane_from_slab(x as f64, y as f64);
            let (u, v) = (u - scene.beam[0], v - scene.beam[1]);
            bounds = [
                bounds[0].min(u - 3.0),
                bounds[1].min(v - 3.0),
                bounds[2].max(u + 3.0),
                bounds[3].max(v + 3.0),
            ];
        }
    }
    let view = View {
        wavelength_angstrom: recipe.wavelength_angstrom,
        distance_px: scene.distance_px,
        radius_px: scene.radius_px,
        pixels,
        bounds,
    };
    let count = if chance(rng, 0.8) {
        1
    } else {
        rng.random_range(1..=crystals.most.max(1) as u32)
    };
    let mut placed = Vec::new();
    for lattice in 0..count {
        let base = crystals.spot_sigma_px.draw_log(rng) as f32;
        // Full widths at half maximum, as the field gives them, to sigmas.
        let bandwidth = crystals.bandwidth.draw_log(rng) as f32 / 2.355;
        let mosaic = (crystals.mosaicity_deg.draw_log(rng).to_radians() / 2.355) as f32;
        let longer = if crystals.elongation.high > 1.0 {
            crystals.elongation.draw_log(rng) as f32
        } else {
            1.0
        };
        let direction = if longer > 1.0 {
            // Crystals grow and beams are focused along the axes more often than not.
            let part = if chance(rng, 0.5) { 0.04 } else { 0.5 };
            sin_cos(part * PI * (2.0 * rng.random::<f64>() - 1.0))
        } else {
            (0.0, 1.0)
        };
        let profile = match rng.random_range(0..20_u32) {
            0..=9 => Profile::Gauss,
            10..=13 => Profile::Tailed,
            14..=16 => Profile::Plateau,
            17 => Profile::Split(rng.random_range(2.0..5.0)),
            _ => Profile::Comet,
        };
        // total = snr x sqrt(total + pixels x sigma^2), solved for the total.
        let snr = crystals.typical_snr.draw_log(rng) as f32 / (1.0 + lattice as f32);
        let seen = base * base + detector.spread_px * detector.spread_px;
        let noise = 12.6 * seen.max(0.15) * sigma * sigma;
        let typical = snr * (snr + (snr * snr + 4.0 * noise).sqrt()) / 2.0;
        for reflection in lattice::reflections(crystals, &view, rng) {
            let total = typical * reflection.intensity as f32 * 1.4;
            // Nobody will ever see less than three photons.
            if total < 3.0 {
                continue;
            }
            let r = (reflection.u * reflection.u + reflection.v * reflection.v)
                .sqrt()
                .max(1e-6);
            // r = D tan(2 theta) and sin(theta) ~ wavelength: dr = D / cos^2(2 theta) 2 tan(theta) dlambda / lambda.
            let cos = scene.distance_px / scene.distance_px.hypot(r);
            let tan = ((1.0 - cos) / (1.0 + cos)).sqrt();
            let by_band = (scene.distance_px / (cos * cos) * 2.0 * tan) as f32 * bandwidth;
            let long = base.hypot(by_band).min(12.0);
            let wide = base.hypot(mosaic * r as f32).min(6.0);
            let radial = [(reflection.u / r) as f32, (reflection.v / r) as f32];
            let (sigma, axis) = if longer > 1.0 {
                let (sin, cos) = (direction.0 as f32, direction.1 as f32);
                stretched(
                    [long, wide],
                    radial,
                    base * (longer - 1.0 / longer),
                    [cos, sin],
                )
            } else {
                ([long, wide], radial)
            };
            let spot = Spot {
                u: scene.beam[0] + reflection.u,
                v: scene.beam[1] + reflection.v,
                total,
                sigma,
                axis,
                profile,
            };
            let (Some(mut arriving), Some(mut seen)) = (
                stamp(&detector.tiles, &spot, 0.0),
                stamp(&detector.tiles, &spot, detector.spread_px),
            ) else {
                continue;
            };
            shade(&mut arriving, light);
            shade(&mut seen, light);
            placed.push(Placed {
                hkl: reflection.hkl,
                light: arriving,
                seen,
            });
        }
    }
    placed
}

/// The sigmas and the first axis of an ellipse that is spread by so many pixels along a direction besides.
fn stretched(sigma: [f32; 2], axis: [f32; 2], by: f32, along: [f32; 2]) -> ([f32; 2], [f32; 2]) {
    let [a, b] = sigma.map(|s| s * s);
    let [x, y] = axis;
    let more = by * by;
    // The covariance of both, and its eigenvectors.
    let xx = a * x * x + b * y * y + more * along[0] * along[0];
    let yy = a * y * y + b * x * x + more * along[1] * along[1];
    let xy = (a - b) * x * y + more * along[0] * along[1];
    let half = (xx - yy) / 2.0;
    let root = half.hypot(xy);
    let middle = (xx + yy) / 2.0;
    let sigma = [middle + root, (middle - root).max(0.0)].map(f32::sqrt);
    let first = [half + root, xy];
    let norm = first[0].hypot(first[1]);
    if norm > 1e-6 {
        (sigma, first.map(|v| v / norm))
    } else {
        // Either round, or longest along y.
        (sigma, [0.0, 1.0])
    }
}

fn shade(stamp: &mut Stamp, light: &Grid<f32>) {
    let width = stamp.rect.width();
    for (index, photons) in stamp.photons.iter_mut().enumerate() {
        let (x, y) = (stamp.rect.x0 + index % width, stamp.rect.y0 + index / width);
        *photons *= light.get(x, y).copied().unwrap_or(0.0);
    }
}

fn add(grid: &mut Grid<f32>, stamp: &Stamp) {
    let rows = stamp.photons.chunks_exact(stamp.rect.width().max(1));
    for (y, photons) in (stamp.rect.y0..stamp.rect.y1).zip(rows) {
        let Some(cells) = grid.row_mut(y).get_mut(stamp.rect.x0..stamp.rect.x1) else {
            continue;
        };
        for (cell, photons) in cells.iter_mut().zip(photons) {
            *cell += photons;
        }
    }
}

fn draw(
    expected: &Grid<f32>,
    ring: &Grid<f32>,
    spots: &Grid<f32>,
    pixel_gain: f32,
    bits: &Grid<u16>,
    rng: &mut Pcg64Mcg,
) -> Grid<f32> {
    let mut photons = Grid::filled(expected.width(), expected.height(), 0.0_f32);
    let parts = expected.cells().iter().zip(ring.cells()).zip(spots.cells());
    let cells = photons.cells_mut().iter_mut().zip(bits.cells()).zip(parts);
    for ((cell, bits), ((background, ring), spot)) in cells {
        if *bits & bad::MISSING != 0 {
            continue;
        }
        *cell = poisson(rng, background + ring + spot);
        if pixel_gain > 0.0 && *cell > 0.0 {
            *cell *= 1.0 + pixel_gain * rng.sample::<f32, _>(rand_distr::StandardNormal);
        }
    }
    photons
}
