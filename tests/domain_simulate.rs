//! Simulated frames: the same from the same seed, fast, believable in their numbers.
//!
//! With PEAKNET_SIM_OUT set to a folder, `pictures` writes frames there as raw f32 pixels and u8 classes to look at:
//! `python tests/fixtures/domain/look.py FOLDER` makes contact sheets of them.

use std::time::Instant;

use peaknet_studio::domain::calibrant::Calibrant;
use peaknet_studio::domain::peaks::measure_peaks;
use peaknet_studio::domain::simulate::{Artifacts, Recipe, Simulated, simulate};

fn patch(seed: u64) -> Simulated {
    simulate(&Recipe::random_patch(seed, 320, 320), seed, 0)
}

#[test]
fn one_seed_makes_one_frame() {
    let (a, b, c) = (patch(7), patch(7), patch(8));
    assert_eq!(a.frame, b.frame);
    assert_eq!(a.sheet, b.sheet);
    assert_eq!(a.peaks, b.peaks);
    assert_ne!(a.frame, c.frame);
}

#[test]
fn patches_are_fast_and_varied() {
    let start = Instant::now();
    let (mut shares, mut blank, mut peaks, mut odd) = ([0_usize; 256], 0, 0, 0);
    let count = 200;
    for seed in 0..count {
        let made = patch(seed);
        made.sheet
            .cells()
            .iter()
            .for_each(|c| shares[usize::from(*c)] += 1);
        peaks += made.peaks.len();
        blank += usize::from(made.peaks.is_empty());
        odd += made
            .frame
            .pixels
            .cells()
            .iter()
            .filter(|v| !v.is_finite())
            .count();
    }
    let each_ms = start.elapsed().as_secs_f64() * 1e3 / count as f64;
    eprintln!(
        "{each_ms:.1} ms a patch, {peaks} peaks, {blank} blank, background {} peak {} artifact {} ignore {}",
        shares[0], shares[1], shares[2], shares[255]
    );
    assert_eq!(odd, 0);
    assert!(each_ms < 100.0, "{each_ms} ms a patch of 320 x 320");
    assert!(peaks > 500 && blank > 20 && blank < 140, "{peaks} {blank}");
    assert!(shares[2] > 100_000, "{}", shares[2]);
}

#[test]
fn true_peaks_are_found_again_where_they_are() {
    let mut recipe = Recipe::named("pilatus300k").unwrap();
    recipe.artifacts = Artifacts::none();
    recipe.hit_rate = 1.0;
    recipe.crystals.typical_snr.low = 40.0;
    recipe.crystals.most = 1;
    recipe.crystals.spots_per_megapixel.high = 100.0;
    let (mut near, mut all, mut ratio) = (0, 0, Vec::new());
    for number in 0..4 {
        let made = simulate(&recipe, 3, number);
        let found = measure_peaks(&made.frame, &made.sheet);
        for truth in made.peaks.iter().filter(|p| p.snr > 15.0) {
            all += 1;
            let best = found
                .iter()
                .filter(|f| (f.x - truth.x).hypot(f.y - truth.y) < 1.0)
                .max_by(|a, b| a.total.total_cmp(&b.total));
            if let Some(best) = best {
                near += 1;
                ratio.push(best.total / truth.total);
            }
        }
    }
    ratio.sort_unstable_by(f32::total_cmp);
    let median = ratio[ratio.len() / 2];
    assert!(all > 50 && near * 100 > all * 90, "{near} of {all}");
    assert!((0.85..1.1).contains(&median), "{median}");
}

#[test]
fn every_named_detector_makes_a_frame() {
    for name in peaknet_studio::domain::simulate::Detector::NAMES {
        let recipe = Recipe::named(name).unwrap();
        let start = Instant::now();
        let made = simulate(&recipe, 11, 1);
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{name}: {}x{} in {seconds:.2} s, {} peaks, hit {}",
            made.frame.width(),
            made.frame.height(),
            made.peaks.len(),
            made.hit
        );
        assert!(seconds < 10.0, "{name} {seconds}");
    }
}

#[test]
fn pictures() {
    let Some(folder) = std::env::var_os("PEAKNET_SIM_OUT").map(std::path::PathBuf::from) else {
        eprintln!("PEAKNET_SIM_OUT is unset: no pictures");
        return;
    };
    let write = |name: &str, made: &Simulated| {
        let size = format!("{name}_{}x{}", made.frame.width(), made.frame.height());
        let mut bytes: Vec<u8> = Vec::new();
        made.frame
            .pixels
            .cells()
            .iter()
            .for_each(|v| bytes.extend(v.to_le_bytes()));
        bytes.extend(made.sheet.cells());
        made.frame
            .bad
            .cells()
            .iter()
            .for_each(|v| bytes.extend(v.to_le_bytes()));
        #[expect(
            clippy::disallowed_methods,
            reason = "pictures for a look, made again at will"
        )]
        std::fs::write(folder.join(format!("{size}.bin")), bytes).unwrap();
    };
    for seed in 0..72 {
        write(&format!("patch{seed:03}"), &patch(seed + 1000));
    }
    for name in peaknet_studio::domain::simulate::Detector::NAMES {
        let mut recipe = Recipe::named(name).unwrap();
        recipe.hit_rate = 1.0;
        write(&format!("named_{name}"), &simulate(&recipe, 5, 0));
        recipe.artifacts = Artifacts::none();
        recipe.calibrant = Some(Calibrant::SilverBehenate);
        recipe.hit_rate = 0.0;
        recipe.distance_m *= 4.0;
        write(&format!("agbe_{name}"), &simulate(&recipe, 5, 0));
    }
}
