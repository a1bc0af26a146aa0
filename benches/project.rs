//! What a large project costs: `cargo bench --bench project [FOLDER]`. 100,000 frames of 2070 x 2167, 10,000 labelled sheets of some
//! 200 peaks and a ring, three edits each; opening, one gesture until it is on disk, loading, keeping a copy. Medians and 99th percentiles.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(
    clippy::expect_used,
    reason = "a bench that cannot go on shall say where"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use peaknet_studio::domain::frame::RunInfo;
use peaknet_studio::domain::grid::PixelRect;
use peaknet_studio::domain::labels::{Edit, Sheet};
use peaknet_studio::io::project::{Mode, Project, Provenance, RunKey};
use peaknet_studio::memory::peak_mib;

const FRAMES: usize = 100_000;
const SHEETS: usize = 10_000;
const WIDTH: usize = 2070;
const HEIGHT: usize = 2167;
const GESTURES: usize = 200;

fn info() -> RunInfo {
    RunInfo {
        name: "long.h5".to_owned(),
        source: "/nowhere/long.h5".to_owned(),
        frames: FRAMES,
        width: WIDTH,
        height: HEIGHT,
        dtype: "uint16".to_owned(),
        ..RunInfo::default()
    }
}

fn mode() -> Mode {
    Mode::Write {
        who: "ann".to_owned(),
    }
}

/// What a net proposes for a frame.
fn proposed(number: usize) -> Sheet {
    let mut sheet = Sheet::filled(WIDTH, HEIGHT, 0);
    for i in 0..200 {
        let x = 20 + (i * 7919 + number * 131) % (WIDTH - 40);
        let y = 20 + (i * 6271 + number * 977) % (HEIGHT - 40);
        sheet.paste_rect(PixelRect::new(x, y, x + 3, y + 3), &[1; 9]);
    }
    for degree in 0..3600 {
        let angle = f64::from(degree).to_radians() / 10.0;
        let x = 1035.0 + 500.0 * angle.cos();
        let y = 1083.0 + 500.0 * angle.sin();
        if let Some(cell) = sheet.get_mut(x as usize, y as usize) {
            *cell = 2;
        }
    }
    sheet
}

/// A small stroke on a sheet.
fn stroke(sheet: &mut Sheet, step: usize) -> Edit {
    let (x, y) = (
        50 + step * 37 % (WIDTH - 100),
        60 + step * 53 % (HEIGHT - 120),
    );
    let rect = PixelRect::new(x, y, x + 12, y + 5);
    let before = sheet.copy_rect(rect);
    let after: Vec<u8> = before.iter().map(|code| u8::from(*code != 1)).collect();
    let edit = Edit {
        rect,
        before: before.into(),
        after: after.into(),
        tool: "brush peak".to_owned(),
    };
    edit.apply(sheet);
    edit
}

fn fill(path: &Path) {
    let mut project = Project::open(path, mode()).expect("made");
    let run = project.add_run(&info()).expect("added");
    let by = Provenance {
        who: "ann".to_owned(),
        net: Some("0123456789abcdef".to_owned()),
    };
    for number in 0..SHEETS {
        let frame = number * (FRAMES / SHEETS);
        let mut sheet = proposed(number);
        let done = project.import_sheet(run, frame, &sheet, "accept peaknet", number % 2 == 0, &by);
        done.expect("stored");
        for step in 0..2 {
            let edit = stroke(&mut sheet, number + step);
            project.store_edit(run, frame, &edit, &by).expect("stored");
        }
    }
}

/// What the window reads of a project when a run is opened.
fn open(path: &Path) -> (Project, RunKey) {
    let mut project = Project::open(path, mode()).expect("opens");
    let run = project.add_run(&info()).expect("known");
    let reviews = project.review_states(run).expect("read");
    let labelled = project.labelled(run).expect("read");
    project.notes(run).expect("read");
    project.load_view(run).expect("read");
    assert_eq!((reviews.len(), labelled.len()), (SHEETS, SHEETS));
    (project, run)
}

fn timed(name: &str, times: usize, mut act: impl FnMut(usize)) {
    let mut took: Vec<f64> = (0..times)
        .map(|i| {
            let start = Instant::now();
            act(i);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |q: f64| took[((times - 1) as f64 * q).round() as usize];
    println!("{name:<44} {:>9.2} ms {:>9.2} ms", at(0.5), at(0.99));
}

fn main() {
    let asked = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let folder = asked.map_or_else(std::env::temp_dir, PathBuf::from);
    let kept = folder.join("peaknet-bench-project.peaknet");
    if !kept.exists() {
        // So many gestures on a disk would take long; it is made in memory where there is some.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory } else { &folder };
        let fresh = tempfile::tempdir_in(place).expect("a folder");
        let path = fresh.path().join("long.peaknet");
        let start = Instant::now();
        fill(&path);
        std::fs::copy(&path, &kept).expect("copied");
        println!("made in {:.0} s", start.elapsed().as_secs_f64());
    }
    let size = std::fs::metadata(&kept).expect("is there").len();
    println!(
        "{}: {SHEETS} sheets, {} edits, {:.0} MiB",
        kept.display(),
        SHEETS * 3,
        size as f64 / 1048576.0
    );
    println!("{:<44} {:>12} {:>12}", "", "median", "99 %");
    timed("open, with all reviews and labelled frames", 9, |_| {
        drop(open(&kept));
    });
    let (mut project, run) = open(&kept);
    println!(
        "peak memory after opening {:.0} MiB",
        peak_mib().unwrap_or(f64::NAN)
    );
    timed("load the labels of a frame", 100, |i| {
        let frame = (i * 7919 % SHEETS) * (FRAMES / SHEETS);
        project
            .load_labels(run, frame)
            .expect("read")
            .expect("there");
    });
    let frame = 4321 * (FRAMES / SHEETS);
    let mut sheet = project.load_sheet(run, frame).expect("read");
    let by = Provenance::default();
    timed("a gesture, until it is on disk", GESTURES, |i| {
        let edit = stroke(&mut sheet, i * 11);
        project.store_edit(run, frame, &edit, &by).expect("stored");
    });
    timed("undo, until it is on disk", GESTURES, |_| {
        project.undo(run, frame).expect("stored");
    });
    timed("a copy of the project, checked", 3, |_| {
        project.back_up().expect("copied");
    });
    println!("peak memory {:.0} MiB", peak_mib().unwrap_or(f64::NAN));
}
