//! What is open, shown and meant. Three verbs: [`Session::apply`], [`Session::absorb`], [`Session::take_jobs`].
//!
//! The window draws `&Session` and pushes [`Command`]s; workers take [`Job`]s and send [`Report`]s. Nothing
//! here knows a toolkit, a file, a thread or a clock, so the whole editor runs headless in tests.

pub mod arrangement;
pub mod beneath;
pub mod browse;
pub mod command;
pub mod differences;
pub mod import;
pub mod job;
pub mod keys;
pub mod look;
pub mod paint;
pub mod playback;
pub mod predict;
pub mod review;
pub mod second;
pub mod source;
pub mod table;
pub mod tool;
pub mod triage;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use self::arrangement::Arrangement;
use self::beneath::{Thumbnails, Underlay};
use self::browse::{OpenRun, Pending, Shown};
use self::command::{Command, Layers, RunRequest, View};
use self::differences::Differences;
use self::import::{ImportAsked, Importing};
use self::job::{
    Calibration, FrameKey, Guides, Job, NetEntry, NetInfo, PathWanted, Predicted, Report,
    TrainingLine,
};
use self::keys::KeyLine;
use self::look::Look;
use self::playback::Playback;
use self::second::Second;
use self::table::{FrameTable, Rows};
use self::tool::{Gesture, Tool, ToolOptions};
use self::triage::Triage;
use crate::domain::assembly::Assembly;
use crate::domain::brush::ClassSet;
use crate::domain::calibrant::Calibrant;
use crate::domain::frame::Statistics;
use crate::domain::grid::PixelRect;
use crate::domain::incoming::ImportChoices;
use crate::domain::labels::{Class, Review};
use crate::domain::tone::Tone;

/// Something the user should know; stays until dismissed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// The cure that the window offers as a button.
    pub cure: Option<Cure>,
    pub kind: NoticeKind,
}

/// What a notice is about, which says how it looks and when it goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoticeKind {
    /// Something went wrong; stays until dismissed, or until another run has been opened.
    #[default]
    Problem,
    /// The user's own settings are not as they were meant; stays until dismissed, whatever is opened.
    OfUser,
    /// A fact about the open run; goes with it.
    OfRun,
    /// Something was done as asked; the next one takes its place.
    Done,
    /// What was just tried cannot be done; goes with the next thing that can, or with the frame.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    RetryStore,
    OpenAnother,
    RecoverProject,
}

/// A path that the window asks for, and why it asks itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrompt {
    pub wanted: PathWanted,
    pub why: Option<&'static str>,
}

/// A training under way or just ended.
#[derive(Clone, Debug, Default)]
pub struct Training {
    pub running: bool,
    pub lines: Vec<TrainingLine>,
    pub outcome: Option<Result<PathBuf, String>>,
}

/// A change of the shown sheet: textures newer than `version` need only this rectangle.
#[derive(Clone, Copy, Debug)]
pub struct SheetChange {
    pub version: u64,
    pub rect: PixelRect,
}

#[derive(Debug, Default)]
pub struct Session {
    /// The run that is open.
    pub run: Option<OpenRun>,
    /// The request that is being opened; the old run stays until it is there.
    pub opening: Option<(u64, RunRequest)>,
    pub rows: Rows,
    /// Which of them are listed, and in which order.
    pub table: FrameTable,
    pub playback: Playback,
    pub underlay: Underlay,
    pub thumbnails: Thumbnails,
    /// The frame that the user wants to see; what is shown may lag behind.
    pub selected: usize,
    pub shown: Option<Shown>,
    pub pending: Pending,
    /// Why the selected frame cannot be shown.
    pub frame_error: Option<String>,
    visited: Vec<usize>,
    random_state: u64,

