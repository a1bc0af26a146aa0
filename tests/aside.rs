//! The real threads beside the curator's way: a powder of a run, a sum of neighbours, thumbnails, and what is measured with the reading.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod real_workers;

use peaknet_studio::domain::columns::Column;
use peaknet_studio::domain::stack::Combine;
use peaknet_studio::session::Session;
use peaknet_studio::session::beneath::Beneath;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::workers::{Options, Workers};
use real_workers::{wait, write_run};

const FRAMES: usize = 40;

#[test]
fn a_run_is_added_up_and_measured_on_the_way_and_notes_survive_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    // Each frame has a spot of its own.
    write_run(&path, FRAMES, FRAMES, |frame, cell| {
        if cell == frame * 5 { 1000 + frame } else { 2 }
    });
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
