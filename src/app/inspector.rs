//! The right panel: tone, layers, label; below them the net's part; only what belongs to the current tool and frame.

use egui::{Align, Layout, Ui, vec2};
use egui_material_icons::icons::{ICON_LOCK, ICON_LOCK_OPEN, ICON_VISIBILITY, ICON_VISIBILITY_OFF};

use super::keys::{self, Action};
use super::{net_panel, plots, text, theme};
use crate::domain::labels::{Class, Review};
use crate::domain::listed::Listed;
use crate::domain::tone::{ColorMap, Curve};
use crate::session::Session;
use crate::session::command::{Accept, Command};

pub fn show(
    ui: &mut Ui,
    session: &Session,
    histogram: &mut plots::Histogram,
    pointed_edit: &mut Option<usize>,
    commands: &mut Vec<Command>,
) {
    *pointed_edit = None;
    egui::ScrollArea::vertical()
        .auto_shrink(false)
        .show(ui, |ui| {
            egui::Frame::new()
                .inner_margin(egui::Margin::symmetric(10, 6))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    tone(ui, session, histogram, commands);
                    gap(ui);
                    layers(ui, session, commands);
                    super::underlay::show(ui, session, commands);
                    gap(ui);
                    label(ui, session, pointed_edit, commands);
                    gap(ui);
                    super::differences::panel(ui, session, commands);
                    gap(ui);
                    net_panel::show(ui, session, commands);
                });
        });
}

fn gap(ui: &mut Ui) {
    ui.add_space(3.0);
    ui.separator();
    ui.add_space(1.0);
}

/// A small frameless button that is an icon.
fn icon_button(
    ui: &mut Ui,
    symbol: egui_material_icons::MaterialIcon,
    name: &str,
    is_strong: bool,
) -> bool {
    let text = symbol.rich_text().size(16.0);
    let text = if is_strong { text } else { text.weak() };
    let response = ui.add(
        egui::Button::new(text)
            .frame_when_inactive(false)
            .min_size(vec2(22.0, 20.0)),
    );
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
    response.on_hover_text(name).clicked()
}

fn tone(
    ui: &mut Ui,
    session: &Session,
    histogram: &mut plots::Histogram,
    commands: &mut Vec<Command>,
) {
    ui.horizontal(|ui| {
        ui.label(theme::title("Tone"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (symbol, name) = if session.tone_locked {
                (ICON_LOCK, "The tone is kept for the next run")
            } else {
                (ICON_LOCK_OPEN, "Keep the tone for the next run")
            };
            let name = keys::with_key(ui, name, Action::LockTone);
            if icon_button(ui, symbol, &name, session.tone_locked) {
                commands.push(Command::SetToneLocked(!session.tone_locked));
            }
            if ui
                .button("Auto")
                .on_hover_text(keys::tip(ui, Action::AutoTone))
                .clicked()
            {
                commands.push(Command::AutoTone);
            }
        });
    });
    histogram.show(ui, session, commands);
    let mut tone = session.tone;
    let speed = f64::from((tone.high - tone.low).abs().max(1e-6)) / 200.0;
    let decimals = (3.0 - (tone.high - tone.low).abs().max(1e-6).log10()).clamp(0.0, 8.0) as usize;
    ui.horizontal(|ui| {
        let (mut low, mut high) = (tone.low, tone.high);
        let width = (ui.available_width() - 29.0) / 2.0;
        let response = ui.add_sized(
            [width, theme::ROW],
            egui::DragValue::new(&mut low)
                .speed(speed)
                .max_decimals(decimals),
        );
        let low_changed = response.changed();
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::SpinButton, true, "Lowest value")
        });
        ui.label(theme::small("to"));
        let response = ui.add_sized(
            [width, theme::ROW],
            egui::DragValue::new(&mut high)
                .speed(speed)
                .max_decimals(decimals),
        );
        let high_changed = response.changed();
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::SpinButton, true, "Highest value")
        });
        if low_changed || high_changed {
            tone.set_range(low, high);
        }
    });
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 6.0) / 2.0;
        let curve = egui::ComboBox::from_id_salt("curve")
            .selected_text(tone.curve.name())
            .width(width);
        let response = curve.show_ui(ui, |ui| {
            for curve in Curve::ALL {
                ui.selectable_value(&mut tone.curve, curve, curve.name());
            }
        });
        response
            .response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Curve"));
        let map = egui::ComboBox::from_id_salt("map")
            .selected_text(tone.map.name())
            .width(width);
        let response = map.show_ui(ui, |ui| {
            for map in ColorMap::ALL {
                ui.selectable_value(&mut tone.map, map, map.name());
            }
        });
        response
            .response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Colour map"));
    });
    if tone != session.tone {
        commands.push(Command::SetTone(tone));
    }
}

