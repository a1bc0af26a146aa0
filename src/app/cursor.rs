//! The pointer over the frame: it says what a press would do there.

use egui::{Align2, CursorIcon, FontId, InputState, Key, Painter, Pos2, Stroke, Vec2, vec2};

use super::canvas::Canvas;
use super::{theme, tools};
use crate::domain::labels::Class;
use crate::session::Session;
use crate::session::tool::Tool;

/// A brush whose circle is smaller on screen (points) is shown by a crosshair.
const LEAST_RADIUS: f32 = 3.0;
const GLYPH: f32 = 15.0;

/// What a press would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Moves the frame; `true`: it does now.
    Pan(bool),
    /// Changes the size of what the tool draws with.
    Size,
    /// Nothing: the frame is not to be painted on.
    Refused,
    Tool,
}

/// Whether the wheel with Shift and a drag with Alt change the size of what the tool draws with.
pub const fn has_size(tool: Tool) -> bool {
    tool.has_brush() || matches!(tool, Tool::Ring | Tool::PeakGrow)
}

impl Canvas {
    /// What a press would do now.
    pub fn hand(&self, input: &InputState, session: &Session) -> Hand {
        let shown = session.shown.as_ref();
        let is_refused = shown.is_some_and(|shown| shown.read_only.is_some())
            || session.store_failed
            || session.importing.is_some();
        if self.is_panning || input.key_down(Key::Space) {
            Hand::Pan(self.is_panning)
        } else if self.sizing_from.is_some() || (input.modifiers.alt && has_size(session.tool)) {
            Hand::Size
        } else if is_refused {
            Hand::Refused
        } else {
            Hand::Tool
        }
    }

    /// The circle of the brush on screen, in points; `None` where it is too small to be seen.
    fn brush_radius(&self, session: &Session) -> Option<f32> {
        let radius = session.brush_diameter / 2.0 * self.zoom;
        let is_seen = session.tool.has_brush() && radius > LEAST_RADIUS;
        is_seen.then_some(radius)
    }

    /// The pointer's shape.
    pub fn cursor_icon(&self, hand: Hand, session: &Session) -> CursorIcon {
        match hand {
            Hand::Pan(true) => CursorIcon::Grabbing,
            Hand::Pan(false) => CursorIcon::Grab,
            Hand::Size => CursorIcon::ResizeHorizontal,
            Hand::Refused => CursorIcon::NotAllowed,
            // The circle is the pointer.
            Hand::Tool if self.brush_radius(session).is_some() => CursorIcon::None,
            Hand::Tool => match session.tool {
                Tool::Pick => CursorIcon::Cell,
                Tool::Component => CursorIcon::PointingHand,
                _ => CursorIcon::Crosshair,
            },
        }
    }

    /// The brush as a circle about the pointer; of other tools their icon beside it.
    pub fn draw_pointer(&self, painter: &Painter, at: Pos2, hand: Hand, session: &Session) {
        let radius = self.brush_radius(session);
        if let Some(radius) = radius
            && matches!(hand, Hand::Tool | Hand::Size)
        {
            let is_eraser =
                session.tool == Tool::Eraser || session.class.current == Class::Background;
            let color = if is_eraser {
                theme::LIGHT
            } else {
                theme::class_color(session.class.current)
            };
            painter.circle_stroke(at, radius, Stroke::new(2.5, theme::SHADE));
            painter.circle_stroke(at, radius, Stroke::new(1.2, color));
        }
        let is_plain = matches!(session.tool, Tool::Brush | Tool::Eraser);
        if hand == Hand::Tool && !(is_plain && radius.is_some()) {
            /// Beside the arms of a crosshair, outside the circle.
            const NEAR: f32 = 7.0;
            let away = radius.map_or(NEAR, |radius| NEAR.max(radius * 0.75 + 1.0));
            let icon = tools::icon(session.tool);
            let font = FontId::new(GLYPH, icon.font_family());
            let corner = at + vec2(away, away);
            let sign = |offset: Vec2, color| {
                let at = corner + offset;
                painter.text(at, Align2::LEFT_TOP, icon.codepoint, font.clone(), color);
            };
            // Light with a dark rim: seen on every map.
            for (x, y) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                sign(vec2(x, y), theme::CANVAS);
            }
            sign(Vec2::ZERO, theme::LIGHT);
        }
    }
}
