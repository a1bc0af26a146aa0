//! Whole sets of keys to start from: the program's own ones, and the habits of napari.

use egui::Key;

use super::key_map::Chord;
use super::keys::{Action, CTRL, CTRL_SHIFT, Entry, NONE, SHIFT};
use crate::domain::labels::Class;
use crate::session::tool::Tool;

/// Where the keys come from that the user has not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// The keys of the table.
    #[default]
    PeakNet,
    /// Those of napari's labels layer where they differ; what they displace has another key.
    Napari,
}

impl Preset {
    pub const ALL: [Self; 2] = [Self::PeakNet, Self::Napari];

    /// As the file says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeakNet => "peaknet",
            Self::Napari => "napari",
        }
    }

    /// As the window says it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::PeakNet => "PeakNet",
            Self::Napari => "napari",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The keys of a line of the table.
    pub fn keys(self, entry: &Entry) -> &'static [Chord] {
        let own = match self {
            Self::PeakNet => None,
            Self::Napari => NAPARI.iter().find(|(action, _)| *action == entry.action),
        };
        own.map_or(entry.keys, |(_, keys)| keys)
    }
}

/// What differs from the table.
///
/// From napari 0.6 (`src/napari/utils/shortcuts.py`): its labels layer, and of the viewer's keys those that mean
/// something here. There is no mode that pans (6, Z there): Space does in every tool, and Z fits the frame. M, a new
/// label there, has no counterpart where the classes are given.
const NAPARI: &[(Action, &[Chord])] = &[
    (
        Action::Tool(Tool::Eraser),
        &[(NONE, Key::Num1), (NONE, Key::E)],
    ),
    (
        Action::Tool(Tool::Brush),
        &[(NONE, Key::Num2), (NONE, Key::P)],
    ),
    (
        Action::Tool(Tool::Fill),
        &[(NONE, Key::Num4), (NONE, Key::F)],
    ),
    (
        Action::Tool(Tool::Pick),
        &[(NONE, Key::Num5), (NONE, Key::L)],
    ),
    (Action::ShowLabels, &[(NONE, Key::V)]),
    (Action::Fit, &[(NONE, Key::Z), (CTRL, Key::R)]),
    (Action::Theme, &[(CTRL_SHIFT, Key::T)]),
    // What these displace, near where it was.
    (Action::Class(Class::Ignore), &[(SHIFT, Key::I)]),
    (Action::Predict, &[(SHIFT, Key::N)]),
    (Action::Fill, &[(SHIFT, Key::F)]),
    (Action::Loupe, &[(SHIFT, Key::L)]),
    (Action::HideOverlays, &[(SHIFT, Key::H)]),
];
