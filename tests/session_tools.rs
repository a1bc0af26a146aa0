//! Every tool without a window, on the raw slab and on assembled panels: what it paints, and that one undo takes it back.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

mod loaded_net;
mod two_panels;

use std::path::PathBuf;
use std::sync::Arc;

use loaded_net::load_net;
use peaknet_studio::domain::brush::ClassSet;
use peaknet_studio::domain::frame::{Frame, RunInfo};
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::domain::labels::{Class, History, Sheet};
use peaknet_studio::domain::reshape::Operation;
use peaknet_studio::domain::threshold::Threshold;
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::job::{
    FrameKey, Job, LoadedFrame, LoadedLabels, Predicted, ProjectState, Report,
};
use peaknet_studio::session::tool::{Tool, ToolEvent, ToolOptions};
use proptest::prelude::*;
use two_panels::{SIDE, two_panels};

/// Where spots are, centres of raw pixels.
const SPOTS: [(usize, usize); 3] = [(20, 12), (44, 20), (30, 50)];

fn pixels() -> Grid<f32> {
    Grid::from_fn(SIDE, SIDE, |x, y| {
        let noise = ((x * 31 + y * 17) % 7) as f32 - 3.0;
        let spot = |&(sx, sy): &(usize, usize)| {
            let square = x.abs_diff(sx).pow(2) + y.abs_diff(sy).pow(2);
            300.0 * (-(square as f32) / 2.5).exp()
        };
        20.0 + noise + SPOTS.iter().map(spot).sum::<f32>()
    })
}

fn key(number: usize) -> FrameKey {
    FrameKey { run: 1, number }
}

fn labels(sheet: Sheet) -> LoadedLabels {
    LoadedLabels {
        sheet: Arc::new(sheet),
        history: History::default(),
        pixels: None,
    }
}

fn show(session: &mut Session, number: usize) {
    let frame = Frame::new(number, pixels(), Grid::filled(SIDE, SIDE, 0)).expect("one shape");
    session.absorb(Report::Frame {
        key: key(number),
        result: Ok(LoadedFrame {
            statistics: frame.statistics(),
            frame: Arc::new(frame),
            problems: Vec::new(),
            listed: None,
            read_ms: 1.0,
        }),
    });
    session.absorb(Report::Labels {
        key: key(number),
        result: Ok(labels(Sheet::filled(SIDE, SIDE, 0))),
    });
}

/// The second frame of a run on screen, raw or assembled, with a prediction: artifact in the left half.
fn opened(is_assembled: bool) -> Session {
    let mut session = Session::new();
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![PathBuf::from("run.cxi")],
        frame: Some(1),
        ..RunRequest::default()
    })));
    session.absorb(Report::RunOpened {
        run: 1,
        result: Ok(Arc::new(RunInfo {
            frames: 3,
            width: SIDE,
            height: SIDE,
            geometry: two_panels(),
            ..RunInfo::default()
        })),
    });
    session.absorb(Report::ProjectOpened {
        run: 1,
        result: Ok(ProjectState::default()),
    });
    show(&mut session, 1);
    load_net(&mut session);
    session.absorb(Report::Predicted {
        key: key(1),
        net: 1,
        result: Ok(Arc::new(Predicted {
            classes: Arc::new(Sheet::from_fn(
                SIDE,
                SIDE,
                |x, _| {
                    if x < SIDE / 2 { 2 } else { 0 }
                },
            )),
            peak: Grid::filled(SIDE, SIDE, 0),
            artifact: Grid::filled(SIDE, SIDE, 0),
            peaks: Vec::new(),
            artifact_fraction: 0.5,
            doubt: 0.0,
            net_ms: 1.0,
        })),
    });
    session.apply(Command::SetAssembled(is_assembled));
    session.take_jobs();
    session
}

/// The place of a raw position in what is shown.
fn place(session: &Session, (x, y): (f32, f32)) -> (f32, f32) {
    session.plane().map_or((x, y), |plane| {
        let [x, y] = plane
            .plane_from_raw(f64::from(x), f64::from(y))
            .expect("on a panel");
        (x as f32, y as f32)
    })
}

/// A press, drags and a release at raw positions.
fn gesture(session: &mut Session, path: &[(f32, f32)], erase: bool) {
    let path: Vec<_> = path.iter().map(|at| place(session, *at)).collect();
    let Some((&(x, y), rest)) = path.split_first() else {
        return;
    };
    session.apply(Command::Tool(ToolEvent::Press { x, y, erase }));
    for &(x, y) in rest {
        session.apply(Command::Tool(ToolEvent::Drag { x, y }));
    }
    session.apply(Command::Tool(ToolEvent::Release));
}

fn sheet(session: &Session) -> &Sheet {
    &session.shown.as_ref().expect("a frame is shown").sheet
}

