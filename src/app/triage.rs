//! The triage strip: what is decided now, the keys that decide it, and the next ones as small pictures.

use std::sync::Arc;

use egui::{
    Color32, ColorImage, Painter, Rect, Stroke, TextureHandle, TextureOptions, Ui, Vec2, pos2, vec2,
};

use super::canvas::Canvas;
use super::keys::{self, Action};
use super::{differences, text, theme};
use crate::domain::conflict::Conflict;
use crate::domain::difference::outline;
use crate::domain::labels::Class;
use crate::domain::queue::{CROP, Candidate, Order, Origin};
use crate::domain::tone::Tone;
use crate::session::Session;
use crate::session::command::Command;
use crate::session::triage::{TriageCommand, Verdict};

/// Edge of a crop in points.
const PICTURE: f32 = 74.0;

/// The pictures of the candidates that are on the strip.
#[derive(Default)]
pub struct Strip {
    pictures: Vec<(Arc<Candidate>, Tone, TextureHandle)>,
}

impl Strip {
    pub fn show(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        ui.horizontal(|ui| {
            ui.vertical(|ui| {
                ui.set_width(228.0);
                head(ui, session, commands);
            });
            ui.vertical(|ui| {
                ui.set_width(178.0);
                decisions(ui, session, commands);
            });
            self.neighbours(ui, session, commands);
        });
    }

    /// The current candidate and those after it, as many as there is room for; a click takes one first.
    fn neighbours(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        let room = ((ui.available_width() + 6.0) / (PICTURE + 6.0)).max(0.0) as usize;
        let current = session.triage.current.iter();
        let shown: Vec<Arc<Candidate>> = (current.chain(session.triage.queue.iter()))
            .take(room)
            .cloned()
            .collect();
        let before = std::mem::take(&mut self.pictures);
        let behind = usize::from(session.triage.current.is_some());
        ui.spacing_mut().item_spacing.x = 6.0;
        for (index, candidate) in shown.into_iter().enumerate() {
            let known = before
                .iter()
                .find(|(of, tone, _)| Arc::ptr_eq(of, &candidate) && *tone == session.tone);
            let texture = known.map_or_else(
                || picture(ui, &candidate, &session.tone),
                |(_, _, texture)| texture.clone(),
            );
            let is_current = index < behind;
            let name = format!(
                "Candidate on frame {} at {}, {}",
                text::thousands(candidate.frame as f64 + 1.0),
                candidate.at.x,
                candidate.at.y
            );
            let (rect, response) =
                ui.allocate_exact_size(Vec2::splat(PICTURE), egui::Sense::click());
            let image = egui::Image::new(&texture);
            image.paint_at(ui, rect);
            draw_outline(ui.painter(), rect, &candidate);
            if is_current {
                let stroke = Stroke::new(2.0, ui.visuals().selection.bg_fill);
                ui.painter()
                    .rect_stroke(rect, 2, stroke, egui::StrokeKind::Outside);
            }
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &name));
            let response = response.on_hover_text(format!("{name}: {}", why(&candidate)));
            if response.clicked() && !is_current {
                commands.push(Command::Triage(TriageCommand::Pick(index - behind)));
            }
            self.pictures.push((candidate, session.tone, texture));
        }
    }
}

/// What is in the queue, and in which order.
fn head(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let triage = &session.triage;
    ui.horizontal(|ui| {
        ui.label(theme::title("Triage"));
        ui.label(theme::small(format!(
            "{} decided, {} wait",
            text::thousands(triage.decisions() as f64),
            text::thousands(
                triage.queue.len() as f64 + f64::from(u8::from(triage.current.is_some()))
            ),
        )));
    });
    ui.horizontal(|ui| {
        let names = [
            (Order::Margin, "net's doubt"),
            (Order::Disagreement, "disagreement"),
            (Order::Conflict, "conflicts"),
        ];
        for (order, name) in names {
            let is_current = triage.queue.order == order;
            let tip = match order {
                Order::Margin => "First where the net's own probabilities are closest",
                Order::Disagreement => {
                    "First where the net differs most from what it is compared with"
                }
                Order::Conflict => {
                    "Where the labels of two curators, merged into this project, differ"
                }
            };
            let button = ui.add(egui::Button::new(name).selected(is_current));
            if button.on_hover_text(tip).clicked() {
                commands.push(Command::Triage(TriageCommand::Order(order)));
            }
        }
        if triage.queue.order == Order::Disagreement {
            differences::against(ui, session, commands);
        }
    });
    if triage.queue.order == Order::Conflict {
        let searched = text::thousands(triage.frames() as f64);
        let line = match &triage.current {
            Some(candidate) => why(candidate),
            None => format!("{searched} labelled frames searched"),
        };
        ui.add(egui::Label::new(theme::small(line)).truncate());
        return;
    }
    ui.horizontal(|ui| {
        let mut with_artifact = triage.with_artifact;
        let response = ui.checkbox(&mut with_artifact, "artifacts too");
        if response
            .on_hover_text("Decide predicted artifacts as well as peaks")
            .changed()
        {
            commands.push(Command::Triage(TriageCommand::WithArtifact(with_artifact)));
        }
        let searched = theme::small(format!(
            "{} of {} frames searched",
            text::thousands(triage.frames() as f64),
            text::thousands(session.rows.len() as f64)
        ));
        ui.label(searched).on_hover_text(
            "The frames are searched one after the other while you decide; what is found joins the queue. Confirmed frames are left out; held against labels, untouched ones are.",
        );
    });
}

