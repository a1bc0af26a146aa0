//! What to simulate: named detectors with their usual conditions, and random patches for training.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::artifacts::Artifacts;
use super::background::Scatter;
use super::chance::{Spread, chance};
use super::detector::{Detector, modules};
use super::lattice::Crystals;
use crate::domain::calibrant::Calibrant;

/// Everything that decides what a simulated run looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub detector: Detector,
    pub wavelength_angstrom: f64,
    pub distance_m: f64,
    /// Where the beam meets the plane of the detector's tiles, pixels.
    pub beam_center_px: [f64; 2],
    pub crystals: Crystals,
    pub scatter: Scatter,
    pub artifacts: Artifacts,
    /// A powder in the beam, whose rings lie where the geometry says.
    pub calibrant: Option<Calibrant>,
    /// Share of the beam that is polarised along x: near 1 at XFELs and synchrotrons, 0.5 unpolarised.
    pub polarised: f64,
    /// Share of the frames with a crystal.
    pub hit_rate: f64,
}

impl Recipe {
    /// A run on a detector of [`Detector::NAMES`], with artifacts of all kinds and a hit rate of 0.7.
    ///
    /// The distance puts 2 to 3 angstrom at the edge; `None` for an unknown name.
    pub fn named(name: &str) -> Option<Self> {
        let detector = Detector::named(name)?;
        let (width, height) = (detector.width as f64, detector.height as f64);
        let mut beam_center_px = [width / 2.0 + 11.3, height / 2.0 - 6.7];
        let mut crystals = usual_crystals();
        let mut scatter = usual_scatter();
        let (wavelength_angstrom, distance_m) = match name {
            "jungfrau" => {
                beam_center_px = [width / 2.0, height + 40.0];
                crystals.spots_per_megapixel = Spread::new(100.0, 700.0);
                scatter.photons = Spread::new(0.3, 6.0);
                (1.05, 0.09)
            }
            "cspad" => {
                beam_center_px = [0.0, 0.0];
                crystals.spots_per_megapixel = Spread::new(20.0, 250.0);
                scatter.photons = Spread::new(0.1, 3.0);
                scatter.beamstop_px = Spread::only(0.0);
                (1.27, 0.12)
            }
            "rayonix" => {
                scatter.photons = Spread::new(2.0, 60.0);
                (1.3, 0.18)
            }
            "eiger4m" => {
                scatter.photons = Spread::new(0.02, 5.0);
                (1.0, 0.16)
            }
            "ccd" => {
                scatter.photons = Spread::new(5.0, 400.0);
                (0.98, 0.2)
            }
            "pilatus300k" => (1.0, 0.12),
            _ => (1.0, 0.25),
        };
        Some(Self {
            detector,
            wavelength_angstrom,
            distance_m,
            beam_center_px,
            crystals,
            scatter,
            artifacts: Artifacts::all(),
            calibrant: None,
            polarised: 0.99,
            hit_rate: 0.7,
        })
    }

    /// A patch of `width` x `height` pixels of a random detector under random conditions, for training.
    ///
    /// Everything varies with the seed: detector and where on it the patch lies, photon level, spots, artifacts. Make
    /// one frame of it: `simulate(&Recipe::random_patch(seed, w, h), seed, 0)`.
    pub fn random_patch(seed: u64, width: usize, height: usize) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5eed);
        let rng = &mut rng;
        let (whole, beam) = random_detector(rng);
        // Distances of 600 to 6000 px cover wide angle and small angle on all detectors.
        let distance_px = Spread::new(600.0, 6000.0).draw_log(rng);
        let (left, top) = random_place(&whole, beam, width, height, rng);
        let detector = whole.window(left, top, width, height);
        let scatter = random_scatter(&detector, rng);
        Self {
            wavelength_angstrom: Spread::new(0.7, 2.0).draw_log(rng),
            distance_m: distance_px * detector.pixel_size_m,
            beam_center_px: beam,
            crystals: random_crystals(&detector, rng),
            scatter,
            artifacts: random_artifacts(rng),
            calibrant: chance(rng, 0.05).then_some(Calibrant::SilverBehenate),
            polarised: [0.99, 0.95, 0.5, 0.01][rng.random_range(0..4_u32) as usize],
            hit_rate: 0.85,
            detector,
        }
    }
}

