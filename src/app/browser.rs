//! The run's frames as a table: filter, sort, click to go.

use egui::Ui;
use egui_extras::{Column, TableBuilder};
use egui_material_icons::icons::{ICON_CHECK, ICON_EDIT, ICON_FLAG, ICON_FOLDER_OPEN};

use super::theme;
use crate::domain::labels::Review;
use crate::session::Session;
use crate::session::browse::FrameRow;
use crate::session::command::Command;

/// So many peaks make a frame a hit.
pub const HIT: u32 = 15;

/// Which frames are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Filter {
    #[default]
    All,
    Hits,
    Untouched,
    Started,
    Confirmed,
    Flagged,
}

impl Filter {
    const ALL: [Self; 6] = [
        Self::All,
        Self::Hits,
        Self::Untouched,
        Self::Started,
        Self::Confirmed,
        Self::Flagged,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::All => "all frames",
            Self::Hits => "hits",
            Self::Untouched => "untouched",
            Self::Started => "started",
            Self::Confirmed => "confirmed",
            Self::Flagged => "flagged",
        }
    }

    fn lets(self, row: &FrameRow) -> bool {
        match self {
            Self::All => true,
            Self::Hits => row.peaks.is_some_and(|peaks| peaks >= HIT),
            Self::Untouched => row.review == Review::Untouched,
            Self::Started => row.review == Review::Started,
            Self::Confirmed => row.review == Review::Confirmed,
            Self::Flagged => row.review == Review::Flagged,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Number,
    Peaks,
    Doubt,
}

/// The left panel.
#[derive(Debug, Default)]
pub struct Browser {
    filter: Filter,
    order: Order,
    /// The selected frame that was scrolled to last.
    followed: Option<usize>,
}

impl Browser {
    pub fn show(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        ui.horizontal(|ui| {
            ui.label(theme::title("Run"));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let open =
                    egui::Button::new(theme::icon(ICON_FOLDER_OPEN)).frame_when_inactive(false);
                let response = ui.add(open);
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::Button, true, "Open a run")
                });
                if response.on_hover_text("Open a run (Ctrl+O)").clicked() {
                    commands.push(Command::OpenDialog);
                }
                let combo = egui::ComboBox::from_id_salt("filter")
                    .selected_text(self.filter.name())
                    .width(ui.available_width() - 10.0);
                let response = combo.show_ui(ui, |ui| {
                    for filter in Filter::ALL {
                        ui.selectable_value(&mut self.filter, filter, filter.name());
                    }
                });
                response.response.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Filter")
                });
            });
        });
        let Some(open) = &session.run else {
            ui.add_space(8.0);
            ui.label(theme::small(
                "No run is open. Its frames will be listed here.",
            ));
            return;
        };
        ui.label(theme::small(facts(&open.info)))
            .on_hover_text(&open.info.source);
        ui.add_space(2.0);
        let listed = self.listed(&session.rows);
        self.table(ui, session, listed.as_deref(), commands);
    }

    /// The frames to list in their order; `None` = all by number, so that long runs cost nothing.
    fn listed(&self, rows: &[FrameRow]) -> Option<Vec<usize>> {
        if self.filter == Filter::All && self.order == Order::Number {
            return None;
        }
        let lets = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| self.filter.lets(row));
        let mut listed: Vec<usize> = lets.map(|(number, _)| number).collect();
        let row = |number: &usize| rows.get(*number).copied().unwrap_or_default();
        match self.order {
            Order::Number => {}
            Order::Peaks => listed.sort_by_key(|number| std::cmp::Reverse(row(number).peaks)),
            Order::Doubt => listed.sort_by(|a, b| {
                let doubt = |number| row(number).doubt.unwrap_or(-1.0);
                doubt(b).total_cmp(&doubt(a))
            }),
        }
        Some(listed)
    }

    fn table(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        listed: Option<&[usize]>,
        commands: &mut Vec<Command>,
    ) {
        let count = listed.map_or(session.rows.len(), <[usize]>::len);
        let number_at =
            |index: usize| listed.map_or(Some(index), |listed| listed.get(index).copied());
        let mut table = TableBuilder::new(ui)
            .striped(false)
            .animate_scrolling(false)
            .sense(egui::Sense::click())
            .cell_layout(egui::Layout::right_to_left(egui::Align::Center))
            .auto_shrink(false)
            .column(Column::exact(52.0))
            .column(Column::exact(44.0))
            .column(Column::exact(44.0))
            .column(Column::remainder().at_least(22.0));
        if self.followed != Some(session.selected) {
            self.followed = Some(session.selected);
            let place = listed.map_or(Some(session.selected), |listed| {
                listed.iter().position(|number| *number == session.selected)
            });
            if let Some(place) = place {
                table = table.scroll_to_row(place, Some(egui::Align::Center));
            }
        }
        table
            .header(theme::ROW, |mut header| {
                let titles = [
                    ("#", Some(Order::Number)),
                    ("peaks", Some(Order::Peaks)),
                    ("doubt", Some(Order::Doubt)),
                ];
                for (title, order) in titles.into_iter().chain([("", None)]) {
                    header.col(|ui| {
                        let Some(order) = order else { return };
                        let text = if self.order == order {
                            theme::small(title).strong()
                        } else {
                            theme::small(title)
                        };
                        let label = ui.add(
                            egui::Label::new(text)
                                .selectable(false)
                                .sense(egui::Sense::click()),
                        );
                        if label.on_hover_text("Sort by this").clicked() {
                            self.order = order;
                            self.followed = None;
                        }
                    });
                }
            })
            .body(|body| {
                body.rows(theme::ROW, count, |mut line| {
                    let Some(number) = number_at(line.index()) else {
                        return;
                    };
                    let row = session.rows.get(number).copied().unwrap_or_default();
                    line.set_selected(number == session.selected);
                    line.col(|ui| {
                        cell(ui, &super::text::thousands(number as f64 + 1.0));
                    });
                    line.col(|ui| {
                        if let Some(peaks) = row.peaks {
                            let text = super::text::thousands(f64::from(peaks));
                            if peaks >= HIT {
                                cell(ui, &text)
                            } else {
                                weak(ui, &text)
                            }
                        }
                    });
                    line.col(|ui| {
                        if let Some(doubt) = row.doubt {
                            weak(ui, &format!("{doubt:.2}"));
                        }
                    });
                    line.col(|ui| review_mark(ui, row.review));
                    if line.response().clicked() {
                        commands.push(Command::GoTo(number));
                    }
                });
            });
    }
}

fn cell(ui: &mut Ui, text: &str) {
    ui.add(egui::Label::new(text).selectable(false));
}

fn weak(ui: &mut Ui, text: &str) {
    ui.add(egui::Label::new(egui::RichText::new(text).weak()).selectable(false));
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
