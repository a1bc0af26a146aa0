//! The whole editor without a window: commands in, reports in, jobs out.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

mod loaded_net;

use std::path::PathBuf;
use std::sync::Arc;

use loaded_net::load_net;
use peaknet_studio::domain::frame::{Frame, RunInfo};
use peaknet_studio::domain::geometry::{Geometry, Panel};
use peaknet_studio::domain::grid::{Grid, Pixel, PixelRect};
use peaknet_studio::domain::labels::{Class, History, Review, Sheet};
use peaknet_studio::domain::peaks::Peak;
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Accept, Command, RunRequest};
use peaknet_studio::session::job::{
    FrameKey, Job, LoadedFrame, LoadedLabels, Predicted, ProjectState, Report,
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
        problems: Vec::new(),
        listed: None,
        read_ms: 1.0,
    }
}

fn blank() -> LoadedLabels {
    LoadedLabels {
        sheet: Arc::new(Sheet::filled(SIDE, SIDE, 0)),
        history: History::default(),
        pixels: None,
    }
}

/// A session with a run of `frames` frames whose first frame is on screen.
fn opened(frames: usize) -> Session {
    opened_on(frames, Geometry::default())
}

fn opened_on(frames: usize, geometry: Geometry) -> Session {
    let mut session = Session::new();
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![PathBuf::from("run.cxi")],
        ..RunRequest::default()
    })));
    let info = RunInfo {
        frames,
        width: SIDE,
        height: SIDE,
        geometry,
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

/// Two panels of half the slab each, the second one turned by a right angle and beside the first, three pixels away.
fn two_panels() -> Geometry {
    let size = 1e-4;
    let half = SIDE / 2;
    let panel = |y0: usize, corner: [f64; 2], fast: [f64; 2], slow: [f64; 2]| Panel {
        name: format!("p{y0}"),
        rect: PixelRect::new(0, y0, SIDE, y0 + half),
        corner_m: [-corner[0] * size, -corner[1] * size, 0.1],
        fast_m: [-fast[0] * size, -fast[1] * size, 0.0],
        slow_m: [-slow[0] * size, -slow[1] * size, 0.0],
    };
    let beside = (SIDE + 3 + half) as f64;
    Geometry {
        panels: vec![
            panel(0, [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]),
            panel(half, [beside, 0.0], [0.0, 1.0], [-1.0, 0.0]),
        ],
        ..Geometry::default()
    }
}

#[test]
fn in_the_assembled_view_a_stroke_crosses_panels_and_edits_raw_pixels() {
    let mut session = opened_on(2, two_panels());
    assert!(session.is_assembled, "panels are shown where they are");
    let plane = session.assembly.clone().expect("their place is known");
    session.apply(Command::SetBrushDiameter(4.0));
    let (from, to) = ((2.0_f32, 3.5_f32), ((SIDE + 7) as f32, 4.5_f32));
    stroke(&mut session, from, to);
    let painted: Vec<bool> = sheet(&session).cells().iter().map(|c| *c == 1).collect();
    for (i, painted) in painted.iter().enumerate() {
        let (x, y) = ((i % SIDE) as f64 + 0.5, (i / SIDE) as f64 + 0.5);
        let [a, b] = plane.plane_from_raw(x, y).expect("on a panel");
        // Distance to the segment, in the plane.
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let (px, py) = (a - f64::from(from.0), b - f64::from(from.1));
        let t = ((px * dx + py * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
        let distance = (px - t * dx).hypot(py - t * dy);
        if (distance - 2.0).abs() > 1e-3 {
            assert_eq!(*painted, distance < 2.0, "raw {x} {y}, plane {a} {b}");
        }
    }
    let of_panel = |range: std::ops::Range<usize>| painted[range].iter().filter(|p| **p).count();
    let half = SIDE * SIDE / 2;
    assert!(of_panel(0..half) > 20 && of_panel(half..2 * half) > 8);
    assert_eq!(
        stores(&session.take_jobs()),
        1,
        "one gesture, one transaction"
    );
    session.apply(Command::Undo);
    assert!(sheet(&session).cells().iter().all(|c| *c == 0));
    // In the gap there is nothing to fill, and the raw slab is painted as it lies.
    session.apply(Command::SetTool(Tool::Fill));
    let (x, y) = (SIDE as f32 + 1.5, 4.0);
    session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
    assert!(sheet(&session).cells().iter().all(|c| *c == 0));
    session.apply(Command::SetAssembled(false));
    session.apply(Command::SetTool(Tool::Brush));
    session.apply(Command::SetBrushDiameter(1.0));
    stroke(&mut session, (1.5, 1.5), (1.5, SIDE as f32 - 1.5));
    let rows = (0..SIDE).filter(|y| sheet(&session).get(1, *y) == Some(&1));
    assert_eq!(rows.count(), SIDE - 2);
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
    load_net(&mut session);
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
        result: Ok(predicted(classes, 0)),
    });
    session.apply(Command::Accept(Accept::All));
    assert_eq!(&sheet(&session).row(4)[3..7], &[1, 255, 1, 1]);
    session.apply(Command::Undo);
    assert_eq!(&sheet(&session).row(4)[3..7], &[0, 255, 0, 0]);
    session.apply(Command::Accept(Accept::Component(Pixel { x: 3, y: 4 })));
    assert_eq!(&sheet(&session).row(4)[3..7], &[1, 1, 1, 1]);
    assert_eq!(session.rows[0].review, Review::Started);
    // What was emptied is nobody's any more.
    session.apply(Command::ClearSheet);
    session.apply(Command::Accept(Accept::All));
    assert_eq!(&sheet(&session).row(4)[3..7], &[1, 1, 1, 1]);
}

fn predicted(classes: Sheet, peaks: usize) -> Arc<Predicted> {
    Arc::new(Predicted {
        classes: Arc::new(classes),
        peak: Grid::filled(SIDE, SIDE, 0),
        artifact: Grid::filled(SIDE, SIDE, 0),
        peaks: vec![Peak::default(); peaks],
        artifact_fraction: 0.0,
        doubt: 0.0,
        net_ms: 1.0,
    })
}

/// A session whose net has found peaks in the shown frame.
fn with_prediction() -> Session {
    let mut session = opened(3);
    load_net(&mut session);
    session.absorb(Report::Predicted {
        key: key(0),
        net: 1,
        result: Ok(predicted(Grid::filled(SIDE, SIDE, 0), 3)),
    });
    session.take_jobs();
    session
}

fn review(session: &Session) -> Review {
    session.rows[0].review
}

#[test]
fn a_frame_with_peaks_and_no_labels_is_confirmed_at_the_second_time() {
    let mut session = with_prediction();
    session.apply(Command::Confirm);
    assert_eq!((session.selected, review(&session)), (0, Review::Untouched));
    assert!(session.notices.iter().any(|n| n.text.contains("no labels")));
    session.apply(Command::Confirm);
    assert_eq!((session.selected, review(&session)), (1, Review::Confirmed));
    assert!(session.notices.is_empty());
    // What was painted is not asked about.
    let mut session = with_prediction();
    stroke(&mut session, (4.0, 4.0), (8.0, 4.0));
    session.apply(Command::Confirm);
    assert_eq!(review(&session), Review::Confirmed);
}

#[test]
fn a_confirmation_is_withdrawn_and_comes_back_from_a_flag() {
    let mut session = opened(3);
    let steps = [
        (Command::SetReview(Review::Confirmed), Review::Confirmed),
        (Command::Flag, Review::Flagged),
        (Command::Flag, Review::Confirmed),
        (Command::Withdraw, Review::Started),
        (Command::Withdraw, Review::Started),
        (Command::Flag, Review::Flagged),
        (Command::Flag, Review::Started),
    ];
    for (command, expected) in steps {
        session.apply(command);
        assert_eq!(review(&session), expected);
    }
}

#[test]
fn undo_back_to_what_was_confirmed_confirms_and_another_way_does_not() {
    let mut session = opened(3);
    stroke(&mut session, (4.0, 4.0), (8.0, 4.0));
    session.apply(Command::SetReview(Review::Confirmed));
    stroke(&mut session, (4.0, 6.0), (8.0, 6.0));
    assert_eq!(review(&session), Review::Started);
    session.take_jobs();
    session.apply(Command::Undo);
    assert_eq!(review(&session), Review::Confirmed);
    let jobs = session.take_jobs();
    let is_stored = |job: &Job| matches!(job, Job::StoreReview(_, Review::Confirmed));
    let undone = jobs.iter().position(|job| matches!(job, Job::StoreUndo(_)));
    assert!(undone < jobs.iter().position(is_stored), "{jobs:?}");
    assert!(undone.is_some());
    session.apply(Command::Undo);
    assert_eq!(review(&session), Review::Started);
    session.apply(Command::Redo);
    assert_eq!(review(&session), Review::Confirmed);
    // Nobody has seen what is drawn in place of the confirmed stroke.
    session.apply(Command::Undo);
    stroke(&mut session, (4.0, 8.0), (8.0, 8.0));
    session.apply(Command::Undo);
    session.apply(Command::Redo);
    assert_eq!(review(&session), Review::Started);
    // What was withdrawn stays so.
    session.apply(Command::SetReview(Review::Confirmed));
    session.apply(Command::Withdraw);
    stroke(&mut session, (4.0, 9.0), (8.0, 9.0));
    session.apply(Command::Undo);
    assert_eq!(review(&session), Review::Started);
}

#[test]
fn a_geometry_file_opens_the_run_again_where_it_is() {
    let mut session = opened(3);
    session.apply(Command::GoTo(2));
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![PathBuf::from("detector.geom")],
        ..RunRequest::default()
    })));
    let (_, request) = session.opening.clone().expect("it is being opened");
    assert_eq!(request.paths, [PathBuf::from("run.cxi")]);
    assert_eq!(request.geometry, Some(PathBuf::from("detector.geom")));
    assert_eq!(request.frame, Some(2));
}