fn count(session: &Session, class: Class) -> usize {
    let cells = sheet(session).cells().iter();
    cells.filter(|code| **code == class.code()).count()
}

fn edits(jobs: &[Job]) -> usize {
    let is_edit = |job: &&Job| matches!(job, Job::StoreEdit { .. });
    jobs.iter().filter(is_edit).count()
}

fn set(session: &mut Session, tool: Tool, change: impl FnOnce(&mut ToolOptions)) {
    session.apply(Command::SetTool(tool));
    let mut options = session.options;
    change(&mut options);
    session.apply(Command::SetToolOptions(options));
}

#[test]
fn each_tool_paints_what_it_says_in_one_edit_that_one_undo_takes_back() {
    type Case<'a> = (
        Tool,
        bool,
        &'a [(f32, f32)],
        std::ops::RangeInclusive<usize>,
    );
    let spot = [(20.5, 12.5)];
    let square = [(10.5, 5.5), (30.5, 5.5), (30.5, 20.5), (10.5, 20.5)];
    let across = [(10.5, 5.5), (30.5, 20.5)];
    let cases: Vec<Case<'_>> = vec![
        (Tool::Brush, false, &across, 120..=190),
        (Tool::Line, false, &across, 120..=190),
        (Tool::Rectangle, false, &across, 290..=340),
        (Tool::Lasso, false, &square, 290..=340),
        // All of the frame's pixels in the left half of the rectangle are artifact in the prediction.
        (Tool::Rectangle, true, &across, 290..=340),
        (Tool::Lasso, true, &square, 290..=340),
        (
            Tool::Threshold,
            false,
            &[(14.5, 12.5), (26.5, 12.5)],
            9..=45,
        ),
        (Tool::PeakGrow, false, &spot, 9..=60),
        // A ring of 12 px at 30 px from the beam, as far as it is on the panels.
        (Tool::Ring, false, &[(30.5, 0.5)], 300..=2200),
        (Tool::Ring, true, &[(30.5, 0.5)], 100..=2200),
        (Tool::Ring, false, &[(28.5, 2.5), (40.5, 4.5)], 60..=300),
    ];
    for is_assembled in [false, true] {
        for (tool, stamps, path, expected) in &cases {
            let mut session = opened(is_assembled);
            set(&mut session, *tool, |options| options.stamps = *stamps);
            let class = if *stamps {
                Class::Artifact
            } else {
                Class::Peak
            };
            gesture(&mut session, path, false);
            let what = format!("{} stamps {stamps} assembled {is_assembled}", tool.name());
            let painted = count(&session, class);
            assert!(
                expected.contains(&painted),
                "{what}: {painted} pixels, {:?}",
                session.notices
            );
            assert_eq!(edits(&session.take_jobs()), 1, "{what}");
            session.apply(Command::Undo);
            assert!(
                sheet(&session).cells().iter().all(|code| *code == 0),
                "{what}"
            );
            session.apply(Command::Redo);
            assert_eq!(count(&session, class), painted, "{what}");
            // The right button of a shape takes away again what it painted.
            if matches!(
                tool,
                Tool::Brush | Tool::Line | Tool::Rectangle | Tool::Lasso | Tool::Ring
            ) {
                gesture(&mut session, path, true);
                assert_eq!(count(&session, class), 0, "{what}");
            }
        }
    }
}

#[test]
fn a_ring_clicked_between_panels_is_that_of_its_radius() {
    let mut session = opened(true);
    let plane = session.plane().expect("it is assembled").clone();
    let radius = 30.0;
    let on_circle = |degrees: i32| {
        let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
        [plane.beam[0] + radius * cos, plane.beam[1] + radius * sin]
    };
    let in_view = |[x, y]: [f64; 2]| x > 0.0 && y > 0.0 && x < plane.size[0] && y < plane.size[1];
    let (on, between): (Vec<_>, Vec<_>) = (0..360)
        .map(on_circle)
        .filter(|at| in_view(*at))
        .partition(|at| plane.raw_from_plane(at[0], at[1]).is_some());
    let sheets = [on, between].map(|places| {
        let [x, y] = places
            .first()
            .expect("there are panels and a gap")
            .map(|v| v as f32);
        set(&mut session, Tool::Ring, |options| options.snaps = false);
        session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
        session.apply(Command::Tool(ToolEvent::Release));
        let painted = sheet(&session).clone();
        session.apply(Command::Undo);
        painted
    });
    assert!(sheets[0].cells().contains(&Class::Peak.code()));
    // The last digits of the two radii differ.
    let differ = sheets[0]
        .cells()
        .iter()
        .zip(sheets[1].cells())
        .filter(|(a, b)| **a != **b);
    assert!(differ.count() <= 4);
}

