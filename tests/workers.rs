//! The real threads behind the session: a run that grows while it is open, and a finder in the net's place.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod real_workers;

use std::path::Path;
use std::time::Duration;

use peaknet_studio::domain::finders::{Finder, Peakfinder8};
use peaknet_studio::domain::incoming::{CodeMap, ImportChoices, Question};
use peaknet_studio::domain::labels::Review;
use peaknet_studio::io::h5::{Creation, Writer};
use peaknet_studio::io::{OpenOptions, open_run};
use peaknet_studio::session::Session;
use peaknet_studio::session::browse::FrameRow;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::workers::{Options, Workers};
use real_workers::{SIZE, wait, write_run};

/// A run whose frames differ from cell to cell.
fn write(path: &Path, frames: usize, written: usize) {
    write_run(path, frames, written, |frame, cell| cell + frame);
}

#[test]
fn a_run_grows_and_what_was_empty_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    write(&path, 3, 2);
    let run = open_run(std::slice::from_ref(&path), &OpenOptions::default()).unwrap();
    let empty = run.read_frame(2).unwrap();
    assert!(run.problems(&empty)[0].contains("never written"));
    assert!(run.problems(&run.read_frame(1).unwrap()).is_empty());
    assert_eq!(run.trace(), run.opened_at());

    // The window shows the empty frame and is told of the rest.
    let workers = Workers::start(Options::default(), || {}).unwrap();
    let mut session = Session::new();
    session.apply(Command::SetPredict(false));
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![path.clone()],
        project: Some(folder.path().join("run.peaknet")),
        frame: Some(2),
        ..RunRequest::default()
    })));
    let until = |what: &str, session: &mut Session, done: &dyn Fn(&Session) -> bool| {
        wait(&workers, what, session, done);
    };
    until("an empty frame", &mut session, &|s| {
        s.shown
            .as_ref()
            .is_some_and(|shown| !shown.loaded.problems.is_empty())
    });
    std::thread::sleep(Duration::from_millis(20));
    write(&path, 5, 4);
    assert_ne!(run.trace(), run.opened_at());
    let again = run.reopen().unwrap();
    assert!(again.continues(&run) && again.info.frames == 5);
    until("more frames", &mut session, &|s| {
        s.rows.len() == 5
            && s.shown
                .as_ref()
                .is_some_and(|shown| shown.loaded.problems.is_empty())
    });
    assert_eq!(session.selected, 2);
    // Another run under the same name is not taken for this one.
    write(&path, 1, 1);
    assert!(!run.reopen().unwrap().continues(&run));
    until("a sentence", &mut session, &|s| {
        s.notices
            .iter()
            .any(|notice| notice.text.contains("changed on disk"))
    });
}

/// A classical finder in the net's place searches the shown frame, and again when its parameters change.
#[test]
fn a_finder_takes_the_nets_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spots.h5");
    let (width, height) = (64, 48);
    let writer = Writer::create(&path, &path).unwrap();
    let creation = Creation::frames(height, width, 1);
    let creation = Creation {
        shape: vec![1, height, width],
        ..creation
    };
    let chunks = writer.chunks::<u16>("/entry/data/data", &creation).unwrap();
    let spot = |x: usize, y: usize, (u, v): (usize, usize)| x.abs_diff(u) < 2 && y.abs_diff(v) < 2;
    let cells: Vec<u16> = (0..width * height)
        .map(|at| {
            let (x, y) = (at % width, at / width);
            let noise = ((at * 7919) % 13) as u16;
            let bright = if spot(x, y, (20, 15)) { 500 } else { 0 };
            let dim = if spot(x, y, (44, 30)) { 60 } else { 0 };
            20 + noise + bright + dim
        })
        .collect();
    chunks.write(&[0, 0, 0], &cells).unwrap();
    drop(chunks);
    writer.close().unwrap();
    let workers = Workers::start(Options::default(), || {}).unwrap();
    let mut session = Session::new();
    let usual = Peakfinder8::default();
    session.apply(Command::ChooseFinder(Finder::Peakfinder8(usual)));
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![path],
        project: Some(folder.path().join("run.peaknet")),
        ..RunRequest::default()
    })));
    let found = |s: &Session| s.shown_prediction().map(|predicted| predicted.peaks.len());
    wait(&workers, "peaks", &mut session, &|s| found(s).is_some());
    assert_eq!(found(&session), Some(2));
    let at = session.shown_prediction().unwrap().peaks[0];
    assert!(
        (at.x - 20.5).abs() < 1.5 && (at.y - 15.5).abs() < 1.5,
        "{at:?}"
    );
    assert_eq!(session.net.as_ref().unwrap().entry.name, "peakfinder8");
    let strict = Peakfinder8 {
        threshold: 200.0,
        ..usual
    };
    session.apply(Command::ChooseFinder(Finder::Peakfinder8(strict)));
    wait(&workers, "fewer peaks", &mut session, &|s| {
        found(s) == Some(1)
    });
}

/// Asked what the codes mean, answered, joined by the thread that owns the project, shown, and taken back by one undo.
#[test]
fn labels_are_imported_behind_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    write(&path, 3, 3);
    let labels = folder.path().join("labels.cxi");
    let writer = Writer::create(&labels, &labels).unwrap();
    let cells: Vec<u8> = (0..3 * SIZE * SIZE).map(|cell| (cell % 4) as u8).collect();
    let name = "/entry_1/data_1/segmask";
    writer.array(name, &[3, SIZE, SIZE], &cells).unwrap();
    writer.close().unwrap();
    let workers = Workers::start(Options::default(), || {}).unwrap();
    let mut session = Session::new();
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![path],
        project: Some(folder.path().join("run.peaknet")),
        ..RunRequest::default()
    })));
    wait(&workers, "a frame", &mut session, &|s| s.shown.is_some());
    let import = |choices| Command::Import {
        labels: labels.clone(),
        choices: Box::new(choices),
    };
    session.apply(import(ImportChoices::default()));
    assert!(!session.can_paint(), "nobody paints while labels come in");
    let is_asked = |s: &Session| s.import_asked.is_some();
    wait(&workers, "a question", &mut session, &is_asked);
    let asked = session.import_asked.clone().unwrap();
    assert_eq!(asked.question, Question::Codes(vec![0, 1, 2, 3]));
    session.apply(import(ImportChoices {
        codes: CodeMap::parse("0=background,1=peak,2=artifact,3=ignore").ok(),
        reviewed: true,
        ..asked.choices
    }));
    let codes = |s: &Session| {
        s.shown
            .as_ref()
            .map(|shown| shown.sheet.cells()[..4].to_vec())
    };
    wait(&workers, "labels", &mut session, &|s| {
        s.importing.is_none() && codes(s) == Some(vec![0, 1, 2, 255])
    });
    let is_confirmed = |row: &FrameRow| row.review == Review::Confirmed;
    assert!(session.rows.iter().all(is_confirmed));
    let said = |s: &Session| {
        s.notices
            .iter()
            .any(|n| n.text.starts_with("Labels of 3 frames"))
    };
    assert!(said(&session) && session.can_paint());
    session.apply(Command::Undo);
    assert_eq!(codes(&session), Some(vec![0; 4]));
    session.apply(Command::SetReview(Review::Flagged));
    session.apply(Command::Last);
    wait(&workers, "the last", &mut session, &|s| {
        !s.pending.is_waiting()
    });
    session.apply(Command::NextFlagged);
    assert_eq!(session.selected, 0);
}
