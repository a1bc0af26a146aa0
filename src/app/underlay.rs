//! What is drawn in the frame's place, in the inspector; and when a blinking changes.

use std::time::{Duration, Instant};

use egui::Ui;

use super::keys::{self, Action};
use super::{Window, text, theme};
use crate::domain::stack::Combine;
use crate::session::Session;
use crate::session::beneath::{Beneath, REACHES};
use crate::session::command::Command;

/// How long each picture of a blinking stays.
const BLINK: Duration = Duration::from_millis(450);

/// The choice of picture: the frame, neighbours added up, the powder.
pub fn show(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    let underlay = &session.underlay;
    let count = 2 * underlay.reach + 1;
    let name = |beneath: Beneath| match beneath {
        Beneath::Own | Beneath::Neighbour(_) => "the frame".to_owned(),
        Beneath::Stack(combine) => format!("{} of {count} frames", combine.name()),
        Beneath::Powder => "powder of the run".to_owned(),
    };
    ui.horizontal(|ui| {
        ui.label("picture");
        let choice = egui::ComboBox::from_id_salt("picture").selected_text(name(underlay.wanted));
        let response = choice.show_ui(ui, |ui| {
            let all = [
                Beneath::Own,
                Beneath::Stack(Combine::Maximum),
                Beneath::Stack(Combine::Mean),
                Beneath::Powder,
            ];
            for beneath in all {
                let is_on = underlay.wanted == beneath;
                if ui.selectable_label(is_on, name(beneath)).clicked() {
                    commands.push(Command::SetBeneath(beneath));
                }
            }
        });
        response
            .response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Picture"));
        if matches!(underlay.wanted, Beneath::Stack(_)) {
            let mut reach = underlay.reach;
            let field = egui::DragValue::new(&mut reach).range(REACHES).prefix("± ");
            let response = ui.add(field);
            if response.on_hover_text("Frames before and after").changed() {
                commands.push(Command::SetReach(reach));
            }
        }
    });
    if let Some((done, total)) = underlay.powder_progress {
        ui.horizontal(|ui| {
            ui.label(theme::small(format!(
                "powder: {} of {}",
                text::thousands(done as f64),
                text::count(total as f64, "frame")
            )));
            if ui.button("Stop").clicked() {
                commands.push(Command::StopPowder);
            }
        });
    } else if underlay.wanted == Beneath::Powder {
        ui.horizontal(|ui| {
            ui.label(theme::small("again, of the listed frames:"));
            for combine in Combine::ALL {
                let button = ui.button(combine.name());
                if button
                    .on_hover_text(keys::tip(ui, Action::Powder))
                    .clicked()
                {
                    commands.push(Command::MakePowder(combine));
                }
            }
        });
    }
}

impl Window {
    /// Asks for the next picture of a blinking in its time.
    pub(super) fn blink(&mut self, ctx: &egui::Context) {
        if !self.session.underlay.is_blinking {
            self.blinked = None;
            return;
        }
        let since = self.blinked.map(|at| at.elapsed());
        if since.is_none_or(|since| since >= BLINK) && !self.session.underlay.is_waiting() {
            self.blinked = Some(Instant::now());
            self.commands.push(Command::BlinkOn);
        }
        ctx.request_repaint_after(
            BLINK.saturating_sub(since.unwrap_or_default()) + Duration::from_millis(4),
        );
    }
}
