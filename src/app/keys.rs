//! The one table of what can be done from the window: text, tooltip, shortcut, place in the menu.

use egui::{Key, Modifiers};

use super::key_map::KeyMap;
use crate::domain::labels::Class;
use crate::domain::reshape::Operation;
use crate::session::tool::Tool;
use crate::session::triage::Verdict;

/// Everything that a key, a menu entry or the palette can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Open,
    OpenFolder,
    OpenProject,
    RecoverProject,
    OpenPath,
    OpenGeometry,
    Demo,
    Import,
    Export,
    Quit,
    Undo,
    Redo,
    Next,
    Previous,
    NextTen,
    PreviousTen,
    First,
    Last,
    Random,
    RandomBack,
    GoTo,
    NextUnreviewed,
    NextListed,
    PreviousListed,
    FilterFrames,
    ClearFilter,
    Mark,
    NextMark,
    PreviousMark,
    Comment,
    Play,
    FramePlots,
    Thumbnails,
    StackMaximum,
    StackMean,
    Blink,
    Powder,
    NextFlagged,
    Tool(Tool),
    Class(Class),
    SwapClass,
    BrushLarger,
    BrushSmaller,
    Protect,
    ProtectClass(Class),
    Stamp,
    CopyPrevious,
    CopyPreviousArtifact,
    Operation(Operation),
    Fit,
    Assembled,
    Guides,
    OneToOne,
    ZoomIn,
    ZoomOut,
    AutoTone,
    LockTone,
    Fill,
    HideOverlays,
    ShowLabels,
    Loupe,
    Panels,
    Theme,
    Confirm,
    Withdraw,
    Flag,
    AcceptAll,
    AcceptPeaks,
    AcceptArtifact,
    ClearSheet,
    Differences,
    NextDifference,
    PreviousDifference,
    Triage,
    Decide(Verdict),
    TakeBack,
    Predict,
    PredictAll,
    Train,
    Calibrant,
    Palette,
    Keys,
    EditKeys,
}

/// The menus of the bar, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File,
    Edit,
    View,
    Labels,
    Net,
    Geometry,
    Help,
}

impl Menu {
    pub const ALL: [Self; 7] = [
        Self::File,
        Self::Edit,
        Self::View,
        Self::Labels,
        Self::Net,
        Self::Geometry,
        Self::Help,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::View => "View",
            Self::Labels => "Labels",
            Self::Net => "Net",
            Self::Geometry => "Geometry",
            Self::Help => "Help",
        }
    }
}

/// One line of the table.
pub struct Entry {
    pub action: Action,
    pub menu: Menu,
    pub text: &'static str,
    /// The keys of the program's own preset, the first one shown in menus and tooltips.
    pub keys: &'static [(Modifiers, Key)],
    /// The keys mean this only while triage is open, and nothing else then.
    pub is_of_triage: bool,
}

pub(super) const NONE: Modifiers = Modifiers::NONE;
pub(super) const SHIFT: Modifiers = Modifiers::SHIFT;
pub(super) const CTRL: Modifiers = Modifiers::COMMAND;
pub(super) const CTRL_SHIFT: Modifiers = Modifiers {
    shift: true,
    ..Modifiers::COMMAND
};

const fn entry(
    action: Action,
    menu: Menu,
    text: &'static str,
    keys: &'static [(Modifiers, Key)],
) -> Entry {
    Entry {
        action,
        menu,
        text,
        keys,
        is_of_triage: false,
    }
}

/// A decision: its key is under the left hand, and means something else outside triage.
const fn decision(action: Action, text: &'static str, keys: &'static [(Modifiers, Key)]) -> Entry {
    Entry {
        is_of_triage: true,
        ..entry(action, Menu::Labels, text, keys)
    }
}

