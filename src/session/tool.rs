//! The tools of the canvas: what the pointer does, as a state machine over pixel space.

use std::sync::Arc;

use crate::domain::grid::{Pixel, PixelRect};
use crate::domain::labels::{Class, Sheet};
use crate::domain::reshape::Operation;
use crate::domain::threshold::{LocalLevels, Threshold};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    #[default]
    Brush,
    Eraser,
    Polygon,
    Fill,
    Pick,
    PeakGrow,
    Ring,
    Lasso,
    Threshold,
    Component,
    Line,
    Rectangle,
}

impl Tool {
    /// In the order of the strip.
    pub const ALL: [Self; 12] = [
        Self::Brush,
        Self::Eraser,
        Self::Threshold,
        Self::Line,
        Self::Rectangle,
        Self::Lasso,
        Self::Polygon,
        Self::Ring,
        Self::Fill,
        Self::PeakGrow,
        Self::Component,
        Self::Pick,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Brush => "brush",
            Self::Eraser => "eraser",
            Self::Polygon => "polygon",
            Self::Fill => "fill",
            Self::Pick => "pick",
            Self::PeakGrow => "peak-grow",
            Self::Ring => "ring sector",
            Self::Lasso => "lasso",
            Self::Threshold => "threshold brush",
            Self::Component => "components",
            Self::Line => "line",
            Self::Rectangle => "rectangle",
        }
    }

    /// What the mouse does now, for the status bar; `{size}` stands for the keys of the size, which the user may change.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Brush => "drag paints, right drag erases, {size} or Alt+drag size",
            Self::Eraser => "drag erases, {size} or Alt+drag size",
            Self::Polygon => {
                "click corners; the first one, double-click or Enter closes, Esc drops"
            }
            Self::Fill => "click gives a connected region the class",
            Self::Pick => "click takes the class under the pointer",
            Self::PeakGrow => "click grows the peak shown, drag up or down for its level",
            Self::Ring => {
                "click paints the whole ring, drag a sector of it, right erases, {size} width"
            }
            Self::Lasso => "drag around what gets the class, right drag erases",
            Self::Threshold => {
                "drag paints pixels above the threshold alone, right drag erases them"
            }
            Self::Component => "click a component or drag a box over some, right deletes",
            Self::Line => "drag a straight line, right drag erases, {size} width",
            Self::Rectangle => "drag a rectangle, right drag erases",
        }
    }

    pub const fn has_brush(self) -> bool {
        matches!(
            self,
            Self::Brush | Self::Eraser | Self::Threshold | Self::Line
        )
    }

    /// Whether it draws an area that the prediction can be stamped into.
    pub const fn is_shape(self) -> bool {
        matches!(
            self,
            Self::Rectangle | Self::Lasso | Self::Polygon | Self::Ring
        )
    }
}

/// What the tools are set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolOptions {
    pub threshold: Threshold,
    pub ring_width_px: f32,
    /// Ring sectors snap to the rings of ice and of the chosen calibrant.
    pub snaps: bool,
    /// A grown peak reaches down to pixels of so many sigmas of their background.
    pub grow_sigmas: f32,
    /// Shapes take the prediction over instead of painting a class.
    pub stamps: bool,
    pub operation: Operation,
}

impl Default for ToolOptions {
    fn default() -> Self {
        Self {
            threshold: Threshold::Snr(3.0),
            ring_width_px: 12.0,
            snaps: true,
            grow_sigmas: 1.0,
            stamps: false,
            operation: Operation::default(),
        }
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
    /// The pointer is there and no button is down; `None` = it left the canvas.
    Hover(Option<(f32, f32)>),
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
        /// Of the threshold brush.
        levels: Option<LocalLevels>,
    },
    /// A polygon by its corners, or a lasso by its path.
    Outline {
        points: Vec<(f32, f32)>,
        class: Class,
        is_polygon: bool,
    },
    /// A line, a rectangle, or the box of the component tool.
    Span {
        tool: Tool,
        from: (f32, f32),
        to: (f32, f32),
        class: Class,
    },
    /// A peak that is grown; dragging sets the level.
    Grow {
        at: Pixel,
        start_y: f32,
        start_sigmas: f32,
    },
    Sector(SectorGesture),
}

/// A ring sector that is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SectorGesture {
    pub radius_px: f64,
    pub start: f64,
    pub sweep: f64,
    /// Azimuth of the pointer at last.
    pub last: f64,
    pub class: Class,
}

/// The cell that a continuous position lies in; `None` outside the frame.
pub fn pixel_at(x: f32, y: f32, width: usize, height: usize) -> Option<Pixel> {
    let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
    inside.then_some(Pixel {
        x: x as usize,
        y: y as usize,
    })
}
