//! The real threads beside the curator's way: a powder of a run, a sum of neighbours, thumbnails, and what is measured with the reading.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use peaknet_studio::domain::columns::Column;
use peaknet_studio::domain::stack::Combine;
use peaknet_studio::io::h5::{Creation, Writer};
use peaknet_studio::session::Session;
use peaknet_studio::session::beneath::Beneath;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::workers::{Options, Workers};

const SIZE: usize = 16;
const FRAMES: usize = 40;

/// A run whose frames have a spot of their own each.
fn write(path: &Path) {
    let fresh = path.with_extension("fresh");
    let writer = Writer::create(&fresh, path).unwrap();
    let creation = Creation {
        shape: vec![FRAMES, SIZE, SIZE],
        chunk: vec![1, SIZE, SIZE],
        grows: vec![true, false, false],
        gzip_level: 1,
    };
    let chunks = writer.chunks::<u16>("/entry/data/data", &creation).unwrap();
    for frame in 0..FRAMES {
        let value = |cell: usize| if cell == frame * 5 { 1000 + frame } else { 2 };
        let cells: Vec<u16> = (0..SIZE * SIZE).map(|cell| value(cell) as u16).collect();
        chunks.write(&[frame, 0, 0], &cells).unwrap();
    }
    writer.close().unwrap();
    std::fs::rename(fresh, path).unwrap();
}

fn wait(workers: &Workers, what: &str, session: &mut Session, done: &dyn Fn(&Session) -> bool) {
    let begun = Instant::now();
    loop {
        workers.submit(session.take_jobs());
        if done(session) {
            return;
        }
        let is_late = begun.elapsed() > Duration::from_secs(30);
        assert!(!is_late, "{what}: {:?}", session.notices);
        if let Some(report) = workers.wait_report(Duration::from_millis(50)) {
            session.absorb(report);
        }
    }
}

#[test]
fn a_run_is_added_up_and_measured_on_the_way_and_notes_survive_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    write(&path);
    let open = || {
        let mut session = Session::new();
        session.apply(Command::SetPredict(false));
        session.apply(Command::Open(Box::new(RunRequest {
            paths: vec![path.clone()],
            project: Some(folder.path().join("run.peaknet")),
            ..RunRequest::default()
        })));
        (Workers::start(Options::default(), || {}).unwrap(), session)
    };
    let (workers, mut session) = open();
    wait(&workers, "a frame", &mut session, &|s| s.shown.is_some());
    session.apply(Command::SetBeneath(Beneath::Powder));
    wait(&workers, "a powder", &mut session, &|s| {
        s.underlay.powder.is_some()
    });
    let powder = session.underlay.powder.as_ref().unwrap();
    for frame in 0..FRAMES {
        assert_eq!(
            powder.frame.pixels.cells()[frame * 5],
            1000.0 + frame as f32
        );
    }
    assert_eq!(
        session.drawn_words().unwrap(),
        "powder: maximum of 40 frames"
    );
    // Every frame was read for it, so every frame is measured.
    wait(&workers, "measures", &mut session, &|s| {
        s.rows.iter().all(|row| row.mean.is_some())
    });
    assert_eq!(session.rows[7].maximum, Some(1007.0));
    session.apply(Command::SortFrames(Column::Maximum));
    assert_eq!(session.table.listed()[..2], [39, 38]);
    // Of a selection, as a mean.
    session.apply(Command::FilterFrames("maximum > 1037".to_owned()));
    session.apply(Command::MakePowder(Combine::Mean));
    wait(&workers, "a mean", &mut session, &|s| {
        s.underlay.powder_progress.is_none()
    });
    let mean = session.underlay.powder.as_ref().unwrap();
    assert_eq!(mean.frame.pixels.cells()[39 * 5], (1039.0 + 2.0) / 2.0);

    session.apply(Command::SetBeneath(Beneath::Stack(Combine::Maximum)));
    session.apply(Command::WantThumbnails(vec![3, 39]));
    wait(&workers, "pictures", &mut session, &|s| {
        s.drawn_words().is_some() && s.thumbnails.get(39).is_some()
    });
    assert_eq!(session.drawn_words().unwrap(), "maximum of frames 1 to 3");
    let cells = session.drawn_frame().unwrap().pixels.cells();
    assert_eq!(
        (cells[0], cells[5], cells[10], cells[15]),
        (1000.0, 1001.0, 1002.0, 2.0)
    );

    session.apply(Command::FilterFrames(String::new()));
    session.apply(Command::GoTo(11));
    session.apply(Command::ToggleMark);
    wait(&workers, "a note on disk", &mut session, &|s| {
        s.unsaved == 0 && s.shown.as_ref().is_some_and(|shown| shown.key.number == 11)
    });
    drop(workers);
    let (workers, mut session) = open();
    wait(&workers, "the frame where one left", &mut session, &|s| {
        s.shown.is_some()
    });
    assert_eq!(session.selected, 11);
    assert!(session.rows.note(11).is_some_and(|note| note.is_marked));
}