fn usual_crystals() -> Crystals {
    Crystals {
        most: 2,
        cell_angstrom: Spread::new(40.0, 250.0),
        spots_per_megapixel: Spread::new(15.0, 250.0),
        typical_snr: Spread::new(6.0, 60.0),
        b_factor: Spread::new(8.0, 60.0),
        resolution_angstrom: Spread::new(1.5, 4.0),
        spot_sigma_px: Spread::new(0.45, 1.3),
        bandwidth: Spread::new(2e-4, 3e-3),
        mosaicity_deg: Spread::new(0.01, 0.15),
        turning: 0.0,
        elongation: Spread::only(1.0),
    }
}

fn usual_scatter() -> Scatter {
    Scatter {
        photons: Spread::new(0.1, 30.0),
        air: Spread::new(0.3, 8.0),
        solvent: Spread::new(0.2, 2.0),
        slope: Spread::new(0.0, 0.4),
        mottle: Spread::new(0.0, 0.05),
        shadow: 0.15,
        strip: 0.1,
        beamstop_px: Spread::new(8.0, 30.0),
        holder: 0.5,
    }
}

/// A whole detector whose numbers differ from the named ones, and a beam centre on or beside it.
fn random_detector(rng: &mut Pcg64Mcg) -> (Detector, [f64; 2]) {
    const NAMES: [&str; 11] = [
        "rayonix",
        "rayonix",
        "eiger4m",
        "eiger4m",
        "jungfrau",
        "jungfrau",
        "cspad",
        "cspad",
        "pilatus1m",
        "pilatus2m",
        "ccd",
    ];
    let name = NAMES[rng.random_range(0..NAMES.len() as u32) as usize];
    let mut detector = match Detector::named(name) {
        Some(detector) if chance(rng, 0.2) => generic(detector, rng),
        Some(detector) => detector,
        None => Detector::plain(),
    };
    let near =
        |rng: &mut Pcg64Mcg, low: f64, high: f64| Spread::new(low, high).draw_log(rng) as f32;
    let counting = detector.spread_px == 0.0 && detector.read_noise == 0.0;
    if !counting {
        let photon = near(rng, 0.5, 2.0);
        detector.units_per_photon *= photon;
        detector.read_noise *= photon * near(rng, 0.4, 3.0);
        detector.spread_px *= near(rng, 0.6, 1.6);
        detector.halo[0] *= near(rng, 0.2, 2.0);
        detector.halo[1] *= near(rng, 0.6, 1.6);
        detector.offset *= near(rng, 0.5, 3.0);
    }
    detector.tile_offset *= near(rng, 0.3, 4.0);
    detector.pixel_gain *= near(rng, 0.3, 1.5);
    detector.known_bad = [1.0, 0.9, 0.5, 0.0][rng.random_range(0..4_u32) as usize];
    // Exposures of femtoseconds catch no zingers; what is sharp there is a spot.
    if !is_flash(name) && chance(rng, 0.28) {
        // Some detectors are full of zingers.
        detector.zingers_per_megapixel = Spread::new(50.0, 1500.0);
    }
    if chance(rng, 0.6) {
        // Resampled frames and thick sensors spread them, but never as far as light spreads.
        let most = (0.75 * detector.spread_px).max(0.3);
        detector.zinger_spread_px = most * near(rng, 0.3, 1.0);
    }
    if !counting {
        detector.zinger_trail = if chance(rng, 0.3) { 0.3 } else { 0.0 };
        detector.blooms = chance(rng, 0.3);
        if chance(rng, 0.3) {
            detector.row_noise = detector.read_noise * near(rng, 0.05, 0.6);
        }
    }
    if chance(rng, 0.3) {
        detector.gain_map = near(rng, 0.005, 0.1);
    }
    detector.bad_line = 0.06;
    if chance(rng, 0.12) {
        // Weak electronics fill up early.
        let photons = near(rng, 30.0, 3000.0);
        let full = detector.offset + photons * detector.units_per_photon;
        detector.ceiling = detector.ceiling.min(full.max(10.0));
    }
    let square = detector.width.min(detector.height) as f64 / 2.0;
    if !counting && detector.name != "cspad" && chance(rng, 0.15) {
        let middle = [detector.width as f64 / 2.0, detector.height as f64 / 2.0];
        detector.disc = Some([middle[0], middle[1], square]);
    }
    let beam = if detector.name == "cspad" {
        [
            20.0 * (rng.random::<f64>() - 0.5),
            20.0 * (rng.random::<f64>() - 0.5),
        ]
    } else {
        let (width, height) = (detector.width as f64, detector.height as f64);
        let part = |rng: &mut Pcg64Mcg| {
            if chance(rng, 0.75) {
                0.5 + 0.1 * (rng.random::<f64>() - 0.5)
            } else {
                -0.3 + 1.6 * rng.random::<f64>()
            }
        };
        [width * part(rng), height * part(rng)]
    };
    (detector, beam)
}