    pub tool: Tool,
    pub class: Class2,
    pub brush_diameter: f32,
    /// Classes that are neither painted over nor erased.
    pub protect: ClassSet,
    pub options: ToolOptions,
    /// Where the pointer is in the plane that is shown.
    pub hover: Option<(f32, f32)>,
    /// What is under the pointer, and what the labels amount to.
    pub look: Look,
    /// Whose labels were asked for to be copied, onto which frame, and which of them.
    copying: Option<(FrameKey, FrameKey, Option<Class>)>,
    pub gesture: Option<Gesture>,
    /// A frame without labels that the curator was asked about before it is confirmed as empty.
    asked_about: Option<FrameKey>,
    /// What frames were before they were flagged.
    flagged_from: HashMap<usize, Review>,
    /// Frames that were confirmed since the run was opened.
    confirmed_here: HashSet<usize>,
    /// Counts every change of the shown sheet, whatever frame it belongs to.
    pub sheet_version: u64,
    /// The most recent changes, oldest first.
    pub sheet_changes: Vec<SheetChange>,
    /// Writes that are not yet confirmed to be on disk.
    pub unsaved: usize,
    pub store_failed: bool,

    pub tone: Tone,
    /// Keep the tone when another run is opened.
    pub tone_locked: bool,
    tone_wanted: bool,
    pub layers: Layers,
    pub view: Option<View>,
    /// Where the panels of the open run lie, if it has any whose place is known.
    pub assembly: Option<Arc<Assembly>>,
    /// They are shown there; otherwise the raw slab is.
    pub is_assembled: bool,
    /// Counts the times the view was set by the session (a restored one), not by the canvas.
    pub view_version: u64,

    pub project: Option<PathBuf>,
    pub read_only: Option<String>,

    pub nets: Vec<NetEntry>,
    pub net: Option<NetInfo>,
    pub net_loading: bool,
    net_serial: u64,
    pub predict: bool,
    pub predict_all: bool,
    pub predictions: HashMap<usize, Arc<Predicted>>,
    prediction_order: Vec<usize>,
    /// Frames asked for and not answered yet.
    pub predicting: usize,

    /// What the net is compared with.
    pub second: Second,
    pub differences: Differences,
    pub triage: Triage,

    pub training: Training,
    pub calibrant: Option<Calibrant>,
    pub calibration: Option<(FrameKey, Calibration)>,

    /// Labels are being brought in.
    pub importing: Option<Importing>,
    /// The window asks what is meant by labels from elsewhere.
    pub import_asked: Option<ImportAsked>,
    /// The shown frame lacked something and may be whole now: it is read again when nothing is under way.
    reload_wanted: bool,
    /// Rings of round resolutions of the open run, once they were asked for.
    pub guides: Option<Arc<Guides>>,

    pub notices: Vec<Notice>,
    /// The user's own keys, in the order of the file.
    pub keys: Vec<KeyLine>,
    /// The window asks for a path.
    pub path_prompt: Option<PathPrompt>,
    pub recent: Vec<(PathBuf, Option<PathBuf>)>,
    /// How the window was arranged last; `None` until the settings have been read.
    pub arrangement: Option<Arrangement>,
    run_serial: u64,
    jobs: Vec<Job>,
}

/// The class that the brush paints and the one it swaps with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class2 {
    pub current: Class,
    pub other: Class,
}

impl Default for Class2 {
    fn default() -> Self {
        Self {
            current: Class::Peak,
            other: Class::Background,
        }
    }
}

impl Session {
    /// An empty session that has asked for the list of nets.
    pub fn new() -> Self {
        Self {
            brush_diameter: 5.0,
            predict: true,
            random_state: 0x9E37_79B9_7F4A_7C15,
            jobs: vec![Job::ListNets],
            ..Self::default()
        }
    }

    /// The jobs asked for since the last call, in order.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// Whether nothing is asked for and nothing is awaited: what a screenshot waits for.
    pub fn is_settled(&self) -> bool {
        self.jobs.is_empty()
            && self.opening.is_none()
            && !self.pending.is_waiting()
            && !self.net_loading
            && !self.underlay.is_waiting()
            && self.underlay.powder_progress.is_none()
            && self.importing.is_none()
            && self.unsaved == 0
            && (self.predicting == 0 || self.shown_prediction().is_some())
            && !self.second.is_loading
            && !self.is_comparing()
            && !(self.layers.guides && self.run.is_some() && self.guides.is_none())
            && !(self.calibrant.is_some()
                && self.shown.is_some()
                && self.calibration.is_none()
                && self.places_rings())
    }

