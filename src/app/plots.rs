//! The histogram of the frame with its draggable range.

use egui::{Sense, Ui};
use egui_plot::{Line, Plot, PlotPoints, VLine};

use super::theme;
use crate::domain::frame::bad;
use crate::domain::tone::{Tone, auto_range};
use crate::session::Session;
use crate::session::command::Command;
use crate::session::job::FrameKey;

const BINS: usize = 160;

/// Histogram of the shown frame's valid pixels, counted once a frame.
#[derive(Debug, Default)]
pub struct Histogram {
    key: Option<FrameKey>,
    range: (f32, f32),
    counts: Vec<u32>,
    /// Which end of the range is being dragged.
    dragged: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Low,
    High,
}

impl Histogram {
    fn count(&mut self, session: &Session) {
        let Some(shown) = &session.shown else {
            *self = Self::default();
            return;
        };
        let statistics = &shown.loaded.statistics;
        let (low, high) = auto_range(statistics);
        let (low, high) = if self.dragged.is_none() {
            (low.min(session.tone.low), high.max(session.tone.high))
        } else {
            self.range
        };
        let margin = (high - low) * 0.06;
        let wide = (low - margin, high + margin * 2.0);
        let fits = |range: (f32, f32)| {
            range.0 <= low && range.1 >= high && (range.1 - range.0) < (high - low) * 1.6 + 4.0
        };
        if self.key == Some(shown.key) && (self.dragged.is_some() || fits(self.range)) {
            return;
        }
        self.key = Some(shown.key);
        // Whole counts get bins of whole width, else some bins hold one count more than their neighbours.
        let is_whole = [
            statistics.p01,
            statistics.median,
            statistics.p99,
            statistics.maximum,
        ]
        .iter()
        .all(|value| value.fract() == 0.0);
        let width = (wide.1 - wide.0) / BINS as f32;
        let (wide, bins) = if is_whole {
            let (width, start) = (width.ceil(), wide.0.floor() - 0.5);
            let bins = ((wide.1 - start) / width)
                .ceil()
                .clamp(1.0, BINS as f32 * 2.0);
            ((start, start + width * bins), bins as usize)
        } else {
            (wide, BINS)
        };
        self.range = wide;
        self.counts = vec![0; bins];
        let frame = &shown.loaded.frame;
        let step = (frame.pixels.len() / 200_000).max(1) | 1;
        let scale = bins as f32 / (wide.1 - wide.0);
        let cells = frame
            .pixels
            .cells()
            .iter()
            .zip(frame.bad.cells())
            .step_by(step);
        for (value, bits) in cells {
            let bin = (value - wide.0) * scale;
            if bits & bad::NOT_VALID == 0
                && bin >= 0.0
                && let Some(count) = self.counts.get_mut(bin as usize)
            {
                *count += 1;
            }
        }
    }

    /// Draws it; dragging near a line moves that end of the tone's range.
    pub fn show(&mut self, ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
        self.count(session);
        let (low, high) = self.range;
        let width = f64::from(high - low) / self.counts.len().max(1) as f64;
        let top = self
            .counts
            .iter()
            .map(|count| f64::from(*count).ln_1p())
            .fold(1.0, f64::max);
        let points: PlotPoints<'_> = self
            .counts
            .iter()
            .enumerate()
            .map(|(bin, count)| {
                [
                    f64::from(low) + (bin as f64 + 0.5) * width,
                    f64::from(*count).ln_1p() / top,
                ]
            })
            .collect();
        let tone = session.tone;
        let line_color = ui.visuals().weak_text_color();
        let accent = ui.visuals().text_color();
        let plot = Plot::new("histogram")
            .height(theme::HISTOGRAM)
            .show_axes([false, false])
            .show_grid([false, false])
            .allow_zoom(false)
            .allow_drag(false)
            .allow_scroll(false)
            .allow_boxed_zoom(false)
            .allow_double_click_reset(false)
            .show_x(false)
            .show_y(false)
            .set_margin_fraction(egui::Vec2::ZERO)
            .sense(Sense::click_and_drag())
            .default_x_bounds(f64::from(low), f64::from(high).max(f64::from(low) + 1e-9))
            .default_y_bounds(0.0, 1.08);
        let output = plot.show(ui, |plot| {
            plot.set_plot_bounds_x(f64::from(low)..=f64::from(high).max(f64::from(low) + 1e-9));
            plot.set_plot_bounds_y(0.0..=1.08);
            plot.line(
                Line::new("counts", points)
                    .color(line_color)
                    .width(1.0)
                    .fill(0.0)
                    .allow_hover(false),
            );
            for (name, at) in [("low", tone.low), ("high", tone.high)] {
                plot.vline(
                    VLine::new(name, f64::from(at))
                        .color(accent)
                        .width(1.5)
                        .allow_hover(false),
                );
            }
            plot.pointer_coordinate().map(|at| at.x as f32)
        });
        let response = output.response;
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Canvas, true, "Histogram"));
        let Some(at) = output.inner else {
            if !response.dragged() {
                self.dragged = None;
            }
            return;
        };
        if response.drag_started()
            || (response.is_pointer_button_down_on() && self.dragged.is_none())
        {
            let is_low = (at - tone.low).abs() < (at - tone.high).abs();
            self.dragged = Some(if is_low { End::Low } else { End::High });
        }
        if !response.is_pointer_button_down_on() {
            self.dragged = None;
        }
        if response.hovered() {
            ui.ctx().set_cursor_icon(egui::CursorIcon::ResizeHorizontal);
        }
        let mut moved: Tone = tone;
        match self.dragged {
            Some(End::Low) => moved.set_range(at.min(tone.high), tone.high),
            Some(End::High) => moved.set_range(tone.low, at.max(tone.low)),
            None => return,
        }
        if moved != tone {
            commands.push(Command::SetTone(moved));
        }
    }
}
