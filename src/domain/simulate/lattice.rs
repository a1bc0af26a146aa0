//! Bragg reflections of a randomly turned lattice on the Ewald sphere.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::chance::{Spread, chance, exp, exponential, normal};

/// What crystals are drawn; every range is drawn from once a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Crystals {
    /// At most so many lattices in a frame; most frames have one.
    pub most: usize,
    /// Lengths of the unit cell's edges.
    pub cell_angstrom: Spread,
    /// How many reflections are excited; sets the thickness of the reciprocal lattice points.
    pub spots_per_megapixel: Spread,
    /// SNR of a typical low-resolution spot, from which its photons follow by the background.
    pub typical_snr: Spread,
    /// Fall-off with resolution, angstrom squared.
    pub b_factor: Spread,
    /// Where diffraction ends.
    pub resolution_angstrom: Spread,
    /// Sigma of a spot in pixels from beam and crystal size.
    pub spot_sigma_px: Spread,
    /// Relative bandwidth of the beam, full width at half maximum: makes spots long along the radius.
    pub bandwidth: Spread,
    /// Mosaic spread in degrees, full width at half maximum: makes spots wide across the radius.
    pub mosaicity_deg: Spread,
    /// Share of the crystals that turn during the exposure, as at synchrotrons: their reflections stand in lunes,
    /// several neighbours of a long axis in a row.
    pub turning: f64,
    /// How many times longer than wide all spots of a crystal are along one direction: needles, plates, a flat beam.
    pub elongation: Spread,
}

/// One excited reflection, in the detector plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reflection {
    pub hkl: [i32; 3],
    /// Plane position relative to the beam, pixels.
    pub u: f64,
    pub v: f64,
    /// Expected intensity relative to a typical one at low resolution.
    pub intensity: f64,
}

/// The part of reciprocal space that a frame sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub wavelength_angstrom: f64,
    /// Camera length in pixels.
    pub distance_px: f64,
    /// Nearest and farthest pixel from the beam.
    pub radius_px: [f64; 2],
    /// Pixels that see.
    pub pixels: f64,
    /// Plane rectangle around them, relative to the beam: u0, v0, u1, v1.
    pub bounds: [f64; 4],
}

type Vector = [f64; 3];

/// How far a lattice point must be from the Ewald sphere, 1/angstrom, and with what partiality it shines within that.
#[derive(Clone, Copy, Debug)]
enum Excitation {
    /// A still: partiality exp(-s^2 / 2 sigma^2) of the excitation error s.
    Still,
    /// A rotation about an axis across the beam: all that passes the sphere within so many radians.
    Turning { axis: Vector, radians: f64 },
}

/// Points of turning crystals are thinner than those of stills with as many spots by this.
const THIN: f64 = 0.12;

impl Excitation {
    /// The partiality of a point at `q` with excitation error `error`; `None` where it stays dark.
    fn partiality(&self, q: Vector, k_out: Vector, error: f64, sigma: f64) -> Option<f64> {
        match *self {
            Self::Still => {
                (error.abs() <= 3.0 * sigma).then(|| exp(-error * error / (2.0 * sigma * sigma)))
            }
            Self::Turning { axis, radians } => {
                let speed = dot(cross(axis, q), k_out) / dot(k_out, k_out).sqrt();
                // How long it takes to pass, the Lorentz factor, is left out.
                let outside = (error.abs() - speed.abs() * radians / 2.0).max(0.0);
                let sigma = THIN * sigma;
                (outside <= 3.0 * sigma).then(|| exp(-outside * outside / (2.0 * sigma * sigma)))
            }
        }
    }
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Reciprocal basis (1/angstrom) of a random cell in a random orientation, longest edge last; and its cell volume.
fn random_lattice(edges: Spread, rng: &mut Pcg64Mcg) -> ([Vector; 3], f64) {
    let mut lengths = [0.0; 3].map(|_| edges.draw_log(rng));
    if chance(rng, 0.35) {
        lengths[1] = lengths[0];
    }
    lengths.sort_by(f64::total_cmp);
    // Cosines of the cell angles: right angles, one free, hexagonal, or all free.
    let near = |rng: &mut Pcg64Mcg| 0.35 * (2.0 * rng.random::<f64>() - 1.0);
    let [alpha, beta, gamma] = match rng.random_range(0..10_u32) {
        0..=5 => [0.0; 3],
        6..=7 => [0.0, near(rng), 0.0],
        8 => [0.0, 0.0, -0.5],
        _ => [near(rng), near(rng), near(rng)],
    };
    let sin_gamma = (1.0 - gamma * gamma).sqrt();
    let cy = (alpha - beta * gamma) / sin_gamma;
    let cz = (1.0 - beta * beta - cy * cy).max(0.05).sqrt();
    let real = [
        [lengths[0], 0.0, 0.0],
        [lengths[1] * gamma, lengths[1] * sin_gamma, 0.0],
        [lengths[2] * beta, lengths[2] * cy, lengths[2] * cz],
    ];
    // A uniformly distributed rotation is a uniformly distributed unit quaternion.
    let q = [0.0; 4].map(|_| normal(rng));
    let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    let [w, x, y, z] = q.map(|v| v / norm);
    let rotation = [
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - w * z),
            2.0 * (x * z + w * y),
        ],
        [
            2.0 * (x * y + w * z),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - w * x),
        ],
        [
            2.0 * (x * z - w * y),
            2.0 * (y * z + w * x),
            1.0 - 2.0 * (x * x + y * y),
        ],
    ];
    let [a, b, c] = real.map(|edge| rotation.map(|row| dot(row, edge)));
    let volume = dot(a, cross(b, c)).abs().max(1e-9);
    let reciprocal = [cross(b, c), cross(c, a), cross(a, b)].map(|v| v.map(|x| x / volume));
    (reciprocal, volume)
}

