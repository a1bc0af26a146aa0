//! What the current tool is set to, what is protected, and what is under the pointer.

use egui::Ui;

use super::keys::{self, Action};
use super::theme;
use crate::domain::labels::Class;
use crate::domain::reshape::Operation;
use crate::domain::threshold::Threshold;
use crate::session::Session;
use crate::session::command::Command;
use crate::session::tool::{Tool, ToolOptions};

/// The options of the tool in the inspector.
pub fn show(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let mut options = session.options;
    let mut diameter = session.brush_diameter;
    if session.tool.has_brush() {
        let tip = format!("Brush size ({}, Shift+wheel, Alt+drag)", sizes(ui));
        slider(
            ui,
            "brush",
            "Brush size",
            &mut diameter,
            1.0..=300.0,
            " px",
            &tip,
        );
        if diameter != session.brush_diameter {
            commands.push(Command::SetBrushDiameter(diameter));
        }
    }
    match session.tool {
        Tool::Threshold => threshold(ui, &mut options),
        Tool::PeakGrow => {
            let tip = format!(
                "A pixel belongs down to so many sigmas of its background ({}, drag up or down)",
                sizes(ui)
            );
            let level = &mut options.grow_sigmas;
            slider(
                ui,
                "level",
                "Level of a grown peak",
                level,
                0.2..=100.0,
                " sigma",
                &tip,
            );
        }
        Tool::Ring => {
            let tip = format!("Width of the ring ({}, Shift+wheel, Alt+drag)", sizes(ui));
            let width = &mut options.ring_width_px;
            slider(
                ui,
                "width",
                "Width of the ring",
                width,
                1.0..=300.0,
                " px",
                &tip,
            );
            ui.checkbox(&mut options.snaps, "snap to rings")
                .on_hover_text(keys::with_key(
                    ui,
                    "To those of ice, and of the calibrant that is chosen",
                    Action::Calibrant,
                ));
        }
        Tool::Component => operations(ui, &mut options),
        _ => {}
    }
    if session.tool.is_shape() {
        ui.checkbox(&mut options.stamps, "stamp the prediction")
            .on_hover_text(keys::tip(ui, Action::Stamp));
    }
    if options != session.options {
        commands.push(Command::SetToolOptions(options));
    }
    protection(ui, session, commands);
    under(ui, session);
}

/// The keys of the size.
fn sizes(ui: &Ui) -> String {
    let keys = [Action::BrushSmaller, Action::BrushLarger];
    keys.map(|action| keys::key_of(ui, action)).join(" and ")
}

fn slider(
    ui: &mut Ui,
    text: &str,
    label: &str,
    value: &mut f32,
    range: std::ops::RangeInclusive<f32>,
    unit: &str,
    tip: &str,
) {
    ui.horizontal(|ui| {
        ui.label(text);
        let slider = egui::Slider::new(value, range)
            .logarithmic(true)
            .max_decimals(usize::from(unit != " px"))
            .suffix(unit);
        let response = ui.add(slider);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, label));
        response.on_hover_text(tip);
    });
}

fn threshold(ui: &mut Ui, options: &mut ToolOptions) {
    ui.horizontal(|ui| {
        let is_snr = matches!(options.threshold, Threshold::Snr(_));
        if ui.radio(is_snr, "local SNR").clicked() && !is_snr {
            options.threshold = Threshold::Snr(3.0);
        }
        if ui.radio(!is_snr, "values").clicked() && is_snr {
            options.threshold = Threshold::Range {
                low: 10.0,
                high: 1e6,
            };
        }
    });
    match &mut options.threshold {
        Threshold::Snr(least) => {
            let tip = "Paints pixels that stand so many sigmas above their surroundings";
            slider(
                ui,
                "above",
                "Least local SNR",
                least,
                0.5..=100.0,
                " sigma",
                tip,
            );
        }
        Threshold::Range { low, high } => {
            ui.horizontal(|ui| {
                ui.add(egui::DragValue::new(low))
                    .on_hover_text("Lowest value that is painted");
                ui.label(theme::small("to"));
                ui.add(egui::DragValue::new(high))
                    .on_hover_text("Highest value that is painted");
            });
        }
    }
}

fn operations(ui: &mut Ui, options: &mut ToolOptions) {
    ui.horizontal_wrapped(|ui| {
        for operation in Operation::ALL {
            let is_chosen = options.operation == operation;
            let button = ui.add(egui::Button::new(operation.name()).selected(is_chosen));
            if button
                .on_hover_text(keys::tip(ui, Action::Operation(operation)))
                .clicked()
            {
                options.operation = operation;
            }
        }
    });
}

fn protection(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        ui.label(theme::small("protect"))
            .on_hover_text(keys::tip(ui, Action::Protect));
        let classes = [
            Class::Peak,
            Class::Artifact,
            Class::Ignore,
            Class::Background,
        ];
        for class in classes {
            let is_on = session.protect.contains(class);
            let text = if class == Class::Background {
                "none"
            } else {
                class.name()
            };
            let button = ui.add(egui::Button::new(theme::small(text)).selected(is_on));
            button.widget_info(|| {
                egui::WidgetInfo::labeled(
                    egui::Role::Button,
                    true,
                    format!("Protect {}", class.name()),
                )
            });
            if button
                .on_hover_text(keys::tip(ui, Action::ProtectClass(class)))
                .clicked()
            {
                commands.push(Command::SetProtect(session.protect.toggled(class)));
            }
        }
    });
}

/// One line that is always there, so that nothing below it moves.
fn under(ui: &mut Ui, session: &Session) {
    let text = match session.look.under {
        None => "no label under the pointer".to_owned(),
        Some(under) => match under.measured {
            // On the screen the first pixel's centre is 0.
            Some(peak) => format!(
                "{}, {} px, SNR {:.1} at {:.1}, {:.1}",
                under.class.name(),
                peak.pixels,
                peak.snr,
                peak.x - 0.5,
                peak.y - 0.5
            ),
            None => format!("{}, large", under.class.name()),
        },
    };
    ui.add(egui::Label::new(theme::small(text)).truncate());
}
