//! The question that labels from elsewhere raise: what their codes mean, which peaks, what a mask becomes.

use egui::Ui;

use super::{text, theme};
use crate::domain::incoming::{CodeMap, ImportChoices, OnConflict, Question, Reflections};
use crate::domain::labels::Class;
use crate::session::Session;
use crate::session::command::Command;
use crate::session::import::ImportAsked;

/// What the curator has answered so far.
#[derive(Debug)]
pub struct ImportQuestion {
    asked: Option<ImportAsked>,
    codes: Vec<(u8, Class)>,
    reflections: Reflections,
    i_over_sigma: f32,
    mask_as: Class,
    replaces: bool,
    is_reviewed: bool,
}

impl Default for ImportQuestion {
    fn default() -> Self {
        Self {
            asked: None,
            codes: Vec::new(),
            reflections: Reflections::Found,
            i_over_sigma: ImportChoices::default().i_over_sigma,
            mask_as: Class::Artifact,
            replaces: false,
            is_reviewed: false,
        }
    }
}

/// The lab's own labeller writes 2 for "do not predict" and 3 for a bad pixel.
const fn likely(code: u8) -> Class {
    match code {
        0 => Class::Background,
        1 => Class::Peak,
        _ => Class::Ignore,
    }
}

impl ImportQuestion {
    pub fn show(&mut self, ctx: &egui::Context, session: &Session, commands: &mut Vec<Command>) {
        let Some(asked) = &session.import_asked else {
            self.asked = None;
            return;
        };
        if self.asked.as_ref() != Some(asked) {
            *self = Self {
                asked: Some(asked.clone()),
                ..Self::default()
            };
            if let Question::Codes(codes) = &asked.question {
                self.codes = codes.iter().map(|code| (*code, likely(*code))).collect();
            }
        }
        let modal = egui::Modal::new(egui::Id::unique("import")).show(ctx, |ui| {
            ui.set_width(430.0);
            let name = text::file_name(&asked.labels);
            ui.label(theme::title(&format!("Import labels from {name}")));
            ui.add_space(4.0);
            match &asked.question {
                Question::Codes(_) => self.ask_codes(ui),
                Question::Reflections => self.ask_reflections(ui),
                Question::Mask => self.ask_mask(ui, session.rows.len()),
            }
            ui.add_space(6.0);
            ui.checkbox(&mut self.replaces, "Replace what a person painted or confirmed")
                .on_hover_text(
                    "Otherwise these pixels stay as they are. Either way they are counted, and each frame is one step to undo.",
                );
            ui.checkbox(&mut self.is_reviewed, "Confirm the frames: a person made these labels");
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                let is_entered = ui.input(|input| input.key_pressed(egui::Key::Enter));
                let go = ui.button("Import").clicked() || is_entered;
                (go, ui.button("Cancel").clicked())
            })
            .inner
        });
        let (go, is_cancelled) = modal.inner;
        if go {
            commands.push(Command::Import {
                labels: asked.labels.clone(),
                choices: Box::new(self.choices(asked)),
            });
        } else if is_cancelled || modal.should_close() {
            commands.push(Command::CloseImport);
        }
    }

    fn choices(&self, asked: &ImportAsked) -> ImportChoices {
        let mut choices = ImportChoices {
            on_conflict: if self.replaces {
                OnConflict::Replace
            } else {
                OnConflict::Keep
            },
            reviewed: self.is_reviewed,
            ..asked.choices.clone()
        };
        match asked.question {
            Question::Codes(_) => {
                let mut map = CodeMap::none();
                for (code, class) in &self.codes {
                    map.set(*code, *class);
                }
                choices.codes = Some(map);
            }
            Question::Reflections => {
                choices.reflections = Some(self.reflections);
                choices.i_over_sigma = self.i_over_sigma;
            }
            Question::Mask => choices.mask_as = Some(self.mask_as),
        }
        choices
    }

    fn ask_codes(&mut self, ui: &mut Ui) {
        ui.label(theme::small(
            "What do its codes mean? In the lab's labeller 2 is \"do not predict\" and 3 a bad pixel.",
        ));
        ui.add_space(4.0);
        egui::Grid::new("codes").num_columns(5).show(ui, |ui| {
            for (code, class) in &mut self.codes {
                ui.label(code.to_string());
                for one in Class::ALL {
                    let choice = ui.selectable_value(class, one, one.name());
                    let (name, is_on) = (format!("code {code} is {}", one.name()), *class == one);
                    choice.widget_info(|| {
                        egui::WidgetInfo::selected(egui::Role::RadioButton, true, is_on, &name)
                    });
                }
                ui.end_row();
            }
        });
    }

    fn ask_reflections(&mut self, ui: &mut Ui) {
        ui.label(theme::small(
            "Which peaks are grown to pixels? Only those that stand out of their surroundings become labels.",
        ));
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            for (which, name) in [
                (Reflections::Found, "found by the peak search"),
                (Reflections::Predicted, "predicted"),
                (Reflections::Both, "both"),
            ] {
                ui.selectable_value(&mut self.reflections, which, name);
            }
        });
        if self.reflections != Reflections::Found {
            ui.horizontal(|ui| {
                ui.label("I/sigma above");
                let drag = egui::DragValue::new(&mut self.i_over_sigma)
                    .range(0.0..=100.0)
                    .speed(0.1);
                let response = ui.add(drag);
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::SpinButton, true, "I over sigma")
                });
            });
        }
    }

    fn ask_mask(&mut self, ui: &mut Ui, frames: usize) {
        ui.label(theme::small(format!(
            "What do its masked pixels become in all {} frames? Labelled peaks stay peaks where the mask is artifact.",
            text::thousands(frames as f64)
        )));
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            for class in [Class::Artifact, Class::Ignore] {
                ui.selectable_value(&mut self.mask_as, class, class.name());
            }
        });
    }
}
