//! The canvas: where the frame lies in the window, what the pointer does on it, what is drawn over it.

use std::borrow::Cow;
use std::sync::Arc;

use egui::{Event, Key, MouseWheelUnit, PointerButton, Pos2, Rect, Sense, Ui, Vec2, pos2, vec2};

use super::cursor::has_size;
use super::gpu::{Gpu, Look, Quad};
use super::signs::Signs;
use super::theme;
use crate::domain::assembly::{Assembly, Placed};
use crate::domain::grid::PixelRect;
use crate::session::Session;
use crate::session::command::{Command, View};
use crate::session::tool::{Gesture, ToolEvent};

/// Screen points per frame pixel, least and most.
const ZOOM: std::ops::RangeInclusive<f32> = 0.02..=160.0;
/// Below this zoom the loupe says more than the canvas.
const LOUPE_ZOOM: f32 = 3.0;
/// A pixel this large (points) has its value written into it.
const VALUE_ZOOM: f32 = 40.0;

/// Where the canvas looks, and the gesture that the pointer is in.
///
/// Its plane is the raw slab, or the detector assembled in space.
#[derive(Clone, Debug)]
pub struct Canvas {
    /// Where the panels lie, when the plane is not the slab.
    assembly: Option<Arc<Assembly>>,
    /// Position in the plane in the middle of the canvas.
    pub center: Vec2,
    /// Screen points per frame pixel.
    pub zoom: f32,
    /// The whole frame is kept in view until the user zooms or pans.
    pub is_fitted: bool,
    /// The session's view that was taken over last.
    seen_view: u64,
    /// The view differs from what the session knows.
    is_moved: bool,
    pub(super) is_panning: bool,
    is_stroking: bool,
    /// Alt+drag changes the size of the brush: where the pointer was at last.
    pub(super) sizing_from: Option<f32>,
    /// A magnified piece of the frame in a corner while the pointer is on it.
    pub has_loupe: bool,
    /// The edit that is pointed at in the history, to show where it was made.
    pub pointed_edit: Option<usize>,
    signs: Signs,
    /// Where the pointer is on the frame (raw slab), for the status bar; `None` in a gap.
    pub pointer: Option<(f32, f32)>,
    /// Where it is in the plane.
    pub pointer_in_plane: Option<(f32, f32)>,
    /// Whether the shown frame is the one that is drawn.
    pub may_paint: bool,
    /// Where it was drawn last.
    pub rect: Rect,
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            assembly: None,
            center: Vec2::ZERO,
            zoom: 1.0,
            is_fitted: true,
            seen_view: 0,
            is_moved: false,
            is_panning: false,
            is_stroking: false,
            sizing_from: None,
            has_loupe: true,
            pointed_edit: None,
            signs: Signs::default(),
            pointer: None,
            pointer_in_plane: None,
            may_paint: true,
            rect: Rect::ZERO,
        }
    }
}

impl Canvas {
    /// Position in the plane under a place of the window.
    pub fn plane_from_ui(&self, at: Pos2) -> (f32, f32) {
        let plane = self.center + (at - self.rect.center()) / self.zoom;
        (plane.x, plane.y)
    }

    /// The place of the window where a position of the plane is drawn.
    pub fn ui_from_plane(&self, x: f32, y: f32) -> Pos2 {
        self.rect.center() + (vec2(x, y) - self.center) * self.zoom
    }

    /// Frame position (first cell's centre = 0.5) under a place of the window; `None` between panels.
    pub fn frame_from_ui(&self, at: Pos2) -> Option<(f32, f32)> {
        let (x, y) = self.plane_from_ui(at);
        let Some(assembly) = &self.assembly else {
            return Some((x, y));
        };
        let [x, y] = assembly.raw_from_plane(f64::from(x), f64::from(y))?;
        Some((x as f32, y as f32))
    }

    /// The place of the window where a frame position is drawn; `None` for pixels of no panel.
    pub fn ui_from_frame(&self, x: f32, y: f32) -> Option<Pos2> {
        let Some(assembly) = &self.assembly else {
            return Some(self.ui_from_plane(x, y));
        };
        let [x, y] = assembly.plane_from_raw(f64::from(x), f64::from(y))?;
        Some(self.ui_from_plane(x as f32, y as f32))
    }

