//! The training panel: from the confirmed frames to a new net, with its curve.

use std::path::PathBuf;

use egui_plot::{Legend, Line, Plot, PlotPoints};

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
}

impl Default for TrainingPanel {
    fn default() -> Self {
        Self {
            is_open: false,
            name: "my-net".to_owned(),
            minutes: 10.0,
            is_from_current: true,
            seed: 1,
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
                let current = session
                    .net
                    .as_ref()
                    .map_or("scratch", |net| net.entry.name.as_str());
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
                ui.spinner();
                return;
            }
            let is_ready = confirmed > 0 && !self.name.trim().is_empty();
            let start = ui.add_enabled(is_ready, egui::Button::new("Train"));
            if start
                .on_disabled_hover_text("Confirm at least one frame first (Enter)")
                .clicked()
            {
                let from = session.net.as_ref().filter(|_| self.is_from_current);
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
            plot.line(Line::new("loss", loss).color(theme::IGNORE));
            plot.line(Line::new("validation loss", held_out).color(theme::ARTIFACT));
            plot.line(Line::new("peak F1", f1).color(theme::PEAK));
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
