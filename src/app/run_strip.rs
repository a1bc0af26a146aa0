//! The strip of the whole run: peaks against frame number, how far each frame is reviewed, click to go.

use egui::{Color32, Rect, Sense, Stroke, Ui, pos2};

use super::{text, theme};
use crate::domain::columns::HIT;
use crate::domain::labels::Review;
use crate::session::Session;
use crate::session::command::Command;

/// The frames that fall into one column of the strip.
#[derive(Clone, Copy, Debug)]
struct Column {
    /// The most peaks of any.
    peaks: Option<u32>,
    /// The state that most asks for a look.
    review: Review,
}

/// What the strip shows, gone through once for every change of the rows: a run may have a hundred thousand of them.
#[derive(Debug, Default)]
pub struct RunStrip {
    of: Option<(u64, u64, usize, usize)>,
    columns: Vec<Column>,
    highest: u32,
    known: usize,
    hits: usize,
}

impl RunStrip {
    fn look(&mut self, session: &Session, columns: usize) {
        let run = session.run.as_ref().map_or(0, |run| run.serial);
        let rows = &session.rows;
        let of = (run, session.table.version, rows.len(), columns);
        if self.of == Some(of) {
            return;
        }
        self.of = Some(of);
        let urgency = |review: &Review| match review {
            Review::Untouched => 0,
            Review::Started => 1,
            Review::Confirmed => 2,
            Review::Flagged => 3,
        };
        let column = |column: usize| {
            let start = column * rows.len() / columns;
            let end = ((column + 1) * rows.len() / columns).max(start + 1);
            let rows = rows.get(start..end).unwrap_or_default();
            let reviews = rows.iter().map(|row| row.review);
            Column {
                peaks: rows.iter().filter_map(|row| row.peaks).max(),
                review: reviews.max_by_key(urgency).unwrap_or_default(),
            }
        };
        self.columns = (0..columns).map(column).collect();
        let highest = self.columns.iter().filter_map(|column| column.peaks).max();
        self.highest = highest.unwrap_or(0).max(HIT);
        let peaks = || rows.iter().filter_map(|row| row.peaks);
        self.known = peaks().count();
        self.hits = peaks().filter(|peaks| *peaks >= HIT).count();
    }

    /// Draws it; click or drag to go.
    pub fn show(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        let rect = ui.available_rect_before_wrap();
        let response = ui.allocate_rect(rect, Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Canvas, true, "Run strip"));
        let frames = session.rows.len();
        if frames == 0 {
            return;
        }
        let painter = ui.painter_at(rect);
        let visuals = ui.visuals();
        let inner = rect.shrink2(egui::vec2(4.0, 3.0));
        let floor = inner.bottom() - 6.0;
        let columns = (inner.width() as usize).clamp(1, 4096).min(frames);
        let pitch = inner.width() / columns as f32;
        self.look(session, columns);
        painter.hline(
            inner.x_range(),
            floor + 0.5,
            Stroke::new(1.0, visuals.widgets.noninteractive.bg_stroke.color),
        );
        for (column, frames) in self.columns.iter().enumerate() {
            let width = (pitch - f32::from(u8::from(pitch > 3.0))).clamp(1.0, 14.0);
            let left = inner.left() + column as f32 * pitch + (pitch - width).max(0.0) / 2.0;
            if let Some(peaks) = frames.peaks {
                let height = (peaks as f32 / self.highest as f32).sqrt() * (floor - inner.top());
                let bar = Rect::from_min_max(
                    pos2(left, floor - height.max(1.0)),
                    pos2(left + width, floor),
                );
                let color = if peaks >= HIT {
                    theme::PEAK
                } else {
                    visuals.weak_text_color()
                };
                painter.rect_filled(bar, 0, color);
            }
            let color = match frames.review {
                Review::Untouched => Color32::TRANSPARENT,
                Review::Started => visuals.weak_text_color(),
                Review::Confirmed => theme::RING,
                Review::Flagged => theme::FOUND,
            };
            let foot = Rect::from_min_max(pos2(left, floor + 2.5), pos2(left + width, floor + 5.5));
            painter.rect_filled(foot, 0, color);
        }
        let x_of =
            |number: usize| inner.left() + (number as f32 + 0.5) * inner.width() / frames as f32;
        let here = x_of(session.selected);
        painter.vline(
            here,
            inner.y_range(),
            Stroke::new(1.5, visuals.text_color()),
        );
        let (known, hits) = (self.known, self.hits);
        let note = if known == 0 {
            "peaks against frame number".to_owned()
        } else {
            format!(
                "{} in {}",
                text::count(hits as f64, "hit"),
                text::count(known as f64, "predicted frame")
            )
        };
        let font = egui::FontId::proportional(theme::SMALL);
        let ground = visuals.panel_fill.gamma_multiply(0.8);
        let galley = painter.layout_no_wrap(note, font, visuals.weak_text_color());
        let at = pos2(inner.right() - galley.size().x, inner.top() - 1.0);
        painter.rect_filled(
            Rect::from_min_size(at, galley.size()).expand(2.0),
            2,
            ground,
        );
        painter.galley(at, galley, visuals.weak_text_color());
        let pointer = response
            .interact_pointer_pos()
            .filter(|_| response.clicked() || response.dragged());
        let number_at = |x: f32| {
            let part = ((x - inner.left()) / inner.width()).clamp(0.0, 1.0);
            ((part * frames as f32) as usize).min(frames - 1)
        };
        if let Some(at) = pointer {
            let number = number_at(at.x);
            if number != session.selected {
                commands.push(Command::GoTo(number));
            }
        }
        if let Some(at) = response.hover_pos() {
            let number = number_at(at.x);
            let peaks = session.rows.get(number).and_then(|row| row.peaks);
            let mut tip = format!("frame {}", text::thousands(number as f64 + 1.0));
            if let Some(peaks) = peaks {
                tip.push_str(&format!(", {}", text::count(f64::from(peaks), "peak")));
            }
            response.on_hover_text_at_pointer(tip);
        }
    }
}
