//! Triage and the difference view without a window: what is queued, decided, stored, taken back, stepped through.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use peaknet_studio::domain::difference::{Judged, Kind, Reference, differences};
use peaknet_studio::domain::finders::{Finder, Peakfinder8};
use peaknet_studio::domain::frame::{Frame, RunInfo};
use peaknet_studio::domain::grid::{Grid, PixelRect};
use peaknet_studio::domain::labels::{Class, Edit, History, Review, Sheet};
use peaknet_studio::domain::listed::Listed;
use peaknet_studio::domain::packed::Packed;
use peaknet_studio::domain::peaks::measure_peaks;
use peaknet_studio::domain::queue::Order;
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Accept, Command, RunRequest};
use peaknet_studio::session::job::{
    Job, LoadedFrame, LoadedLabels, NetEntry, NetInfo, Predicted, ProjectState, Report, Side,
};
use peaknet_studio::session::second::Against;
use peaknet_studio::session::tool::ToolEvent;
use peaknet_studio::session::triage::{TriageCommand, Verdict};

const SIDE: usize = 40;

/// A peak of 2 x 2 pixels: its corner, and its probability in percent.
type Spot = (usize, usize, u8);

fn predicted(frame: &Frame, spots: &[Spot]) -> Arc<Predicted> {
    let mut peak = Grid::filled(SIDE, SIDE, 0);
    for &(x0, y0, percent) in spots {
        for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let cell = peak.get_mut(x0 + x, y0 + y).expect("inside");
            *cell = (f32::from(percent) * 2.55) as u8;
        }
    }
    let classes = peak.map(|p| u8::from(*p > 127));
    Arc::new(Predicted {
        peaks: measure_peaks(frame, &classes),
        classes: Arc::new(classes),
        peak,
        artifact: Grid::filled(SIDE, SIDE, 0),
        artifact_fraction: 0.0,
        doubt: 0.1,
        net_ms: 1.0,
    })
}

/// Answers jobs as the workers do; labels are kept as the project keeps them.
struct World {
    session: Session,
    frames: Vec<Arc<Frame>>,
    net: Vec<Vec<Spot>>,
    second: Vec<Vec<Spot>>,
    listed: Option<Arc<Listed>>,
    labels: HashMap<usize, (Sheet, History)>,
    reviews: Vec<(usize, Review)>,
    stored: Vec<Arc<Edit>>,
}

impl World {
    fn new(net: &[&[Spot]], second: &[&[Spot]]) -> Self {
        let all = |spots: &[&[Spot]]| spots.iter().map(|spots| spots.to_vec()).collect::<Vec<_>>();
        let (net, second) = (all(net), all(second));
        let frames = (0..net.len()).map(|number| {
            let mut pixels =
                Grid::from_fn(SIDE, SIDE, |x, y| ((x * 7 + y * 3 + number) % 5) as f32);
            let spots = net[number].iter().chain(&second[number]);
            for &(x0, y0, _) in spots {
                for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    *pixels.get_mut(x0 + x, y0 + y).expect("inside") = 100.0;
                }
            }
            Arc::new(Frame::new(number, pixels, Grid::filled(SIDE, SIDE, 0)).expect("one shape"))
        });
        let frames = frames.collect();
        let mut world = Self {
            session: Session::new(),
            frames,
            net,
            second,
            listed: None,
            labels: HashMap::new(),
            reviews: Vec::new(),
            stored: Vec::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        self.apply(Command::Open(Box::new(RunRequest {
            paths: vec![PathBuf::from("run.cxi")],
            ..RunRequest::default()
        })));
    }

