//! The run's frames as a table: sort, filter, note, click to go.

use egui::{Key, Ui};
use egui_extras::{Column as Width, TableBuilder};
use egui_material_icons::icons::{
    ICON_CLOSE, ICON_FILTER_ALT, ICON_FOLDER_OPEN, ICON_PLAY_ARROW, ICON_STOP, ICON_VIEW_COLUMN,
};

use super::frame_cells::{draw_cell, narrow, title, width_of};
use super::keys::{self, Action};
use super::note_fields::NoteFields;
use super::thumbnails::Thumbnails;
use super::{text, theme};
use crate::domain::columns::Column;
use crate::session::Session;
use crate::session::arrangement::Arrangement;
use crate::session::command::Command;
use crate::session::playback::RATES;

/// Filters that are a click away: what they are called, and how they are written.
const FILTERS: [(&str, &str); 8] = [
    ("all frames", ""),
    ("hits", "hit"),
    ("untouched", "review = untouched"),
    ("started", "review = started"),
    ("confirmed", "review = confirmed"),
    ("flagged", "review = flagged"),
    ("marked", "mark"),
    ("doubtful", "doubt > 0.3"),
];

/// The left panel.
#[derive(Debug)]
pub struct Browser {
    columns: Vec<Column>,
    /// The filter as it is being typed.
    typed: Option<String>,
    /// What of the session was taken over into `typed` last.
    seen: String,
    wants_filter: bool,
    /// The selected frame that was scrolled to last.
    followed: Option<usize>,
    note: NoteFields,
    has_thumbnails: bool,
    thumbnails: Thumbnails,
}

impl Default for Browser {
    fn default() -> Self {
        Self {
            columns: vec![Column::Frame, Column::Peaks, Column::Doubt, Column::Review],
            typed: None,
            seen: String::new(),
            wants_filter: false,
            followed: None,
            note: NoteFields::default(),
            has_thumbnails: false,
            thumbnails: Thumbnails::default(),
        }
    }
}

impl Browser {
    /// As the user has left it at the last start.
    pub fn arrange(&mut self, kept: &Arrangement) {
        if let Some(columns) = kept.columns.clone().filter(|columns| !columns.is_empty()) {
            self.columns = columns;
        }
        self.has_thumbnails = kept.has_thumbnails;
    }

    /// Writes down what the user has changed.
    pub fn note_arrangement(&self, now: &mut Arrangement) {
        now.has_thumbnails = self.has_thumbnails;
        if now.columns.is_some() || self.columns != Self::default().columns {
            now.columns = Some(self.columns.clone());
        }
    }

    /// Puts the cursor into the filter.
    pub const fn focus_filter(&mut self) {
        self.wants_filter = true;
    }

    pub const fn toggle_thumbnails(&mut self) {
        self.has_thumbnails = !self.has_thumbnails;
        // The rows have another height now.
        self.followed = None;
    }

    /// Puts the cursor into the comment.
    pub const fn focus_note(&mut self) {
        self.note.focus();
    }