/// The decisions as buttons, each with its key, and what is known of the current candidate.
fn decisions(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let has_current = session.triage.current.is_some();
    ui.spacing_mut().item_spacing = vec2(4.0, 3.0);
    let is_conflict = session.triage.queue.order == Order::Conflict;
    let (accept, reject) = if is_conflict {
        ("theirs", "mine")
    } else {
        ("accept", "reject")
    };
    let rows = [
        [
            (Action::Decide(Verdict::Accept), accept),
            (Action::Decide(Verdict::Reject), reject),
        ],
        [
            (Action::Decide(Verdict::Artifact), "artifact"),
            (Action::Decide(Verdict::Skip), "skip"),
        ],
    ];
    for row in rows {
        ui.horizontal(|ui| {
            for (action, name) in row {
                let key = keys::key_of(ui, action);
                let button = egui::Button::new(format!("{name}  {key}")).min_size(vec2(84.0, 20.0));
                let response = ui.add_enabled(has_current, button);
                if response.on_hover_text(keys::tip(ui, action)).clicked()
                    && let Action::Decide(verdict) = action
                {
                    commands.push(Command::Triage(TriageCommand::Decide(verdict)));
                }
            }
        });
    }
    ui.horizontal(|ui| {
        let has_done = !session.triage.done.is_empty();
        let back = ui.add_enabled(has_done, egui::Button::new("take back"));
        if back
            .on_hover_text(keys::tip(ui, Action::TakeBack))
            .clicked()
        {
            commands.push(Command::Triage(TriageCommand::TakeBack));
        }
        let line = match &session.triage.current {
            // Of conflicts the line at the left has more room.
            Some(candidate) if !is_conflict => why(candidate),
            Some(_) => String::new(),
            None if is_conflict && session.triage.is_searching() => "searching...".to_owned(),
            None if !is_conflict && session.triage.frames() < session.rows.len() => {
                "searching...".to_owned()
            }
            None => "nothing is left".to_owned(),
        };
        ui.add(egui::Label::new(theme::small(line)).truncate());
    });
}

/// Why a candidate is in the queue.
fn why(candidate: &Candidate) -> String {
    if let Some(conflict) = &candidate.conflict {
        let name = |codes: &[u8]| Conflict::main_class(codes).map_or("none", Class::name);
        let (theirs, mine) = (name(&conflict.theirs), name(&conflict.mine));
        let pixels = text::thousands(conflict.mine.len() as f64);
        return format!("theirs {theirs}, mine {mine}, {pixels} px");
    }
    let whose = match candidate.origin {
        Origin::Net => "",
        Origin::Other | Origin::Curators => ", not the net's",
    };
    candidate.disagreement.map_or_else(
        || {
            format!(
                "{}, doubt {:.2}{whose}",
                candidate.class.name(),
                candidate.doubt
            )
        },
        |part| format!("{}, differs {part:.2}{whose}", candidate.class.name()),
    )
}

fn picture(ui: &Ui, candidate: &Candidate, tone: &Tone) -> TextureHandle {
    let color = |value: &f32| {
        if value.is_nan() {
            return theme::CANVAS;
        }
        let [r, g, b] = tone.color(*value);
        theme::tone_color(r, g, b)
    };
    let pixels: Vec<Color32> = candidate.crop.values.iter().map(color).collect();
    let image = ColorImage::new([CROP, CROP], pixels);
    ui.ctx()
        .load_texture("candidate", image, TextureOptions::NEAREST)
}

/// The border of the candidate's pixels on its picture.
fn draw_outline(painter: &Painter, rect: Rect, candidate: &Candidate) {
    let scale = rect.width() / CROP as f32;
    let [left, top] = candidate.crop.corner;
    let painter = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let color = match candidate.origin {
        Origin::Net => theme::class_color(candidate.class),
        Origin::Other | Origin::Curators => theme::MISSED,
    };
    for ends in outline(&candidate.spans) {
        let ends = ends.map(|(x, y)| {
            pos2(
                rect.left() + (x - left as f32) * scale,
                rect.top() + (y - top as f32) * scale,
            )
        });
        painter.line_segment(ends, Stroke::new(1.2, color));
    }
}

impl Canvas {
    /// Points at the current candidate; draws its pixels where the net's layer does not.
    pub fn draw_candidate(&self, painter: &Painter, session: &Session) {
        let number = session.shown.as_ref().map(|shown| shown.key.number);
        let Some(candidate) =
            (session.triage.current.as_ref()).filter(|candidate| Some(candidate.frame) == number)
        else {
            return;
        };
        let rect = candidate.rect;
        let (x, y) = (
            (rect.x0 + rect.x1) as f32 / 2.0,
            (rect.y0 + rect.y1) as f32 / 2.0,
        );
        let Some(at) = self.ui_from_frame(x, y) else {
            return;
        };
        if candidate.origin != Origin::Net {
            let sides = outline(&candidate.spans);
            self.draw_sides(painter, &sides, Stroke::new(1.6, theme::MISSED));
        }
        let side = rect.width().max(rect.height()) as f32 + 5.0;
        let frame = Rect::from_center_size(at, Vec2::splat((side * self.zoom).max(24.0)));
        differences::corners(painter, frame, 12.0);
    }
}