/// The same electronics on other modules and gaps.
fn generic(from: Detector, rng: &mut Pcg64Mcg) -> Detector {
    let size = [
        rng.random_range(150..700_u32) as usize,
        rng.random_range(100..700_u32) as usize,
    ];
    let gap = if chance(rng, 0.3) {
        [0, 0]
    } else {
        [
            rng.random_range(0..40_u32) as usize,
            rng.random_range(0..40_u32) as usize,
        ]
    };
    let (width, height, tiles) = modules(1 + 2400 / size[0], 1 + 2400 / size[1], size, gap);
    let integers = chance(rng, 0.7);
    Detector {
        name: "generic".to_owned(),
        width,
        height,
        tiles,
        double_borders: None,
        integers,
        negatives: from.negatives || !integers,
        gap_value: [0.0, -1.0, from.ceiling][rng.random_range(0..3_u32) as usize],
        ..from
    }
}

/// Left and top of a patch: a quarter of them around the beam, the others anywhere on the detector.
fn random_place(
    whole: &Detector,
    beam: [f64; 2],
    width: usize,
    height: usize,
    rng: &mut Pcg64Mcg,
) -> (i64, i64) {
    let inside = beam[0] > 0.0
        && beam[1] > 0.0
        && beam[0] < whole.width as f64
        && beam[1] < whole.height as f64
        && whole.name != "cspad";
    if inside && chance(rng, 0.22) {
        let place = |rng: &mut Pcg64Mcg, beam: f64, size: usize, whole: usize| {
            let last = whole as f64 - size as f64;
            let start = beam - size as f64 * rng.random::<f64>();
            start.clamp(0.0_f64.min(last), last.max(0.0)).floor() as i64
        };
        return (
            place(rng, beam[0], width, whole.width),
            place(rng, beam[1], height, whole.height),
        );
    }
    let place = |rng: &mut Pcg64Mcg, size: usize, whole: usize| {
        if whole <= size {
            return -(((size - whole) / 2) as i64);
        }
        rng.random_range(0..=(whole - size) as i64)
    };
    (
        place(rng, width, whole.width),
        place(rng, height, whole.height),
    )
}