    fn apply(&mut self, command: Command) {
        self.session.apply(command);
        for _ in 0..200 {
            let jobs = self.session.take_jobs();
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                for report in self.answer(job) {
                    self.session.absorb(report);
                }
            }
        }
        panic!("the session never settles");
    }

    fn triage(&mut self, command: TriageCommand) {
        self.apply(Command::Triage(command));
    }

    fn decide(&mut self, verdict: Verdict) {
        self.triage(TriageCommand::Decide(verdict));
    }

    fn net_info(serial: u64, name: &str) -> NetInfo {
        NetInfo {
            serial,
            entry: Self::entry(name),
            digest: name.to_owned(),
            device: "CPU".to_owned(),
            finder: None,
        }
    }

    fn entry(name: &str) -> NetEntry {
        NetEntry {
            path: PathBuf::from(name),
            name: name.to_owned(),
            summary: String::new(),
        }
    }

    fn labels_of(&mut self, number: usize) -> &mut (Sheet, History) {
        let blank = || (Sheet::filled(SIDE, SIDE, 0), History::default());
        self.labels.entry(number).or_insert_with(blank)
    }

    fn answer(&mut self, job: Job) -> Vec<Report> {
        match job {
            Job::OpenRun { run, .. } => {
                let info = RunInfo {
                    frames: self.frames.len(),
                    width: SIDE,
                    height: SIDE,
                    ..RunInfo::default()
                };
                vec![Report::RunOpened {
                    run,
                    result: Ok(Arc::new(info)),
                }]
            }
            Job::OpenProject { run, .. } => vec![Report::ProjectOpened {
                run,
                result: Ok(ProjectState {
                    reviews: self.reviews.clone(),
                    ..ProjectState::default()
                }),
            }],
            Job::LoadFrame(key) => {
                let frame = self.frames[key.number].clone();
                let result = Ok(LoadedFrame {
                    statistics: frame.statistics(),
                    frame,
                    listed: self.listed.clone(),
                    problems: Vec::new(),
                    read_ms: 1.0,
                });
                vec![Report::Frame { key, result }]
            }
            Job::LoadLabels { key, .. } => {
                let (sheet, history) = self.labels_of(key.number).clone();
                let sheet = Arc::new(sheet);
                let result = Ok(LoadedLabels {
                    sheet,
                    history,
                    pixels: None,
                });
                vec![Report::Labels { key, result }]
            }
            Job::StoreEdit { key, edit, .. } => {
                let (sheet, history) = self.labels_of(key.number);
                assert_eq!(
                    sheet.copy_rect(edit.rect),
                    edit.before.to_vec(),
                    "what was painted on"
                );
                edit.apply(sheet);
                history.push(edit.clone());
                self.stored.push(edit);
                vec![Report::Stored]
            }
            Job::StoreUndo(key) => {
                let (sheet, history) = self.labels_of(key.number);
                history.undo(sheet);
                vec![Report::Stored]
            }
            Job::StoreRedo(key) => {
                let (sheet, history) = self.labels_of(key.number);
                history.redo(sheet);
                vec![Report::Stored]
            }
            Job::StoreReview(..) => vec![Report::Stored],
            Job::ListNets => vec![Report::Nets(vec![Self::entry("a"), Self::entry("b")])],
            Job::LoadNet { serial, .. } => vec![Report::NetLoaded {
                serial,
                result: Ok(Self::net_info(serial, "a")),
            }],
            Job::LoadSecond { serial, .. } => vec![Report::SecondLoaded {
                serial,
                result: Ok(Self::net_info(serial, "b")),
            }],
            Job::Predict { net, frames } => (frames.into_iter())
                .map(|key| Report::Predicted {
                    key,
                    net,
                    result: Ok(predicted(&self.frames[key.number], &self.net[key.number])),
                })
                .collect(),
            Job::PredictSecond { serial, frames } => (frames.into_iter())
                .map(|key| Report::SecondPredicted {
                    key,
                    serial,
                    result: Ok(predicted(
                        &self.frames[key.number],
                        &self.second[key.number],
                    )),
                })
                .collect(),
            Job::Compare { serial, request } => {
                let listed: Vec<(f32, f32)>;
                let reference = match &request.reference {
                    Side::Label(sheet) => Reference::Label(sheet),
                    Side::Predicted(p) => Reference::Peaks(&p.peaks, &p.classes),
                    Side::Listed(all) => {
                        listed = all.found.clone();
                        Reference::Places(&listed)
                    }
                };
                let judged = match &request.judged {
                    Side::Label(sheet) => Judged::Label(sheet),
                    Side::Predicted(p) => Judged::Peaks(&p.peaks, &p.classes),
                    Side::Listed(_) => panic!("nobody judges a list"),
                };
                let comparison = Arc::new(differences(&request.frame, reference, judged));
                vec![Report::Differences {
                    key: request.key,
                    serial,
                    comparison,
                }]
            }
            Job::Gather {
                serial,
                key,
                proposals,
            } => vec![Report::Gathered {
                key,
                serial,
                result: Ok(proposals.found(&self.frames[key.number], key.number)),
            }],
            _ => Vec::new(),
        }
    }

    /// Frame and column of the current candidate.
    fn current(&self) -> Option<(usize, usize)> {
        let current = self.session.triage.current.as_ref()?;
        Some((current.frame, current.rect.x0))
    }

    fn class(&mut self, number: usize, x: usize, y: usize) -> Option<Class> {
        let (sheet, _) = self.labels_of(number);
        Class::from_code(*sheet.get(x, y)?)
    }
}

