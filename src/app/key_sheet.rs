//! The sheet of all keys (?), and the same sheet with its keys to be changed.

use egui::{Align, Layout, Ui, vec2};

use super::key_edit::Editor;
use super::key_map::KeyMap;
use super::key_names;
use super::key_presets::Preset;
use super::keys::{Entry, Menu, TABLE, key_text};
use super::theme;
use crate::session::command::Command;

const COLUMNS: usize = 3;
/// Widest, in points; narrower where the window is.
const WIDTH: f32 = 1180.0;
/// What of the window's height stays free around the list.
const AROUND: f32 = 134.0;
const KEY_WIDTH: f32 = 140.0;

/// One line of the sheet.
enum Line {
    Heading(&'static str),
    Key(&'static Entry),
}

#[derive(Default)]
pub struct KeySheet {
    pub is_open: bool,
    /// The keys are being changed.
    editor: Option<Editor>,
}

impl KeySheet {
    /// Opens the sheet with its keys to be changed.
    pub fn edit(&mut self) {
        self.is_open = true;
        self.editor = Some(Editor::default());
    }

    /// No key starts anything while the keys are changed.
    pub const fn is_editing(&self) -> bool {
        self.is_open && self.editor.is_some()
    }

    /// Lists every key by its menu; it scrolls where the window is too low.
    pub fn show(&mut self, ctx: &egui::Context, commands: &mut Vec<Command>) {
        if !self.is_open {
            self.editor = None;
            return;
        }
        let map = KeyMap::in_force(ctx);
        if let Some(editor) = &mut self.editor {
            editor.listen(ctx, &map, commands);
        }
        let window = ctx.content_rect().size();
        let modal = egui::Modal::new(egui::Id::unique("keys")).show(ctx, |ui| {
            ui.set_width(WIDTH.min(window.x - 40.0));
            ui.horizontal(|ui| self.head(ui, &map, commands));
            ui.add_space(4.0);
            let height = (window.y - AROUND).max(120.0);
            egui::ScrollArea::vertical()
                .max_height(height)
                // A modal offers less height than the window has.
                .min_scrolled_height(height)
                .show(ui, |ui| self.columns(ui, &map));
            ui.add_space(6.0);
            // As high whatever stands there: the list above stays where it is.
            let size = vec2(ui.available_width(), theme::ROW + 4.0);
            let foot = Layout::left_to_right(Align::Center);
            ui.allocate_ui_with_layout(size, foot, |ui| {
                ui.set_min_height(size.y);
                match &mut self.editor {
                    Some(editor) => editor.foot(ui, &map, commands),
                    None => {
                        ui.label(theme::small(
                            "Wheel zooms about the pointer, Space or middle drag pans, Shift+wheel or Alt+drag sizes the brush, right drag erases.",
                        ));
                    }
                }
            });
        });
        if modal.should_close() {
            self.is_open = false;
        }
    }

    fn head(&mut self, ui: &mut Ui, map: &KeyMap, commands: &mut Vec<Command>) {
        ui.label(theme::title("Keys"));
        ui.add_space(8.0);
        if self.editor.is_some() {
            for preset in Preset::ALL {
                let button = egui::Button::new(preset.title()).selected(preset == map.preset);
                let tip = match preset {
                    Preset::PeakNet => "The program's own keys",
                    Preset::Napari => "The letters of napari's labels layer",
                };
                if ui.add(button).on_hover_text(tip).clicked() {
                    commands.push(super::key_edit::choose(preset));
                }
            }
        } else {
            ui.label(theme::small(map.preset.title()));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if self.editor.is_some() {
                if ui.button("Done").clicked() {
                    self.editor = None;
                }
            } else if ui.button("Change...").clicked() {
                self.editor = Some(Editor::default());
            }
        });
    }

    fn columns(&mut self, ui: &mut Ui, map: &KeyMap) {
        let is_listed =
            |entry: &&Entry| self.editor.is_some() || !map.keys_of(entry.action).is_empty();
        let mut lines = Vec::new();
        for menu in Menu::ALL {
            let of_menu = TABLE.iter().filter(|entry| entry.menu == menu);
            let mut entries = of_menu.filter(is_listed).peekable();
            if entries.peek().is_some() {
                lines.push(Line::Heading(menu.name()));
            }
            lines.extend(entries.map(Line::Key));
        }
        let each = lines.len().div_ceil(COLUMNS).max(1);
        ui.columns(COLUMNS, |columns| {
            for (column, part) in columns.iter_mut().zip(lines.chunks(each)) {
                egui::Grid::new("keys")
                    .num_columns(2)
                    .min_col_width(KEY_WIDTH)
                    .spacing([10.0, 2.0])
                    .show(column, |ui| {
                        part.iter().for_each(|line| self.line(ui, map, line));
                    });
            }
        });
    }

    fn line(&mut self, ui: &mut Ui, map: &KeyMap, line: &Line) {
        match (line, &mut self.editor) {
            (Line::Heading(name), _) => {
                ui.label(theme::small(*name));
                ui.label("");
            }
            (Line::Key(entry), None) => {
                let names = map.keys_of(entry.action).iter().take(2);
                let names: Vec<_> = names.map(|key| key_text(*key)).collect();
                ui.label(theme::title(&names.join(", ")));
                ui.add(egui::Label::new(entry.text).truncate());
            }
            (Line::Key(entry), Some(editor)) => {
                editor.keys(ui, map, entry);
                let text = if map.is_own(entry.action) {
                    egui::RichText::new(entry.text).color(ui.visuals().hyperlink_color)
                } else {
                    egui::RichText::new(entry.text)
                };
                let label = ui.add(egui::Label::new(text).truncate());
                label.on_hover_text(format!(
                    "{}: {} in keys.toml",
                    entry.text,
                    key_names::name(entry.action)
                ));
            }
        }
        ui.end_row();
    }
}
