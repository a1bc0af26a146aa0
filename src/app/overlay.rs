//! What is drawn over the frame by egui's painter: peaks, rings, values, the loupe, the brush.

use egui::{Color32, Pos2, Rect, Stroke, Vec2, pos2, vec2};

use super::canvas::{Canvas, number};
use super::theme;
use crate::domain::calibrant::RingRow;
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::PixelRect;
use crate::domain::labels::Class;
use crate::domain::rings::Segment;
use crate::session::Session;
use crate::session::tool::{Gesture, Tool};

/// Pixels on each side of the loupe's middle, and the size of one in points.
const LOUPE: (isize, f32) = (10, 7.0);

impl Canvas {
    /// The indices of the reflections that another program predicts, when there is room.
    pub fn draw_indices(&self, painter: &egui::Painter, session: &Session) {
        const HKL_ZOOM: f32 = 6.0;
        let shown = session.shown.as_ref();
        let listed = shown.and_then(|shown| shown.loaded.listed.as_ref());
        let Some(listed) = listed.filter(|_| self.zoom > HKL_ZOOM) else {
            return;
        };
        let reach = (4.0 * self.zoom).clamp(5.0, 40.0);
        for reflection in &listed.predicted {
            if let Some(at) = self.ui_from_frame(reflection.x, reflection.y) {
                let [h, k, l] = reflection.hkl;
                let corner = at + vec2(reach, -reach);
                self.tag(painter, corner, &format!("{h} {k} {l}"));
            }
        }
    }

    pub fn draw_rings(&self, painter: &egui::Painter, session: &Session) {
        let (Some((key, calibration)), Some(shown), Some(open)) =
            (&session.calibration, &session.shown, &session.run)
        else {
            return;
        };
        if *key != shown.key {
            return;
        }
        // Names where there is room for them: rings of high order lie close together.
        let mut last: Option<Pos2> = None;
        let mut name = |at: Pos2, ring: &RingRow| {
            const ROOM: f32 = 26.0;
            if last.is_none_or(|last| last.distance(at) > ROOM) {
                last = Some(at);
                let text = format!("{}: {:.2} Å", ring.order, ring.d_angstrom);
                self.tag(painter, at, &text);
            }
        };
        if !calibration.on_panels.is_empty() {
            for (ring, segments) in calibration.rings.iter().zip(&calibration.on_panels) {
                let at = self.draw_segments(painter, segments, theme::RING);
                if let Some(at) = at {
                    name(at, ring);
                }
            }
            return;
        }
        let Some([x, y]) = open.info.geometry.beam_center_px else {
            return;
        };
        let center = self.ui_from_plane(x as f32, y as f32);
        for ring in &calibration.rings {
            let radius = ring.expected_radius_px as f32 * self.zoom;
            painter.circle_stroke(center, radius, Stroke::new(2.5, theme::FOUND_SHADE));
            painter.circle_stroke(center, radius, Stroke::new(1.2, theme::RING));
            let at = center + vec2(radius, -radius) * std::f32::consts::FRAC_1_SQRT_2;
            name(at, ring);
        }
    }

    /// Rings of round resolutions with their d, the beam centre and the names of panels.
    pub fn draw_guides(&self, painter: &egui::Painter, session: &Session) {
        let Some(open) = &session.run else { return };
        for (d, segments) in session.guides.iter().flat_map(|rings| rings.iter()) {
            if let Some(at) = self.draw_segments(painter, segments, theme::GUIDE) {
                self.tag(painter, at, &format!("{d} Å"));
            }
        }
        let beam = match session.plane() {
            Some(assembly) => Some(assembly.beam),
            None => open.info.geometry.beam_center_px,
        };
        if let Some([x, y]) = beam {
            let at = self.ui_from_plane(x as f32, y as f32);
            for (width, color) in [(3.0, theme::FOUND_SHADE), (1.4, theme::GUIDE)] {
                let stroke = Stroke::new(width, color);
                painter.line_segment([at - vec2(11.0, 0.0), at + vec2(11.0, 0.0)], stroke);
                painter.line_segment([at - vec2(0.0, 11.0), at + vec2(0.0, 11.0)], stroke);
            }
        }
        if let Some(assembly) = session.assembly.as_ref().filter(|all| all.panels.len() > 1) {
            for panel in &assembly.panels {
                let (x, y) = (
                    (panel.rect.x0 + panel.rect.x1) as f64 / 2.0,
                    (panel.rect.y0 + panel.rect.y1) as f64 / 2.0,
                );
                let [x, y] = match session.plane() {
                    Some(_) => panel.plane_from_raw(x, y),
                    None => [x, y],
                };
                let smallest = panel.rect.width().min(panel.rect.height()) as f32 * self.zoom;
                if smallest > 24.0 {
                    let at = self.ui_from_plane(x as f32, y as f32);
                    self.tag(painter, at - vec2(14.0, 7.0), &panel.name);
                }
            }
        }
    }

