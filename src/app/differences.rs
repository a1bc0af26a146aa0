//! The difference view: what two opinions agree on, miss and add, each in its own colour and shape.

use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, Ui, Vec2, vec2};

use super::canvas::Canvas;
use super::keys::{self, Action};
use super::{text, theme};
use crate::domain::difference::{Kind, Mark};
use crate::domain::finders::Finder;
use crate::session::Session;
use crate::session::command::Command;
use crate::session::second::Against;

/// The section of the right panel: who is compared with whom, how many differ, and the way through them.
pub fn panel(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let is_on = session.differences.is_on;
    ui.horizontal(|ui| {
        ui.label(theme::title("Differences"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let text = if is_on { "shown" } else { "show" };
            let button = ui.add(egui::Button::new(text).selected(is_on));
            let tip = keys::tip(ui, Action::Differences);
            button.widget_info(|| {
                egui::WidgetInfo::selected(egui::Role::Button, true, is_on, "Show differences")
            });
            if button.on_hover_text(tip).clicked() {
                commands.push(Command::ShowDifferences(!is_on));
            }
        });
    });
    if !is_on {
        return;
    }
    ui.horizontal(|ui| {
        judged(ui, session, commands);
        ui.label(theme::small("against"));
        against(ui, session, commands);
    });
    let Some(comparison) = session.comparison() else {
        ui.label(theme::small(missing(session)));
        return;
    };
    ui.horizontal(|ui| {
        let counts = [
            (Kind::Agreed, comparison.agreed, "agreed"),
            (Kind::Missed, comparison.missed, "missed"),
            (Kind::Added, comparison.added, "added"),
        ];
        for (kind, count, name) in counts {
            let (rect, _) = ui.allocate_exact_size(Vec2::splat(13.0), egui::Sense::hover());
            glyph(
                ui.painter(),
                kind,
                rect.center(),
                4.5,
                ui.visuals().weak_text_color(),
            );
            let count = text::thousands(count as f64);
            ui.label(format!("{count} {name}"));
        }
    });
    ui.horizontal(|ui| {
        let score = comparison.score;
        let part = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
        ui.label(format!("peak F1 {}", part(score.f1)))
            .on_hover_text(format!(
                "precision {}, recall {}; pairs within 2 px, each peak once",
                part(score.precision),
                part(score.recall)
            ));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let steps = [
                (Action::NextDifference, "next", 1),
                (Action::PreviousDifference, "back", -1),
            ];
            for (action, name, by) in steps {
                if ui
                    .button(name)
                    .on_hover_text(keys::tip(ui, action))
                    .clicked()
                {
                    commands.push(Command::StepDifference(by));
                }
            }
        });
    });
}

fn judged(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let name = if session.differences.judges_label {
        "label"
    } else {
        "net"
    };
    let combo = egui::ComboBox::from_id_salt("judged")
        .selected_text(name)
        .width(62.0);
    let response = combo.show_ui(ui, |ui| {
        for (judges_label, name) in [(false, "net"), (true, "label")] {
            let is_current = session.differences.judges_label == judges_label;
            if ui.selectable_label(is_current, name).clicked() {
                commands.push(Command::JudgeLabel(judges_label));
            }
        }
    });
    response
        .response
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Judged"));
}

/// The choice of what the net is compared with.
pub fn against(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let combo = egui::ComboBox::from_id_salt("against")
        .selected_text(session.against_name())
        .width(ui.available_width().clamp(60.0, 150.0));
    let response = combo.show_ui(ui, |ui| {
        let current = &session.second.against;
        let mut choice = |ui: &mut Ui, against: Against, name: &str, tip: &str| {
            let label = ui.selectable_label(*current == against, name);
            if label.on_hover_text(tip).clicked() {
                commands.push(Command::SetAgainst(against));
            }
        };
        choice(ui, Against::Label, "label", "What is painted on the frame");
        let tip = "The CXI peak list or the stream that was opened with the run";
        choice(ui, Against::Listed, "listed peaks", tip);
        ui.separator();
        let first = session.net.as_ref().map(|net| &net.entry.path);
        for entry in session
            .nets
            .iter()
            .filter(|entry| Some(&entry.path) != first)
        {
            choice(
                ui,
                Against::Net(entry.path.clone()),
                &entry.name,
                &entry.summary,
            );
        }
        ui.separator();
        for finder in Finder::all() {
            let tip = "A classical finder with its usual parameters";
            choice(ui, Against::Finder(finder), finder.name(), tip);
        }
    });
    if session.second.is_loading {
        super::menu::waiting_line(ui, response.response.rect);
    }
    response
        .response
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Compared with"));
}

/// Why there is nothing to compare.
fn missing(session: &Session) -> &'static str {
    let against = &session.second.against;
    let has_list = (session.shown.as_ref()).is_some_and(|shown| shown.loaded.listed.is_some());
    if session.differences.judges_label && *against == Against::Label {
        "The label agrees with itself; choose something else."
    } else if *against == Against::Listed && !has_list {
        "This frame has no list; drop a .stream on the window, or open a CXI file with peaks."
    } else if !session.differences.judges_label && session.shown_prediction().is_none() {
        "Waiting for the net's prediction."
    } else {
        "Waiting for the other prediction."
    }
}