/// All of it, in menu order.
pub const TABLE: &[Entry] = &[
    entry(Action::Open, Menu::File, "Open a run...", &[(CTRL, Key::O)]),
    entry(
        Action::OpenFolder,
        Menu::File,
        "Open a folder of frames...",
        &[(CTRL_SHIFT, Key::O)],
    ),
    entry(Action::OpenProject, Menu::File, "Open a project...", &[]),
    entry(
        Action::RecoverProject,
        Menu::File,
        "Recover a damaged project",
        &[],
    ),
    entry(
        Action::OpenPath,
        Menu::File,
        "Open by path...",
        &[(CTRL, Key::L)],
    ),
    entry(Action::Demo, Menu::File, "Open the demo", &[]),
    entry(
        Action::Import,
        Menu::File,
        "Import labels...",
        &[(CTRL, Key::I)],
    ),
    entry(
        Action::Export,
        Menu::File,
        "Export confirmed frames...",
        &[(CTRL, Key::E)],
    ),
    entry(Action::Quit, Menu::File, "Quit", &[(CTRL, Key::Q)]),
    entry(Action::Undo, Menu::Edit, "Undo", &[(CTRL, Key::Z)]),
    entry(
        Action::Redo,
        Menu::Edit,
        "Redo",
        &[(CTRL_SHIFT, Key::Z), (CTRL, Key::Y)],
    ),
    entry(
        Action::Tool(Tool::Brush),
        Menu::Edit,
        "Brush",
        &[(NONE, Key::Num1)],
    ),
    entry(
        Action::Tool(Tool::Eraser),
        Menu::Edit,
        "Eraser",
        &[(NONE, Key::Num2)],
    ),
    entry(
        Action::Tool(Tool::Polygon),
        Menu::Edit,
        "Polygon",
        &[(NONE, Key::Num3)],
    ),
    entry(
        Action::Tool(Tool::Fill),
        Menu::Edit,
        "Fill",
        &[(NONE, Key::Num4)],
    ),
    entry(
        Action::Tool(Tool::Pick),
        Menu::Edit,
        "Pick a class",
        &[(NONE, Key::Num5)],
    ),
    entry(
        Action::Tool(Tool::PeakGrow),
        Menu::Edit,
        "Grow a peak",
        &[(NONE, Key::Num6)],
    ),
    entry(
        Action::Tool(Tool::Ring),
        Menu::Edit,
        "Ring sector",
        &[(NONE, Key::Num7)],
    ),
    entry(
        Action::Tool(Tool::Lasso),
        Menu::Edit,
        "Lasso",
        &[(NONE, Key::Num8)],
    ),
    entry(
        Action::Tool(Tool::Threshold),
        Menu::Edit,
        "Threshold brush",
        &[(NONE, Key::Num9)],
    ),
    entry(
        Action::Tool(Tool::Component),
        Menu::Edit,
        "Components",
        &[(NONE, Key::Num0)],
    ),
    entry(
        Action::Tool(Tool::Line),
        Menu::Edit,
        "Line",
        &[(NONE, Key::K)],
    ),
    entry(
        Action::Tool(Tool::Rectangle),
        Menu::Edit,
        "Rectangle",
        &[(NONE, Key::J)],
    ),
    entry(
        Action::Operation(Operation::Make),
        Menu::Edit,
        "Components: make the painted class",
        &[(CTRL, Key::Num1)],
    ),
    entry(
        Action::Operation(Operation::Delete),
        Menu::Edit,
        "Components: delete",
        &[(CTRL, Key::Num2)],
    ),
    entry(
        Action::Operation(Operation::Grow),
        Menu::Edit,
        "Components: grow by a pixel",
        &[(CTRL, Key::Num3)],
    ),
    entry(
        Action::Operation(Operation::Shrink),
        Menu::Edit,
        "Components: shrink by a pixel",
        &[(CTRL, Key::Num4)],
    ),
    entry(
        Action::Operation(Operation::Split),
        Menu::Edit,
        "Components: split at the saddle",
        &[(CTRL, Key::Num5)],
    ),
    entry(
        Action::Operation(Operation::Merge),
        Menu::Edit,
        "Components: merge",
        &[(CTRL, Key::Num6)],
    ),
    entry(
        Action::BrushSmaller,
        Menu::Edit,
        "Smaller brush",
        &[(NONE, Key::OpenBracket)],
    ),
    entry(
        Action::BrushLarger,
        Menu::Edit,
        "Larger brush",
        &[(NONE, Key::CloseBracket)],
    ),
    entry(
        Action::Next,
        Menu::View,
        "Next frame",
        &[(NONE, Key::D), (NONE, Key::ArrowRight)],
    ),
    entry(
        Action::Previous,
        Menu::View,
        "Previous frame",
        &[(NONE, Key::A), (NONE, Key::ArrowLeft)],
    ),
    entry(
        Action::NextTen,
        Menu::View,
        "Ten frames on",
        &[(SHIFT, Key::D), (SHIFT, Key::ArrowRight)],
    ),
    entry(
        Action::PreviousTen,
        Menu::View,
        "Ten frames back",
        &[(SHIFT, Key::A), (SHIFT, Key::ArrowLeft)],
    ),
    entry(
        Action::First,
        Menu::View,
        "First frame",
        &[(NONE, Key::Home)],
    ),
    entry(Action::Last, Menu::View, "Last frame", &[(NONE, Key::End)]),
    entry(
        Action::Random,
        Menu::View,
        "Random frame",
        &[(NONE, Key::R)],
    ),
    entry(
        Action::RandomBack,
        Menu::View,
        "Back from random",
        &[(SHIFT, Key::R)],
    ),
    entry(
        Action::GoTo,
        Menu::View,
        "Go to frame...",
        &[(NONE, Key::G)],
    ),
    entry(
        Action::NextUnreviewed,
        Menu::View,
        "Next unconfirmed frame",
        &[(NONE, Key::N)],
    ),
    entry(
        Action::NextListed,
        Menu::View,
        "Next frame in the list",
        &[(NONE, Key::ArrowDown)],
    ),
    entry(
        Action::PreviousListed,
        Menu::View,
        "Previous frame in the list",
        &[(NONE, Key::ArrowUp)],
    ),
    entry(
        Action::Play,
        Menu::View,
        "Play the listed frames, or stop",
        &[(SHIFT, Key::P)],
    ),
    entry(
        Action::FilterFrames,
        Menu::View,
        "Filter the frames...",
        &[(CTRL, Key::F)],
    ),
    entry(
        Action::ClearFilter,
        Menu::View,
        "List all frames",
        &[(CTRL_SHIFT, Key::F)],
    ),
    entry(
        Action::FramePlots,
        Menu::View,
        "Plot the frames: histogram or scatter...",
        &[(CTRL, Key::H)],
    ),
    entry(
        Action::Thumbnails,
        Menu::View,
        "Thumbnails in the list",
        &[(CTRL, Key::B)],
    ),
    entry(
        Action::StackMaximum,
        Menu::View,
        "Maximum of the neighbouring frames",
        &[(NONE, Key::U)],
    ),
    entry(
        Action::StackMean,
        Menu::View,
        "Mean of the neighbouring frames",
        &[(SHIFT, Key::U)],
    ),
    entry(
        Action::Blink,
        Menu::View,
        "Blink with the neighbouring frames",
        &[(CTRL_SHIFT, Key::U)],
    ),
    entry(
        Action::Powder,
        Menu::View,
        "Powder of the listed frames",
        &[(CTRL, Key::U)],
    ),
    entry(
        Action::Mark,
        Menu::View,
        "Mark this frame",
        &[(CTRL, Key::M)],
    ),
    entry(
        Action::NextMark,
        Menu::View,
        "Next marked frame",
        &[(SHIFT, Key::M)],
    ),
    entry(
        Action::PreviousMark,
        Menu::View,
        "Previous marked frame",
        &[(CTRL_SHIFT, Key::M)],
    ),
    entry(
        Action::Comment,
        Menu::View,
        "Tags and comment of this frame...",
        &[(CTRL, Key::D)],
    ),
    entry(
        Action::NextFlagged,
        Menu::View,
        "Next flagged frame",
        &[(SHIFT, Key::T)],
    ),
    entry(Action::Fit, Menu::View, "Fit the frame", &[(NONE, Key::Z)]),
    entry(
        Action::OpenGeometry,
        Menu::Geometry,
        "Open with a geometry file...",
        &[],
    ),
    entry(
        Action::Assembled,
        Menu::Geometry,
        "Panels in space, or the raw slab",
        &[(NONE, Key::M)],
    ),
    entry(
        Action::Guides,
        Menu::Geometry,
        "Resolution rings, beam centre, panel names",
        &[(NONE, Key::I)],
    ),
    entry(
        Action::OneToOne,
        Menu::View,
        "One to one",
        &[(SHIFT, Key::Z)],
    ),
    entry(
        Action::ZoomIn,
        Menu::View,
        "Zoom in",
        &[(NONE, Key::Plus), (NONE, Key::Equals)],
    ),
    entry(
        Action::ZoomOut,
        Menu::View,
        "Zoom out",
        &[(NONE, Key::Minus)],
    ),
    entry(Action::AutoTone, Menu::View, "Auto tone", &[(NONE, Key::C)]),
    entry(
        Action::LockTone,
        Menu::View,
        "Keep the tone for the next run",
        &[(SHIFT, Key::C)],
    ),
    entry(
        Action::Fill,
        Menu::View,
        "Fill or outline the classes",
        &[(NONE, Key::F)],
    ),
    entry(
        Action::HideOverlays,
        Menu::View,
        "Hide all overlays (hold)",
        &[(NONE, Key::V)],
    ),
    entry(
        Action::ShowLabels,
        Menu::View,
        "Show or hide the labels",
        &[(SHIFT, Key::L)],
    ),
    entry(Action::Loupe, Menu::View, "Loupe", &[(NONE, Key::L)]),
    entry(Action::Panels, Menu::View, "Panels", &[(NONE, Key::Tab)]),
    entry(Action::Theme, Menu::View, "Dark or light", &[]),
    entry(
        Action::Class(Class::Peak),
        Menu::Labels,
        "Paint peak",
        &[(NONE, Key::Q)],
    ),
    entry(
        Action::Class(Class::Artifact),
        Menu::Labels,
        "Paint artifact",
        &[(NONE, Key::W)],
    ),
    entry(
        Action::Class(Class::Ignore),
        Menu::Labels,
        "Paint ignore",
        &[(NONE, Key::E)],
    ),
    entry(
        Action::SwapClass,
        Menu::Labels,
        "Swap with background",
        &[(NONE, Key::X)],
    ),
    entry(
        Action::Protect,
        Menu::Labels,
        "Protect what is labelled",
        &[(NONE, Key::B)],
    ),
    entry(
        Action::ProtectClass(Class::Peak),
        Menu::Labels,
        "Protect peak",
        &[(SHIFT, Key::Q)],
    ),
    entry(
        Action::ProtectClass(Class::Artifact),
        Menu::Labels,
        "Protect artifact",
        &[(SHIFT, Key::W)],
    ),
    entry(
        Action::ProtectClass(Class::Ignore),
        Menu::Labels,
        "Protect ignore",
        &[(SHIFT, Key::E)],
    ),
    entry(
        Action::ProtectClass(Class::Background),
        Menu::Labels,
        "Protect background",
        &[(SHIFT, Key::X)],
    ),
    entry(
        Action::Stamp,
        Menu::Labels,
        "Stamp the prediction with shapes",
        &[(NONE, Key::S)],
    ),
    entry(
        Action::CopyPrevious,
        Menu::Labels,
        "Copy the labels of the frame before",
        &[(SHIFT, Key::V)],
    ),
    entry(
        Action::CopyPreviousArtifact,
        Menu::Labels,
        "Copy the artifact of the frame before",
        &[],
    ),
    entry(
        Action::AcceptAll,
        Menu::Labels,
        "Accept the prediction",
        &[(NONE, Key::Y)],
    ),
    entry(
        Action::AcceptPeaks,
        Menu::Labels,
        "Accept the predicted peaks",
        &[],
    ),
    entry(
        Action::AcceptArtifact,
        Menu::Labels,
        "Accept the predicted artifact",
        &[],
    ),
    entry(
        Action::ClearSheet,
        Menu::Labels,
        "Clear the labels of this frame",
        &[],
    ),
    entry(
        Action::Differences,
        Menu::Labels,
        "Differences",
        &[(NONE, Key::H)],
    ),
    entry(
        Action::NextDifference,
        Menu::Labels,
        "Next difference",
        &[(NONE, Key::Period)],
    ),
    entry(
        Action::PreviousDifference,
        Menu::Labels,
        "Previous difference",
        &[(NONE, Key::Comma)],
    ),
    entry(
        Action::Triage,
        Menu::Labels,
        "Triage: decide the doubtful ones",
        &[(NONE, Key::O)],
    ),
    decision(
        Action::Decide(Verdict::Accept),
        "In triage: accept",
        &[(NONE, Key::A)],
    ),
    decision(
        Action::Decide(Verdict::Reject),
        "In triage: reject",
        &[(NONE, Key::D)],
    ),
    decision(
        Action::Decide(Verdict::Artifact),
        "In triage: make artifact",
        &[(NONE, Key::F)],
    ),
    decision(
        Action::Decide(Verdict::Skip),
        "In triage: skip",
        &[(NONE, Key::S)],
    ),
    decision(
        Action::TakeBack,
        "In triage: take back",
        &[(NONE, Key::Backspace)],
    ),
    entry(
        Action::Confirm,
        Menu::Labels,
        "Confirm and go on",
        &[(NONE, Key::Enter)],
    ),
    entry(
        Action::Withdraw,
        Menu::Labels,
        "Withdraw the confirmation",
        &[(SHIFT, Key::Enter)],
    ),
    entry(
        Action::Flag,
        Menu::Labels,
        "Flag this frame",
        &[(NONE, Key::T)],
    ),
    entry(
        Action::Predict,
        Menu::Net,
        "Predict ahead",
        &[(NONE, Key::P)],
    ),
    entry(Action::PredictAll, Menu::Net, "Predict the whole run", &[]),
    entry(Action::Train, Menu::Net, "Train...", &[(CTRL, Key::T)]),
    entry(
        Action::Calibrant,
        Menu::Geometry,
        "Calibrant rings...",
        &[(CTRL, Key::K)],
    ),
    entry(
        Action::Palette,
        Menu::Help,
        "Find a command...",
        &[(CTRL, Key::P)],
    ),
    entry(
        Action::Keys,
        Menu::Help,
        "Keys",
        &[(NONE, Key::Questionmark)],
    ),
    entry(
        Action::EditKeys,
        Menu::Help,
        "Change the keys...",
        &[(CTRL_SHIFT, Key::K)],
    ),
];

