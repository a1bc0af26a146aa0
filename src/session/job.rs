//! What the session asks of the workers, and what they answer.

use std::path::PathBuf;
use std::sync::Arc;

use super::arrangement::Arrangement;
use super::command::{RunRequest, TrainRequest, View};
use super::import::ImportAsked;
use super::keys::{KeyChange, KeyFile};
use super::second::Against;
use crate::domain::calibrant::{Calibrant, RingRow};
use crate::domain::columns::Note;
use crate::domain::difference::Comparison;
use crate::domain::finders::Finder;
use crate::domain::frame::{Frame, RunInfo, Statistics};
use crate::domain::grid::Grid;
use crate::domain::incoming::ImportChoices;
use crate::domain::labels::{Edit, History, Review, Sheet};
use crate::domain::listed::Listed;
use crate::domain::peaks::Peak;
use crate::domain::queue::Candidate;
use crate::domain::rings::Segment;
use crate::domain::source::LabelledPixels;
use crate::domain::stack::Combine;

/// One frame of one opening of a run: answers that carry an old key are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrameKey {
    /// Counts the runs that were opened in this session.
    pub run: u64,
    pub number: usize,
}

/// A frame with what is shown beside it; computed by the worker that read it.
#[derive(Clone, Debug)]
pub struct LoadedFrame {
    pub frame: Arc<Frame>,
    /// What another program's peak list or stream says of it.
    pub listed: Option<Arc<Listed>>,
    /// What is wrong with it, one sentence each.
    pub problems: Vec<String>,
    pub statistics: Statistics,
    pub read_ms: f32,
}

/// The labels of a frame as the project keeps them.
#[derive(Clone, Debug)]
pub struct LoadedLabels {
    pub sheet: Arc<Sheet>,
    pub history: History,
    /// The pixels that they were made on, where that was noted.
    pub pixels: Option<LabelledPixels>,
}

/// Whose components of a frame a curator may have to decide.
#[derive(Clone, Debug)]
pub enum Proposals {
    Net {
        net: Arc<Predicted>,
        /// What the net is compared with: a label or another prediction.
        other: Option<Side>,
        with_artifact: bool,
    },
    /// Two curators' labels of a merged project.
    Merge {
        sheet: Arc<Sheet>,
        /// As [`History::since_merge`] has them.
        since: Vec<Arc<Edit>>,
    },
}

/// The digest of a frame's pixels is wanted.
#[derive(Clone, Debug)]
pub struct DigestRequest {
    pub key: FrameKey,
    pub frame: Arc<Frame>,
    /// Where the run lies, as [`RunInfo::source`] says.
    pub source: String,
    /// What it is held against; `None` = it is noted in the project.
    pub known: Option<LabelledPixels>,
}

/// What a net says of one frame.
#[derive(Clone, Debug)]
pub struct Predicted {
    pub classes: Arc<Sheet>,
    /// Probability of class peak, times 255.
    pub peak: Grid<u8>,
    /// Probability of class artifact, times 255.
    pub artifact: Grid<u8>,
    pub peaks: Vec<Peak>,
    pub artifact_fraction: f32,
    /// Mean uncertainty over pixels that are not plainly background; ranks frames for a curator.
    pub doubt: f32,
    pub net_ms: f32,
}

impl Predicted {
    pub fn bytes(&self) -> usize {
        self.classes.len() * 3 + self.peaks.len() * size_of::<Peak>()
    }
}

/// Pixels that can stand in a frame's place.
#[derive(Clone, Debug)]
pub struct Picture {
    pub frame: Arc<Frame>,
    pub statistics: Statistics,
}

/// Frames to add up for the shown one.
#[derive(Clone, Debug)]
pub struct StackOrder {
    pub serial: u64,
    pub key: FrameKey,
    pub combine: Combine,
    pub frames: Vec<usize>,
}

/// Frames of a run to add up in the background.
#[derive(Clone, Debug)]
pub struct PowderOrder {
    pub serial: u64,
    pub run: u64,
    pub combine: Combine,
    pub frames: Vec<usize>,
}

/// A net that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct NetEntry {
    pub path: PathBuf,
    pub name: String,
    /// One line of its card: held-out scores, date.
    pub summary: String,
}

/// The net that predicts now.
#[derive(Clone, Debug, PartialEq)]
pub struct NetInfo {
    /// Counts the nets that were loaded in this session.
    pub serial: u64,
    pub entry: NetEntry,
    pub digest: String,
    pub device: String,
    /// A classical finder stands in the net's place.
    pub finder: Option<Finder>,
}