#[derive(Clone, Debug)]
enum Step {
    Stroke((f32, f32), (f32, f32), Class, f32),
    Undo,
    Redo,
    Cancelled((f32, f32)),
    Fill((f32, f32), Class),
    Restore(usize),
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
        1 => (0_usize..12).prop_map(Step::Restore),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    /// After every step the sheet equals the replay of its history, every pixel knows the edit that changed it last,
    /// a restored step is as it was, and undoing all gives a blank sheet.
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
                Step::Restore(count) => {
                    let shown = session.shown.as_ref().expect("a frame is shown");
                    let History { edits, done, .. } = shown.history.clone();
                    let mut wanted = Sheet::filled(SIDE, SIDE, 0);
                    edits.iter().take(count).for_each(|edit| edit.apply(&mut wanted));
                    session.apply(Command::Restore(count));
                    let shown = session.shown.as_ref().expect("a frame is shown");
                    prop_assert_eq!(&wanted, &*shown.sheet);
                    // What had been done before is still there.
                    let kept = shown.history.edits.iter().zip(&edits);
                    prop_assert!(kept.take(done).all(|(now, then)| now == then));
                }
                Step::Fill((x, y), class) => {
                    session.apply(Command::SetTool(Tool::Fill));
                    session.apply(Command::SetClass(class));
                    session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
                }
            }
            let shown = session.shown.as_ref().expect("a frame is shown");
            let mut replay = Sheet::filled(SIDE, SIDE, 0);
            let mut changed = Grid::filled(SIDE, SIDE, None);
            for (index, edit) in shown.history.edits.iter().take(shown.history.done).enumerate() {
                let before = replay.clone();
                edit.apply(&mut replay);
                for (x, y) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y))) {
                    if before.get(x, y) != replay.get(x, y) {
                        *changed.get_mut(x, y).expect("inside") = Some(index);
                    }
                }
            }
            prop_assert_eq!(&replay, &*shown.sheet);
            let last = Grid::from_fn(SIDE, SIDE, |x, y| shown.history.last_change(Pixel { x, y }));
            prop_assert_eq!(changed, last);
        }
        while session.shown.as_ref().is_some_and(|s| s.history.done > 0) {
            session.apply(Command::Undo);
        }
        prop_assert!(sheet(&session).cells().iter().all(|c| *c == 0));
    }
}