/// A sheet with blocks of class peak: corner and size.
fn peaks(blocks: &[(usize, usize, usize, usize)]) -> Sheet {
    Sheet::from_fn(SIDE, SIDE, |x, y| {
        let inside = |&(x0, y0, width, height): &(usize, usize, usize, usize)| {
            (x0..x0 + width).contains(&x) && (y0..y0 + height).contains(&y)
        };
        u8::from(blocks.iter().any(inside))
    })
}

#[test]
fn what_two_curators_disagree_on_is_decided_one_by_one_and_never_by_what_was_decided_before() {
    let mine = peaks(&[(20, 20, 2, 2), (30, 4, 3, 3), (5, 30, 2, 2)]);
    let theirs = peaks(&[(8, 8, 2, 2), (30, 4, 2, 3), (5, 30, 2, 2)]);
    let blank = Sheet::filled(SIDE, SIDE, 0);
    let mut history = History::default();
    let steps = [
        (&blank, &mine, "brush peak"),
        (&mine, &theirs, "merge: labels of bob in bob.peaknet"),
        (&theirs, &mine, "merge: again those of ann in ann.peaknet"),
    ];
    for (before, after, tool) in steps {
        let edit = Edit::between(before, after, before.rect(), tool).expect("they differ");
        history.push(Arc::new(edit));
        if tool.starts_with("brush") {
            // Ann rejected before the merge what Bob calls a peak: it is asked all the same.
            let rect = PixelRect::new(8, 8, 10, 10);
            let cells = Packed::of(&mine, rect);
            let tool = "triage: rejected".to_owned();
            let (before, after) = (cells.clone(), cells);
            history.push(Arc::new(Edit {
                rect,
                before,
                after,
                tool,
            }));
        }
    }
    let mut world = World::new(NET, NET);
    world.reviews = vec![
        (0, Review::Confirmed),
        (1, Review::Flagged),
        (2, Review::Started),
    ];
    world.labels.insert(1, (mine, history));
    world.open();
    world.triage(TriageCommand::Order(Order::Conflict));
    world.triage(TriageCommand::Show(true));
    let left = |world: &World| {
        let triage = &world.session.triage;
        triage.queue.len() + usize::from(triage.current.is_some())
    };
    assert_eq!((world.session.triage.frames(), left(&world)), (2, 3));
    // Whole peaks first, a border last.
    assert_eq!(world.current(), Some((1, 8)));
    world.decide(Verdict::Accept);
    assert_eq!(world.class(1, 8, 8), Some(Class::Peak));
    assert_eq!(world.current(), Some((1, 20)));
    world.decide(Verdict::Reject);
    assert_eq!(world.class(1, 20, 20), Some(Class::Peak), "mine stays");
    assert_eq!(world.current(), Some((1, 32)));
    world.triage(TriageCommand::TakeBack);
    assert_eq!(world.current(), Some((1, 20)));
    world.decide(Verdict::Reject);
    world.decide(Verdict::Accept);
    assert_eq!(world.class(1, 32, 4), Some(Class::Background));
    assert_eq!((world.session.triage.decisions(), left(&world)), (3, 0));
    let review = world.session.rows[1].review;
    assert_eq!(review, Review::Flagged, "until a person confirms it");
    // What was kept is not asked again, also not after the project was opened anew.
    world.reviews = vec![(1, Review::Started)];
    world.open();
    world.triage(TriageCommand::Show(true));
    assert_eq!((world.session.triage.frames(), left(&world)), (1, 0));
    world.apply(Command::GoTo(1));
    world.apply(Command::Undo);
    assert_eq!((world.current(), left(&world)), (Some((1, 32)), 1));
}

const NET: &[&[Spot]] = &[
    &[(4, 4, 95), (20, 4, 60), (30, 20, 90)],
    &[(8, 8, 55)],
    &[(12, 12, 75), (30, 30, 99)],
];