    /// The panels of the plane; a raw slab is one.
    pub fn panels(&self) -> Cow<'_, [Placed]> {
        let everything = PixelRect::new(0, 0, u32::MAX as usize, u32::MAX as usize);
        self.assembly.as_ref().map_or_else(
            || Cow::Owned(vec![Placed::flat("", everything)]),
            |assembly| Cow::Borrowed(assembly.panels.as_slice()),
        )
    }

    /// The panels as they lie on the canvas.
    fn quads(&self, slab: PixelRect) -> Vec<Quad> {
        let quad = |panel: &Placed| {
            let corner = self.ui_from_plane(panel.corner[0] as f32, panel.corner[1] as f32);
            let step = |v: [f64; 2]| v.map(|v| v as f32 * self.zoom);
            Quad {
                rect: panel.rect.intersect(&slab),
                corner: (corner - self.rect.min).into(),
                fast: step(panel.fast),
                slow: step(panel.slow),
            }
        };
        self.panels().iter().map(quad).collect()
    }

    /// The cells of each panel that may lie on the canvas.
    pub fn cells_in_view(&self, slab: PixelRect) -> Vec<PixelRect> {
        let corners = [
            self.rect.left_top(),
            self.rect.right_top(),
            self.rect.left_bottom(),
            self.rect.right_bottom(),
        ]
        .map(|at| self.plane_from_ui(at));
        let within = |panel: &Placed| {
            let raw = corners.map(|(x, y)| panel.raw_from_plane(f64::from(x), f64::from(y)));
            let edge = |i: usize, start: f64, best: fn(f64, f64) -> f64| {
                raw.iter()
                    .fold(start, |edge, at| best(edge, at[i]))
                    .max(0.0) as usize
            };
            let rect = PixelRect::new(
                edge(0, f64::MAX, f64::min),
                edge(1, f64::MAX, f64::min),
                edge(0, f64::MIN, f64::max) + 1,
                edge(1, f64::MIN, f64::max) + 1,
            );
            rect.intersect(&panel.rect).intersect(&slab)
        };
        let rects = self.panels().iter().map(within).collect::<Vec<_>>();
        rects.into_iter().filter(|rect| !rect.is_empty()).collect()
    }

    /// Zooms by a factor; the position under `at` stays where it is.
    pub fn zoom_about(&mut self, at: Pos2, factor: f32) {
        let (x, y) = self.plane_from_ui(at);
        self.zoom = (self.zoom * factor).clamp(*ZOOM.start(), *ZOOM.end());
        self.center = vec2(x, y) - (at - self.rect.center()) / self.zoom;
        self.is_fitted = false;
        self.is_moved = true;
    }

    /// Zooms about the middle of the canvas.
    pub fn zoom_by(&mut self, factor: f32) {
        self.zoom_about(self.rect.center(), factor);
    }

    /// The whole frame, now and when the window changes its size.
    pub const fn fit(&mut self) {
        self.is_fitted = true;
        self.is_moved = true;
    }

    /// One frame pixel on one point of the screen, about the middle.
    pub fn one_to_one(&mut self) {
        self.zoom_by(1.0 / self.zoom);
    }

    /// Draws the canvas into what is left of the window and turns the pointer into commands.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        gpu: Option<&Gpu>,
        commands: &mut Vec<Command>,
    ) {
        let scale = ui.ctx().pixels_per_point();
        let whole = |edge: f32| (edge * scale).round() / scale;
        let rect = ui.available_rect_before_wrap();
        self.rect = Rect::from_min_max(
            pos2(whole(rect.min.x), whole(rect.min.y)),
            pos2(whole(rect.max.x), whole(rect.max.y)),
        );
        let response = ui.allocate_rect(self.rect, Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Frame"));
        let painter = ui.painter_at(self.rect);
        painter.rect_filled(self.rect, 0, theme::CANVAS);
        let Some(shown) = &session.shown else {
            self.pointer = None;
            return;
        };
        let (width, height) = (shown.loaded.frame.width(), shown.loaded.frame.height());
        self.assembly = session.plane().cloned();
        let size = self.assembly.as_ref().map_or_else(
            || vec2(width as f32, height as f32),
            |assembly| vec2(assembly.size[0] as f32, assembly.size[1] as f32),
        );
        self.take_view(session, size);
        self.pointer_events(ui, &response, session, commands);

        let is_current = shown.key.number == session.selected && !session.pending.is_waiting();
        let layers = &session.layers;
        let opacity = |on: bool, opacity: f32| if on && !layers.hidden { opacity } else { 0.0 };
        let look = Look {
            tone: session.tone,
            label_opacity: opacity(layers.labels, layers.labels_opacity),
            net_opacity: opacity(layers.prediction, layers.prediction_opacity),
            is_filled: layers.filled,
            presence: if is_current { 1.0 } else { 0.6 },
        };
        let quads = self.quads(shown.loaded.frame.pixels.rect());
        if let Some(shape) = gpu.and_then(|gpu| gpu.shape(self.rect, quads, self.zoom, &look)) {
            painter.add(shape);
        }
        if !layers.hidden {
            if layers.guides {
                self.draw_guides(&painter, session);
            }
            if layers.rings {
                self.draw_rings(&painter, session);
            }
            if is_current {
                let (signs, center) = (self.signs.of(session), self.center.into());
                let shape =
                    gpu.and_then(|gpu| gpu.signs.shape(self.rect, signs, center, self.zoom));
                painter.extend(shape);
                if session.comparison().is_some() {
                    self.draw_differences(&painter, session);
                } else if layers.listed {
                    self.draw_indices(&painter, session);
                }
                self.draw_candidate(&painter, session);
                self.draw_pointed_edit(&painter, session);
            }
        }
        if self.zoom * scale > VALUE_ZOOM {
            self.draw_values(&painter, session);
        }
        if is_current {
            // What is wrong with the frame stands on it: it must not be taken for data.
            let mut at = self.rect.left_top() + vec2(12.0, 16.0);
            let words = session.drawn_words();
            for problem in words.iter().chain(&shown.loaded.problems) {
                self.tag(&painter, at, problem);
                at.y += theme::ROW;
            }
        }
        self.draw_gesture(&painter, session);
        if let Some(at) = response.hover_pos() {
            let hand = ui.input(|input| self.hand(input, session));
            ui.ctx().set_cursor_icon(self.cursor_icon(hand, session));
            self.draw_pointer(&painter, at, hand, session);
        }
        if self.has_loupe && self.zoom < LOUPE_ZOOM && response.hovered() && !self.is_panning {
            self.draw_loupe(&painter, session);
        }
        self.tell_view(ui, commands);
    }

    /// Takes over a view that the session restored, or fits the frame.
    fn take_view(&mut self, session: &Session, size: Vec2) {
        if self.seen_view != session.view_version {
            self.seen_view = session.view_version;
            self.is_moved = false;
            match session.view {
                Some(view) if view.zoom.is_finite() && view.zoom > 0.0 => {
                    self.center = vec2(view.center_x, view.center_y);
                    self.zoom = view.zoom.clamp(*ZOOM.start(), *ZOOM.end());
                    self.is_fitted = false;
                }
                _ => self.is_fitted = true,
            }
        }
        if self.is_fitted {
            let fitting = (self.rect.width() / size.x).min(self.rect.height() / size.y);
            self.zoom = fitting.clamp(*ZOOM.start(), *ZOOM.end());
            self.center = size / 2.0;
        }
        let outside = vec2(self.rect.width(), self.rect.height()) / self.zoom * 0.45;
        self.center = self.center.clamp(-outside, size + outside);
    }

    /// Tells the session the view once the pointer rests, so that it is kept with the run.
    fn tell_view(&mut self, ui: &Ui, commands: &mut Vec<Command>) {
        let rests = ui.input(|input| !input.pointer.any_down() && input.events.is_empty());
        if self.is_moved && !rests {
            ui.ctx()
                .request_repaint_after(std::time::Duration::from_millis(400));
        } else if self.is_moved {
            self.is_moved = false;
            commands.push(Command::SetView(View {
                center_x: self.center.x,
                center_y: self.center.y,
                zoom: if self.is_fitted { 0.0 } else { self.zoom },
                is_assembled: self.assembly.is_some(),
            }));
        }
    }

    /// Whether a click meets the first corner of an open polygon.
    /// Whether the canvas is what a press hit: the pointer may be elsewhere by the time that it is heard of.
    fn is_hit(&self, ui: &Ui, response: &egui::Response, at: Pos2) -> bool {
        let layer = ui.ctx().layer_id_at(at);
        let is_free = layer.is_none_or(|layer| layer == response.layer_id);
        let is_still_there = ui.input(|input| input.pointer.latest_pos()) == Some(at);
        self.rect.contains(at) && is_free && (!is_still_there || response.contains_pointer())
    }

    fn closes_polygon(&self, session: &Session, at: Pos2) -> bool {
        const NEAR: f32 = 7.0;
        let Some(Gesture::Outline {
            points,
            is_polygon: true,
            ..
        }) = &session.gesture
        else {
            return false;
        };
        let first = points.first().filter(|_| points.len() > 2);
        first.is_some_and(|&(x, y)| self.ui_from_plane(x, y).distance(at) < NEAR)
    }

    /// Goes through all pointer events since the last picture, so that fast strokes have no gaps.
    fn pointer_events(
        &mut self,
        ui: &Ui,
        response: &egui::Response,
        session: &Session,
        commands: &mut Vec<Command>,
    ) {
        let (events, is_space, latest) = ui.input(|input| {
            (
                input.events.clone(),
                input.key_down(Key::Space),
                input.pointer.latest_pos(),
            )
        });
        let is_over = response.contains_pointer();
        for event in events {
            match event {
                Event::MouseWheel {
                    unit,
                    delta,
                    modifiers,
                    ..
                } if is_over => {
                    let steps = match unit {
                        MouseWheelUnit::Line | MouseWheelUnit::Page => delta.y,
                        MouseWheelUnit::Point => delta.y / 50.0,
                    };
                    if modifiers.shift && has_size(session.tool) {
                        let along = if steps == 0.0 { delta.x } else { steps };
                        commands.push(Command::ScaleTool(1.2_f32.powf(along.signum())));
                    } else if let Some(at) = latest {
                        self.zoom_about(at, 1.2_f32.powf(steps));
                    }
                }
                Event::PointerButton {
                    pos,
                    button,
                    pressed: true,
                    modifiers,
                } if self.is_hit(ui, response, pos) => {
                    if button == PointerButton::Middle
                        || (is_space && button == PointerButton::Primary)
                    {
                        self.is_panning = true;
                    } else if modifiers.alt
                        && button == PointerButton::Primary
                        && has_size(session.tool)
                    {
                        self.sizing_from = Some(pos.x);
                    } else if !self.is_panning && button != PointerButton::Middle && self.may_paint
                    {
                        let (x, y) = self.plane_from_ui(pos);
                        let erase = button == PointerButton::Secondary;
                        if self.closes_polygon(session, pos) {
                            commands.push(Command::Tool(ToolEvent::Finish));
                        } else {
                            commands.push(Command::Tool(ToolEvent::Press { x, y, erase }));
                        }
                        self.is_stroking = true;
                    }
                }
                Event::PointerButton { pressed: false, .. } => {
                    self.is_panning = false;
                    self.sizing_from = None;
                    if std::mem::take(&mut self.is_stroking) {
                        commands.push(Command::Tool(ToolEvent::Release));
                    }
                }
                Event::PointerMoved(at) if self.sizing_from.is_some() => {
                    /// So many points to the right make it e times as large.
                    const FOLD: f32 = 120.0;
                    let from = self.sizing_from.replace(at.x).unwrap_or(at.x);
                    commands.push(Command::ScaleTool(((at.x - from) / FOLD).exp()));
                }
                Event::PointerMoved(at) if self.is_stroking => {
                    let (x, y) = self.plane_from_ui(at);
                    commands.push(Command::Tool(ToolEvent::Drag { x, y }));
                }
                _ => {}
            }
        }
        if self.is_panning {
            let moved = ui.input(|input| input.pointer.delta());
            if moved != Vec2::ZERO {
                self.center -= moved / self.zoom;
                self.is_fitted = false;
                self.is_moved = true;
            }
        }
        if response.double_clicked()
            && matches!(
                session.gesture,
                Some(Gesture::Outline {
                    is_polygon: true,
                    ..
                })
            )
        {
            commands.push(Command::Tool(ToolEvent::Finish));
        }
        self.pointer = response.hover_pos().and_then(|at| self.frame_from_ui(at));
        self.pointer_in_plane = response.hover_pos().map(|at| self.plane_from_ui(at));
        if self.pointer_in_plane != session.hover {
            commands.push(Command::Tool(ToolEvent::Hover(self.pointer_in_plane)));
        }
    }
}