    /// The assembled plane, where it is what is shown and painted on.
    pub fn plane(&self) -> Option<&Arc<Assembly>> {
        self.assembly.as_ref().filter(|_| self.is_assembled)
    }

    pub fn statistics(&self) -> Option<&Statistics> {
        let own = || self.shown.as_ref().map(|shown| &shown.loaded.statistics);
        self.drawn_statistics().or_else(own)
    }

    pub fn notice(&mut self, text: impl Into<String>) {
        self.notice_with(text, None);
    }

    /// Says why what was just tried cannot be done, in place of what was said so before.
    pub(super) fn refuse(&mut self, text: impl Into<String>) {
        self.forget_refusals();
        self.notices.push(Notice {
            text: text.into(),
            cure: None,
            kind: NoticeKind::Refused,
        });
    }

    fn forget_refusals(&mut self) {
        self.notices
            .retain(|notice| notice.kind != NoticeKind::Refused);
    }

    fn notice_with(&mut self, text: impl Into<String>, cure: Option<Cure>) {
        let notice = Notice {
            text: text.into(),
            cure,
            kind: NoticeKind::Problem,
        };
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// The only way the user changes anything.
    pub fn apply(&mut self, command: Command) {
        self.obey(command);
        self.table.settle(&mut self.rows);
        self.ask_comparison();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(request) => self.open(*request),
            Command::OpenDialog => self.jobs.push(Job::OpenDialog { folder: false }),
            Command::OpenFolderDialog => self.jobs.push(Job::OpenDialog { folder: true }),
            Command::OpenProjectDialog => self.jobs.push(Job::OpenProjectDialog),
            Command::OpenGeometryDialog => self.jobs.push(Job::OpenGeometryDialog),
            Command::OpenDemo => self.jobs.push(Job::OpenDemo),
            Command::TypePath => {
                self.path_prompt = Some(PathPrompt {
                    wanted: PathWanted::Open,
                    why: None,
                });
            }
            Command::ClosePathPrompt => self.path_prompt = None,
            Command::GoTo(number) => self.go_to(number),
            Command::Step(by) => self.step(by),
            Command::First => self.go_to(0),
            Command::Last => self.go_to(self.rows.len().saturating_sub(1)),
            Command::Random => self.go_random(),
            Command::RandomBack => self.go_back(),
            Command::NextUnreviewed => self.next_unreviewed(),
            Command::SortFrames(column) => self.sort_frames(column),
            Command::FilterFrames(text) => self.filter_frames(text),
            Command::NarrowFilter(more) => self.narrow_filter(more),
            Command::StepListed(by) => {
                self.step_listed(by);
            }
            Command::SetNote {
                frame,
                tags,
                comment,
            } => self.set_words(frame, tags, comment),
            Command::ToggleMark => self.toggle_mark(),
            Command::StepMark(by) => self.step_mark(by),
            Command::Play(on) => self.play(on),
            Command::SetPlayRate(rate) => self.set_play_rate(rate),
            Command::PlayOn => self.play_on(),
            Command::SetBeneath(beneath) => self.set_beneath(beneath),
            Command::SetReach(reach) => self.set_reach(reach),
            Command::SetBlink(on) => self.set_blink(on),
            Command::BlinkOn => self.blink_on(),
            Command::MakePowder(combine) => self.make_powder(combine),
            Command::StopPowder => self.stop_powder(),
            Command::WantThumbnails(numbers) => self.want_thumbnails(numbers),
            Command::NextFlagged => self.next_flagged(),

            Command::RecoverProject => self.recover_project(),
            Command::Restore(count) => self.restore(count),
            Command::SetTool(tool) => self.set_tool(tool),
            Command::SetClass(class) => self.class.current = class,
            Command::SwapClass => self.swap_class(),
            Command::SetBrushDiameter(px) => self.brush_diameter = px.clamp(1.0, 1000.0),
            Command::StepBrush(steps) => self.step_brush(steps),
            Command::SetProtect(classes) => self.protect = classes,
            Command::SetToolOptions(options) => self.options = options,
            Command::ScaleTool(factor) => self.scale_tool(factor),
            Command::CopyPrevious(class) => self.copy_previous(class),
            Command::Tool(event) => self.use_tool(event),
            Command::Undo => self.undo(),
            Command::Redo => self.redo(),
            Command::Accept(what) => self.accept(what),
            Command::ClearSheet => self.clear_sheet(),
            Command::SetReview(review) => self.set_review(review),
            Command::Confirm => self.confirm(),
            Command::Withdraw => self.withdraw(),
            Command::Flag => self.flag(),

            Command::SetTone(tone) => self.tone = tone,
            Command::AutoTone => self.auto_tone(),
            Command::SetToneLocked(on) => self.tone_locked = on,
            Command::SetLayers(layers) => self.set_layers(layers),
            Command::SetView(view) => self.set_view(view),
            Command::SetAssembled(on) => self.set_assembled(on),

            Command::SetAgainst(against) => self.set_against(against),
            Command::ShowDifferences(on) => self.show_differences(on),
            Command::JudgeLabel(on) => self.judge_label(on),
            Command::StepDifference(by) => self.step_difference(by),
            Command::Triage(command) => self.do_triage(command),

            Command::ChooseNet(path) => self.choose_net(path),
            Command::ChooseFinder(finder) => self.choose_finder(finder),
            Command::SetPredict(on) => self.set_predict(on),
            Command::PredictAll(on) => self.set_predict_all(on),
            Command::Export(out) => self.jobs.push(Job::Export { out, force: false }),
            Command::ImportDialog => self.jobs.push(Job::ImportDialog),
            Command::Import { labels, choices } => self.import(labels, *choices),
            Command::CloseImport => self.import_asked = None,
            Command::ExportDialog => self.jobs.push(Job::ExportDialog),
            Command::Train(request) => self.train(request),
            Command::StopTraining => self.jobs.push(Job::StopTraining),

            Command::Arrange(arrangement) => self.arrange(*arrangement),
            Command::SetCalibrant(calibrant) => self.set_calibrant(calibrant),
            Command::ChangeKeys(changes) => self.change_keys(changes),
            Command::RetryStore => self.jobs.push(Job::RetryStore),
            Command::DismissNotice(index) => {
                if index < self.notices.len() {
                    self.notices.remove(index);
                }
            }
        }
        self.look_again();
    }

