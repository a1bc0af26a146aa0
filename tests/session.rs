//! The whole editor without a window: commands in, reports in, jobs out.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

use std::path::PathBuf;
use std::sync::Arc;

use peaknet_studio::domain::frame::{Frame, RunInfo};
use peaknet_studio::domain::grid::{Grid, Pixel};
use peaknet_studio::domain::labels::{Class, History, Review, Sheet};
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Accept, Command, RunRequest};
use peaknet_studio::session::job::{
    FrameKey, Job, LoadedFrame, LoadedLabels, NetEntry, NetInfo, Predicted, ProjectState, Report,
};
use peaknet_studio::session::tool::{Tool, ToolEvent};
use proptest::prelude::*;

const SIDE: usize = 32;

fn frame(number: usize) -> LoadedFrame {
    let pixels = Grid::from_fn(SIDE, SIDE, |x, y| (x + y + number) as f32);
    let frame = Frame::new(number, pixels, Grid::filled(SIDE, SIDE, 0)).expect("shapes agree");
    LoadedFrame {
        statistics: frame.statistics(),
        frame: Arc::new(frame),
        read_ms: 1.0,
    }
}

fn blank() -> LoadedLabels {
    LoadedLabels {
        sheet: Arc::new(Sheet::filled(SIDE, SIDE, 0)),
        history: History::default(),
    }
}

/// A session with a run of `frames` frames whose first frame is on screen.
fn opened(frames: usize) -> Session {
    let mut session = Session::new();
    session.apply(Command::Open(RunRequest {
        paths: vec![PathBuf::from("run.cxi")],
        ..RunRequest::default()
    }));
    let info = RunInfo {
        frames,
        width: SIDE,
        height: SIDE,
        ..RunInfo::default()
    };
    session.absorb(Report::RunOpened {
        run: 1,
        result: Ok(Arc::new(info)),
    });
    session.absorb(Report::ProjectOpened {
        run: 1,
        result: Ok(ProjectState::default()),
    });
    answer(&mut session, 0);
    session.take_jobs();
    session
}

fn key(number: usize) -> FrameKey {
    FrameKey { run: 1, number }
}

fn answer(session: &mut Session, number: usize) {
    session.absorb(Report::Frame {
        key: key(number),
        result: Ok(frame(number)),
    });
    session.absorb(Report::Labels {
        key: key(number),
        result: Ok(blank()),
    });
}

fn stroke(session: &mut Session, from: (f32, f32), to: (f32, f32)) {
    let (x, y) = from;
    session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
    let (x, y) = to;
    session.apply(Command::Tool(ToolEvent::Drag { x, y }));
    session.apply(Command::Tool(ToolEvent::Release));
}

fn sheet(session: &Session) -> &Sheet {
    &session.shown.as_ref().expect("a frame is shown").sheet
}

fn stores(jobs: &[Job]) -> usize {
    let is_store = |job: &&Job| {
        matches!(
            job,
            Job::StoreEdit { .. } | Job::StoreUndo(_) | Job::StoreRedo(_)
        )
    };
    jobs.iter().filter(is_store).count()
}

#[test]
fn pixels_and_labels_appear_together_and_late_answers_are_dropped() {
    let mut session = opened(5);
    session.apply(Command::GoTo(3));
    session.absorb(Report::Frame {
        key: key(3),
        result: Ok(frame(3)),
    });
    assert_eq!(session.shown.as_ref().map(|s| s.key.number), Some(0));
    stroke(&mut session, (4.0, 4.0), (8.0, 4.0));
    assert!(sheet(&session).cells().iter().all(|c| *c == 0));
    assert_eq!(
        stores(&session.take_jobs()),
        0,
        "painted on the wrong frame"
    );
    session.absorb(Report::Labels {
        key: key(2),
        result: Ok(blank()),
    });
    assert_eq!(session.shown.as_ref().map(|s| s.key.number), Some(0));
    session.absorb(Report::Labels {
        key: key(3),
        result: Ok(blank()),
    });
    assert_eq!(session.shown.as_ref().map(|s| s.key.number), Some(3));
    answer(&mut session, 1);
    assert_eq!(session.shown.as_ref().map(|s| s.key.number), Some(3));
}

#[test]
fn labels_that_cannot_be_read_make_the_frame_read_only() {
    let mut session = opened(2);
    session.apply(Command::Step(1));
    session.absorb(Report::Frame {
        key: key(1),
        result: Ok(frame(1)),
    });
    session.absorb(Report::Labels {
        key: key(1),
        result: Err("The labels of frame 2 are damaged.".to_owned()),
    });
    session.take_jobs();
    stroke(&mut session, (4.0, 4.0), (8.0, 4.0));
    assert_eq!(stores(&session.take_jobs()), 0);
    assert!(session.notices.iter().any(|n| n.text.contains("damaged")));
}