fn layers(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let mut layers = session.layers.clone();
    ui.horizontal(|ui| {
        ui.label(theme::title("Layers"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = if layers.filled { "filled" } else { "outlined" };
            if ui
                .button(text)
                .on_hover_text(keys::tip(ui, Action::Fill))
                .clicked()
            {
                layers.filled = !layers.filled;
            }
        });
    });
    let peaks = session
        .shown_prediction()
        .map(|predicted| predicted.peaks.len());
    let count = peaks.map_or_else(String::new, |count| text::thousands(count as f64));
    let classes = [theme::PEAK, theme::ARTIFACT];
    layer(
        ui,
        "labels",
        &classes,
        &mut layers.labels,
        Some(&mut layers.labels_opacity),
        "",
    );
    layer(
        ui,
        "net",
        &classes,
        &mut layers.prediction,
        Some(&mut layers.prediction_opacity),
        "",
    );
    layer(
        ui,
        "found peaks",
        &[theme::FOUND],
        &mut layers.peaks,
        None,
        &count,
    );
    let shown = session.shown.as_ref();
    if let Some(listed) = shown.and_then(|shown| shown.loaded.listed.as_ref()) {
        let note = listed_note(listed);
        layer(
            ui,
            "listed peaks",
            &[theme::LISTED, theme::RING],
            &mut layers.listed,
            None,
            &note,
        );
    }
    layer(ui, "bad pixels", &[theme::BAD], &mut layers.bad, None, "");
    layer(ui, "rings", &[theme::RING], &mut layers.rings, None, "");
    layer(
        ui,
        "resolution",
        &[theme::GUIDE],
        &mut layers.guides,
        None,
        "",
    );
    if layers != session.layers {
        commands.push(Command::SetLayers(layers));
    }
}

/// How many peaks another program found, how many reflections it predicted.
fn listed_note(listed: &Listed) -> String {
    let found = text::thousands(listed.found.len() as f64);
    match listed.is_indexed {
        None => found,
        Some(false) => format!("{found}, not indexed"),
        Some(true) => format!(
            "{found} / {}",
            text::thousands(listed.predicted.len() as f64)
        ),
    }
}

fn layer(
    ui: &mut Ui,
    name: &str,
    colors: &[egui::Color32],
    is_on: &mut bool,
    opacity: Option<&mut f32>,
    note: &str,
) {
    ui.horizontal(|ui| {
        let symbol = if *is_on {
            ICON_VISIBILITY
        } else {
            ICON_VISIBILITY_OFF
        };
        if icon_button(ui, symbol, &format!("Show {name}"), *is_on) {
            *is_on = !*is_on;
        }
        let (rect, _) = ui.allocate_exact_size(vec2(10.0, 9.0), egui::Sense::hover());
        let width = rect.width() / colors.len().max(1) as f32;
        for (index, color) in colors.iter().enumerate() {
            let left = rect.left() + index as f32 * width;
            let part = egui::Rect::from_x_y_ranges(left..=left + width, rect.y_range());
            // The net's outlines are dashed on the canvas.
            if name == "net" {
                ui.painter().rect_stroke(
                    part.shrink(1.0),
                    0,
                    egui::Stroke::new(1.2, *color),
                    egui::StrokeKind::Middle,
                );
            } else {
                ui.painter().rect_filled(part, 1, *color);
            }
        }
        ui.label(if *is_on {
            egui::RichText::new(name)
        } else {
            egui::RichText::new(name).weak()
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(opacity) = opacity {
                let slider = egui::Slider::new(opacity, 0.0..=1.0).show_value(false);
                let response = ui.add_enabled(*is_on, slider);
                let label = format!("Opacity of {name}");
                response
                    .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, &label));
            } else if !note.is_empty() {
                ui.label(egui::RichText::new(note).weak());
            }
        });
    });
}

