//! The window without a run: where to drop, what was open lately, the demo.

use std::path::PathBuf;

use egui::{Ui, vec2};
use egui_material_icons::icons::ICON_FOLDER_OPEN;

use super::keys::{self, Action};
use super::theme;
use crate::session::Session;
use crate::session::command::{Command, RunRequest};
use crate::session::job::PathWanted;

pub fn show(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let rect = ui.available_rect_before_wrap();
    ui.painter()
        .rect_filled(rect, 0, ui.visuals().extreme_bg_color);
    let is_hovering = ui.input(|input| !input.raw.hovered_files.is_empty());
    let column = egui::Rect::from_center_size(
        rect.center(),
        vec2(440.0_f32.min(rect.width() - 24.0), 400.0),
    );
    ui.scope_builder(egui::UiBuilder::new().max_rect(column), |ui| {
        drop_area(ui, session, is_hovering, commands);
        ui.add_space(16.0);
        ui.horizontal(|ui| {
            if ui
                .button("Open the demo")
                .on_hover_text("Simulates a small labelled run and predicts it")
                .clicked()
            {
                commands.push(Command::OpenDemo);
            }
            ui.label(theme::small(
                "a small simulated run with rings, jets and crystals to try everything on",
            ));
        });
        ui.add_space(16.0);
        if session.recent.is_empty() {
            ui.label(theme::small("Runs that you open are listed here."));
        } else {
            ui.label(theme::title("Recent runs"));
            for (path, project) in session.recent.iter().take(8) {
                let folder = path
                    .parent()
                    .map_or_else(String::new, |parent| parent.display().to_string());
                ui.horizontal(|ui| {
                    if ui
                        .link(super::text::file_name(path))
                        .on_hover_text(path.display().to_string())
                        .clicked()
                    {
                        commands.push(Command::Open(Box::new(RunRequest {
                            paths: vec![path.clone()],
                            project: project.clone(),
                            ..RunRequest::default()
                        })));
                    }
                    if let Some(project) = project {
                        ui.label(theme::small(super::text::file_name(project)));
                    }
                    ui.add(egui::Label::new(theme::small(folder)).truncate());
                });
            }
        }
    });
}

fn drop_area(ui: &mut Ui, session: &Session, is_hovering: bool, commands: &mut Vec<Command>) {
    let visuals = ui.visuals();
    let color = if is_hovering {
        visuals.selection.bg_fill
    } else {
        visuals.widgets.noninteractive.bg_stroke.color
    };
    let frame = egui::Frame::new()
        .fill(visuals.panel_fill)
        .stroke(egui::Stroke::new(1.5, color))
        .corner_radius(8)
        .inner_margin(26);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.vertical_centered(|ui| {
            ui.label(ICON_FOLDER_OPEN.rich_text().size(34.0).weak());
            ui.add_space(4.0);
            let is_opening = session.opening.is_some();
            ui.heading(if is_opening {
                "Opening..."
            } else {
                "Drop a run here"
            });
            ui.label(theme::small(
                "HDF5, NeXus, CXI, CBF, TIFF, or a folder of single frames",
            ));
            ui.add_space(8.0);
            ui.add_enabled_ui(!is_opening, |ui| {
                let open = ui.button("Open a run...");
                if open.on_hover_text(keys::tip(ui, Action::Open)).clicked() {
                    commands.push(Command::OpenDialog);
                }
                ui.add_space(4.0);
                let by_path = egui::Button::new(theme::small("or type its path")).frame(false);
                let by_path = ui.add(by_path);
                if by_path
                    .on_hover_text(keys::tip(ui, Action::OpenPath))
                    .clicked()
                {
                    commands.push(Command::TypePath);
                }
            });
        });
    });
}

/// The question for a path: where the desktop has no file dialog, and for those who like to type.
pub fn path_prompt(
    ctx: &egui::Context,
    typed: &mut String,
    session: &Session,
    commands: &mut Vec<Command>,
) {
    let Some(prompt) = &session.path_prompt else {
        typed.clear();
        return;
    };
    let modal = egui::Modal::new(egui::Id::unique("path")).show(ctx, |ui| {
        ui.set_width(560.0);
        let (title, hint) = match prompt.wanted {
            PathWanted::Open => (
                "Open by path",
                "/data/run_12.cxi, a folder, /data/*.cbf, events.lst, work.peaknet, or a .geom for the open run",
            ),
            PathWanted::Import => (
                "Import labels for this run",
                "/data/set.h5, labels.npy, a folder of PNG, indexed.stream, found.cxi, mask.edf",
            ),
            PathWanted::Export => (
                "Export the confirmed frames to",
                "/data/set.h5 (a training set), labels.cxi, labels.npy, labels.png (a folder)",
            ),
        };
        ui.label(theme::title(title));
        if let Some(why) = prompt.why {
            ui.label(theme::small(why));
        }
        ui.add_space(4.0);
        let field = egui::TextEdit::singleline(typed)
            .hint_text(hint)
            .desired_width(f32::INFINITY);
        let response = ui.add(field);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, title));
        response.request_focus();
        let is_entered = ui.input(|input| input.key_pressed(egui::Key::Enter));
        is_entered.then(|| at_home(typed.trim()))
    });
    match modal.inner {
        Some(path) if !path.as_os_str().is_empty() => {
            commands.push(match prompt.wanted {
                PathWanted::Open => Command::Open(Box::new(RunRequest {
                    paths: vec![path],
                    ..RunRequest::default()
                })),
                PathWanted::Import => Command::Import {
                    labels: path,
                    choices: Box::default(),
                },
                PathWanted::Export => Command::Export(path),
            });
            commands.push(Command::ClosePathPrompt);
        }
        _ if modal.should_close() => commands.push(Command::ClosePathPrompt),
        _ => {}
    }
}

/// A typed path, `~/` meaning the user's home as in a shell.
fn at_home(typed: &str) -> PathBuf {
    match (typed.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(typed),
    }
}