#[test]
fn components_are_made_deleted_grown_shrunk_split_and_merged_by_click_and_box() {
    for is_assembled in [false, true] {
        let mut session = opened(is_assembled);
        set(&mut session, Tool::PeakGrow, |_| {});
        gesture(&mut session, &[(20.5, 12.5)], false);
        gesture(&mut session, &[(44.5, 20.5)], false);
        let peaks = count(&session, Class::Peak);
        let mut use_on = |operation, class, path: &[(f32, f32)]| {
            session.apply(Command::SetClass(class));
            set(&mut session, Tool::Component, |options| {
                options.operation = operation
            });
            gesture(&mut session, path, false);
            let counts = (
                count(&session, Class::Peak),
                count(&session, Class::Artifact),
            );
            let changed = edits(&session.take_jobs()) == 1;
            session.apply(Command::Undo);
            assert!(!changed || count(&session, Class::Peak) == peaks);
            counts
        };
        let (one, all): (&[_], &[_]) = (&[(20.5, 12.5)], &[(10.5, 4.5), (55.5, 28.5)]);
        let (left, made) = use_on(Operation::Make, Class::Artifact, one);
        assert!(left > 0 && left < peaks && made >= peaks - left);
        assert_eq!(use_on(Operation::Make, Class::Artifact, all).0, 0);
        assert_eq!(use_on(Operation::Delete, Class::Peak, one).0, left);
        assert_eq!(use_on(Operation::Delete, Class::Peak, all).0, 0);
        assert!(use_on(Operation::Grow, Class::Peak, all).0 > peaks + 12);
        assert!(use_on(Operation::Shrink, Class::Peak, all).0 < peaks);
        assert!(use_on(Operation::Merge, Class::Peak, all).0 > peaks);
        // One brush over two spots makes one component with two summits.
        session.apply(Command::ClearSheet);
        session.apply(Command::SetClass(Class::Peak));
        set(&mut session, Tool::Line, |_| {});
        gesture(&mut session, &[(18.5, 11.5), (46.5, 21.5)], false);
        let whole = count(&session, Class::Peak);
        set(&mut session, Tool::Component, |options| {
            options.operation = Operation::Split
        });
        gesture(&mut session, &[(30.5, 16.0)], false);
        let parts = peaknet_studio::domain::components::components(sheet(&session), 1).len();
        assert!(
            parts > 1 && count(&session, Class::Peak) < whole,
            "{parts} parts"
        );
    }
}

#[test]
fn protected_classes_are_neither_painted_over_nor_erased() {
    for protected in [
        Class::Peak,
        Class::Artifact,
        Class::Ignore,
        Class::Background,
    ] {
        let mut session = opened(false);
        for (i, class) in Class::ALL.into_iter().enumerate() {
            session.apply(Command::SetClass(class));
            set(&mut session, Tool::Rectangle, |_| {});
            gesture(
                &mut session,
                &[(2.5, 3.5 + 6.0 * i as f32), (40.5, 5.5 + 6.0 * i as f32)],
                false,
            );
        }
        session.apply(Command::SetProtect(ClassSet::default().toggled(protected)));
        for class in Class::ALL.into_iter().filter(|class| *class != protected) {
            session.apply(Command::SetClass(class));
            for tool in [
                Tool::Brush,
                Tool::Line,
                Tool::Rectangle,
                Tool::Threshold,
                Tool::Ring,
            ] {
                set(&mut session, tool, |options| {
                    options.threshold = Threshold::Range {
                        low: 0.0,
                        high: 1e9,
                    };
                });
                let before = sheet(&session).clone();
                gesture(&mut session, &[(3.5, 2.5), (30.5, 30.5)], false);
                assert!(
                    is_kept(&before, sheet(&session), protected),
                    "{protected:?} {}",
                    tool.name()
                );
            }
            for (tool, at) in [
                (Tool::Fill, (10.5, 4.5)),
                (Tool::Fill, (10.5, 60.5)),
                (Tool::PeakGrow, (20.5, 12.5)),
            ] {
                set(&mut session, tool, |_| {});
                let before = sheet(&session).clone();
                gesture(&mut session, &[at], false);
                assert!(
                    is_kept(&before, sheet(&session), protected),
                    "{protected:?} {}",
                    tool.name()
                );
            }
        }
    }
}

/// Whether every pixel that had the class has it still.
fn is_kept(before: &Sheet, after: &Sheet, class: Class) -> bool {
    let mut pairs = before.cells().iter().zip(after.cells());
    pairs.all(|(old, new)| *old != class.code() || old == new)
}