    pub fn show(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        ui.horizontal(|ui| {
            ui.label(theme::title("Run"));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let open = icon_button(ui, ICON_FOLDER_OPEN, "Open a run");
                if open
                    .on_hover_text(keys::with_key(ui, "Open a run", Action::Open))
                    .clicked()
                {
                    commands.push(Command::OpenDialog);
                }
                if session.run.is_some() {
                    self.choose_columns(ui);
                    choose_filter(ui, commands);
                }
            });
        });
        let Some(open) = &session.run else {
            ui.add_space(8.0);
            ui.label(theme::small(
                "No run is open. Its frames will be listed here.",
            ));
            return;
        };
        ui.horizontal(|ui| {
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                player(ui, session, commands);
                let facts = egui::Label::new(theme::small(facts(&open.info))).truncate();
                ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                    ui.add(facts).on_hover_text(&open.info.source);
                });
            });
        });
        self.filter(ui, session, commands);
        ui.add_space(2.0);
        self.note.show(ui, session, commands);
        egui::ScrollArea::horizontal()
            .auto_shrink(false)
            .show(ui, |ui| self.table(ui, session, commands));
    }

    fn choose_columns(&mut self, ui: &mut Ui) {
        let button = egui::Button::new(theme::icon(ICON_VIEW_COLUMN)).frame_when_inactive(false);
        let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
            let mut has_thumbnails = self.has_thumbnails;
            let choice = ui.checkbox(&mut has_thumbnails, "thumbnails");
            let tip = keys::tip(ui, Action::Thumbnails);
            if choice.on_hover_text(tip).changed() {
                self.toggle_thumbnails();
            }
            for column in Column::ALL {
                let mut is_on = self.columns.contains(&column);
                let choice = ui.checkbox(&mut is_on, column.name());
                if choice.on_hover_text(column.meaning()).changed() {
                    self.columns.retain(|other| *other != column);
                    if is_on {
                        self.columns.push(column);
                        self.columns.sort();
                    }
                }
            }
        });
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Columns"));
        response.on_hover_text("Columns of the table");
    }

    /// The line where a filter is typed; Enter or leaving it takes it.
    fn filter(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        let table = &session.table;
        if self.seen != table.typed || self.typed.is_none() {
            self.seen.clone_from(&table.typed);
            self.typed = Some(table.typed.clone());
        }
        let Some(typed) = &mut self.typed else { return };
        let is_used = !table.typed.is_empty();
        ui.horizontal(|ui| {
            // Room for the button beside it: a line wider than the panel would widen it.
            let width = ui.available_width() - if is_used { 56.0 } else { 0.0 };
            let field = egui::TextEdit::singleline(typed)
                .hint_text("peaks > 20 and tag ~ ice")
                .desired_width(width);
            let response = ui.add(field);
            response
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Filter"));
            if std::mem::take(&mut self.wants_filter) {
                response.request_focus();
            }
            let is_left =
                response.lost_focus() && !ui.input(|input| input.key_pressed(Key::Escape));
            if is_left && *typed != table.typed {
                commands.push(Command::FilterFrames(typed.clone()));
                self.followed = None;
            }
            response.on_hover_text(format!(
                "{}: compare columns by = != < <= > >= and ~ (contains), join by and, or, not, ( )",
                keys::tip(ui, Action::FilterFrames)
            ));
            if is_used {
                let clear = icon_button(ui, ICON_CLOSE, "Clear the filter");
                if clear
                    .on_hover_text(keys::tip(ui, Action::ClearFilter))
                    .clicked()
                {
                    commands.push(Command::FilterFrames(String::new()));
                }
            }
        });
        if let Some(reason) = &table.error {
            ui.label(theme::small(reason).color(theme::PEAK));
        } else if is_used {
            ui.label(theme::small(format!(
                "{} of {}",
                text::count(table.listed().len() as f64, "frame"),
                text::thousands(session.rows.len() as f64)
            )));
        }
    }

    fn table(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        let listed = session.table.listed();
        let columns = self.columns.clone();
        let has_thumbnails = self.has_thumbnails;
        let mut table = TableBuilder::new(ui)
            .striped(false)
            .animate_scrolling(false)
            .sense(egui::Sense::click())
            .cell_layout(egui::Layout::right_to_left(egui::Align::Center))
            .auto_shrink(false);
        if has_thumbnails {
            table = table.column(Width::exact(theme::THUMBNAIL));
        }
        for column in &columns {
            table = table.column(width_of(*column));
        }
        table = table.column(Width::remainder());
        if self.followed != Some(session.selected) {
            self.followed = Some(session.selected);
            if let Some(place) = session.table.place_of(session.selected) {
                table = table.scroll_to_row(place, Some(egui::Align::Center));
            }
        }
        table
            .header(theme::ROW, |mut header| {
                if has_thumbnails {
                    header.col(|_| {});
                }
                for column in &columns {
                    header.col(|ui| {
                        if title(ui, session, *column) {
                            commands.push(Command::SortFrames(*column));
                            self.followed = None;
                        }
                    });
                }
                header.col(|_| {});
            })
            .body(|body| {
                let height = if has_thumbnails {
                    theme::THUMBNAIL
                } else {
                    theme::ROW
                };
                body.rows(height, listed.len(), |mut line| {
                    let Some(number) = listed.get(line.index()).map(|number| *number as usize)
                    else {
                        return;
                    };
                    line.set_selected(number == session.selected);
                    if has_thumbnails {
                        line.col(|ui| self.thumbnails.draw(ui, session, number));
                    }
                    for column in &columns {
                        let (_, response) = line.col(|ui| draw_cell(ui, session, number, *column));
                        response.context_menu(|ui| narrow(ui, session, number, *column, commands));
                    }
                    line.col(|_| {});
                    if line.response().clicked() {
                        commands.push(Command::GoTo(number));
                    }
                });
            });
        if has_thumbnails {
            self.thumbnails.ask(session, commands);
        }
    }
}

