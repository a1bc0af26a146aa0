//! What a person would mask by hand: rings and arcs with grains, powder, ice, lipid and calibrant rings, streaks, salt.

mod rings;

use std::f32::consts::TAU;

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use self::rings::{Ring, Texture, calibrant_rings, powder};
use super::background::Plane;
use super::chance::{Spread, chance, exp, exp_fast, sin_cos, smooth_noise};
use super::detector::Tile;
use super::spots::{Profile, Spot, stamp};
use crate::domain::grid::Grid;

/// How often each kind of artifact is in a frame, and how strong they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Artifacts {
    /// Metal or nozzle rings and arcs with grains on them.
    pub rings: f64,
    /// Several sharp rings of one powder, smooth to spotted.
    pub powder: f64,
    /// Ice rings at 3.9, 3.67, 3.44, 2.67, 2.25 angstrom.
    pub ice: f64,
    /// A ring of the lipidic phase at low angle.
    pub lipid: f64,
    /// Streaks of the jet from the beam outwards.
    pub jet: f64,
    /// Salt and ice crystals: large single spots.
    pub salt: f64,
    /// Amplitude in sigmas of the typical background.
    pub strength: Spread,
}

impl Artifacts {
    const STRENGTH: Spread = Spread::new(0.8, 60.0);

    pub const fn none() -> Self {
        Self {
            rings: 0.0,
            powder: 0.0,
            ice: 0.0,
            lipid: 0.0,
            jet: 0.0,
            salt: 0.0,
            strength: Self::STRENGTH,
        }
    }

    pub const fn rings() -> Self {
        Self {
            rings: 1.0,
            powder: 0.3,
            ..Self::none()
        }
    }

    pub const fn jet() -> Self {
        Self {
            jet: 1.0,
            ..Self::none()
        }
    }

    pub const fn all() -> Self {
        Self {
            rings: 0.7,
            powder: 0.2,
            ice: 0.2,
            lipid: 0.15,
            jet: 0.4,
            salt: 0.15,
            strength: Self::STRENGTH,
        }
    }

    /// By the name on the command line: none, rings, jet, all; and powder, ice, lipid, salt alone.
    pub fn named(name: &str) -> Option<Self> {
        let none = Self::none();
        Some(match name {
            "none" => none,
            "rings" => Self::rings(),
            "jet" => Self::jet(),
            "all" => Self::all(),
            "powder" => Self {
                powder: 1.0,
                ..none
            },
            "ice" => Self { ice: 1.0, ..none },
            "lipid" => Self { lipid: 1.0, ..none },
            "salt" => Self { salt: 1.0, ..none },
            _ => return None,
        })
    }
}

/// What the drawing of artifacts needs to know of a frame.
pub struct Scene<'a> {
    pub plane: &'a Plane,
    pub tiles: &'a [Tile],
    /// Place of the beam in the plane of the tiles.
    pub beam: [f64; 2],
    pub wavelength_angstrom: f64,
    pub distance_px: f64,
    /// Nearest and farthest pixel from the beam.
    pub radius_px: [f64; 2],
    /// Sigma of the typical background, photons.
    pub sigma: f32,
    /// d-spacings of a calibrant, largest first.
    pub calibrant: Option<Vec<f64>>,
}

impl Scene<'_> {
    fn radius_of_d(&self, d_angstrom: f64) -> Option<f64> {
        let sine = self.wavelength_angstrom / (2.0 * d_angstrom);
        if sine >= 0.6 {
            return None;
        }
        // tan(2 theta) from sin(theta), without asin.
        let sin2 = 2.0 * sine * (1.0 - sine * sine).sqrt();
        let cos2 = 1.0 - 2.0 * sine * sine;
        Some(self.distance_px * sin2 / cos2)
    }

    fn some_radius(&self, rng: &mut Pcg64Mcg) -> f64 {
        let low = self.radius_px[0].max(12.0);
        low + (self.radius_px[1] - low).max(1.0) * rng.random::<f64>()
    }
}

/// Expected photons of all artifacts of a frame.
pub fn artifacts(recipe: &Artifacts, scene: &Scene<'_>, rng: &mut Pcg64Mcg) -> Grid<f32> {
    let (width, height) = (scene.plane.r.width(), scene.plane.r.height());
    let mut out = Grid::filled(width, height, 0.0_f32);
    let strength = |rng: &mut Pcg64Mcg| scene.sigma * recipe.strength.draw_log(rng) as f32;
    if let Some(spacings) = &scene.calibrant {
        calibrant_rings(&mut out, scene, spacings, strength(rng), rng);
    }
    if chance(rng, recipe.rings) {
        for _ in 0..rng.random_range(1..=4_u32) {
            let amplitude = strength(rng);
            let radius = scene.some_radius(rng);
            let ring = Ring::metal(radius, amplitude, rng);
            ring.draw(&mut out, scene, rng);
        }
    }
    if chance(rng, recipe.powder) {
        let amplitude = strength(rng);
        powder(&mut out, scene, amplitude, rng);
    }
    if chance(rng, recipe.ice) {
        let amplitude = strength(rng);
        let rough = rng.random_range(0.0..2.0_f32);
        let sigma = rng.random_range(0.8..4.0_f32);
        for (d, height) in [
            (3.90, 1.0),
            (3.67, 0.7),
            (3.44, 0.6),
            (2.67, 0.3),
            (2.25, 0.35),
        ] {
            if let Some(radius) = scene.radius_of_d(d) {
                let mut ring = Ring::plain(radius, sigma, amplitude * height);
                ring.texture = Texture::Speckle {
                    rough,
                    grain_px: rng.random_range(1.0..8.0),
                };
                ring.draw(&mut out, scene, rng);
            }
        }
    }
    if chance(rng, recipe.lipid) {
        let amplitude = strength(rng);
        let mut ring = Ring::plain(
            scene.some_radius(rng),
            rng.random_range(1.5..6.0),
            amplitude,
        );
        ring.texture = Texture::Speckle {
            rough: rng.random_range(0.0..0.3),
            grain_px: 60.0,
        };
        ring.draw(&mut out, scene, rng);
    }
    if chance(rng, recipe.jet) {
        let amplitude = strength(rng) * 4.0;
        jet(&mut out, scene, amplitude, rng);
    }
    if chance(rng, recipe.salt) {
        for _ in 0..rng.random_range(1..=5_u32) {
            salt(&mut out, scene, strength(rng) * 10.0 + 20.0, rng);
        }
    }
    out
}

