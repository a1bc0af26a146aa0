//! How long a stroke takes on a large sheet: in memory, and until it is on disk. The figures are printed.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a step that fails fails the test; the figures are its speech"
)]

use std::path::Path;
use std::time::Instant;

use peaknet_studio::domain::brush::{self, Paint};
use peaknet_studio::domain::frame::RunInfo;
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::domain::labels::{Class, Edit, Sheet};
use peaknet_studio::io::project::{Mode, Project, Provenance};

const SIDE: usize = 4096;
const STROKES: usize = 40;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Median of (segment, edit, commit) in ms; bytes on disk a stroke.
fn measure(folder: &Path) -> [f64; 4] {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let path = folder.path().join("large.peaknet");
    let mut project = Project::open(
        &path,
        Mode::Write {
            who: "ann".to_owned(),
        },
    )
    .expect("made");
    let info = RunInfo {
        name: "large".to_owned(),
        frames: 1,
        width: SIDE,
        height: SIDE,
        ..RunInfo::default()
    };
    let run = project.add_run(&info).expect("added");
    let provenance = Provenance::default();
    let bad = Grid::filled(SIDE, SIDE, 0);
    // A sheet as a net proposes it: peaks all over, rings.
    let mut sheet: Sheet = Grid::from_fn(SIDE, SIDE, |x, y| {
        let r = (x as f64 - 2048.0).hypot(y as f64 - 2048.0);
        if (r - 900.0).abs() < 6.0 || (r - 1500.0).abs() < 5.0 {
            2
        } else {
            u8::from(x % 61 < 3 && y % 67 < 3)
        }
    });
    project
        .import_sheet(run, 0, &sheet, "accept", false, &provenance)
        .expect("stored");
    let start = std::fs::metadata(&path).expect("is there").len();
    let (mut segments, mut edits, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..STROKES {
        let paint = Paint {
            class: [Class::Peak, Class::Artifact, Class::Background][i % 3],
            only_background: i % 2 == 0,
        };
        let before = sheet.clone();
        let mut touched = peaknet_studio::domain::grid::PixelRect::new(0, 0, 0, 0);
        let at = |step: usize| {
            let angle = (i * 7 + step) as f32 * 0.11;
            (
                2048.0 + 1500.0 * (angle + i as f32).cos(),
                2048.0 + 1500.0 * angle.sin(),
            )
        };
        let mut last = at(0);
        for step in 1..=4 {
            let next = (last.0 + 30.0, last.1 + 10.0 * step as f32);
            let clock = Instant::now();
            let rect = brush::stroke(&mut sheet, &bad, last, next, 100.0, paint);
            segments.push(clock.elapsed().as_secs_f64() * 1e3);
            touched = touched.union(&rect);
            last = next;
        }
        let clock = Instant::now();
        let Some(edit) = Edit::between(&before, &sheet, touched, "brush") else {
            continue;
        };
        edits.push(clock.elapsed().as_secs_f64() * 1e3);
        let clock = Instant::now();
        project
            .store_edit(run, 0, &edit, &provenance)
            .expect("stored");
        commits.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    let end = std::fs::metadata(&path).expect("is there").len();
    let clock = Instant::now();
    let stored = project
        .load_labels(run, 0)
        .expect("loads")
        .expect("is there");
    println!(
        "loading sheet and {} edits: {:.1} ms",
        stored.history.edits.len(),
        clock.elapsed().as_secs_f64() * 1e3
    );
    assert!(stored.sheet == sheet);
    [
        median(segments),
        median(edits),
        median(commits),
        (end - start) as f64 / STROKES as f64,
    ]
}

#[test]
fn a_stroke_on_a_large_sheet_is_quick() {
    let memory = Path::new("/dev/shm");
    let folders = [memory.to_owned(), std::env::temp_dir()];
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let [segment, edit, commit, bytes] = measure(folder);
        println!(
            "{}: 100 px segment {segment:.3} ms, edit {edit:.3} ms, commit {commit:.2} ms, {bytes:.0} bytes a stroke",
            folder.display()
        );
        assert!(
            segment < 5.0 && bytes < 65_536.0,
            "far slower or larger than it was"
        );
        assert!(folder != memory || commit < 40.0, "far slower than it was");
    }
}
