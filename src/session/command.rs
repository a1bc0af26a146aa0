//! Everything the user can want: the only way the window or a script changes the session.

use std::path::PathBuf;

use super::arrangement::Arrangement;
use super::beneath::Beneath;
use super::keys::KeyChange;
use super::second::Against;
use super::tool::{Tool, ToolEvent, ToolOptions};
use super::triage::TriageCommand;
use crate::domain::brush::ClassSet;
use crate::domain::calibrant::Calibrant;
use crate::domain::columns::Column;
use crate::domain::filter::Filter;
use crate::domain::finders::Finder;
use crate::domain::frame::MaskPolarity;
use crate::domain::grid::Pixel;
use crate::domain::incoming::ImportChoices;
use crate::domain::labels::{Class, Review};
use crate::domain::stack::Combine;
use crate::domain::tone::Tone;

/// What to open and what the user knows better than the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRequest {
    pub paths: Vec<PathBuf>,
    pub geometry: Option<PathBuf>,
    /// A CXI peak list or a CrystFEL stream to show over the frames.
    pub peaks: Option<PathBuf>,
    /// Masks of bad pixels in files of their own, and which of their values are bad.
    pub bad_pixels: Vec<PathBuf>,
    pub bad_pixels_are: MaskPolarity,
    pub dataset: Option<String>,
    /// Of files without a header, as on the command line.
    pub shape: Vec<usize>,
    pub dtype: Option<String>,
    pub wavelength_angstrom: Option<f64>,
    pub detector_distance_m: Option<f64>,
    pub pixel_size_m: Option<f64>,
    /// As people give it: the first pixel's centre is 0.0.
    pub beam_center_px: Option<[f64; 2]>,
    /// The project file; `None` = the run's own one in the user's data folder.
    pub project: Option<PathBuf>,
    /// The frame to show first; `None` = where the curator left off.
    pub frame: Option<usize>,
}

/// What of a prediction becomes labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    All,
    OneClass(Class),
    /// The connected component of the predicted map that covers this pixel.
    Component(Pixel),
}

/// Which layers are drawn over the frame, and how strongly.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    pub prediction: bool,
    pub prediction_opacity: f32,
    pub labels: bool,
    pub labels_opacity: f32,
    pub peaks: bool,
    /// What another program found and predicted.
    pub listed: bool,
    pub bad: bool,
    pub rings: bool,
    /// Rings of round resolutions, the beam centre and the names of panels.
    pub guides: bool,
    /// Fill the classes instead of outlining them.
    pub filled: bool,
    /// All overlays are away while a key is held.
    pub hidden: bool,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            prediction: true,
            prediction_opacity: 0.9,
            labels: true,
            labels_opacity: 0.9,
            peaks: true,
            listed: true,
            bad: true,
            rings: true,
            guides: false,
            filled: false,
            hidden: false,
        }
    }
}

/// Where the canvas looks: the position in its middle and screen points per pixel (0 = everything).
///
/// Positions are those of the raw slab, or of the assembled plane where that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub center_x: f32,
    pub center_y: f32,
    pub zoom: f32,
    pub is_assembled: bool,
}

/// How the next net is to be trained from this project's confirmed frames.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainRequest {
    /// The folder that the new net goes to.
    pub out: PathBuf,
    /// The net to start from; `None` = from scratch.
    pub from: Option<PathBuf>,
    pub minutes: f64,
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Open(Box<RunRequest>),
    OpenDialog,
    OpenFolderDialog,
    OpenProjectDialog,
    OpenGeometryDialog,
    OpenDemo,
    /// Ask for a path to open in the window itself; works where the desktop has no file dialog.
    TypePath,
    ClosePathPrompt,
    GoTo(usize),
    /// So many frames on, or back when negative.
    Step(isize),
    First,
    Last,
    Random,
    RandomBack,
    NextUnreviewed,
    /// Sorts the frame table by a column; once more, the other way round.
    SortFrames(Column),
    /// What was typed as the filter of the frame table.
    FilterFrames(String),
    /// Lists only those that also pass this.
    NarrowFilter(Filter),
    /// So many places on in the list as it is sorted and filtered.
    StepListed(isize),
    /// Tags and comment of a frame; its mark stays.
    SetNote {
        frame: usize,
        tags: Vec<String>,
        comment: String,
    },
    ToggleMark,
    /// To the next marked frame, or the one before when negative.
    StepMark(isize),
    Play(bool),
    /// Frames a second.
    SetPlayRate(f32),
    /// The next frame of the playback is due.
    PlayOn,
    /// What is drawn in the frame's place.
    SetBeneath(Beneath),
    /// How many frames before and after are added up.
    SetReach(usize),
    /// The frame and its neighbours in turn.
    SetBlink(bool),
    /// The next picture of the blinking is due.
    BlinkOn,
    /// Adds up the listed frames in the background.
    MakePowder(Combine),
    StopPowder,
    /// The frames whose thumbnails are looked at now.
    WantThumbnails(Vec<usize>),
    /// The next frame that was put aside with a question.
    NextFlagged,

    /// Makes a sound project of the damaged one; the damaged file is kept.
    RecoverProject,
    /// The shown frame's labels as they were after so many edits of those in memory, as one new edit.
    Restore(usize),
    SetTool(Tool),
    SetClass(Class),
    /// Swaps the painted class with background, and back.
    SwapClass,
    SetBrushDiameter(f32),
    /// So many steps larger, or smaller when negative.
    StepBrush(i32),
    /// Classes that are neither painted over nor erased.
    SetProtect(ClassSet),
    SetToolOptions(ToolOptions),
    /// Makes what the tool draws with so many times as large: the brush, the ring's width, the level of a grown peak.
    ScaleTool(f32),
    /// Copies the labels of the frame before to where this one has none; all, or one class.
    CopyPrevious(Option<Class>),
    Tool(ToolEvent),
    Undo,
    Redo,
    Accept(Accept),
    ClearSheet,
    SetReview(Review),
    /// Confirms the frame and shows the next one.
    Confirm,
    /// The frame is no longer confirmed; its labels stay.
    Withdraw,
    /// Puts the frame aside with a question, or takes it up again as it was.
    Flag,

    SetTone(Tone),
    AutoTone,
    SetToneLocked(bool),
    SetLayers(Layers),
    SetView(View),
    /// Panels where they are in space, or as they are stored.
    SetAssembled(bool),

    /// What the net is compared with, in the difference view and in triage.
    SetAgainst(Against),
    ShowDifferences(bool),
    /// In the difference view the label is judged in the net's place.
    JudgeLabel(bool),
    /// Goes to the next difference, or back when negative.
    StepDifference(isize),
    Triage(TriageCommand),

    ChooseNet(PathBuf),
    /// A classical finder with these parameters in the net's place.
    ChooseFinder(Finder),
    SetPredict(bool),
    /// Predict every frame of the run, not only those ahead of the curator.
    PredictAll(bool),
    ImportDialog,
    /// Brings labels made elsewhere into the open run's project.
    Import {
        labels: PathBuf,
        choices: Box<ImportChoices>,
    },
    CloseImport,
    /// As what its ending says; never replaces a file: whoever typed the name was not asked.
    Export(PathBuf),
    ExportDialog,
    Train(TrainRequest),
    StopTraining,

    SetCalibrant(Option<Calibrant>),
    /// Other keys for some actions, from now on and after the next start.
    ChangeKeys(Vec<KeyChange>),
    /// The window is arranged otherwise, from now on and after the next start.
    Arrange(Box<Arrangement>),
    RetryStore,
    DismissNotice(usize),
}