/// The excited reflections of one random crystal within the view.
///
/// For each h, k the line along l meets the Ewald sphere in at most two points; only the l next to them are tried.
/// A reflection's excitation error s gives its partiality exp(-s^2 / 2 sigma^2), where sigma follows from the number
/// of spots that is asked for. Intensities are exponentially distributed (Wilson) and fall off as exp(-B q^2 / 2) from
/// the lowest resolution in view.
pub fn reflections(crystals: &Crystals, view: &View, rng: &mut Pcg64Mcg) -> Vec<Reflection> {
    let ([a, b, c], volume) = random_lattice(crystals.cell_angstrom, rng);
    let wave = 1.0 / view.wavelength_angstrom;
    let target = crystals.spots_per_megapixel.draw_log(rng) * view.pixels / 1e6;
    let b_factor = crystals.b_factor.draw(rng);
    let centring = rng.random_range(0..10_u32);
    let mean_radius = (view.radius_px[0] + view.radius_px[1]) / 2.0;
    let cosine = view.distance_px / view.distance_px.hypot(mean_radius);
    let solid_angle = view.pixels * cosine.powi(3) / (view.distance_px * view.distance_px);
    let sphere_area = solid_angle * wave * wave;
    let sigma = (target / (2.5 * sphere_area * volume)).clamp(2e-5, 4e-3);
    let excitation = if crystals.turning > 0.0 && chance(rng, crystals.turning) {
        let along_x = chance(rng, 0.7);
        let axis = if along_x {
            [1.0, 0.0, 0.0]
        } else {
            [0.0, 1.0, 0.0]
        };
        // As many spots as a still would have: its shell of 2.5 sigma is passed at the mean speed.
        let q_mean = wave * mean_radius / view.distance_px.hypot(mean_radius);
        let radians = 2.5 * sigma / (0.6 * q_mean).max(1e-4);
        Excitation::Turning { axis, radians }
    } else {
        Excitation::Still
    };
    let q_of_radius = |radius: f64| {
        // q = 2 sin(theta) / lambda with tan(2 theta) = radius / distance.
        let cos = view.distance_px / view.distance_px.hypot(radius);
        wave * (2.0 * (1.0 - cos)).sqrt()
    };
    let q_max = q_of_radius(view.radius_px[1]).min(1.0 / crystals.resolution_angstrom.draw(rng));
    let q_min = q_of_radius((view.radius_px[0] - 4.0).max(0.0)).max(0.004);
    let reach = |direct: f64| (q_max * direct).ceil() as i32;
    // Edge lengths bound the indices: |h| <= q |a|.
    let length = |x: Vector, y: Vector| {
        let v = cross(x, y).map(|v| v * volume);
        dot(v, v).sqrt()
    };
    let (h_max, k_max) = (reach(length(b, c)), reach(length(c, a)));
    let cc = dot(c, c);
    // Rows that run along the sphere have several neighbours in it.
    let more = if matches!(excitation, Excitation::Still) {
        0
    } else {
        3
    };
    let mut found = Vec::new();
    for h in -h_max..=h_max {
        for k in -k_max..=k_max {
            let p: Vector = std::array::from_fn(|i| f64::from(h) * a[i] + f64::from(k) * b[i]);
            // |s0 + p + l c|^2 = |s0|^2 with s0 = (0, 0, wave), as cc l^2 + 2 m l + n = 0.
            let m = dot(p, c) + wave * c[2];
            let n = dot(p, p) + 2.0 * wave * p[2];
            let root = m * m - cc * n;
            let middle = -m / cc;
            let half = root.max(0.0).sqrt() / cc;
            let mut tried = i32::MIN;
            for center in [middle - half, middle + half] {
                let first = (center - 1.0).ceil() as i32;
                for l in first - more..=first + 1 + more {
                    if l <= tried {
                        continue;
                    }
                    tried = l;
                    let q: Vector = std::array::from_fn(|i| p[i] + f64::from(l) * c[i]);
                    let qq = dot(q, q);
                    if qq > q_max * q_max || qq < q_min * q_min {
                        continue;
                    }
                    let k_out = [q[0], q[1], q[2] + wave];
                    let error = dot(k_out, k_out).sqrt() - wave;
                    if k_out[2] < 0.2 * wave {
                        continue;
                    }
                    let Some(partiality) = excitation.partiality(q, k_out, error, sigma) else {
                        continue;
                    };
                    let absent = match centring {
                        0..=1 => (h + k + l) % 2 != 0,
                        2 => (h + k) % 2 != 0,
                        _ => false,
                    };
                    // Seen along the beam x runs right and y down, both against the lab axes.
                    let u = -view.distance_px * k_out[0] / k_out[2];
                    let v = -view.distance_px * k_out[1] / k_out[2];
                    let [u0, v0, u1, v1] = view.bounds;
                    if absent || u < u0 || u > u1 || v < v0 || v > v1 {
                        continue;
                    }
                    let intensity =
                        exponential(rng) * exp(-b_factor * (qq - q_min * q_min) / 2.0) * partiality;
                    found.push(Reflection {
                        hkl: [h, k, l],
                        u,
                        v,
                        intensity,
                    });
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_turning_crystal_shows_what_passes_the_sphere() {
        let rng = &mut Pcg64Mcg::seed_from_u64(4);
        let (wave, sigma, radians) = (0.8_f64, 3e-4, 0.02_f64);
        let axis = [1.0, 0.0, 0.0];
        let excitation = Excitation::Turning { axis, radians };
        let (mut seen, mut dark) = (0, 0);
        for _ in 0..20_000 {
            // Points near the sphere, up to about 2 angstrom.
            let out = [0.3, 0.3, 1.0].map(|s| s * (rng.random::<f64>() - 0.5));
            let z = (wave * wave - out[0] * out[0] - out[1] * out[1]).sqrt();
            let q = [out[0], out[1], z - wave + 0.01 * out[2]];
            let error = |q: Vector| {
                let k = [q[0], q[1], q[2] + wave];
                (dot(k, k).sqrt() - wave, k)
            };
            let (now, k_out) = error(q);
            // Step by step through the rotation: the nearest that the point comes to the sphere.
            let turned = (-100..=100).map(|step| {
                let (sin, cos) = (f64::from(step) / 200.0 * radians).sin_cos();
                let at = [q[0], cos * q[1] - sin * q[2], sin * q[1] + cos * q[2]];
                error(at).0
            });
            let (low, high) = turned.fold((f64::MAX, f64::MIN), |(low, high), error| {
                (low.min(error), high.max(error))
            });
            let distance = if low <= 0.0 && high >= 0.0 {
                0.0
            } else {
                low.abs().min(high.abs())
            };
            let partiality = excitation.partiality(q, k_out, now, sigma);
            let limit = 3.0 * THIN * sigma;
            // At the edge the path is a little curved.
            if distance < 0.8 * limit {
                assert!(partiality.is_some(), "{q:?} {distance}");
                seen += 1;
            } else if distance > 1.2 * limit {
                assert!(partiality.is_none(), "{q:?} {distance}");
                dark += 1;
            }
        }
        assert!(seen > 2000 && dark > 2000, "{seen} {dark}");
    }
}