fn add_spot(out: &mut Grid<f32>, scene: &Scene<'_>, spot: &Spot) {
    let Some(stamp) = stamp(scene.tiles, spot, 0.0) else {
        return;
    };
    let width = stamp.rect.width();
    for (index, photons) in stamp.photons.iter().enumerate() {
        if let Some(cell) =
            out.get_mut(stamp.rect.x0 + index % width, stamp.rect.y0 + index / width)
        {
            *cell += photons;
        }
    }
}

/// Sharp streaks from the beam outwards, to one or both sides.
fn jet(out: &mut Grid<f32>, scene: &Scene<'_>, amplitude: f32, rng: &mut Pcg64Mcg) {
    for _ in 0..rng.random_range(1..=2_u32) {
        let (sin, cos) = sin_cos(rng.random::<f64>() * f64::from(TAU));
        let (sin, cos) = (sin as f32, cos as f32);
        let width = rng.random_range(0.8..4.0_f32);
        let opening = rng.random_range(0.0..0.03_f32);
        let reach = (scene.radius_px[1] as f32) * rng.random_range(0.15..0.8);
        let sides = [
            1.0,
            if chance(rng, 0.7) {
                rng.random_range(0.2..1.0_f32)
            } else {
                0.0
            },
        ];
        let fringe = if chance(rng, 0.4) {
            rng.random_range(0.2..0.9_f32)
        } else {
            0.0
        };
        let period = rng.random_range(6.0..40.0_f32);
        // Fringes by a table, so that no sine is taken per pixel.
        let texture: Vec<f32> = smooth_noise(rng, 4096, f64::from(period))
            .iter()
            .map(|t| (1.0 + fringe * t).max(0.0))
            .collect();
        for y in 0..out.height() {
            let (us, vs) = (scene.plane.u.row(y), scene.plane.v.row(y));
            for (x, cell) in out.row_mut(y).iter_mut().enumerate() {
                let (u, v) = (us[x], vs[x]);
                let across = v * cos - u * sin;
                let along = u * cos + v * sin;
                let sigma = width + opening * along.abs();
                let near = across.abs() < 4.0 * sigma;
                if !near {
                    continue;
                }
                let side = sides[usize::from(along < 0.0)];
                let t = across / sigma;
                let table = texture
                    .get(along.abs() as usize % 4096)
                    .copied()
                    .unwrap_or(1.0);
                let fall = exp_fast(-along.abs() / reach * 3.0);
                *cell += amplitude * side * fall * table * exp_fast(-t * t / 2.0) * width / sigma;
            }
        }
    }
}

/// A salt or ice crystal: a large, uneven, bright blob.
fn salt(out: &mut Grid<f32>, scene: &Scene<'_>, amplitude: f32, rng: &mut Pcg64Mcg) {
    let (width, height) = (out.width() as f64, out.height() as f64);
    let (x, y) = (rng.random::<f64>() * width, rng.random::<f64>() * height);
    let Some(tile) = scene.tiles.iter().find(|tile| {
        tile.rect.contains(crate::domain::grid::Pixel {
            x: x as usize,
            y: y as usize,
        })
    }) else {
        return;
    };
    let [u, v] = tile.plane_from_slab(x, y);
    let size = rng.random_range(2.2..6.0_f32);
    for _ in 0..rng.random_range(2..=5_u32) {
        let sigma = [
            size * rng.random_range(0.5..1.2),
            size * rng.random_range(0.5..1.2),
        ];
        let (sin, cos) = sin_cos(rng.random::<f64>() * f64::from(TAU));
        let away = f64::from(size) * 1.3;
        add_spot(
            out,
            scene,
            &Spot {
                u: u + away * super::chance::normal(rng),
                v: v + away * super::chance::normal(rng),
                total: amplitude
                    * TAU
                    * sigma[0]
                    * sigma[1]
                    * exp(-rng.random::<f64>() * 2.0) as f32,
                sigma,
                axis: [cos as f32, sin as f32],
                profile: Profile::Gauss,
            },
        );
    }
}