    /// The only way the world changes anything; answers to old questions are dropped.
    pub fn absorb(&mut self, report: Report) {
        self.take_report(report);
        self.reload();
        self.table.settle(&mut self.rows);
        self.look_again();
        self.ask_comparison();
    }

    fn take_report(&mut self, report: Report) {
        match report {
            Report::RunOpened { run, result } => self.run_opened(run, result),
            Report::GuidesPlaced { run, rings } => {
                if self.run.as_ref().is_some_and(|open| open.serial == run) {
                    self.guides = Some(rings);
                }
            }
            Report::RunGrown { run, info } => self.run_grown(run, info),
            Report::Chosen(request) => self.open(request),
            Report::ImportChosen(labels) => self.import(labels, ImportChoices::default()),
            Report::ImportAsks { run, asked } => self.import_asks(run, asked),
            Report::Importing { run, done, of } => self.import_goes_on(run, done, of),
            Report::Imported { run, result } => self.imported(run, result),
            Report::ExportChosen(out) => self.jobs.push(Job::Export {
                out,
                // The desktop's dialog has asked.
                force: true,
            }),
            Report::NoDialog(wanted) => {
                self.path_prompt = Some(PathPrompt {
                    wanted,
                    why: Some(
                        "This desktop has no file dialog (zenity is one that could be installed).",
                    ),
                });
            }
            Report::Frame { key, result } => self.frame_arrived(key, result),
            Report::ProjectOpened { run, result } => self.project_opened(run, result),
            Report::Measured { key, mean, maximum } => self.measured(key, mean, maximum),
            Report::Stacked { serial, result } => self.stacked(serial, result),
            Report::PowderProgress {
                serial,
                done,
                total,
            } => self.powder_progressed(serial, done, total),
            Report::Powder {
                serial,
                frames,
                result,
            } => self.powder_made(serial, frames, result),
            Report::Thumbnail { key, picture } => self.thumbnail_made(key, picture),
            Report::Compared {
                key,
                net,
                disagreement,
            } => self.compared(key, net, disagreement),
            Report::Labels { key, result } => {
                self.labels_for_triage(key, &result);
                self.copy_arrived(key, &result);
                self.labels_arrived(key, result);
            }
            Report::Counted {
                key,
                version,
                count,
            } => self.counted(key, version, count),
            Report::Digested { key, now, known } => self.digested(key, &now, known.as_ref()),
            Report::Stored => self.stored(),
            Report::StoreFailed(reason) => self.store_failed(reason),
            Report::Nets(nets) => self.nets_listed(nets),
            Report::NetLoaded { serial, result } => self.net_loaded(serial, result),
            Report::Predicted { key, net, result } => self.predicted(key, net, result),
            Report::SecondLoaded { serial, result } => self.second_loaded(serial, result),
            Report::SecondPredicted {
                key,
                serial,
                result,
            } => self.second_predicted(key, serial, result),
            Report::Differences {
                key,
                serial,
                comparison,
            } => self.differences_found(key, serial, comparison),
            Report::Gathered {
                key,
                serial,
                result,
            } => self.gathered(key, serial, result),
            Report::Exported(Ok(text)) => self.done(text),
            Report::Exported(Err(text)) => self.notice(text),
            Report::Training(line) => self.training.lines.push(line),
            Report::TrainingEnded(outcome) => self.training_ended(outcome),
            Report::Calibrated { key, result } => self.calibrated(key, result),
            Report::Notice(text) => self.notice(text),
            Report::Keys(file) => self.keys_read(file),
            Report::RecentRuns(recent) => self.recent = recent,
            Report::Arranged(kept) => self.arrangement_read(*kept),
        }
    }