#[test]
fn the_most_doubtful_are_decided_first_and_each_decision_is_one_stored_edit() {
    let mut world = World::new(NET, NET);
    world.triage(TriageCommand::Show(true));
    assert_eq!(world.session.triage.frames(), 3);
    // Margins 0.2 and 0.1, then 0.5, 0.8, 0.9, 0.98.
    assert_eq!(world.current(), Some((1, 8)));
    assert_eq!(world.session.selected, 1);
    let view = world.session.view.expect("it is centred");
    assert_eq!((view.center_x, view.center_y), (9.0, 9.0));
    assert!(view.zoom > 10.0);

    world.decide(Verdict::Accept);
    assert_eq!(world.class(1, 8, 8), Some(Class::Peak));
    assert_eq!(world.current(), Some((0, 20)));
    world.decide(Verdict::Reject);
    assert_eq!(world.class(0, 20, 4), Some(Class::Background));
    assert_eq!(world.current(), Some((2, 12)));
    world.decide(Verdict::Artifact);
    assert_eq!(world.class(2, 13, 13), Some(Class::Artifact));
    assert_eq!(world.current(), Some((0, 30)));
    world.decide(Verdict::Skip);
    assert_eq!(
        world.stored.len(),
        3,
        "a rejection is stored, a skip is not"
    );
    assert!(
        world
            .stored
            .iter()
            .all(|edit| edit.tool.starts_with("triage:"))
    );
    assert_eq!(world.session.triage.decisions(), 3);
    assert_eq!(world.current(), Some((0, 4)));

    // Back through the skip and over two frames; then forward by redo.
    world.triage(TriageCommand::TakeBack);
    assert_eq!(world.current(), Some((0, 30)));
    world.triage(TriageCommand::TakeBack);
    assert_eq!(
        (world.current(), world.session.selected),
        (Some((2, 12)), 2)
    );
    assert_eq!(world.class(2, 13, 13), Some(Class::Background));
    world.apply(Command::Redo);
    assert_eq!(world.class(2, 13, 13), Some(Class::Artifact));
    assert_eq!(world.session.triage.decisions(), 3);
    world.apply(Command::GoTo(2));
    world.apply(Command::Undo);
    assert_eq!(
        (world.current(), world.session.triage.decisions()),
        (Some((2, 12)), 2)
    );
}

#[test]
fn what_was_rejected_stays_rejected_when_the_rest_is_accepted_and_after_a_restart() {
    let mut world = World::new(NET, NET);
    world.triage(TriageCommand::Show(true));
    world.decide(Verdict::Skip);
    assert_eq!(world.current(), Some((0, 20)));
    world.decide(Verdict::Reject);
    world.apply(Command::GoTo(0));
    world.apply(Command::Accept(Accept::All));
    assert_eq!(world.class(0, 4, 4), Some(Class::Peak));
    assert_eq!(
        world.class(0, 20, 4),
        Some(Class::Background),
        "rejected by hand"
    );
    let left = world.session.triage.queue.iter();
    assert!(left.into_iter().all(|candidate| candidate.frame != 0));

    // The same project, opened anew.
    world.session = Session::new();
    world.open();
    world.triage(TriageCommand::Show(true));
    world.decide(Verdict::Skip);
    let mut seen = Vec::new();
    while let Some(at) = world.current() {
        seen.push(at);
        world.decide(Verdict::Skip);
    }
    assert!(!seen.contains(&(0, 20)), "{seen:?}");
    assert!(seen.contains(&(2, 12)));
}

#[test]
fn disagreement_orders_by_the_other_opinion() {
    let second: &[&[Spot]] = &[
        &[(4, 4, 95), (20, 4, 60), (30, 20, 90), (10, 30, 80)],
        &[],
        &[(12, 12, 55), (30, 30, 99)],
    ];
    let mut world = World::new(NET, second);
    let check = |world: &mut World, against: Against, expected: &[(usize, usize)]| {
        world.apply(Command::SetAgainst(against));
        world.triage(TriageCommand::Show(true));
        world.triage(TriageCommand::Order(Order::Disagreement));
        let mut seen = Vec::new();
        for _ in expected {
            seen.extend(world.current());
            world.decide(Verdict::Skip);
        }
        world.triage(TriageCommand::Show(false));
        assert_eq!(seen, expected);
    };
    let net = Against::Net(PathBuf::from("b"));
    check(&mut world, net, &[(0, 10), (1, 8), (2, 12)]);
    let finder = Against::Finder(Finder::Peakfinder8(Peakfinder8::USUAL));
    check(&mut world, finder, &[(0, 10), (1, 8)]);
    // Labels: frame 0 is confirmed with one peak of three; frame 1 and 2 have none, so nothing is asked about them.
    world.apply(Command::GoTo(0));
    world.apply(Command::Accept(Accept::Component(
        peaknet_studio::domain::grid::Pixel { x: 4, y: 4 },
    )));
    world.apply(Command::SetReview(Review::Confirmed));
    world.apply(Command::GoTo(1));
    check(&mut world, Against::Label, &[(0, 30), (0, 20), (0, 4)]);
}

