//! Labels belong to the pixels they were made on: a source that changed since is said in the window and by the export.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod real_workers;

use std::path::Path;

use peaknet_studio::io::export::{Which, export};
use peaknet_studio::io::project::{Mode, Project};
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::source::SourceState;
use peaknet_studio::session::tool::ToolEvent;
use peaknet_studio::workers::{Options, Workers};
use real_workers::{SIZE, wait, write_run};

fn open(run: &Path, frame: usize) -> (Workers, Session) {
    let mut session = Session::new();
    session.apply(Command::SetPredict(false));
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![run.to_owned()],
        project: Some(run.with_extension("peaknet")),
        frame: Some(frame),
        ..RunRequest::default()
    })));
    let workers = Workers::start(Options::default(), || {}).unwrap();
    wait(&workers, "a frame", &mut session, &|s| s.shown.is_some());
    (workers, session)
}

fn state(session: &Session) -> SourceState {
    session.shown.as_ref().unwrap().source
}

/// The sentences about other pixels that an opening of the frame gives.
fn said(run: &Path, frame: usize) -> Vec<String> {
    let (workers, mut session) = open(run, frame);
    wait(&workers, "an answer", &mut session, &|s| {
        state(s) != SourceState::Asked
    });
    let notices = session.notices.iter().map(|notice| notice.text.clone());
    notices
        .filter(|text| text.contains("other pixels"))
        .collect()
}

fn export_says(run: &Path) -> Vec<String> {
    let mut project = Project::open(&run.with_extension("peaknet"), Mode::Read).unwrap();
    let out = run.with_extension("set.h5");
    let done = export(
        &mut project,
        &out,
        "set",
        Which::Labelled,
        true,
        &mut |_, _| {},
    );
    let notices = done.unwrap().notices.into_iter();
    notices
        .filter(|text| text.contains("other pixels"))
        .collect()
}

#[test]
fn other_pixels_than_the_labelled_ones_are_said_until_a_person_confirms_them() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run.h5");
    let value = |frame: usize, cell: usize| frame + cell % 7;
    write_run(&run, 4, 4, value);
    let (workers, mut session) = open(&run, 1);
    for event in [
        ToolEvent::Press {
            x: 4.5,
            y: 4.5,
            erase: false,
        },
        ToolEvent::Release,
    ] {
        session.apply(Command::Tool(event));
    }
    // The program ends at once: what was labelled is noted all the same.
    wait(&workers, "a stored stroke", &mut session, &|s| {
        s.unsaved == 0
    });
    drop(workers);
    assert!(said(&run, 1).is_empty() && said(&run, 2).is_empty() && export_says(&run).is_empty());

    // The same file, one pixel of frame 1 has another value.
    write_run(&run, 4, 4, |frame, cell| {
        value(frame, cell) + usize::from((frame, cell) == (1, 200))
    });
    let sentences = said(&run, 1);
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    assert!(
        sentences[0].starts_with("Frame 2 has other pixels"),
        "{sentences:?}"
    );
    assert!(said(&run, 2).is_empty());
    let exported = export_says(&run);
    assert!(
        exported.len() == 1 && exported[0].contains('2'),
        "{exported:?}"
    );

    let (workers, mut session) = open(&run, 1);
    wait(&workers, "a difference", &mut session, &|s| {
        state(s) == SourceState::Changed
    });
    session.apply(Command::Confirm);
    wait(&workers, "a stored review", &mut session, &|s| {
        s.unsaved == 0
    });
    drop(workers);
    assert!(said(&run, 1).is_empty() && export_says(&run).is_empty());
}

#[test]
fn labels_that_are_brought_in_belong_to_the_pixels_of_that_day() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run.h5");
    let value = |frame: usize, cell: usize| (frame * 31 + cell * 7) % 50;
    write_run(&run, 4, 4, value);
    let header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': (4, {SIZE}, {SIZE}), }}");
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    npy.extend(format!("{header:<117}\n").bytes());
    npy.extend((0..4 * SIZE * SIZE).map(|cell| u8::from(cell % 97 == 0)));
    let labels = folder.path().join("labels.npy");
    std::fs::write(&labels, npy).unwrap();
    let import = || {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_peaknet"))
            .arg("import")
            .args([&run.with_extension("peaknet"), &run])
            .args(["--labels".as_ref(), labels.as_os_str()])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    import();
    assert!(export_says(&run).is_empty());
    write_run(&run, 4, 4, |frame, cell| {
        value(frame, cell) + usize::from((frame, cell) == (2, 5))
    });
    // The same labels once more say nothing of the pixels.
    import();
    let exported = export_says(&run);
    assert!(
        exported.len() == 1 && exported[0].contains('3'),
        "{exported:?}"
    );
}