/// What the project knows of a run when it is opened.
#[derive(Clone, Debug, Default)]
pub struct ProjectState {
    pub path: PathBuf,
    /// Why labels cannot be written, in a sentence; `None` = they can.
    pub read_only: Option<String>,
    /// The file is damaged: recovering it may help.
    pub is_damaged: bool,
    pub reviews: Vec<(usize, Review)>,
    pub notes: Vec<(usize, Note)>,
    /// Frames with labels, whether looked at since or not.
    pub labelled: Vec<usize>,
    /// Peaks found earlier by the net of the same digest.
    pub last_frame: Option<usize>,
    pub view: Option<View>,
}

/// What the labels of a frame amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SheetCount {
    pub peaks: usize,
    pub artifact_pixels: usize,
}

/// Resolutions in angstrom, each with its ring on the panels.
pub type Guides = Vec<(f64, Vec<Segment>)>;

/// The azimuthal profile of a calibrant frame and its rings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    pub calibrant: Option<Calibrant>,
    pub rings: Vec<RingRow>,
    /// The expected rings on the panels, in the order of `rings`; empty where the detector is flat and has none.
    pub on_panels: Vec<Vec<Segment>>,
    /// (radius px, mean intensity) over all valid pixels.
    pub profile: Vec<[f64; 2]>,
    /// The same without the pixels that the net marks artifact.
    pub profile_without_artifact: Vec<[f64; 2]>,
}

/// One line of a running training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingLine {
    pub epoch: usize,
    pub loss: f64,
    pub validation_loss: f64,
    pub peak_f1: f64,
    pub artifact_iou: f64,
    pub seconds: f64,
}

/// What an import has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportDone {
    pub summary: String,
    /// What the user should know, a sentence each.
    pub notices: Vec<String>,
    /// The reviews of the run as they are now.
    pub reviews: Vec<(usize, Review)>,
}

/// One of two opinions of a frame that are compared.
#[derive(Clone, Debug)]
pub enum Side {
    Label(Arc<Sheet>),
    Predicted(Arc<Predicted>),
    Listed(Arc<Listed>),
}

/// Two opinions of a frame.
#[derive(Clone, Debug)]
pub struct CompareRequest {
    pub key: FrameKey,
    pub frame: Arc<Frame>,
    /// The one that is taken for true.
    pub reference: Side,
    pub judged: Side,
}

/// What a path is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathWanted {
    /// A run or a project to open.
    Open,
    /// Where the training set goes.
    Export,
    /// Labels to bring in.
    Import,
}

#[derive(Clone, Debug)]
pub enum Job {
    OpenRun {
        run: u64,
        request: Box<RunRequest>,
    },
    OpenDialog {
        folder: bool,
    },
    OpenProjectDialog,
    OpenGeometryDialog,
    ExportDialog,
    ImportDialog,
    /// Brings labels in for the frames of the open run.
    Import {
        run: u64,
        labels: PathBuf,
        choices: Box<ImportChoices>,
    },
    OpenDemo,
    LoadFrame(FrameKey),
    /// Frames that are likely next, most likely first; replaces an earlier list.
    ReadAhead(Vec<FrameKey>),
    OpenProject {
        run: u64,
        path: Option<PathBuf>,
        info: Arc<RunInfo>,
    },
    LoadLabels {
        key: FrameKey,
        width: usize,
        height: usize,
    },
    StoreEdit {
        key: FrameKey,
        edit: Arc<Edit>,
        /// Digest of the net whose prediction was accepted.
        net: Option<String>,
    },
    StoreUndo(FrameKey),
    StoreRedo(FrameKey),
    StoreReview(FrameKey, Review),
    StoreNote(FrameKey, Note),
    Digest(Box<DigestRequest>),
    StoreView {
        run: u64,
        frame: usize,
        view: Option<View>,
    },
    RetryStore,
    /// Puts what can be saved of the open run's damaged project, and of its copy, in its place.
    RecoverProject {
        run: u64,
        info: Arc<RunInfo>,
    },
    /// Lines of the user's keys that are to be as they say.
    StoreKeys(Vec<KeyChange>),
    /// How the user has arranged the window.
    StoreArrangement(Box<Arrangement>),
    Stack(StackOrder),
    Powder(PowderOrder),
    StopPowder,
    /// Frames to make small pictures of; replaces an earlier list.
    Thumbnails(Vec<FrameKey>),
    /// What the labels of the shown frame amount to; replaces an earlier question.
    Count {
        key: FrameKey,
        version: u64,
        sheet: Arc<Sheet>,
    },
    ListNets,
    LoadNet {
        serial: u64,
        path: PathBuf,
    },
    /// A classical finder takes the net's place.
    UseFinder {
        serial: u64,
        finder: Finder,
    },
    /// Frames to predict, most wanted first; replaces an earlier list.
    Predict {
        net: u64,
        frames: Vec<FrameKey>,
    },
    /// The second net or finder, of which [`Against`] names one.
    LoadSecond {
        serial: u64,
        against: Against,
    },
    /// Frames for the second one, most wanted first; replaces an earlier list.
    PredictSecond {
        serial: u64,
        frames: Vec<FrameKey>,
    },
    /// Where two opinions differ; replaces one that waits.
    Compare {
        serial: u64,
        request: Box<CompareRequest>,
    },
    /// The components of a frame that a curator may have to decide.
    Gather {
        /// Counts the queues of this session.
        serial: u64,
        key: FrameKey,
        proposals: Proposals,
    },
    /// Writes the confirmed frames as what the ending says.
    Export {
        out: PathBuf,
        /// The user has agreed to replace what is there.
        force: bool,
    },
    Train(TrainRequest),
    StopTraining,
    /// The open run has other facts than when its project was opened.
    NoteGrowth {
        run: u64,
        info: Arc<RunInfo>,
    },
    /// Rings of round resolutions for the open run.
    PlaceGuides {
        run: u64,
        info: Arc<RunInfo>,
    },
    Calibrate {
        key: FrameKey,
        calibrant: Calibrant,
        frame: Arc<Frame>,
        info: Arc<RunInfo>,
        artifact: Option<Arc<Sheet>>,
    },
}

