//! The calibrant panel: rings expected and found, and the radial profile with and without the auto-mask.

use egui_plot::{Legend, Line, Plot, PlotPoints, VLine};

use super::theme;
use crate::domain::calibrant::Calibrant;
use crate::session::Session;
use crate::session::command::Command;

pub fn show(
    ctx: &egui::Context,
    is_open: &mut bool,
    session: &Session,
    commands: &mut Vec<Command>,
) {
    egui::Window::new("Calibrant rings")
        .open(is_open)
        .default_width(430.0)
        .collapsible(false)
        .default_pos(egui::pos2(300.0, 90.0))
        .show(ctx, |ui| {
            let mut chosen = session.calibrant;
            ui.horizontal(|ui| {
                ui.selectable_value(&mut chosen, None, "none");
                for calibrant in Calibrant::ALL {
                    ui.selectable_value(&mut chosen, Some(calibrant), calibrant.name());
                }
            });
            if chosen != session.calibrant {
                commands.push(Command::SetCalibrant(chosen));
            }
            if !session.places_rings() {
                ui.label(theme::small(
                    "Rings need wavelength, distance, beam centre and pixel size: from the file, a .geom or .poni, or options.",
                ));
                return;
            }
            content(ui, session);
        });
}

fn content(ui: &mut egui::Ui, session: &Session) {
    let current = session.shown.as_ref().map(|shown| shown.key);
    let Some((_, calibration)) = session
        .calibration
        .as_ref()
        .filter(|(key, _)| Some(*key) == current)
    else {
        ui.label(theme::small(if session.calibrant.is_some() {
            "Measuring the rings..."
        } else {
            "Choose a calibrant."
        }));
        return;
    };
    // Small angles are thousands of times brighter than wide ones: decades.
    let profile = |points: &[[f64; 2]]| -> PlotPoints<'static> {
        let positive = points.iter().filter(|point| point[1] > 0.0);
        positive.map(|point| [point[0], point[1].log10()]).collect()
    };
    let all = profile(&calibration.profile);
    let without = profile(&calibration.profile_without_artifact);
    Plot::new("radial profile")
        .height(170.0)
        .legend(Legend::default())
        .allow_scroll(false)
        .grid_color(ui.visuals().widgets.noninteractive.bg_stroke.color)
        .x_axis_label("radius, px")
        .y_axis_label("log10 mean")
        .show(ui, |plot| {
            for ring in &calibration.rings {
                let line = VLine::new("", ring.expected_radius_px)
                    .color(theme::RING)
                    .width(0.8);
                plot.vline(line.allow_hover(false));
            }
            plot.line(Line::new("all valid pixels", all).color(theme::IGNORE));
            plot.line(Line::new("without artifact", without).color(theme::PEAK));
        });
    egui::ScrollArea::vertical()
        .max_height(220.0)
        .show(ui, |ui| {
            egui::Grid::new("rings")
                .num_columns(6)
                .striped(true)
                .spacing([14.0, 3.0])
                .show(ui, |ui| {
                    for title in [
                        "order",
                        "d, Å",
                        "expected, px",
                        "found, px",
                        "visible",
                        "artifact",
                    ] {
                        ui.label(theme::small(title));
                    }
                    ui.end_row();
                    for ring in &calibration.rings {
                        let share = |part: f64| format!("{:.0} %", part * 100.0);
                        ui.label(ring.order.to_string());
                        ui.label(format!("{:.2}", ring.d_angstrom));
                        ui.label(format!("{:.1}", ring.expected_radius_px));
                        ui.label(
                            ring.found_radius_px
                                .map_or_else(|| "-".to_owned(), |px| format!("{px:.1}")),
                        );
                        ui.label(share(ring.visible_fraction));
                        ui.label(ring.artifact_fraction.map_or_else(|| "-".to_owned(), share));
                        ui.end_row();
                    }
                });
        });
}
