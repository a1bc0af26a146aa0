//! The sheet of all keys (?).

use egui::Ui;

use super::keys::{self, Entry, Menu, TABLE};
use super::theme;

const COLUMNS: usize = 3;
/// Widest, in points; narrower where the window is.
const WIDTH: f32 = 1180.0;
/// What of the window's height stays free around the list.
const AROUND: f32 = 150.0;

/// One line of the sheet.
enum Line {
    Heading(&'static str),
    Key(&'static Entry),
}

/// Lists every key by its menu; it scrolls where the window is too low.
pub fn show(ctx: &egui::Context, is_open: &mut bool) {
    if !*is_open {
        return;
    }
    let window = ctx.content_rect().size();
    let modal = egui::Modal::new(egui::Id::unique("keys")).show(ctx, |ui| {
        ui.set_width(WIDTH.min(window.x - 40.0));
        ui.label(theme::title("Keys"));
        ui.add_space(4.0);
        let height = (window.y - AROUND).max(120.0);
        egui::ScrollArea::vertical()
            .max_height(height)
            // A modal offers less height than the window has.
            .min_scrolled_height(height)
            .show(ui, columns);
        ui.add_space(6.0);
        ui.label(theme::small(
            "Wheel zooms about the pointer, Space or middle drag pans, Shift+wheel or Alt+drag sizes the brush, right drag erases.",
        ));
    });
    if modal.should_close() {
        *is_open = false;
    }
}

fn columns(ui: &mut Ui) {
    let mut lines = Vec::new();
    for menu in Menu::ALL {
        let of_menu = TABLE.iter().filter(|entry| entry.menu == menu);
        let mut entries = of_menu.filter(|entry| !entry.keys.is_empty()).peekable();
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
                .min_col_width(140.0)
                .spacing([10.0, 2.0])
                .show(column, |ui| part.iter().for_each(|line| draw(ui, line)));
        }
    });
}

fn draw(ui: &mut Ui, line: &Line) {
    match line {
        Line::Heading(name) => {
            ui.label(theme::small(*name));
            ui.label("");
        }
        Line::Key(entry) => {
            let names = entry.keys.iter().take(2).map(|key| keys::key_text(*key));
            ui.label(theme::title(&names.collect::<Vec<_>>().join(", ")));
            ui.add(egui::Label::new(entry.text).truncate());
        }
    }
    ui.end_row();
}
