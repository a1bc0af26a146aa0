//! The history of the shown frame's labels: who gave them, when, with what; any earlier step can be brought back.

use std::sync::Arc;

use egui::{Painter, Rect, Ui, Vec2};

use super::canvas::Canvas;
use super::{differences, text, theme};
use crate::domain::date;
use crate::domain::labels::{Edit, History};
use crate::session::Session;
use crate::session::command::Command;

/// Digits of a net's digest that are shown.
const DIGITS: usize = 8;

/// The frame's edits, newest first; undone ones pale. A click brings the labels of that step back.
///
/// `pointed` becomes the edit under the pointer, so that the canvas can show where it was made.
pub fn show(
    ui: &mut Ui,
    session: &Session,
    pointed: &mut Option<usize>,
    commands: &mut Vec<Command>,
) {
    let Some(history) = session.shown.as_ref().map(|shown| &shown.history) else {
        return;
    };
    if history.edits.is_empty() {
        ui.label(theme::small(
            "No labels yet: accept the prediction, or paint.",
        ));
        return;
    }
    under(ui, session, history);
    let done = history.older + history.done;
    let title = match done {
        1 => "1 edit".to_owned(),
        done => format!("{} edits", text::thousands(done as f64)),
    };
    egui::CollapsingHeader::new(theme::small(title))
        .id_salt("history")
        .default_open(true)
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            let height = ui.text_style_height(&egui::TextStyle::Small).max(14.0);
            // The last line is the sheet before the first edit.
            let lines = history.edits.len() + 1;
            egui::ScrollArea::vertical()
                .id_salt("edits")
                .max_height(112.0)
                .auto_shrink([false, true])
                .show_rows(ui, height, lines, |ui, shown| {
                    for line in shown {
                        let count = lines - 1 - line;
                        step(ui, session, history, count, pointed, commands);
                    }
                });
        });
}

/// One line that is always there, so that nothing below it moves: who gave the pixel under the pointer its class.
fn under(ui: &mut Ui, session: &Session, history: &History) {
    let line = match session.look.changed {
        Some(index) => history.edits.get(index).map_or_else(String::new, |edit| {
            format!("this pixel: {}, {}", edit.tool, whose(history, index))
        }),
        None if history.older > 0 => "this pixel: by none of the edits in memory".to_owned(),
        None => "this pixel: never painted".to_owned(),
    };
    let line = if session.hover.is_some() {
        line
    } else {
        String::new()
    };
    ui.add(egui::Label::new(theme::small(line)).truncate());
}

/// A step of the history: the labels after so many edits.
fn step(
    ui: &mut Ui,
    session: &Session,
    history: &History,
    count: usize,
    pointed: &mut Option<usize>,
    commands: &mut Vec<Command>,
) {
    let index = count.checked_sub(1);
    let edit = index.and_then(|index| history.edits.get(index));
    let number = history.older + count;
    let name = match edit {
        Some(edit) => format!("{number}  {}", edit.tool),
        None if history.older > 0 => format!("{number}  older steps are on disk"),
        None => "0  nothing yet".to_owned(),
    };
    let words = egui::RichText::new(&name).size(theme::SMALL);
    let words = if count > history.done {
        words.weak().strikethrough()
    } else {
        words
    };
    let is_now = count == history.done;
    let is_under = session.look.changed.is_some() && session.look.changed == index;
    let words = if is_under { words.strong() } else { words };
    let button = egui::Button::selectable(is_now, words).truncate();
    let button = button.min_size(egui::vec2(ui.available_width(), 0.0));
    let response = ui.add(button);
    response.widget_info(|| {
        egui::WidgetInfo::selected(egui::Role::Button, true, is_now, format!("Step {number}"))
    });
    if response.hovered() {
        *pointed = index;
    }
    let tip = match (index, edit) {
        (Some(index), Some(edit)) => format!(
            "{}: {}{}\n{}",
            edit.tool,
            whose(history, index),
            net_of(session, history, index),
            promise(history, count)
        ),
        _ => promise(history, count).to_owned(),
    };
    if response.on_hover_text(tip).clicked() && !is_now {
        commands.push(Command::Restore(count));
    }
}

const fn promise(history: &History, count: usize) -> &'static str {
    if count == history.done {
        "The labels as they are now."
    } else if count < history.done {
        "Click: the labels as they were then, as one new step."
    } else {
        "Click: does what was undone again, up to here."
    }
}

/// Who made an edit, and when.
fn whose(history: &History, index: usize) -> String {
    history.origins.get(index).map_or_else(
        || "you, since this frame was opened".to_owned(),
        |origin| {
            let who = if origin.who.is_empty() {
                "somebody"
            } else {
                &origin.who
            };
            format!("{who}, {} UTC", date::minute(origin.time))
        },
    )
}

/// By which net an edit was proposed, where one proposed it: its name, if it is the one in use.
fn net_of(session: &Session, history: &History, index: usize) -> String {
    let Some(digest) = (history.origins.get(index)).and_then(|origin| origin.net.as_deref()) else {
        return String::new();
    };
    match session.net.as_ref().filter(|net| net.digest == digest) {
        Some(net) => format!(", net {}", net.entry.name),
        None => format!(", net {}", digest.get(..DIGITS).unwrap_or(digest)),
    }
}

impl Canvas {
    /// Shows where the edit was made that is pointed at in the history.
    pub fn draw_pointed_edit(&self, painter: &Painter, session: &Session) {
        let history = session.shown.as_ref().map(|shown| &shown.history);
        let edit: Option<&Arc<Edit>> = self
            .pointed_edit
            .zip(history)
            .and_then(|(index, history)| history.edits.get(index));
        let Some(rect) = edit.map(|edit| edit.rect) else {
            return;
        };
        let ends = [(rect.x0, rect.y0), (rect.x1, rect.y1)]
            .map(|(x, y)| self.ui_from_frame(x as f32, y as f32));
        let place = match ends {
            [Some(from), Some(to)] => Rect::from_two_pos(from, to).expand(3.0),
            _ => {
                let middle = self.ui_from_frame(
                    (rect.x0 + rect.x1) as f32 / 2.0,
                    (rect.y0 + rect.y1) as f32 / 2.0,
                );
                let side = rect.width().max(rect.height()) as f32 * self.zoom;
                let Some(middle) = middle else { return };
                Rect::from_center_size(middle, Vec2::splat(side))
            }
        };
        differences::corners(painter, place, 12.0);
    }
}