/// A small sign of each kind: its shape alone tells it.
fn glyph(painter: &Painter, kind: Kind, at: Pos2, reach: f32, quiet: Color32) {
    match kind {
        Kind::Agreed => {
            painter.circle_stroke(at, reach * 0.8, Stroke::new(1.0, quiet));
        }
        Kind::Missed => {
            painter.add(diamond(at, reach, Stroke::new(1.8, theme::MISSED)));
        }
        Kind::Added => {
            painter.add(triangle(at + vec2(0.0, reach * 0.8), reach));
        }
    }
}

fn diamond(at: Pos2, reach: f32, stroke: Stroke) -> Shape {
    let corners = [
        vec2(0.0, -reach),
        vec2(reach, 0.0),
        vec2(0.0, reach),
        vec2(-reach, 0.0),
    ];
    Shape::closed_line(corners.map(|step| at + step).to_vec(), stroke)
}

/// A filled triangle that stands on its tip.
fn triangle(tip: Pos2, reach: f32) -> Shape {
    let corners = vec![
        tip,
        tip + vec2(-reach, -1.7 * reach),
        tip + vec2(reach, -1.7 * reach),
    ];
    Shape::convex_polygon(corners, theme::ADDED, Stroke::new(1.0, theme::SHADE))
}

impl Canvas {
    /// The pixels of the differing peaks where there is room, and a frame around the one that was stepped to.
    pub fn draw_differences(&self, painter: &Painter, session: &Session) {
        const PIXELS: f32 = 3.0;
        let Some(comparison) = session.comparison() else {
            return;
        };
        let near = self.rect.expand(60.0);
        let place = |mark: &Mark| {
            let at = self.ui_from_frame(mark.x, mark.y);
            at.filter(|at| near.contains(*at))
        };
        if self.zoom > PIXELS {
            let seen = |mark: &&Mark| mark.kind != Kind::Agreed && place(mark).is_some();
            for mark in comparison.marks.iter().filter(seen) {
                if mark.kind == Kind::Missed {
                    self.draw_outline(painter, mark, theme::MISSED);
                } else {
                    self.draw_filled(painter, mark);
                }
            }
        }
        let current = session.difference();
        if let Some((mark, at)) = current.and_then(|mark| Some((mark, place(mark)?))) {
            let reach = ((mark.radius + 1.5) * self.zoom).clamp(6.0, 160.0);
            let frame = Rect::from_center_size(at, Vec2::splat(2.0 * (reach * 1.5 + 6.0)));
            corners(painter, frame, 9.0);
        }
    }

    pub fn draw_outline(&self, painter: &Painter, mark: &Mark, color: Color32) {
        self.draw_sides(painter, &mark.outline, Stroke::new(1.5, color));
    }

    /// Sides of pixels as they lie on the canvas.
    pub fn draw_sides(
        &self,
        painter: &Painter,
        sides: &[crate::domain::rings::Segment],
        stroke: Stroke,
    ) {
        let panels = self.panels();
        for &[from, to] in sides {
            let middle = [(from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0].map(f64::from);
            // A side on the very edge of a panel belongs to the panel that holds its middle, or to none.
            let Some(panel) = panels.iter().find(|panel| panel.holds(middle)) else {
                continue;
            };
            let ends = [from, to].map(|(x, y)| {
                let [x, y] = panel.plane_from_raw(f64::from(x), f64::from(y));
                self.ui_from_plane(x as f32, y as f32)
            });
            painter.line_segment(ends, stroke);
        }
    }

    fn draw_filled(&self, painter: &Painter, mark: &Mark) {
        for span in &mark.spans {
            let middle = [(span.x0 + span.x1) as f64 / 2.0, span.y as f64 + 0.5];
            let panels = self.panels();
            let Some(panel) = panels.iter().find(|panel| panel.holds(middle)) else {
                continue;
            };
            let (left, right) = (span.x0 as f64, span.x1 as f64);
            let (top, bottom) = (span.y as f64, span.y as f64 + 1.0);
            let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
            let corners = corners.map(|(x, y)| {
                let [x, y] = panel.plane_from_raw(x, y);
                self.ui_from_plane(x as f32, y as f32)
            });
            painter.add(Shape::convex_polygon(
                corners.to_vec(),
                theme::ADDED_FILL,
                Stroke::NONE,
            ));
        }
    }
}

/// The corners of a rectangle: it points at what is inside without touching it.
pub fn corners(painter: &Painter, rect: Rect, length: f32) {
    let arms = [
        (rect.left_top(), vec2(1.0, 1.0)),
        (rect.right_top(), vec2(-1.0, 1.0)),
        (rect.right_bottom(), vec2(-1.0, -1.0)),
        (rect.left_bottom(), vec2(1.0, -1.0)),
    ];
    for (width, color) in [(4.0, theme::SHADE), (1.8, theme::LIGHT)] {
        for (corner, inward) in arms {
            let path = vec![
                corner + vec2(0.0, inward.y * length),
                corner,
                corner + vec2(inward.x * length, 0.0),
            ];
            painter.add(Shape::line(path, Stroke::new(width, color)));
        }
    }
}
