//! The world behind the window kept in memory: frames that are there at once, writes that are remembered.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on shall say where"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use egui_kittest::Harness;
use peaknet_studio::app::{self, Window, World};
use peaknet_studio::domain::difference::{Judged, Reference, differences};
use peaknet_studio::domain::frame::{Frame, RunInfo, bad};
use peaknet_studio::domain::geometry::Geometry;
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::domain::labels::{History, Sheet};
use peaknet_studio::domain::peaks::Peak;
use peaknet_studio::domain::stack::{Stack, thumbnail};
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::job::{
    Job, LoadedFrame, LoadedLabels, NetEntry, NetInfo, Picture, Predicted, ProjectState, Report,
    Side,
};

/// Answers jobs at once from frames in memory, and remembers what was to be stored.
pub struct Memory {
    info: Arc<RunInfo>,
    frames: Vec<Arc<Frame>>,
    has_net: bool,
    reports: Vec<Report>,
    pub stored: Vec<Job>,
    labels: HashMap<usize, (Sheet, History)>,
    /// The sheet that is being counted: like the program's own thread, it holds on to it for a while.
    counting: Option<Arc<Sheet>>,
    /// How long answering took, for who measures the window alone.
    pub answering: Duration,
}

impl Memory {
    fn answer(&mut self, job: Job) {
        match job {
            Job::OpenRun { run, .. } => self.reports.push(Report::RunOpened {
                run,
                result: Ok(self.info.clone()),
            }),
            Job::OpenProject { run, .. } => self.reports.push(Report::ProjectOpened {
                run,
                result: Ok(ProjectState::default()),
            }),
            Job::LoadFrame(key) => {
                let frame = self.frames[key.number].clone();
                let result = Ok(LoadedFrame {
                    statistics: frame.statistics(),
                    problems: Vec::new(),
                    listed: None,
                    frame,
                    read_ms: 12.0,
                });
                self.reports.push(Report::Frame { key, result });
            }
            Job::LoadLabels { key, width, height } => {
                let result = Ok(self.labels_of(key.number, width, height));
                self.reports.push(Report::Labels { key, result });
            }
            Job::Stack(order) => {
                let first = &self.frames[order.key.number];
                let mut stack = Stack::new(order.combine, first.width(), first.height());
                for number in order.frames {
                    stack.add(&self.frames[number]);
                }
                let frame = Arc::new(stack.finish(order.key.number).expect("frames"));
                self.reports.push(Report::Stacked {
                    serial: order.serial,
                    result: Ok(Picture {
                        statistics: frame.statistics(),
                        frame,
                    }),
                });
            }
            Job::Thumbnails(keys) => {
                for key in keys {
                    let picture = Arc::new(thumbnail(&self.frames[key.number], 64));
                    self.reports.push(Report::Thumbnail { key, picture });
                }
            }
            Job::ListNets if self.has_net => self.reports.push(Report::Nets(vec![entry()])),
            Job::LoadNet { serial, .. } => self.reports.push(Report::NetLoaded {
                serial,
                result: Ok(NetInfo {
                    serial,
                    entry: entry(),
                    digest: "d".to_owned(),
                    device: "CPU, 2 threads".to_owned(),
                    finder: None,
                }),
            }),
            Job::Predict { net, frames } => {
                for key in frames {
                    let result = Ok(Arc::new(predict(&self.frames[key.number])));
                    self.reports.push(Report::Predicted { key, net, result });
                }
            }
            Job::LoadSecond { serial, .. } => self.reports.push(Report::SecondLoaded {
                serial,
                result: Ok(NetInfo {
                    serial,
                    entry: entry(),
                    digest: "e".to_owned(),
                    device: "CPU".to_owned(),
                    finder: None,
                }),
            }),
            Job::PredictSecond { serial, frames } => {
                for key in frames {
                    // Sees less than the first one, and a peak where there is none.
                    let frame = &self.frames[key.number];
                    let mut seen = predict_above(frame, 30.0);
                    seen.peaks.push(Peak {
                        x: 20.5,
                        y: 20.5,
                        radius: 2.0,
                        ..Peak::default()
                    });
                    self.reports.push(Report::SecondPredicted {
                        key,
                        serial,
                        result: Ok(Arc::new(seen)),
                    });
                }
            }
            Job::Compare { serial, request } => {
                let reference = match &request.reference {
                    Side::Label(sheet) => Reference::Label(sheet),
                    Side::Predicted(p) => Reference::Peaks(&p.peaks, &p.classes),
                    Side::Listed(listed) => Reference::Places(&listed.found),
                };
                let judged = match &request.judged {
                    Side::Label(sheet) => Judged::Label(sheet),
                    Side::Predicted(p) => Judged::Peaks(&p.peaks, &p.classes),
                    Side::Listed(_) => return,
                };
                self.reports.push(Report::Differences {
                    key: request.key,
                    serial,
                    comparison: Arc::new(differences(&request.frame, reference, judged)),
                });
            }
            Job::Gather {
                serial,
                key,
                proposals,
            } => self.reports.push(Report::Gathered {
                key,
                serial,
                result: Ok(proposals.found(&self.frames[key.number], key.number)),
            }),
            Job::Count { sheet, .. } => drop(self.counting.replace(sheet)),
            Job::StoreEdit { .. }
            | Job::StoreUndo(_)
            | Job::StoreRedo(_)
            | Job::StoreReview(..)
            | Job::StoreNote(..) => {
                self.keep(&job);
                self.stored.push(job);
                self.reports.push(Report::Stored);
            }
            Job::Import { .. } | Job::StoreArrangement(_) => self.stored.push(job),
            _ => {}
        }
    }
}