/// The table's line of an action.
pub fn entry_of(action: Action) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.action == action)
}

/// Name and key in force for a tooltip: `Brush (1)`.
pub fn tip(ui: &egui::Ui, action: Action) -> String {
    KeyMap::in_force(ui.ctx()).tip(action)
}

/// A text with the first key in force of an action behind it.
pub fn with_key(ui: &egui::Ui, text: &str, action: Action) -> String {
    match key_of(ui, action).as_str() {
        "" => text.to_owned(),
        key => format!("{text} ({key})"),
    }
}

/// The first key in force of an action; empty where it has none.
pub fn key_of(ui: &egui::Ui, action: Action) -> String {
    KeyMap::in_force(ui.ctx()).key_of(action)
}

/// A key as people write it.
pub fn key_text((modifiers, key): (Modifiers, Key)) -> String {
    let mut text = String::new();
    if modifiers.command {
        text.push_str("Ctrl+");
    }
    if modifiers.alt {
        text.push_str("Alt+");
    }
    if modifiers.shift {
        text.push_str("Shift+");
    }
    text.push_str(match key {
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::Questionmark => "?",
        Key::ArrowLeft => "Left",
        Key::ArrowRight => "Right",
        Key::ArrowUp => "Up",
        Key::ArrowDown => "Down",
        Key::Comma => ",",
        Key::Period => ".",
        Key::Plus => "+",
        Key::Minus => "-",
        Key::Equals => "=",
        Key::Semicolon => ";",
        Key::Colon => ":",
        Key::Slash => "/",
        Key::Backslash => "\\",
        Key::Pipe => "|",
        Key::Quote => "'",
        Key::Backtick => "`",
        Key::Exclamationmark => "!",
        Key::OpenCurlyBracket => "{",
        Key::CloseCurlyBracket => "}",
        other => other.name(),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_action_has_two_lines() {
        for (index, entry) in TABLE.iter().enumerate() {
            let mut others = TABLE.iter().skip(index + 1);
            assert!(others.all(|other| other.action != entry.action));
        }
    }
}
