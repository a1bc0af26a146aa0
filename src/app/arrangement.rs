//! What the user has arranged in the window: taken over at the start, kept when it changes.

use egui::Context;

use super::Window;
use crate::domain::columns::Column;
use crate::session::arrangement::Arrangement;
use crate::session::command::Command;

/// The width of a panel, points: as it is drawn, and as it was before the mouse took hold of anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Width {
    pub now: f32,
    before: f32,
}

impl Width {
    /// The mouse has let go, or holds nothing: the new width, where the user has changed it.
    fn let_go(&mut self, was_held: bool) -> Option<f32> {
        let is_moved = was_held && self.before > 0.0 && (self.now - self.before).abs() >= 1.0;
        self.before = self.now;
        is_moved.then(|| self.now.round())
    }
}

impl Window {
    /// Takes over, once, how the window was left at the last start. A theme that was asked for now is kept.
    pub(super) fn take_arrangement(&mut self, ctx: &Context) {
        let Some(kept) = &self.session.arrangement else {
            return;
        };
        if self.is_arranged || !self.is_users_own {
            return;
        }
        self.is_arranged = true;
        self.widths = Default::default();
        self.browser.arrange(kept);
        if let (Some(is_dark), false) = (kept.is_dark, self.has_theme) {
            ctx.set_theme(preference(is_dark));
        }
    }

    /// Keeps what was changed, when the mouse lets go of it.
    pub(super) fn keep_arrangement(&mut self, ctx: &Context) {
        let Some(kept) = self
            .session
            .arrangement
            .as_ref()
            .filter(|_| self.is_arranged)
        else {
            return;
        };
        let is_held = ctx.input(|input| input.pointer.any_down());
        let was_held = std::mem::replace(&mut self.is_held, is_held);
        if is_held {
            return;
        }
        let [table_width, inspector_width] = [0, 1].map(|side| self.widths[side].let_go(was_held));
        let table = &self.session.table;
        let sort = (table.column, table.is_descending);
        let mut now = Arrangement {
            is_dark: self.chosen_theme.take().or(kept.is_dark),
            table_width: table_width.or(kept.table_width),
            inspector_width: inspector_width.or(kept.inspector_width),
            sort: (sort != (Column::Frame, false)).then_some(sort),
            ..kept.clone()
        };
        self.browser.note_arrangement(&mut now);
        if now != *kept {
            self.commands.push(Command::Arrange(Box::new(now)));
        }
    }

    /// Light to dark and back, also at the next start.
    pub(super) fn change_theme(&mut self, ctx: &Context) {
        let is_dark = ctx.theme() != egui::Theme::Dark;
        ctx.set_theme(preference(is_dark));
        self.chosen_theme = Some(is_dark);
    }
}

/// The theme by name.
pub const fn preference(is_dark: bool) -> egui::ThemePreference {
    if is_dark {
        egui::ThemePreference::Dark
    } else {
        egui::ThemePreference::Light
    }
}