fn random_scatter(detector: &Detector, rng: &mut Pcg64Mcg) -> Scatter {
    // Counting detectors see sparse photons, integrating ones rarely less than their noise.
    let counting = detector.read_noise == 0.0;
    let photons = match rng.random_range(0..10_u32) {
        0..=2 if counting => Spread::new(0.005, 0.3),
        0..=2 if detector.name == "cspad" => Spread::new(0.05, 1.0),
        0 | 1 => Spread::new(0.05, 1.0),
        3..=6 => Spread::new(0.3, 10.0),
        2 | 7 | 8 => Spread::new(5.0, 100.0),
        _ => Spread::new(50.0, 10_000.0),
    };
    let photons = Spread::only(photons.draw_log(rng));
    Scatter {
        photons,
        air: Spread::new(0.05, 30.0),
        solvent: Spread::new(0.0, 3.0),
        slope: Spread::new(0.0, 0.8),
        mottle: Spread::new(0.0, if chance(rng, 0.3) { 0.2 } else { 0.03 }),
        shadow: 0.15,
        strip: 0.1,
        beamstop_px: if chance(rng, 0.75) {
            Spread::new(4.0, 45.0)
        } else {
            Spread::only(0.0)
        },
        holder: 0.5,
    }
}

/// Detectors of X-ray lasers, whose exposures last femtoseconds.
fn is_flash(detector: &str) -> bool {
    ["cspad", "jungfrau"].contains(&detector)
}

fn random_crystals(detector: &Detector, rng: &mut Pcg64Mcg) -> Crystals {
    // Mostly round spots, sometimes long ones: pink beam or mosaic crystals.
    let bandwidth = if chance(rng, 0.2) {
        Spread::new(2e-3, 3e-2)
    } else {
        Spread::new(1e-4, 3e-3)
    };
    let mosaicity_deg = if chance(rng, 0.2) {
        Spread::new(0.15, 1.0)
    } else {
        Spread::new(0.005, 0.16)
    };
    // The beam of a laser is finer than a pixel of 75 or 110 um: most spots there are one or two pixels with steep edges.
    let spot_sigma_px = if is_flash(&detector.name) && chance(rng, 0.6) {
        Spread::new(0.08, 0.45)
    } else {
        // Without a point spread the spots of a fine beam are two or three pixels, as sharp as the pixels are.
        let least = if detector.spread_px < 0.4 { 0.2 } else { 0.35 };
        Spread::new(least, if chance(rng, 0.25) { 3.4 } else { 1.2 })
    };
    // A still of a laser may have few spots; a turned crystal has many.
    let spots_per_megapixel = if is_flash(&detector.name) {
        Spread::new(20.0, 1500.0)
    } else {
        Spread::new(60.0, 2000.0)
    };
    // Half of a laser's hits are weak: small crystals, a beam that missed the middle of one.
    let brightest = if is_flash(&detector.name) && chance(rng, 0.5) {
        25.0
    } else if chance(rng, 0.1) {
        2000.0
    } else {
        120.0
    };
    Crystals {
        most: 3,
        cell_angstrom: Spread::new(20.0, 400.0),
        spots_per_megapixel,
        typical_snr: Spread::new(4.0, brightest),
        b_factor: Spread::new(0.0, 60.0),
        resolution_angstrom: Spread::new(0.5, 2.2),
        spot_sigma_px,
        bandwidth,
        mosaicity_deg,
        turning: if is_flash(&detector.name) { 0.0 } else { 0.5 },
        elongation: Spread::new(1.0, if chance(rng, 0.4) { 2.8 } else { 1.0 }),
    }
}

fn random_artifacts(rng: &mut Pcg64Mcg) -> Artifacts {
    // A good part of the patches has none at all, so that none are invented.
    let busy = rng.random::<f64>();
    if busy < 0.32 {
        return Artifacts::none();
    }
    let share = if busy > 0.88 { 0.5 } else { 0.3 };
    Artifacts {
        rings: share * 1.6,
        // Coarse powders are the hardest to tell from crystals, so they come more often than in nature.
        powder: share * 1.6,
        ice: share * 0.4,
        lipid: share * 0.4,
        jet: share * 0.5,
        salt: 0.06,
        strength: Spread::new(0.7, if chance(rng, 0.2) { 600.0 } else { 40.0 }),
    }
}
