//! The columns of the frame table: titles, cells, and the filters that a cell offers.

use egui::Ui;
use egui_extras::Column as Width;
use egui_material_icons::icons::{ICON_BOOKMARK, ICON_CHECK, ICON_EDIT, ICON_FLAG};

use super::{text, theme};
use crate::domain::columns::{Cell, Column, HIT, Kind};
use crate::domain::filter::{Filter, Relation, Value};
use crate::domain::labels::Review;
use crate::session::Session;
use crate::session::command::Command;

pub fn width_of(column: Column) -> Width {
    match column {
        Column::Tags => Width::initial(80.0)
            .at_least(40.0)
            .clip(true)
            .resizable(true),
        Column::Comment => Width::initial(160.0)
            .at_least(40.0)
            .clip(true)
            .resizable(true),
        Column::Review => Width::exact(34.0),
        Column::Hit | Column::Label | Column::Mark => Width::exact(38.0),
        Column::Disagreement => Width::exact(60.0),
        Column::Maximum => Width::exact(58.0),
        _ => Width::exact(46.0),
    }
}

/// The head of a column; whether it was clicked.
pub fn title(ui: &mut Ui, session: &Session, column: Column) -> bool {
    let name = match column {
        Column::Frame => "#",
        Column::Disagreement => "disagree",
        Column::Maximum => "max",
        other => other.name(),
    };
    let is_sorted = session.table.column == column;
    let text = if is_sorted {
        theme::small(name).strong()
    } else {
        theme::small(name)
    };
    let label = egui::Label::new(text)
        .selectable(false)
        .sense(egui::Sense::click());
    let response = ui.add(label);
    if is_sorted {
        let tip = if session.table.is_descending {
            2.0
        } else {
            -2.0
        };
        let at = response.rect.center_bottom();
        let corners = [(-3.0, -tip), (3.0, -tip), (0.0, tip)].map(|(x, y)| at + egui::vec2(x, y));
        let color = ui.visuals().weak_text_color();
        let arrow = egui::Shape::convex_polygon(corners.to_vec(), color, egui::Stroke::NONE);
        ui.painter().add(arrow);
    }
    let name = format!("Sort by {}", column.name());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &name));
    response
        .on_hover_text(format!("{}; click sorts", column.meaning()))
        .clicked()
}

pub fn draw_cell(ui: &mut Ui, session: &Session, number: usize, column: Column) {
    let is_hit = session
        .rows
        .get(number)
        .and_then(|row| row.peaks)
        .is_some_and(|peaks| peaks >= HIT);
    match session.rows.cell(number, column) {
        Cell::Unknown => {}
        Cell::Number(value) if column == Column::Frame || (column == Column::Peaks && is_hit) => {
            cell(ui, &text::thousands(value));
        }
        Cell::Number(value) => weak(ui, &written(column, value)),
        Cell::Flag(false) => {}
        Cell::Flag(true) if column == Column::Mark => {
            let mark = ICON_BOOKMARK.rich_text().size(14.0).color(theme::FOUND);
            ui.add(egui::Label::new(mark).selectable(false));
        }
        Cell::Flag(true) => weak(ui, "yes"),
        Cell::Text(_) if column == Column::Review => {
            let row = session.rows.get(number).copied().unwrap_or_default();
            review_mark(ui, row.review);
        }
        Cell::Text(text) => left(ui, text),
        Cell::Words(words) => left(ui, &words.join(", ")),
    }
}

/// A number of a column as the table shows it.
pub fn written(column: Column, value: f64) -> String {
    match column {
        Column::Frame | Column::Peaks => text::thousands(value),
        Column::Artifact => format!("{:.1} %", value * 100.0),
        Column::Doubt | Column::Disagreement => format!("{value:.2}"),
        _ if value.abs() < 100.0 => format!("{value:.2}"),
        _ => text::thousands(value),
    }
}

/// What a right click on a cell offers: to list only those like it.
pub fn narrow(
    ui: &mut Ui,
    session: &Session,
    number: usize,
    column: Column,
    commands: &mut Vec<Command>,
) {
    let compare = |relation, value| Filter::Compare(column, relation, value);
    let choices: Vec<Filter> = match session.rows.cell(number, column) {
        Cell::Unknown => vec![
            compare(Relation::Equal, Value::Unknown),
            compare(Relation::NotEqual, Value::Unknown),
        ],
        Cell::Number(value) => [Relation::AtLeast, Relation::AtMost, Relation::Equal]
            .map(|relation| compare(relation, Value::Number(f64::from(value as f32))))
            .to_vec(),
        Cell::Flag(flag) => vec![compare(Relation::Equal, Value::Flag(flag))],
        Cell::Text(text) => [Relation::Equal, Relation::NotEqual]
            .map(|relation| compare(relation, Value::Text(text.to_owned())))
            .to_vec(),
        Cell::Words([]) => vec![compare(Relation::Equal, Value::Text(String::new()))],
        Cell::Words(words) => words
            .iter()
            .map(|word| compare(Relation::Equal, Value::Text(word.clone())))
            .collect(),
    };
    for choice in choices {
        if ui.button(format!("Only {choice}")).clicked() {
            commands.push(Command::NarrowFilter(choice));
            ui.close();
        }
    }
    if column.kind() != Kind::Text || column == Column::Review {
        ui.separator();
    }
    if ui.button("All frames").clicked() {
        commands.push(Command::FilterFrames(String::new()));
        ui.close();
    }
}

fn cell(ui: &mut Ui, text: &str) {
    ui.add(egui::Label::new(text).selectable(false));
}

fn weak(ui: &mut Ui, text: &str) {
    ui.add(egui::Label::new(egui::RichText::new(text).weak()).selectable(false));
}

fn left(ui: &mut Ui, text: &str) {
    ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
        let label = egui::Label::new(egui::RichText::new(text).weak());
        ui.add(label.selectable(false).truncate());
    });
}
fn review_mark(ui: &mut Ui, review: Review) {
    let (symbol, color) = match review {
        Review::Untouched => return,
        Review::Started => (ICON_EDIT, ui.visuals().weak_text_color()),
        Review::Confirmed => (ICON_CHECK, theme::RING),
        Review::Flagged => (ICON_FLAG, theme::PEAK),
    };
    let text = symbol.rich_text().size(14.0).color(color);
    ui.add(egui::Label::new(text).selectable(false))
        .on_hover_text(review.name());
}