#[test]
fn labels_are_copied_from_the_frame_before_and_late_ones_are_not() {
    for (class, expected) in [(None, 3), (Some(Class::Artifact), 2)] {
        let mut session = opened(false);
        session.apply(Command::SetBrushDiameter(1.0));
        gesture(&mut session, &[(9.5, 9.5)], false);
        session.apply(Command::CopyPrevious(class));
        let asked = session.take_jobs();
        assert!(
            asked
                .iter()
                .any(|job| matches!(job, Job::LoadLabels { key: k, .. } if *k == key(0)))
        );
        let mut before = Sheet::filled(SIDE, SIDE, 0);
        for (x, code) in [(9, 2), (10, 2), (11, 2), (12, 1)] {
            *before.get_mut(x, 9).expect("inside") = code;
        }
        let report = Report::Labels {
            key: key(0),
            result: Ok(labels(before)),
        };
        session.absorb(report.clone());
        assert_eq!(
            &sheet(&session).row(9)[9..13],
            &[1, 2, 2, u8::from(expected == 3)]
        );
        let history = &session.shown.as_ref().expect("shown").history;
        assert_eq!(
            history.edits.last().map(|edit| edit.tool.as_str()),
            Some("copied from frame 1")
        );
        assert_eq!(edits(&session.take_jobs()), 1);
        session.absorb(report);
        assert_eq!(edits(&session.take_jobs()), 0, "not asked for");
    }
}

#[test]
fn what_is_under_the_pointer_and_what_a_click_would_grow_are_shown() {
    for is_assembled in [false, true] {
        let mut session = opened(is_assembled);
        set(&mut session, Tool::PeakGrow, |_| {});
        let at = place(&session, (20.5, 12.5));
        session.apply(Command::Tool(ToolEvent::Hover(Some(at))));
        let preview = session.look.preview.clone().expect("a preview");
        assert!(session.look.under.is_none() && preview.said.contains("would be peak"));
        gesture(&mut session, &[(20.5, 12.5)], false);
        let under = session
            .look
            .under
            .expect("a component")
            .measured
            .expect("measured");
        assert!((under.x - 20.5).abs() < 0.2 && (under.y - 12.5).abs() < 0.2 && under.snr > 10.0);
        let shown: usize = preview.spans.iter().map(|(_, span)| span.len()).sum();
        assert_eq!(
            shown,
            count(&session, Class::Peak),
            "what was shown was painted"
        );
        let is_count = |job: &Job| matches!(job, Job::Count { .. });
        assert!(
            session.take_jobs().iter().any(is_count),
            "the sheet is counted anew"
        );
        // A drag upwards raises the level: fewer pixels.
        session.apply(Command::Undo);
        let (x, y) = at;
        session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
        session.apply(Command::Tool(ToolEvent::Drag { x, y: y - 16.0 }));
        session.apply(Command::Tool(ToolEvent::Release));
        let fewer = count(&session, Class::Peak);
        assert!(fewer > 0 && fewer < shown, "{fewer} of {shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever gestures come, the sheet is the replay of its history, and undoing all of them leaves it blank.
    #[test]
    fn every_tool_can_be_undone(
        steps in prop::collection::vec(
            (
                prop::sample::select(Tool::ALL.to_vec()), prop::sample::select(Class::ALL.to_vec()),
                prop::sample::select(Operation::ALL.to_vec()), any::<bool>(), any::<bool>(),
                prop::collection::vec((-8.0_f32..100.0, -8.0_f32..70.0), 1..6),
            ), 1..20),
        is_assembled: bool,
    ) {
        let mut session = opened(is_assembled);
        for (tool, class, operation, stamps, erase, path) in steps {
            session.apply(Command::SetClass(class));
            set(&mut session, tool, |options| {
                options.operation = operation;
                options.stamps = stamps;
            });
            let (x, y) = path[0];
            session.apply(Command::Tool(ToolEvent::Press { x, y, erase }));
            for &(x, y) in &path[1..] {
                session.apply(Command::Tool(ToolEvent::Hover(Some((x, y)))));
                session.apply(Command::Tool(ToolEvent::Drag { x, y }));
            }
            session.apply(Command::Tool(ToolEvent::Release));
            let shown = session.shown.as_ref().expect("a frame is shown");
            let mut replay = Sheet::filled(SIDE, SIDE, 0);
            for edit in shown.history.edits.iter().take(shown.history.done) {
                edit.apply(&mut replay);
            }
            if session.gesture.is_none() {
                prop_assert_eq!(&replay, &*shown.sheet);
            }
        }
        session.apply(Command::Tool(ToolEvent::Cancel));
        while session.shown.as_ref().is_some_and(|shown| shown.history.done > 0) {
            session.apply(Command::Undo);
        }
        prop_assert!(sheet(&session).cells().iter().all(|code| *code == 0));
    }
}
