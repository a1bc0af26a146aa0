//! The steps of a frame's life, timed one by one: `cargo bench --bench steps`. Medians in milliseconds, frames of
//! 1920 x 1920 and 4096 x 4096; the net of `models/` where there is one.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails where it cannot go on"
)]

use std::hint::black_box;
use std::time::Instant;

use peaknet_studio::domain::brush::{Paint, stroke};
use peaknet_studio::domain::finders::{Finder, Peakfinder8, Robust, radius_bins};
use peaknet_studio::domain::frame::{Frame, RunInfo};
use peaknet_studio::domain::geometry::Geometry;
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::domain::labels::{Class, Edit, Sheet};
use peaknet_studio::domain::peaks::{PeakOptions, settle_peaks, settle_peaks_with};
use peaknet_studio::domain::simulate::{Recipe, simulate};
use peaknet_studio::io::project::{Mode, Project, Provenance};
use peaknet_studio::net::predict::Asked;
use peaknet_studio::net::prepare::prepare;
use peaknet_studio::net::{DeviceChoice, Net, catalog};

/// Runs a step several times after one warm-up and prints the median.
fn time(name: &str, times: usize, mut step: impl FnMut()) {
    step();
    let mut took: Vec<f64> = (0..times)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("{name:<44} {:>9.2} ms", took[times / 2]);
}

fn main() {
    peaknet_studio::memory::keep_large_blocks();
    let recipe = Recipe::named("rayonix").expect("the simulator knows its detectors");
    time("simulate a frame of 1920 x 1920", 3, || {
        black_box(simulate(&recipe, 1, 0));
    });
    let frame = simulate(&recipe, 1, 0).frame;
    time("statistics of 1920 x 1920", 9, || {
        black_box(frame.statistics());
    });
    time("prepare 1920 x 1920", 9, || {
        black_box(prepare(&frame));
    });
    let geometry = Geometry::default();
    let bins = radius_bins(&geometry, frame.width(), frame.height());
    for (name, finder) in [
        (
            "peakfinder8 on 1920 x 1920",
            Finder::Peakfinder8(Peakfinder8::default()),
        ),
        (
            "robust peak finder on 1920 x 1920",
            Finder::Robust(Robust::default()),
        ),
    ] {
        time(name, 9, || {
            black_box(finder.find(&frame, &bins, &[]));
        });
    }
    if let Some(folder) = catalog::shipped() {
        let net = Net::load(&folder, DeviceChoice::Cpu).expect("the shipped net loads");
        time("predict 1920 x 1920 (net, CPU)", 5, || {
            black_box(
                net.predict(&[&frame], Asked::default())
                    .expect("it predicts"),
            );
        });
        let prediction = net
            .predict(&[&frame], Asked::default())
            .expect("it predicts")
            .remove(0);
        time("peaks of 1920 x 1920", 9, || {
            let mut classes = prediction.classes.clone();
            black_box(settle_peaks(&frame, &mut classes));
        });
    }
    peaks_on_a_ring(&frame);
    paint(4096);
}

/// 196 peaks of 3 x 3 pixels on a frame with a ring of 4 % of it; the copy of the class map is in the time.
fn peaks_on_a_ring(frame: &Frame) {
    let classes = Sheet::from_fn(frame.width(), frame.height(), |x, y| {
        let away = (x as f32 - 960.0).hypot(y as f32 - 960.0);
        if x % 137 < 3 && y % 137 < 3 {
            Class::Peak.code()
        } else if (600.0..639.0).contains(&away) {
            Class::Artifact.code()
        } else {
            Class::Background.code()
        }
    });
    let options = PeakOptions {
        // All of them are to be measured, though nothing is there.
        min_snr: f32::NEG_INFINITY,
        ..PeakOptions::default()
    };
    time("196 peaks, ring of 4 %, 1920 x 1920", 99, || {
        let mut classes = classes.clone();
        black_box(settle_peaks_with(frame, &mut classes, &options));
    });
}

/// One 100 px stroke on a square frame: on the sheet, as an edit, on disk.
fn paint(side: usize) {
    let frame = Frame::new(
        0,
        Grid::filled(side, side, 1.0),
        Grid::filled(side, side, 0),
    )
    .expect("the shapes agree");
    let before = Sheet::filled(side, side, 0);
    let mut sheet = before.clone();
    let ink = Paint {
        class: Class::Peak,
        only_background: false,
    };
    let mut x = 200.0;
    time("brush segment, 100 px on 4096 x 4096", 99, || {
        x = 200.0 + (x + 37.0) % 3000.0;
        black_box(stroke(
            &mut sheet,
            &frame.bad,
            (x, 500.0),
            (x + 20.0, 510.0),
            100.0,
            ink,
        ));
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mode = Mode::Write {
        who: "bench".to_owned(),
    };
    let mut project = Project::open(&folder.path().join("bench.peaknet"), mode).expect("it opens");
    let info = RunInfo {
        name: "bench".to_owned(),
        source: "bench".to_owned(),
        frames: 1,
        width: side,
        height: side,
        ..RunInfo::default()
    };
    let run = project.add_run(&info).expect("the run is added");
    let by = Provenance {
        who: "bench".to_owned(),
        net: None,
    };
    let mut sheet = before;
    let mut y = 300.0;
    time("gesture of 100 px to disk, 4096 x 4096", 21, || {
        y += 110.0;
        let old = sheet.clone();
        let touched = stroke(
            &mut sheet,
            &frame.bad,
            (900.0, y),
            (960.0, y + 8.0),
            100.0,
            ink,
        );
        let edit =
            Edit::between(&old, &sheet, touched, "brush peak").expect("it changes something");
        project
            .store_edit(run, 0, &edit, &by)
            .expect("it is stored");
    });
}
