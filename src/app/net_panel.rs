//! What predicts: the net or the classical finder in its place, and the finder's parameters.

use egui::Ui;

use super::keys::{self, Action};
use super::{text, theme};
use crate::domain::finders::Finder;
use crate::session::Session;
use crate::session::command::Command;

pub fn show(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    ui.label(theme::title("Net"));
    if session.nets.is_empty() && session.net.is_none() {
        let text = "No net was found. Nets lie in a folder named models, or are trained from confirmed frames";
        ui.label(theme::small(keys::with_key(ui, text, Action::Train) + "."));
        return;
    }
    let name = session
        .net
        .as_ref()
        .map_or("none", |net| net.entry.name.as_str());
    let combo = egui::ComboBox::from_id_salt("net")
        .selected_text(name)
        .width(ui.available_width());
    let response = combo.show_ui(ui, |ui| {
        for entry in &session.nets {
            let is_current = session
                .net
                .as_ref()
                .is_some_and(|net| net.entry.path == entry.path);
            let label = ui
                .selectable_label(is_current, &entry.name)
                .on_hover_text(&entry.summary);
            if label.clicked() && !is_current {
                commands.push(Command::ChooseNet(entry.path.clone()));
            }
        }
        ui.separator();
        for finder in Finder::all() {
            let current = session.net.as_ref().and_then(|net| net.finder);
            let is_current = current.is_some_and(|current| current.name() == finder.name());
            let label = ui
                .selectable_label(is_current, finder.name())
                .on_hover_text("A classical finder in the net's place: peaks only");
            if label.clicked() && !is_current {
                commands.push(Command::ChooseFinder(finder));
            }
        }
    });
    if session.net_loading {
        super::menu::waiting_line(ui, response.response.rect);
    }
    response
        .response
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Net"));
    if let Some(net) = &session.net {
        let ms = session
            .shown_prediction()
            .map(|predicted| text::duration(predicted.net_ms));
        let line = match ms {
            Some(ms) => format!("{}, {ms} a frame", net.device),
            None => net.device.clone(),
        };
        ui.label(theme::small(line));
        if !net.entry.summary.is_empty() {
            ui.label(theme::small(net.entry.summary.clone()));
        }
    }
    if let Some(finder) = session.net.as_ref().and_then(|net| net.finder) {
        finder_parameters(ui, finder, commands);
    }
    ui.horizontal(|ui| {
        let mut ahead = session.predict;
        if ui
            .checkbox(&mut ahead, "predict ahead")
            .on_hover_text(keys::tip(ui, Action::Predict))
            .changed()
        {
            commands.push(Command::SetPredict(ahead));
        }
        let mut all = session.predict_all;
        let response = ui.add_enabled(session.predict, egui::Checkbox::new(&mut all, "whole run"));
        if response
            .on_hover_text("Predict every frame, for the table and the strip")
            .changed()
        {
            commands.push(Command::PredictAll(all));
        }
    });
    if let Some(predicted) = session.shown_prediction() {
        let percent = predicted.artifact_fraction * 100.0;
        let peaks = text::thousands(predicted.peaks.len() as f64);
        ui.label(theme::small(format!(
            "{peaks} peaks, {percent:.1} % artifact"
        )));
    }
}

/// Parameters of a classical finder; each change searches the shown frame anew.
fn finder_parameters(ui: &mut Ui, finder: Finder, commands: &mut Vec<Command>) {
    let (mut snr, mut least, mut most) = match finder {
        Finder::Peakfinder8(p) => (p.min_snr, p.min_pixels, p.max_pixels),
        Finder::Robust(p) => (p.min_snr, p.min_pixels, p.max_pixels),
    };
    let mut changed = finder;
    let label = |ui: &mut Ui, text: &str| ui.label(theme::small(text.to_owned()));
    ui.horizontal(|ui| {
        label(ui, "SNR");
        let slider = ui.add(egui::Slider::new(&mut snr, 2.0..=30.0).step_by(0.1));
        slider.on_hover_text("Least signal-to-noise ratio of a peak");
    });
    ui.horizontal(|ui| {
        label(ui, "pixels");
        let first = ui.add(egui::DragValue::new(&mut least).range(1..=most));
        first.on_hover_text("Least number of pixels of a peak");
        label(ui, "to");
        let last = ui.add(egui::DragValue::new(&mut most).range(least..=10_000));
        last.on_hover_text("Greatest number of pixels of a peak");
        if let Finder::Peakfinder8(p) = &mut changed {
            label(ui, "background");
            let radius = ui.add(egui::DragValue::new(&mut p.local_background_radius).range(1..=50));
            radius.on_hover_text("Half the reach of the local background, pixels");
        }
    });
    if let Finder::Peakfinder8(p) = &mut changed {
        ui.horizontal(|ui| {
            let mut has_threshold = p.threshold.is_finite();
            let box_ = ui.checkbox(&mut has_threshold, "threshold");
            box_.on_hover_text("No pixel below counts, in the frame's own units");
            if has_threshold != p.threshold.is_finite() {
                p.threshold = if has_threshold {
                    0.0
                } else {
                    f32::NEG_INFINITY
                };
            }
            if has_threshold {
                ui.add(egui::DragValue::new(&mut p.threshold).speed(1.0));
            }
        });
    }
    match &mut changed {
        Finder::Peakfinder8(p) => (p.min_snr, p.min_pixels, p.max_pixels) = (snr, least, most),
        Finder::Robust(p) => (p.min_snr, p.min_pixels, p.max_pixels) = (snr, least, most),
    }
    if changed != finder {
        commands.push(Command::ChooseFinder(changed));
    }
}
