//! The fields for mark, tags and comment of a frame.

use egui::Ui;
use egui_material_icons::icons::ICON_BOOKMARK;

use super::keys::{self, Action};
use super::theme;
use crate::domain::columns::{Note, tags_of};
use crate::session::Session;
use crate::session::command::Command;

/// Tags and comment while they are typed, and the frame that they belong to.
#[derive(Debug, Default)]
pub struct NoteFields {
    frame: Option<usize>,
    was: Note,
    tags: String,
    comment: String,
    wants_focus: bool,
}

impl NoteFields {
    /// Puts the cursor into the tags; Tab goes on to the comment.
    pub const fn focus(&mut self) {
        self.wants_focus = true;
    }

    /// Tags and comment of the selected frame. What is typed belongs to the frame that it was begun on.
    pub fn show(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        let number = session.selected;
        let kept = session.rows.note(number).cloned().unwrap_or_default();
        if self.frame != Some(number) || self.was != kept {
            self.store(commands);
            *self = Self {
                frame: Some(number),
                tags: kept.tags.join(", "),
                comment: kept.comment.clone(),
                was: kept,
                wants_focus: self.wants_focus,
            };
        }
        let mut is_left = false;
        ui.horizontal(|ui| {
            let mark = egui::Button::new(theme::icon(ICON_BOOKMARK))
                .selected(self.was.is_marked)
                .frame_when_inactive(self.was.is_marked);
            let response = ui.add(mark);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Mark"));
            if response
                .on_hover_text(keys::tip(ui, Action::Mark))
                .clicked()
            {
                commands.push(Command::ToggleMark);
            }
            let width = ui.available_width();
            let fields = [
                (&mut self.tags, "tags", "Tags", 0.4),
                (&mut self.comment, "comment", "Comment", 0.6),
            ];
            for (typed, hint, name, share) in fields {
                let field = egui::TextEdit::singleline(typed)
                    .hint_text(hint)
                    .desired_width(width * share - 8.0);
                let response = ui.add(field);
                response
                    .widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, name));
                if name == "Tags" && std::mem::take(&mut self.wants_focus) {
                    response.request_focus();
                }
                is_left |= response.lost_focus();
            }
        });
        if is_left {
            self.store(commands);
        }
    }

    /// Asks for what was typed to be kept.
    fn store(&self, commands: &mut Vec<Command>) {
        let Some(frame) = self.frame else { return };
        let (tags, comment) = (tags_of(&self.tags), self.comment.trim().to_owned());
        if tags != self.was.tags || comment != self.was.comment {
            commands.push(Command::SetNote {
                frame,
                tags,
                comment,
            });
        }
    }
}