fn label(
    ui: &mut Ui,
    session: &Session,
    pointed_edit: &mut Option<usize>,
    commands: &mut Vec<Command>,
) {
    ui.horizontal(|ui| {
        ui.label(theme::title("Label"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(theme::small(session.tool.name()));
        });
    });
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 18.0) / 4.0;
        for (class, key) in [
            (Class::Peak, "Q"),
            (Class::Artifact, "W"),
            (Class::Ignore, "E"),
            (Class::Background, "X swaps with it"),
        ] {
            class_button(ui, session, class, key, width, commands);
        }
    });
    super::tool_options::show(ui, session, commands);
    let Some(shown) = &session.shown else { return };
    if let Some(reason) = &shown.read_only {
        ui.label(theme::small(reason.clone()));
        return;
    }
    ui.horizontal(|ui| {
        let is_possible = super::menu::is_possible(session, Action::AcceptAll);
        ui.add_enabled_ui(is_possible, |ui| {
            let accept = ui.button("Accept prediction");
            if accept
                .on_hover_text(keys::with_key(
                    ui,
                    "Labels become the prediction, except where you painted",
                    Action::AcceptAll,
                ))
                .clicked()
            {
                commands.push(Command::Accept(Accept::All));
            }
            if ui
                .button("peaks")
                .on_hover_text("Accept the predicted peaks only")
                .clicked()
            {
                commands.push(Command::Accept(Accept::OneClass(Class::Peak)));
            }
            if ui
                .button("artifact")
                .on_hover_text("Accept the predicted artifact only")
                .clicked()
            {
                commands.push(Command::Accept(Accept::OneClass(Class::Artifact)));
            }
        });
    });
    review(ui, session, commands);
    super::history::show(ui, session, pointed_edit, commands);
}

fn class_button(
    ui: &mut Ui,
    session: &Session,
    class: Class,
    key: &str,
    width: f32,
    commands: &mut Vec<Command>,
) {
    let is_current = session.class.current == class;
    let text = egui::RichText::new(if class == Class::Background {
        "none"
    } else {
        class.name()
    });
    let button = egui::Button::new(text)
        .selected(is_current)
        .min_size(vec2(width, 24.0));
    let response = ui.add(button);
    let mark = egui::Rect::from_min_size(
        response.rect.left_bottom() + vec2(4.0, -4.0),
        vec2(response.rect.width() - 8.0, 2.5),
    );
    ui.painter().rect_filled(mark, 1, theme::class_color(class));
    if response
        .on_hover_text(format!("Paint {} ({key})", class.name()))
        .clicked()
    {
        commands.push(Command::SetClass(class));
    }
}

fn review(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let state = session
        .rows
        .get(session.selected)
        .map(|row| row.review)
        .unwrap_or_default();
    ui.horizontal(|ui| {
        ui.add_enabled_ui(session.can_paint(), |ui| {
            let confirm = ui.button("Confirm and go on");
            if confirm
                .on_hover_text(keys::with_key(
                    ui,
                    "You vouch for every pixel of this frame",
                    Action::Confirm,
                ))
                .clicked()
            {
                commands.push(Command::Confirm);
            }
            let is_flagged = state == Review::Flagged;
            let flag = ui.add(egui::Button::new("Flag").selected(is_flagged));
            if flag
                .on_hover_text(keys::with_key(
                    ui,
                    "Put aside with a question",
                    Action::Flag,
                ))
                .clicked()
            {
                commands.push(Command::Flag);
            }
        });
        ui.label(theme::small(state.name()));
    });
}