/// A pixel's value as short as it is exact: whole counts without decimals.
pub fn number(value: f32) -> String {
    if !value.is_finite() {
        "nan".to_owned()
    } else if value.fract() == 0.0 && value.abs() < 1e7 {
        super::text::thousands(f64::from(value))
    } else if value.abs() >= 1e5 || (value != 0.0 && value.abs() < 1e-3) {
        format!("{value:.2e}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooming_keeps_the_place_under_the_pointer_and_positions_go_there_and_back() {
        let mut canvas = Canvas {
            rect: Rect::from_min_size(pos2(230.0, 30.0), vec2(900.0, 700.0)),
            center: vec2(500.0, 400.0),
            zoom: 0.7,
            ..Canvas::default()
        };
        for (x, y, factor) in [(300.0, 90.0, 1.2), (800.5, 600.25, 7.0), (231.0, 31.0, 0.3)] {
            let at = pos2(x, y);
            let before = canvas.plane_from_ui(at);
            canvas.zoom_about(at, factor);
            let after = canvas.plane_from_ui(at);
            assert!((before.0 - after.0).abs() < 0.01 && (before.1 - after.1).abs() < 0.01);
            let back = canvas.ui_from_plane(after.0, after.1);
            assert!((back - at).length() < 0.01);
        }
        canvas.zoom_by(1e9);
        assert!(canvas.zoom <= *ZOOM.end());
    }
}