    /// Draws pieces of a ring; the place of it that is farthest up and to the right, for its name.
    fn draw_segments(
        &self,
        painter: &egui::Painter,
        segments: &[Segment],
        color: egui::Color32,
    ) -> Option<Pos2> {
        let mut farthest: Option<Pos2> = None;
        let panels = self.panels();
        for &[from, to] in segments {
            let middle = [(from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0].map(f64::from);
            // Both ends by the plane of the panel that the middle is on: ends lie on its very edge.
            let Some(panel) = panels.iter().find(|panel| panel.holds(middle)) else {
                continue;
            };
            let [from, to] = [from, to].map(|(x, y)| {
                let [x, y] = panel.plane_from_raw(f64::from(x), f64::from(y));
                self.ui_from_plane(x as f32, y as f32)
            });
            if !self.rect.contains(from) && !self.rect.contains(to) {
                continue;
            }
            painter.line_segment([from, to], Stroke::new(2.5, theme::FOUND_SHADE));
            painter.line_segment([from, to], Stroke::new(1.2, color));
            if farthest.is_none_or(|at| from.x - from.y > at.x - at.y) {
                farthest = Some(from);
            }
        }
        farthest
    }

    /// A small label on a dark ground, readable on any colour map.
    pub fn tag(&self, painter: &egui::Painter, at: Pos2, text: &str) {
        if !self.rect.contains(at) {
            return;
        }
        let font = egui::FontId::proportional(theme::SMALL);
        let galley = painter.layout_no_wrap(text.to_owned(), font, theme::LIGHT);
        let ground = Rect::from_min_size(at, galley.size()).expand2(vec2(3.0, 1.0));
        painter.rect_filled(ground, 2, theme::SHADE);
        painter.galley(at, galley, theme::LIGHT);
    }

    /// Writes each pixel's value into it, bad ones in parentheses.
    pub fn draw_values(&self, painter: &egui::Painter, session: &Session) {
        let Some(frame) = session.drawn_frame() else {
            return;
        };
        for rect in self.cells_in_view(frame.pixels.rect()) {
            self.draw_values_of(painter, session, frame, rect);
        }
    }

    fn draw_values_of(
        &self,
        painter: &egui::Painter,
        session: &Session,
        frame: &Frame,
        rect: PixelRect,
    ) {
        for y in rect.y0..rect.y1 {
            for x in rect.x0..rect.x1 {
                let (Some(&value), Some(&bits)) = (frame.pixels.get(x, y), frame.bad.get(x, y))
                else {
                    continue;
                };
                let Some(at) = self
                    .ui_from_frame(x as f32 + 0.5, y as f32 + 0.5)
                    .filter(|at| self.rect.contains(*at))
                else {
                    continue;
                };
                let is_bad = bits & bad::NOT_VALID != 0;
                let text = if is_bad {
                    format!("({})", number(value))
                } else {
                    number(value)
                };
                let [r, g, b] = if is_bad {
                    [theme::BAD.r(), theme::BAD.g(), theme::BAD.b()]
                } else {
                    session.tone.color(value)
                };
                let luminance = 0.3 * f32::from(r) + 0.59 * f32::from(g) + 0.11 * f32::from(b);
                let color = if luminance > 130.0 {
                    Color32::BLACK
                } else {
                    Color32::WHITE
                };
                let size = (self.zoom * 0.28).min(theme::TEXT);
                painter.text(
                    at,
                    egui::Align2::CENTER_CENTER,
                    text,
                    egui::FontId::proportional(size),
                    color,
                );
            }
        }
    }

    /// The pixels about the pointer, large, in the corner that the pointer is not in.
    pub fn draw_loupe(&self, painter: &egui::Painter, session: &Session) {
        let (Some(frame), Some((x, y))) = (session.drawn_frame(), self.pointer) else {
            return;
        };
        let (reach, side) = LOUPE;
        let length = (2 * reach + 1) as f32 * side;
        let Some(at) = self.ui_from_frame(x, y) else {
            return;
        };
        let is_near =
            at.x > self.rect.right() - length - 60.0 && at.y > self.rect.bottom() - length - 60.0;
        let left = if is_near {
            self.rect.left() + 12.0
        } else {
            self.rect.right() - length - 12.0
        };
        let corner = pos2(left, self.rect.bottom() - length - 12.0);
        let ground = Rect::from_min_size(corner, Vec2::splat(length));
        painter.rect_filled(ground.expand(2.0), 2, theme::SHADE);
        painter.rect_filled(ground, 0, theme::CANVAS);
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let (column, row) = (x.floor() as isize + dx, y.floor() as isize + dy);
                let (Ok(column), Ok(row)) = (usize::try_from(column), usize::try_from(row)) else {
                    continue;
                };
                let Some(&value) = frame.pixels.get(column, row) else {
                    continue;
                };
                let [r, g, b] = session.tone.color(value);
                let is_bad = session.layers.bad && !frame.is_valid(column, row);
                let color = if is_bad {
                    theme::BAD
                } else {
                    theme::tone_color(r, g, b)
                };
                let place = corner + vec2((dx + reach) as f32, (dy + reach) as f32) * side;
                painter.rect_filled(Rect::from_min_size(place, Vec2::splat(side)), 0, color);
            }
        }
        let middle = Rect::from_center_size(ground.center(), Vec2::splat(side));
        painter.rect_stroke(
            middle,
            0,
            Stroke::new(1.0, theme::FOUND),
            egui::StrokeKind::Outside,
        );
    }

    /// What a click would paint, and the outline of what is being drawn.
    pub fn draw_gesture(&self, painter: &egui::Painter, session: &Session) {
        self.draw_preview(painter, session);
        let (places, class, is_closed) = match &session.gesture {
            Some(Gesture::Outline {
                points,
                class,
                is_polygon,
            }) => {
                let mut points = points.clone();
                points.extend(self.pointer_in_plane.filter(|_| *is_polygon));
                (points, *class, false)
            }
            Some(Gesture::Span {
                tool: Tool::Line,
                from,
                to,
                class,
            }) => (vec![*from, *to], *class, false),
            Some(Gesture::Span {
                from, to, class, ..
            }) => (
                vec![*from, (to.0, from.1), *to, (from.0, to.1)],
                *class,
                true,
            ),
            _ => return,
        };
        let mut points: Vec<Pos2> = (places.iter())
            .map(|&(x, y)| self.ui_from_plane(x, y))
            .collect();
        if is_closed {
            points.extend(points.first().copied());
        }
        painter.line(points.clone(), Stroke::new(3.0, theme::SHADE));
        painter.line(points.clone(), Stroke::new(1.5, theme::class_color(class)));
        let has_corners = matches!(
            session.gesture,
            Some(Gesture::Outline {
                is_polygon: true,
                ..
            })
        );
        for point in points.into_iter().filter(|_| has_corners) {
            painter.circle_filled(point, 2.5, theme::LIGHT);
        }
    }

    /// The cells that a click would paint, tinted; one mesh, for a ring has thousands of stretches.
    fn draw_preview(&self, painter: &egui::Painter, session: &Session) {
        let Some(preview) = &session.look.preview else {
            return;
        };
        let class = match session.tool {
            Tool::PeakGrow => Class::Peak,
            _ => session.class.current,
        };
        let color = theme::class_color(class).gamma_multiply(0.45);
        let mut mesh = egui::Mesh::default();
        let panels = self.panels();
        for (y, span) in &preview.spans {
            let middle = [(span.start + span.end) as f64 / 2.0, *y as f64 + 0.5];
            let Some(panel) = panels.iter().find(|panel| panel.holds(middle)) else {
                continue;
            };
            let corners = [
                (span.start, *y),
                (span.end, *y),
                (span.end, *y + 1),
                (span.start, *y + 1),
            ];
            let first = mesh.vertices.len() as u32;
            for (x, y) in corners {
                let [x, y] = panel.plane_from_raw(x as f64, y as f64);
                mesh.colored_vertex(self.ui_from_plane(x as f32, y as f32), color);
            }
            mesh.add_triangle(first, first + 1, first + 2);
            mesh.add_triangle(first, first + 2, first + 3);
        }
        painter.add(mesh);
    }
}
