//! Real detector files of PEAKNET_DATA: every sum and sample equals what h5py, fabio and numpy read.

#![expect(
    clippy::excessive_precision,
    clippy::type_complexity,
    reason = "a table of sums as h5py and fabio print them"
)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::PathBuf;
use std::time::Instant;

use peaknet_studio::domain::frame::bad;
use peaknet_studio::io::{OpenOptions, open_run};

fn data(file: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("PEAKNET_DATA") else {
        eprintln!("skipped: PEAKNET_DATA is not set");
        return None;
    };
    Some(PathBuf::from(folder).join(file))
}

/// File, frame, width, height, sum of all pixels as f32, six samples. Made by tests/fixtures/io/reference.py
/// with h5py 3 (hdf5plugin), fabio and numpy.
#[rustfmt::skip]
const REFERENCE: &[(&str, usize, usize, usize, f64, [f32; 6])] = &[
    ("hdf5/thaumatin_vds.h5", 0, 2463, 2527, 2262270965088661.0, [0.0, 7.0, 3.0, 4294967296.0, 0.0, 1.0]),
    ("hdf5/thaumatin_vds.h5", 5, 2463, 2527, 2262270953909049.0, [1.0, 3.0, 6.0, 4294967296.0, 1.0, 2.0]),
    ("hdf5/jungfrau_9.cxi", 0, 1024, 512, 922927.4457782272, [1.0357099771499634, 3.1556761264801025, 3.0950918197631836, 1.3712090253829956, 1.024735927581787, 2.1204142570495605]),
    ("hdf5/jungfrau_9.cxi", 8, 1024, 512, 879292.4573111923, [3.0403525829315186, 0.17324590682983398, 0.047856561839580536, 0.9308151006698608, 2.2347495555877686, 1.9616584777832031]),
    ("hdf5/cspad_thermolysin_2.cxi", 0, 1552, 1480, 32878926.0, [19.0, 20.0, 2.0, 26.0, 1.0, 13.0]),
    ("hdf5/cspad_thermolysin_2.cxi", 1, 1552, 1480, 54032763.0, [54.0, 21.0, 10.0, 25.0, 13.0, 30.0]),
    ("negatives/vac_007_data_000001.h5", 0, 3108, 3262, 2855315733354969.0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("negatives/vac_007_data_000001.h5", 1, 3108, 3262, 2855315733354715.0, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
    ("negatives/nexus-example.hdf5", 0, 487, 195, 487258877.0, [2407.0, 3518.0, 4504.0, 8373.0, 1898.0, 2519.0]),
    ("negatives/nexus-example.hdf5", 9, 487, 195, 494476149.0, [2598.0, 3503.0, 4544.0, 8494.0, 2077.0, 2517.0]),
    ("rings/ceria_ff1.h5", 0, 3072, 3888, 981504778.0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("rings/dcs_fast_powder_refine_detector.h5", 0, 2048, 2048, 106414477.0, [19.0, 41.0, 18.0, 35.0, 0.0, 28.0]),
    ("bragg/l-cyst_01_00001.cbf", 0, 1475, 1679, -142707.0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("thaumatin_pilatus6m/thau_3_2_0007.cbf.bz2", 0, 2463, 2527, 23759895.0, [2.0, 8.0, 8.0, -1.0, 0.0, 3.0]),
    ("bragg/DLS_I23_P12M_thau_00001.cbf.gz", 0, 2463, 5071, 814049.0, [0.0, 1.0, 0.0, -1.0, 0.0, 0.0]),
    ("bragg/run2_1_00148.cbf.bz2", 0, 2463, 2527, 39861867.0, [3.0, 9.0, 16.0, -1.0, 0.0, 6.0]),
    ("bragg/dlsnxs2cbf_therm_0001.cbf.gz", 0, 4148, 4362, -1210773.0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("silver_behenate/saxslab_image.tiff", 0, 487, 619, 34737747.0, [4.0, 3.0, 5.0, 3.0, 1.0, 2.0]),
    ("silver_behenate/AgBh700_96.9_calib.tif", 0, 981, 1043, 74354718.0, [20.0, 27.0, 47.0, 24.0, 0.0, 0.0]),
    ("silver_behenate/FLICAM_AgBeh_001_c.tif", 0, 1024, 1024, 105463948.0, [106.0, 93.0, 99.0, 99.0, 100.0, 105.0]),
    ("rings/CeO2_Pilatus1M.tif", 0, 981, 1043, 126770499.0, [45.0, 64.0, 169.0, 183.0, 39.0, 46.0]),
    ("bragg/oPPA_5grains_0001.tif.bz2", 0, 2048, 2048, 42099609.0, [10.0, 10.0, 10.0, 10.0, 10.0, 10.0]),
    ("rings/somedata_0001.mccd.bz2", 0, 1024, 1024, 134607957.0, [76.0, 218.0, 303.0, 127.0, 0.0, 74.0]),
    ("rings/corkcont2_H_0089.mccd.bz2", 0, 2048, 2048, 30455374.0, [0.0, 0.0, 47.0, 21.0, 0.0, 0.0]),
    ("negatives/GACdc100_0_003.img", 0, 1152, 1152, 75398007.0, [55.0, 52.0, 54.0, 62.0, 37.0, 55.0]),
    ("bragg/TIMEPIX_SU_512-stdgoni_0001.img", 0, 512, 512, 3357809.0, [3.0, 19.0, 25.0, 9.0, 9.0, 1.0]),
    ("bragg/i01f0001.edf.bz2", 0, 625, 576, 70339067.0, [194.0, 193.0, 195.0, 190.0, 192.0, 189.0]),
    ("rings/test_edf.edf", 0, 487, 619, 7325641.0, [21.0, 29.0, 112.0, 19.0, 22.0, 21.0]),
    ("cspad/cxitut13_r10_32_cspadAsic.npy", 0, 388, 185, 1160721.8301571514, [0.00522393174469471, 44.22531509399414, 15.125219345092773, 28.505224227905273, 51.03525161743164, 1.2852532863616943]),
    ("silver_behenate/agbe_60sec_006.mar1200", 0, 1200, 1200, 155730272.0, [19.0, 32.0, 125.0, 26.0, 0.0, 21.0]),
    ("cspad/sibeh_bottomleft.npz", 0, 827, 890, 220026784.79604053, [203.5, 305.1000061035156, 231.1999969482422, 116.4000015258789, 0.0, 889.5999755859375]),
    ("cspad/sibeh_topright.npz", 0, 830, 890, 237511589.9956231, [136.10000610351562, 409.0, 644.7000122070312, 667.0, 158.3000030517578, 52.099998474121094]),
    ("bragg/b191_1_9_1.img.bz2", 0, 512, 512, 6737309.0, [6.0, 30.0, 48.0, 14.0, 13.0, -4.0]),
    ("rings/Cr8F8140k103.0026.bz2", 0, 512, 512, 75855979.0, [175.0, 330.0, 779.0, 343.0, 0.0, 206.0]),
    ("cspad/idx-20130301060858701.cbf", 0, 388, 5920, 54032763.0, [26.0, 20.0, 4.0, 18.0, 39.0, 30.0]),
];

#[test]
fn every_pixel_adds_up() {
    let mut wrong = Vec::new();
    for (file, frame, width, height, sum, samples) in REFERENCE {
        let Some(path) = data(file) else { return };
        let run = match open_run(&[path], &OpenOptions::default()) {
            Ok(run) => run,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        let started = Instant::now();
        let read = run.read_frame(*frame).unwrap();
        let took = started.elapsed();
        let pixels = &read.pixels;
        let found: f64 = pixels.cells().iter().map(|v| f64::from(*v)).sum();
        let at = |k: usize| {
            *pixels
                .get((width * k / 5 + 5) % width, (height * k / 7 + 3) % height)
                .unwrap()
        };
        let sampled: Vec<f32> = (1..=6).map(at).collect();
        eprintln!(
            "{file} {frame}: {:.1} ms, {:?}",
            took.as_secs_f64() * 1e3,
            run.info.filters
        );
        if (pixels.width(), pixels.height()) != (*width, *height)
            || (found - sum).abs() > sum.abs() * 1e-12
            || sampled != samples
        {
            wrong.push(format!(
                "{file} {frame}: {}x{} {found} {sampled:?}",
                pixels.width(),
                pixels.height()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[rustfmt::skip]
const TWO_THETA: [(f64, f64, f64); 4] = [(0.5, 0.5, 0.5312416988194903), (980.5, 1042.5, 0.5338654266410656), (100.25, 900.75, 0.42603761685904484), (490.0, 500.0, 0.010585754125837551)];

#[test]
fn masters_folders_and_geometries() {
    let Some(master) = data("hdf5/thaumatin_master.h5") else {
        return;
    };
    let run = open_run(&[master], &OpenOptions::default()).unwrap();
    let info = &run.info;
    assert_eq!((info.frames, info.width, info.height), (6, 2463, 2527));
    assert_eq!(
        (info.dtype.as_str(), info.format.as_str()),
        ("uint32", "NXmx")
    );
    assert_eq!(info.filters, ["bitshuffle-lz4"]);
    assert_eq!(info.notices.len(), 1, "{:?}", info.notices);
    assert!(info.notices[0].contains("thaumatin_data_000003.h5"));
    let geometry = &info.geometry;
    assert_eq!(geometry.wavelength_angstrom, Some(0.96859));
    assert_eq!(geometry.detector_distance_m, Some(0.351));
    assert_eq!(geometry.beam_center_px, Some([1261.61, 1306.96]));
    assert_eq!(run.sources().len(), 2);

    let folder = data("thaumatin_pilatus6m").unwrap();
    let images = open_run(&[folder], &OpenOptions::default()).unwrap();
    assert_eq!(
        (images.info.frames, images.info.format.as_str()),
        (6, "miniCBF")
    );
    assert_eq!(
        images.info.geometry.beam_center_px,
        Some([1261.61, 1306.96])
    );
    // The master was repackaged from these: the same counts, gaps bad in both.
    for frame in [0, 5] {
        let (a, b) = (
            run.read_frame(frame).unwrap(),
            images.read_frame(frame).unwrap(),
        );
        let mut gaps = 0;
        for ((x, y), (p, q)) in a
            .pixels
            .cells()
            .iter()
            .zip(b.pixels.cells())
            .zip(a.bad.cells().iter().zip(b.bad.cells()))
        {
            assert_eq!(p & bad::NOT_VALID == 0, q & bad::NOT_VALID == 0);
            if p & bad::NOT_VALID == 0 {
                assert_eq!(x, y);
            } else {
                gaps += 1;
            }
        }
        assert!(gaps > 400_000, "{gaps}");
    }

    let options = OpenOptions {
        geometry: data("hdf5/cspad_thermolysin.geom"),
        ..OpenOptions::default()
    };
    let cspad = open_run(&[data("hdf5/cspad_thermolysin_2.cxi").unwrap()], &options).unwrap();
    let geometry = &cspad.info.geometry;
    assert_eq!((cspad.info.frames, geometry.panels.len()), (2, 64));
    assert!((geometry.detector_distance_m.unwrap() - 0.130107).abs() < 1e-9);
    let [x, y, z] = geometry.lab_from_pixel(0.0, 0.0).unwrap();
    let res = 9097.5255;
    assert!((x * res - 447.4926).abs() < 1e-6 && (y * res + 30.4062).abs() < 1e-6 && z == 0.130107);

    let saxslab = open_run(
        &[data("silver_behenate/saxslab_image.tiff").unwrap()],
        &OpenOptions::default(),
    )
    .unwrap();
    let geometry = &saxslab.info.geometry;
    assert_eq!(geometry.wavelength_angstrom, Some(1.5418));
    assert!((geometry.detector_distance_m.unwrap() - 0.4875608).abs() < 1e-12);
    assert_eq!(geometry.beam_center_px, Some([267.8, 359.6]));

    let options = OpenOptions {
        geometry: data("rings/CeO2_Pilatus1M.poni"),
        ..OpenOptions::default()
    };
    let ceria = open_run(&[data("rings/CeO2_Pilatus1M.tif").unwrap()], &options).unwrap();
    // Two-theta by pyFAI: pyFAI.load("CeO2_Pilatus1M.poni").tth(y, x), positions from the corner.
    for (x, y, two_theta) in TWO_THETA {
        let found = ceria.info.geometry.two_theta(x, y).unwrap();
        assert!(
            (found - two_theta).abs() < 1e-9,
            "{x} {y}: {found} {two_theta}"
        );
    }
}

/// CrystFEL's streams beside their runs: as many found peaks as CrystFEL printed (data/README.md), every frame its own.
#[test]
fn streams_belong_to_their_frames() {
    for (run, stream, found) in [
        (
            "hdf5/thaumatin_vds.h5",
            "hdf5/thaumatin.stream",
            &[426, 1741, 1570, 902, 80][..],
        ),
        (
            "hdf5/cspad_thermolysin_2.cxi",
            "hdf5/cspad_thermolysin_2.stream",
            &[179, 170],
        ),
    ] {
        let Some(path) = data(run) else { return };
        let options = OpenOptions {
            peaks: data(stream),
            ..OpenOptions::default()
        };
        let run = open_run(&[path], &options).unwrap();
        for (number, found) in found.iter().enumerate() {
            let listed = run.listed(number).unwrap().unwrap();
            assert_eq!(listed.found.len(), *found, "{stream} {number}");
            assert_eq!(listed.is_indexed, Some(true), "{stream} {number}");
            let inside = |r: &&peaknet_studio::domain::listed::Reflection| {
                r.x < run.info.width as f32 && r.y < run.info.height as f32 && r.hkl != [0; 3]
            };
            assert!(listed.predicted.len() > 100 && listed.predicted.iter().all(|r| inside(&r)));
        }
    }
}

/// The axes of a full imgCIF header lead where the table of data/README.md says, to a millionth of a pixel.
#[test]
fn imgcif_axes_place_the_panels() {
    let (Some(frame), Some(table)) = (
        data("cspad/idx-20130301060858401.cbf"),
        data("cspad/cspad_thermolysin_geometry.json"),
    ) else {
        return;
    };
    let run = open_run(&[frame], &OpenOptions::default()).unwrap();
    let table: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(table).unwrap()).unwrap();
    let pixel_mm = table["pixel_mm"].as_f64().unwrap();
    let panels = table["panels"].as_array().unwrap();
    let geometry = &run.info.geometry;
    assert_eq!(geometry.panels.len(), panels.len());
    for panel in panels {
        let quad: usize = panel["array"].as_str().unwrap()[9..].parse().unwrap();
        let slab = panel["slab"].as_u64().unwrap() as usize;
        let (x0, y0) = (
            panel["cols"][0].as_u64().unwrap() as usize,
            (quad * 8 + slab) * 185,
        );
        let found = geometry
            .panels
            .iter()
            .find(|panel| (panel.rect.x0, panel.rect.y0) == (x0, y0))
            .unwrap();
        // Half a turn about y from imgCIF's laboratory to CrystFEL's.
        let turned = |key: &str, unit: f64| {
            let v = |i: usize| panel[key][i].as_f64().unwrap() * unit;
            [-v(0), v(1), -v(2)]
        };
        for (found, wanted) in [
            (found.corner_m, turned("origin_mm", 1e-3)),
            (found.fast_m, turned("fast", pixel_mm * 1e-3)),
            (found.slow_m, turned("slow", pixel_mm * 1e-3)),
        ] {
            let off = (0..3)
                .map(|i| (found[i] - wanted[i]).abs())
                .fold(0.0, f64::max);
            assert!(
                off < 1e-6 * pixel_mm * 1e-3,
                "{panel}: {found:?}, not {wanted:?}"
            );
        }
    }
}