impl Memory {
    fn labels_of(&mut self, number: usize, width: usize, height: usize) -> LoadedLabels {
        let blank = || (Sheet::filled(width, height, 0), History::default());
        let (sheet, history) = self.labels.entry(number).or_insert_with(blank).clone();
        LoadedLabels {
            sheet: Arc::new(sheet),
            history,
            pixels: None,
        }
    }

    /// Labels stay as they were stored while the curator pages.
    fn keep(&mut self, job: &Job) {
        let (Job::StoreEdit { key, .. } | Job::StoreUndo(key) | Job::StoreRedo(key)) = job else {
            return;
        };
        let Some((sheet, history)) = self.labels.get_mut(&key.number) else {
            return;
        };
        match job {
            Job::StoreEdit { edit, .. } => {
                edit.apply(sheet);
                history.push(edit.clone());
            }
            Job::StoreUndo(_) => drop(history.undo(sheet)),
            _ => drop(history.redo(sheet)),
        }
    }
}

fn entry() -> NetEntry {
    NetEntry {
        path: PathBuf::from("models/peaknet"),
        name: "peaknet".to_owned(),
        summary: "peak F1 0.91 on simulated frames".to_owned(),
    }
}

/// A stand-in for a net: everything far above its frame's median is a peak.
fn predict(frame: &Frame) -> Predicted {
    predict_above(frame, 12.0)
}

fn predict_above(frame: &Frame, sigmas: f32) -> Predicted {
    let statistics = frame.statistics();
    let cut = statistics.median + sigmas * statistics.sigma.max(1.0);
    let is_peak = |x: usize, y: usize| {
        frame.is_valid(x, y) && frame.pixels.get(x, y).is_some_and(|v| *v > cut)
    };
    let (width, height) = (frame.width(), frame.height());
    let classes = Sheet::from_fn(width, height, |x, y| u8::from(is_peak(x, y)));
    let mut peaks = Vec::new();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let value = frame.pixels.get(x, y).copied().unwrap_or(0.0);
            let around = [(0, 1), (2, 1), (1, 0), (1, 2)]
                .map(|(dx, dy)| frame.pixels.get(x + dx - 1, y + dy - 1));
            if is_peak(x, y) && around.into_iter().flatten().all(|other| value > *other) {
                peaks.push(Peak {
                    x: x as f32 + 0.5,
                    y: y as f32 + 0.5,
                    radius: 2.0,
                    ..Peak::default()
                });
            }
        }
    }
    let probability = classes.map(|class| if *class == 1 { 240 } else { 3 });
    Predicted {
        artifact: Grid::filled(width, height, 2),
        classes: Arc::new(classes),
        peak: probability,
        peaks,
        artifact_fraction: 0.012,
        doubt: 0.13,
        net_ms: 412.0,
    }
}

/// A noisy frame of crystal spots on a falling background, with a module gap and some bad pixels.
pub fn crystal(number: usize, width: usize, height: usize) -> Frame {
    crystal_of(number, width, height, 90)
}

