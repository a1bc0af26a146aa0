//! The training panel: from the confirmed frames to a new net, with its curve.

use std::path::PathBuf;

use egui_plot::{Legend, Line, Plot, PlotPoints, Points};

use super::keys::{self, Action};
use super::{text, theme};
use crate::domain::labels::Review;
use crate::session::Session;
use crate::session::command::{Command, TrainRequest};

/// What the user has typed into it.
#[derive(Debug)]
pub struct TrainingPanel {
    pub is_open: bool,
    name: String,
    minutes: f64,
    is_from_current: bool,
    seed: u64,
    /// When the running training began, by the window's clock.
    begun: Option<f64>,
}

impl Default for TrainingPanel {
    fn default() -> Self {
        Self {
            is_open: false,
            name: "my-net".to_owned(),
            minutes: 10.0,
            is_from_current: true,
            seed: 1,
            begun: None,
        }
    }
}

impl TrainingPanel {
    pub fn show(&mut self, ctx: &egui::Context, session: &Session, commands: &mut Vec<Command>) {
        let mut is_open = self.is_open;
        egui::Window::new("Train")
            .open(&mut is_open)
            .default_width(380.0)
            .resizable(true)
            .collapsible(false)
            .default_pos(egui::pos2(420.0, 90.0))
            .show(ctx, |ui| {
                self.form(ui, session, commands);
                curve(ui, session);
                outcome(ui, session, commands);
            });
        self.is_open = is_open;
    }

    fn form(&mut self, ui: &mut egui::Ui, session: &Session, commands: &mut Vec<Command>) {
        let confirmed = session
            .rows
            .iter()
            .filter(|row| row.review == Review::Confirmed)
            .count();
        ui.label(theme::small(format!(
            "Trains on the {} confirmed frames of this project, in a process of its own. The net in use stays untouched.",
            text::thousands(confirmed as f64)
        )));
        let is_running = session.training.running;
        ui.add_enabled_ui(!is_running, |ui| {
            egui::Grid::new("training").num_columns(2).show(ui, |ui| {
                ui.label("name");
                let response =
                    ui.add(egui::TextEdit::singleline(&mut self.name).desired_width(180.0));
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Name of the net")
                });
                ui.end_row();
                ui.label("start from");
                let net = session.net.as_ref().filter(|net| net.finder.is_none());
                let current = net.map_or("scratch", |net| net.entry.name.as_str());
                ui.horizontal(|ui| {
                    ui.selectable_value(&mut self.is_from_current, true, current);
                    ui.selectable_value(&mut self.is_from_current, false, "scratch");
                });
                ui.end_row();
                ui.label("at most");
                let drag = egui::DragValue::new(&mut self.minutes)
                    .range(0.5..=1440.0)
                    .suffix(" min")
                    .speed(0.5);
                let response = ui.add(drag);
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::SpinButton, true, "Minutes")
                });
                ui.end_row();
                ui.label("seed");
                let response = ui.add(egui::DragValue::new(&mut self.seed));
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::SpinButton, true, "Seed")
                });
                ui.end_row();
            });
        });
        ui.horizontal(|ui| {
            if is_running {
                if ui.button("Stop").clicked() {
                    commands.push(Command::StopTraining);
                }
                self.progress(ui, session);
                return;
            }
            self.begun = None;
            let is_ready = confirmed > 0 && !self.name.trim().is_empty();
            let start = ui.add_enabled(is_ready, egui::Button::new("Train"));
            if start
                .on_disabled_hover_text(keys::with_key(
                    ui,
                    "Confirm at least one frame first",
                    Action::Confirm,
                ))
                .clicked()
            {
                // A classical finder is no net to start from.
                let net = session.net.as_ref().filter(|net| net.finder.is_none());
                let from = net.filter(|_| self.is_from_current);
                commands.push(Command::Train(TrainRequest {
                    // A bare name: the workers put it where the user's own nets lie.
                    out: PathBuf::from(self.name.trim()),
                    from: from.map(|net| net.entry.path.clone()),
                    minutes: self.minutes,
                    seed: self.seed,
                }));
            }
        });
    }
}

impl TrainingPanel {
    /// How much of the time has gone, and how many epochs were judged; a net takes some steps before it can be.
    fn progress(&mut self, ui: &mut egui::Ui, session: &Session) {
        let now = ui.input(|input| input.time);
        let seconds = now - *self.begun.get_or_insert(now);
        let share = (seconds / (self.minutes * 60.0)).clamp(0.0, 1.0);
        let epochs = session.training.lines.len();
        let text = if share >= 1.0 {
            "finishing: scores on held-out frames".to_owned()
        } else {
            format!(
                "{:.0} of at most {:.0} s, {}",
                seconds,
                self.minutes * 60.0,
                text::count(epochs as f64, "epoch")
            )
        };
        ui.add(egui::ProgressBar::new(share as f32).text(text));
        ui.ctx()
            .request_repaint_after(std::time::Duration::from_millis(500));
    }
}

fn curve(ui: &mut egui::Ui, session: &Session) {
    let lines = &session.training.lines;
    let Some(last) = lines.last() else { return };
    let series = |value: fn(&crate::session::job::TrainingLine) -> f64| -> PlotPoints<'_> {
        lines
            .iter()
            .map(|line| [line.epoch as f64, value(line)])
            .filter(|point| point[1].is_finite())
            .collect()
    };
    let (loss, held_out, f1) = (
        series(|l| l.loss),
        series(|l| l.validation_loss),
        series(|l| l.peak_f1),
    );
    Plot::new("training curve")
        .height(150.0)
        .grid_color(ui.visuals().widgets.noninteractive.bg_stroke.color)
        .legend(Legend::default())
        .allow_scroll(false)
        .show(ui, |plot| {
            for (name, line, dots, color) in [
                ("loss", loss, series(|l| l.loss), theme::IGNORE),
                (
                    "validation loss",
                    held_out,
                    series(|l| l.validation_loss),
                    theme::ARTIFACT,
                ),
                ("peak F1", f1, series(|l| l.peak_f1), theme::PEAK),
            ] {
                plot.line(Line::new(name, line).color(color));
                // One epoch alone draws no line.
                plot.points(Points::new(name, dots).radius(2.0).color(color));
            }
        });
    ui.label(theme::small(format!(
        "epoch {}, loss {:.4}, validation {:.4}, peak F1 {:.3}, artifact IoU {:.3}, {:.0} s",
        last.epoch, last.loss, last.validation_loss, last.peak_f1, last.artifact_iou, last.seconds
    )));
}

fn outcome(ui: &mut egui::Ui, session: &Session, commands: &mut Vec<Command>) {
    match &session.training.outcome {
        Some(Ok(path)) => {
            ui.horizontal(|ui| {
                ui.label(format!("{} is ready.", text::file_name(path)));
                if ui
                    .button("Use it")
                    .on_hover_text("Predict again with the new net")
                    .clicked()
                {
                    commands.push(Command::ChooseNet(path.clone()));
                }
            });
        }
        Some(Err(reason)) => {
            ui.label(reason);
        }
        None => {}
    }
}