#[derive(Clone, Debug)]
pub enum Report {
    RunOpened {
        run: u64,
        result: Result<Arc<RunInfo>, String>,
    },
    /// More of the open run was written, or frames that were empty before.
    RunGrown {
        run: u64,
        info: Arc<RunInfo>,
    },
    /// What a dialog, a drop or the demo chose.
    Chosen(RunRequest),
    ExportChosen(PathBuf),
    ImportChosen(PathBuf),
    /// The labels cannot be brought in before a question is answered.
    ImportAsks {
        run: u64,
        asked: ImportAsked,
    },
    Importing {
        run: u64,
        done: usize,
        of: usize,
    },
    Imported {
        run: u64,
        result: Result<ImportDone, String>,
    },
    /// The desktop has no file dialog; the window asks for the path itself.
    NoDialog(PathWanted),
    Frame {
        key: FrameKey,
        result: Result<LoadedFrame, String>,
    },
    ProjectOpened {
        run: u64,
        result: Result<ProjectState, String>,
    },
    Labels {
        key: FrameKey,
        result: Result<LoadedLabels, String>,
    },
    /// Mean and maximum of a frame's valid pixels, in photons where the run says what one is.
    Measured {
        key: FrameKey,
        mean: f32,
        maximum: f32,
    },
    Stacked {
        serial: u64,
        result: Result<Picture, String>,
    },
    PowderProgress {
        serial: u64,
        done: usize,
        total: usize,
    },
    /// A powder is complete; so many frames are in it.
    Powder {
        serial: u64,
        frames: usize,
        result: Result<Picture, String>,
    },
    /// The brightest pixels of blocks of a frame, as brightness 0 to 255.
    Thumbnail {
        key: FrameKey,
        picture: Arc<Grid<u8>>,
    },
    /// 1 - F1 of what a net found against what another program's list has.
    Compared {
        key: FrameKey,
        net: u64,
        disagreement: f32,
    },
    /// The pixels of a frame as they are now, and what they were to be held against.
    Digested {
        key: FrameKey,
        now: LabelledPixels,
        known: Option<LabelledPixels>,
    },
    /// One write of this session is safe on disk.
    Stored,
    /// A write failed and waits to be tried again; nothing is lost while the program runs.
    StoreFailed(String),
    Nets(Vec<NetEntry>),
    NetLoaded {
        serial: u64,
        result: Result<NetInfo, String>,
    },
    Predicted {
        key: FrameKey,
        net: u64,
        result: Result<Arc<Predicted>, String>,
    },
    SecondLoaded {
        serial: u64,
        result: Result<NetInfo, String>,
    },
    SecondPredicted {
        key: FrameKey,
        serial: u64,
        result: Result<Arc<Predicted>, String>,
    },
    Differences {
        key: FrameKey,
        serial: u64,
        comparison: Arc<Comparison>,
    },
    Gathered {
        key: FrameKey,
        serial: u64,
        result: Result<Vec<Arc<Candidate>>, String>,
    },
    Exported(Result<String, String>),
    Training(TrainingLine),
    TrainingEnded(Result<PathBuf, String>),
    Calibrated {
        key: FrameKey,
        result: Result<Calibration, String>,
    },
    Counted {
        key: FrameKey,
        version: u64,
        count: SheetCount,
    },
    GuidesPlaced {
        run: u64,
        rings: Arc<Guides>,
    },
    Notice(String),
    /// Each with the project that was opened with it, where one was named.
    RecentRuns(Vec<(PathBuf, Option<PathBuf>)>),
    /// How the window was left at the last start.
    Arranged(Box<Arrangement>),
    /// The user's own keys, at the start.
    Keys(KeyFile),
}