/// The same with so many spots.
pub fn crystal_of(number: usize, width: usize, height: usize, spots: usize) -> Frame {
    let mut state = 0x1234_5678_9abc_def1_u64 ^ (number as u64) << 32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let (middle_x, middle_y) = (width as f32 / 2.0, height as f32 / 2.0);
    let mut pixels = Grid::from_fn(width, height, |x, y| {
        let r = (x as f32 - middle_x).hypot(y as f32 - middle_y) / middle_x;
        let background = 12.0 + 40.0 * (-(r - 0.45).powi(2) / 0.02).exp() + 60.0 * (-r * 3.0).exp();
        (background + (random() + random() + random() - 1.5) * 2.0 * background.sqrt())
            .max(0.0)
            .round()
    });
    for _ in 0..spots {
        let (x, y) = (random() * width as f32, random() * height as f32);
        let strength = 60.0 + 4000.0 * random().powi(6);
        for dy in -4..=4_i32 {
            for dx in -4..=4_i32 {
                let (px, py) = (x as i32 + dx, y as i32 + dy);
                if px >= 0
                    && py >= 0
                    && let Some(pixel) = pixels.get_mut(px as usize, py as usize)
                {
                    *pixel += (strength * (-((dx * dx + dy * dy) as f32) / 2.5).exp()).round();
                }
            }
        }
    }
    let gap = height / 2;
    let bits = Grid::from_fn(width, height, |x, y| {
        if y.abs_diff(gap) < height / 120 || x.abs_diff(width / 3) < 3 {
            bad::MISSING
        } else if (x * 7919 + y * 104_729) % 90_001 == 0 {
            bad::HOT
        } else {
            0
        }
    });
    Frame::new(number, pixels, bits).expect("same shape")
}

pub type Shared = Rc<RefCell<Memory>>;

/// The window on a run of these frames, first frame shown; `None` (with a message) without an adapter.
pub fn window(
    size: [f32; 2],
    is_dark: bool,
    frames: Vec<Frame>,
    has_net: bool,
) -> Option<(Harness<'static, Window>, Shared)> {
    window_on(size, is_dark, frames, has_net, Geometry::default())
}

/// The same on a detector whose panels lie somewhere in space.
pub fn window_on(
    size: [f32; 2],
    is_dark: bool,
    frames: Vec<Frame>,
    has_net: bool,
    geometry: Geometry,
) -> Option<(Harness<'static, Window>, Shared)> {
    let first = frames.first()?;
    let memory = Rc::new(RefCell::new(Memory {
        info: Arc::new(RunInfo {
            name: "lysozyme_0412.cxi".to_owned(),
            source: "lysozyme_0412.cxi".to_owned(),
            frames: frames.len(),
            width: first.width(),
            height: first.height(),
            dtype: "float32".to_owned(),
            format: "CXI".to_owned(),
            geometry,
            ..RunInfo::default()
        }),
        frames: frames.into_iter().map(Arc::new).collect(),
        has_net,
        reports: Vec::new(),
        stored: Vec::new(),
        labels: HashMap::new(),
        counting: None,
        answering: Duration::ZERO,
    }));
    let (asked, answers) = (memory.clone(), memory.clone());
    let world = World {
        submit: Box::new(move |jobs| {
            let begun = std::time::Instant::now();
            jobs.into_iter()
                .for_each(|job| asked.borrow_mut().answer(job));
            asked.borrow_mut().answering += begun.elapsed();
        }),
        reports: Box::new(move || std::mem::take(&mut answers.borrow_mut().reports)),
    };
    let mut session = Session::new();
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![PathBuf::from("lysozyme_0412.cxi")],
        ..RunRequest::default()
    })));
    let harness = app::screenshot::harness(size, is_dark, |state| {
        Ok(Window::new(session, world, Some(state)))
    });
    match harness {
        Ok(mut harness) => {
            settle(&mut harness, 8);
            Some((harness, memory))
        }
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

/// Goes on until what was asked for is on screen; frames get there by a thread of their own.
pub fn settle(harness: &mut Harness<'_, Window>, steps: usize) {
    harness.run_steps(steps);
    let begun = std::time::Instant::now();
    while !harness.state().is_settled() {
        assert!(begun.elapsed().as_secs() < 60, "the window never settles");
        std::thread::sleep(std::time::Duration::from_millis(2));
        harness.run_steps(1);
    }
    harness.run_steps(1);
}