#[test]
fn a_gesture_is_one_edit_and_an_empty_one_is_none() {
    let mut session = opened(1);
    stroke(&mut session, (4.0, 4.0), (20.0, 9.0));
    assert_eq!(stores(&session.take_jobs()), 1);
    assert_eq!(session.unsaved, 1);
    session.apply(Command::Undo);
    session.take_jobs();
    // Painting background on background changes nothing: redo survives.
    session.apply(Command::SetTool(Tool::Eraser));
    stroke(&mut session, (4.0, 4.0), (20.0, 9.0));
    assert_eq!(stores(&session.take_jobs()), 0);
    session.apply(Command::Redo);
    assert!(sheet(&session).cells().contains(&1));
}

#[test]
fn accepting_a_prediction_spares_what_a_person_painted() {
    let mut session = opened(1);
    session.absorb(Report::Nets(vec![NetEntry {
        path: PathBuf::from("net"),
        name: "net".to_owned(),
        summary: String::new(),
    }]));
    session.absorb(Report::NetLoaded {
        serial: 1,
        result: Ok(NetInfo {
            serial: 1,
            entry: session.nets[0].clone(),
            digest: "d".to_owned(),
            device: "cpu".to_owned(),
        }),
    });
    session.apply(Command::SetBrushDiameter(1.0));
    session.apply(Command::SetClass(Class::Ignore));
    stroke(&mut session, (4.5, 4.5), (4.5, 4.5));
    let mut classes = Sheet::filled(SIDE, SIDE, 0);
    for x in 3..7 {
        *classes.get_mut(x, 4).expect("inside") = Class::Peak.code();
    }
    session.absorb(Report::Predicted {
        key: key(0),
        net: 1,
        result: Ok(Arc::new(Predicted {
            classes: Arc::new(classes),
            peak: Grid::filled(SIDE, SIDE, 0),
            artifact: Grid::filled(SIDE, SIDE, 0),
            peaks: Vec::new(),
            artifact_fraction: 0.0,
            doubt: 0.0,
            net_ms: 1.0,
        })),
    });
    session.apply(Command::Accept(Accept::All));
    assert_eq!(&sheet(&session).row(4)[3..7], &[1, 255, 1, 1]);
    session.apply(Command::Undo);
    assert_eq!(&sheet(&session).row(4)[3..7], &[0, 255, 0, 0]);
    session.apply(Command::Accept(Accept::Component(Pixel { x: 3, y: 4 })));
    assert_eq!(&sheet(&session).row(4)[3..7], &[1, 1, 1, 1]);
    assert_eq!(session.rows[0].review, Review::Started);
}

#[derive(Clone, Debug)]
enum Step {
    Stroke((f32, f32), (f32, f32), Class, f32),
    Undo,
    Redo,
    Cancelled((f32, f32)),
    Fill((f32, f32), Class),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || (-3.0_f32..35.0, -3.0_f32..35.0);
    let class = || prop::sample::select(Class::ALL.to_vec());
    let step = prop_oneof![
        4 => (at(), at(), class(), 1.0_f32..12.0).prop_map(|(a, b, c, d)| Step::Stroke(a, b, c, d)),
        2 => Just(Step::Undo),
        2 => Just(Step::Redo),
        1 => at().prop_map(Step::Cancelled),
        1 => (at(), class()).prop_map(|(a, c)| Step::Fill(a, c)),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    /// After every step the sheet equals the replay of its history, and undoing all gives a blank sheet.
    #[test]
    fn the_sheet_is_always_the_replay_of_its_history(steps in steps()) {
        let mut session = opened(1);
        for step in steps {
            match step {
                Step::Stroke(from, to, class, diameter) => {
                    session.apply(Command::SetTool(Tool::Brush));
                    session.apply(Command::SetClass(class));
                    session.apply(Command::SetBrushDiameter(diameter));
                    stroke(&mut session, from, to);
                }
                Step::Undo => session.apply(Command::Undo),
                Step::Redo => session.apply(Command::Redo),
                Step::Cancelled((x, y)) => {
                    session.apply(Command::SetTool(Tool::Brush));
                    session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
                    session.apply(Command::Tool(ToolEvent::Cancel));
                }
                Step::Fill((x, y), class) => {
                    session.apply(Command::SetTool(Tool::Fill));
                    session.apply(Command::SetClass(class));
                    session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
                }
            }
            let shown = session.shown.as_ref().expect("a frame is shown");
            let mut replay = Sheet::filled(SIDE, SIDE, 0);
            for edit in shown.history.edits.iter().take(shown.history.done) {
                edit.apply(&mut replay);
            }
            prop_assert_eq!(&replay, &*shown.sheet);
        }
        while session.shown.as_ref().is_some_and(|s| s.history.done > 0) {
            session.apply(Command::Undo);
        }
        prop_assert!(sheet(&session).cells().iter().all(|c| *c == 0));
    }
}