#[test]
fn a_key_does_nothing_to_a_frame_that_is_not_on_screen() {
    let mut world = World::new(NET, NET);
    world.triage(TriageCommand::Show(true));
    world.apply(Command::GoTo(2));
    world.decide(Verdict::Accept);
    assert!(world.stored.is_empty(), "the candidate is shown first");
    assert_eq!(world.session.selected, 1);
    // The frame is asked for, but not there yet.
    world.session.apply(Command::GoTo(2));
    world.session.apply(Command::GoTo(1));
    world
        .session
        .apply(Command::Triage(TriageCommand::Decide(Verdict::Accept)));
    let stores = |job: &Job| matches!(job, Job::StoreEdit { .. });
    assert!(!world.session.take_jobs().iter().any(stores));
}

#[test]
fn differences_follow_every_edit_and_are_stepped_through_frame_by_frame() {
    let second: &[&[Spot]] = &[
        &[(4, 4, 95), (20, 4, 60), (10, 30, 80)],
        &[(8, 8, 70)],
        &[(30, 30, 99)],
    ];
    let mut world = World::new(NET, second);
    let counts = |world: &World| {
        let comparison = world.session.comparison().expect("compared");
        (comparison.agreed, comparison.missed, comparison.added)
    };
    world.apply(Command::ShowDifferences(true));
    assert_eq!(counts(&world), (0, 0, 3), "the label is blank");
    let (x, y) = (4.5, 4.5);
    for event in [
        ToolEvent::Press { x, y, erase: false },
        ToolEvent::Drag { x: 5.5, y: 5.5 },
        ToolEvent::Release,
    ] {
        world.apply(Command::Tool(event));
    }
    let expected = (1, 0, 2);
    assert_eq!(counts(&world), expected, "after one stroke");
    world.apply(Command::Undo);
    assert_eq!(counts(&world), (0, 0, 3));

    world.apply(Command::SetAgainst(Against::Net(PathBuf::from("b"))));
    assert_eq!(counts(&world), (2, 1, 1));
    let f1 = world.session.comparison().and_then(|c| c.score.f1);
    assert!((f1.expect("scored") - 4.0 / 6.0).abs() < 1e-9);
    let step = |world: &mut World, by| {
        world.apply(Command::StepDifference(by));
        let mark = world.session.difference();
        let view = world.session.view.expect("a view");
        mark.map(|mark| {
            assert_eq!((view.center_x, view.center_y), (mark.x, mark.y));
            (world.session.selected, mark.kind, mark.x.round() as usize)
        })
    };
    assert_eq!(step(&mut world, 1), Some((0, Kind::Added, 31)));
    assert_eq!(step(&mut world, 1), Some((0, Kind::Missed, 11)));
    // Frame 1 has none; the one after it has.
    assert_eq!(step(&mut world, 1), None);
    assert_eq!(world.session.selected, 1);
    assert_eq!(step(&mut world, 1), Some((2, Kind::Added, 13)));
    assert_eq!(step(&mut world, 1), Some((2, Kind::Added, 13)));
    assert!(
        world
            .session
            .notices
            .iter()
            .any(|n| n.text.contains("last frame"))
    );
    assert_eq!(step(&mut world, -1), None);
    assert_eq!(step(&mut world, -1), Some((0, Kind::Missed, 11)));

    world.listed = Some(Arc::new(Listed {
        found: vec![(5.0, 5.0), (35.0, 35.0)],
        ..Listed::default()
    }));
    world.apply(Command::SetAgainst(Against::Listed));
    world.apply(Command::GoTo(1));
    world.apply(Command::GoTo(0));
    assert_eq!(counts(&world), (1, 1, 2));
    world.apply(Command::JudgeLabel(true));
    assert_eq!(counts(&world), (0, 2, 0), "nothing is painted");
}