    /// Says that something was done; replaces what was said so before.
    fn done(&mut self, text: String) {
        self.notices
            .retain(|notice| notice.kind != NoticeKind::Done);
        self.notices.push(Notice {
            text,
            cure: None,
            kind: NoticeKind::Done,
        });
    }

    fn scale_tool(&mut self, factor: f32) {
        match self.tool {
            Tool::Ring => {
                let width = self.options.ring_width_px * factor;
                self.options.ring_width_px = width.clamp(1.0, 1000.0);
            }
            Tool::PeakGrow => {
                let level = self.options.grow_sigmas * factor;
                self.options.grow_sigmas = level.clamp(0.2, 100.0);
            }
            _ => self.brush_diameter = (self.brush_diameter * factor).clamp(1.0, 1000.0),
        }
    }

    fn step_brush(&mut self, steps: i32) {
        if matches!(self.tool, Tool::Ring | Tool::PeakGrow) {
            return self.scale_tool(1.2_f32.powi(steps));
        }
        let diameter = self.brush_diameter;
        // By a fifth, but never by less than a pixel.
        let next = if steps > 0 {
            (diameter * 1.2).max(diameter + 1.0)
        } else {
            (diameter / 1.2).min(diameter - 1.0)
        };
        self.brush_diameter = next.round().clamp(1.0, 1000.0);
        if steps.abs() > 1 {
            self.step_brush(steps - steps.signum());
        }
    }

    fn stored(&mut self) {
        self.unsaved = self.unsaved.saturating_sub(1);
        if self.store_failed {
            self.store_failed = false;
            self.notices.retain(|n| n.cure != Some(Cure::RetryStore));
        }
    }

    fn store_failed(&mut self, reason: String) {
        self.store_failed = true;
        self.notice_with(reason, Some(Cure::RetryStore));
    }

    fn train(&mut self, request: command::TrainRequest) {
        if self.training.running {
            self.notice("A training is running already; stop it first.");
            return;
        }
        self.training = Training {
            running: true,
            ..Training::default()
        };
        self.jobs.push(Job::Train(request));
    }

    fn training_ended(&mut self, outcome: Result<PathBuf, String>) {
        self.training.running = false;
        if let Err(reason) = &outcome {
            let reason = reason.clone();
            self.notice(reason);
        }
        self.training.outcome = Some(outcome);
        self.jobs.push(Job::ListNets);
    }
}
