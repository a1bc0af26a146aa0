//! The tools of the canvas: what the pointer does, as a state machine over pixel space.

use std::sync::Arc;

use crate::domain::grid::{Pixel, PixelRect};
use crate::domain::labels::{Class, Sheet};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    #[default]
    Brush,
    Eraser,
    Polygon,
    Fill,
    Pick,
    PeakGrow,
}

impl Tool {
    pub const ALL: [Self; 6] = [
        Self::Brush,
        Self::Eraser,
        Self::Polygon,
        Self::Fill,
        Self::Pick,
        Self::PeakGrow,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Brush => "brush",
            Self::Eraser => "eraser",
            Self::Polygon => "polygon",
            Self::Fill => "fill",
            Self::Pick => "pick",
            Self::PeakGrow => "peak-grow",
        }
    }

    /// What the mouse does now, for the status bar.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Brush => "drag paints, right drag erases, [ ] size",
            Self::Eraser => "drag erases, [ ] size",
            Self::Polygon => {
                "click corners; the first one, double-click or Enter closes, Esc drops"
            }
            Self::Fill => "click gives a connected region the class",
            Self::Pick => "click takes the class under the pointer",
            Self::PeakGrow => "click grows a peak from its brightest pixel",
        }
    }

    pub const fn has_brush(self) -> bool {
        matches!(self, Self::Brush | Self::Eraser)
    }
}

/// The pointer on the frame, positions in continuous pixels (first cell's centre = 0.5) of the raw slab, or of the
/// assembled plane where that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ToolEvent {
    /// `erase`: the other button, or a held key: paint background instead.
    Press {
        x: f32,
        y: f32,
        erase: bool,
    },
    Drag {
        x: f32,
        y: f32,
    },
    Release,
    /// Closes an open polygon.
    Finish,
    /// Drops what is under way, as if it had not begun.
    Cancel,
}

/// A gesture under way.
#[derive(Clone, Debug)]
pub enum Gesture {
    Stroke {
        before: Arc<Sheet>,
        touched: PixelRect,
        last: (f32, f32),
        class: Class,
        name: String,
    },
    Polygon {
        corners: Vec<(f32, f32)>,
        class: Class,
    },
}

/// The cell that a continuous position lies in; `None` outside the frame.
pub fn pixel_at(x: f32, y: f32, width: usize, height: usize) -> Option<Pixel> {
    let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
    inside.then_some(Pixel {
        x: x as usize,
        y: y as usize,
    })
}