/// Playing the listed frames, and how fast.
fn player(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let playback = session.playback;
    let icon = if playback.is_on {
        ICON_STOP
    } else {
        ICON_PLAY_ARROW
    };
    let play = icon_button(ui, icon, "Play");
    if play.on_hover_text(keys::tip(ui, Action::Play)).clicked() {
        commands.push(Command::Play(!playback.is_on));
    }
    let mut rate = playback.rate;
    let field = egui::DragValue::new(&mut rate)
        .range(RATES)
        .speed(0.1)
        .max_decimals(1)
        .suffix("/s");
    if ui.add(field).on_hover_text("Frames a second").changed() {
        commands.push(Command::SetPlayRate(rate));
    }
}

fn icon_button(ui: &mut Ui, icon: egui_material_icons::MaterialIcon, name: &str) -> egui::Response {
    let response = ui.add(egui::Button::new(theme::icon(icon)).frame_when_inactive(false));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
    response
}

fn choose_filter(ui: &mut Ui, commands: &mut Vec<Command>) {
    let button = egui::Button::new(theme::icon(ICON_FILTER_ALT)).frame_when_inactive(false);
    let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
        for (name, filter) in FILTERS {
            if ui.button(name).clicked() {
                commands.push(Command::FilterFrames(filter.to_owned()));
                ui.close();
            }
        }
    });
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Filters"));
    response.on_hover_text("List some of the frames");
}

/// One quiet line: how many, how large, what kind.
fn facts(info: &crate::domain::frame::RunInfo) -> String {
    let mut text = format!("{} × {}  {}", info.width, info.height, info.dtype);
    if !info.format.is_empty() {
        text.push_str("  ");
        text.push_str(&info.format);
    }
    text
}

/// The small question that G asks.
pub fn go_to(
    ctx: &egui::Context,
    typed: &mut Option<String>,
    session: &Session,
    commands: &mut Vec<Command>,
) {
    let Some(text) = typed.as_mut() else { return };
    let mut is_done = false;
    let modal = egui::Modal::new(egui::Id::unique("go to")).show(ctx, |ui| {
        ui.set_width(220.0);
        ui.label(format!(
            "Go to frame 1 to {}",
            super::text::thousands(session.rows.len() as f64)
        ));
        let response = ui.add(egui::TextEdit::singleline(text).desired_width(f32::INFINITY));
        response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Frame number"));
        response.request_focus();
        if ui.input(|input| input.key_pressed(egui::Key::Enter)) {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            if let Ok(number) = digits.parse::<usize>() {
                commands.push(Command::GoTo(number.saturating_sub(1)));
            }
            is_done = true;
        }
    });
    if is_done || modal.should_close() {
        *typed = None;
    }
}
