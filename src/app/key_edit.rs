//! Changing keys: one is clicked, the next one pressed takes its place.

use egui::{Align, Event, Layout, Ui};

use super::key_map::{Chord, KeyMap, PRESET, bindable, chord, clipboard, is_modifier};
use super::key_names::name;
use super::key_presets::Preset;
use super::keys::{Action, Entry, TABLE, entry_of, key_text};
use super::theme;
use crate::session::command::Command;
use crate::session::keys::KeyChange;

/// The state of the sheet while keys are changed.
#[derive(Default)]
pub struct Editor {
    listening: Option<Listening>,
}

/// The key that the next one pressed stands in for.
struct Listening {
    action: Action,
    /// Which of the action's keys; the one behind the last = one more.
    slot: usize,
    /// What came of the last one that was pressed.
    answer: Option<Answer>,
}

enum Answer {
    /// It means something else; it can be taken over.
    Taken(Chord, Action),
    /// It cannot be had.
    Refused(String),
}

/// The command that chooses a preset.
pub fn choose(preset: Preset) -> Command {
    let is_default = preset == Preset::default();
    Command::ChangeKeys(vec![KeyChange {
        name: PRESET.to_owned(),
        keys: (!is_default).then(|| vec![preset.name().to_owned()]),
    }])
}

fn text_of(action: Action) -> &'static str {
    entry_of(action).map_or("", |entry| entry.text)
}

impl Editor {
    /// Takes what was pressed since the last picture for the key that is waited for.
    pub fn listen(&mut self, ctx: &egui::Context, map: &KeyMap, commands: &mut Vec<Command>) {
        let Some(listening) = &mut self.listening else {
            return;
        };
        // Enter, Space and Tab shall be heard here, not by a button that has the keyboard.
        ctx.memory_mut(|memory| {
            if let Some(id) = memory.focused() {
                memory.surrender_focus(id);
            }
        });
        let heard = ctx.input_mut(|input| {
            let heard = input.events.iter().find_map(heard);
            let is_typed = |event: &Event| {
                matches!(event, Event::Key { .. } | Event::Text(_)) || heard_clipboard(event)
            };
            input.events.retain(|event| !is_typed(event));
            heard
        });
        let chord = match heard {
            None => return,
            Some(Ok((_, egui::Key::Escape))) => {
                self.listening = None;
                return;
            }
            Some(Ok(chord)) => bindable(listening.action, chord),
            Some(Err(why)) => Err(why),
        };
        let chord = match chord {
            Ok(chord) => chord,
            Err(why) => {
                listening.answer = Some(Answer::Refused(why));
                return;
            }
        };
        let is_of_triage = entry_of(listening.action).is_some_and(|entry| entry.is_of_triage);
        let holder = map.holder(chord, is_of_triage);
        let is_again =
            matches!(&listening.answer, Some(Answer::Taken(before, _)) if *before == chord);
        match holder.filter(|holder| *holder != listening.action) {
            Some(holder) if !is_again => listening.answer = Some(Answer::Taken(chord, holder)),
            _ => self.bind(map, chord, commands),
        }
    }

    /// Gives the action that waits its new key.
    fn bind(&mut self, map: &KeyMap, chord: Chord, commands: &mut Vec<Command>) {
        let Some(listening) = self.listening.take() else {
            return;
        };
        let mut keys = map.keys_of(listening.action).to_vec();
        match keys.get_mut(listening.slot) {
            Some(key) => *key = chord,
            None => keys.push(chord),
        }
        let mut seen = Vec::new();
        keys.retain(|key| {
            !seen.contains(key) && {
                seen.push(*key);
                true
            }
        });
        commands.push(Command::ChangeKeys(map.rebound(listening.action, &keys)));
    }

    /// The keys of a line as buttons.
    pub fn keys(&mut self, ui: &mut Ui, map: &KeyMap, entry: &Entry) {
        let keys = map.keys_of(entry.action);
        let waiting = self.listening.as_ref();
        let waiting = waiting.filter(|listening| listening.action == entry.action);
        let waiting = waiting.map(|listening| listening.slot);
        let slots = keys.len().max(1).max(waiting.map_or(0, |slot| slot + 1));
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 3.0;
            ui.spacing_mut().button_padding = egui::vec2(5.0, 0.0);
            for slot in 0..slots {
                let key = keys.get(slot).map(|key| key_text(*key));
                let is_waiting = waiting == Some(slot);
                let text = match &key {
                    _ if is_waiting => theme::title("press..."),
                    Some(key) => theme::title(key),
                    None => theme::small("none"),
                };
                let button = egui::Button::new(text)
                    .selected(is_waiting)
                    .min_size(egui::vec2(24.0, 17.0));
                let response = ui.add(button);
                let key = key.unwrap_or_else(|| "none".to_owned());
                let label = format!("{}: {key}", entry.text);
                response
                    .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &label));
                if response.clicked() {
                    self.listening = (!is_waiting).then_some(Listening {
                        action: entry.action,
                        slot,
                        answer: None,
                    });
                }
            }
        });
    }

    /// What is waited for, and what else can be done with the key.
    pub fn foot(&mut self, ui: &mut Ui, map: &KeyMap, commands: &mut Vec<Command>) {
        let Some(listening) = &mut self.listening else {
            ui.label(theme::small(
                "Click a key, then press the one that shall take its place. Kept in keys.toml, which can be edited by hand.",
            ));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let own = TABLE.iter().filter(|entry| map.is_own(entry.action));
                let own: Vec<_> = own.map(|entry| given_back(entry.action)).collect();
                let button = egui::Button::new("Reset all");
                let response = ui.add_enabled(!own.is_empty(), button);
                if response
                    .on_hover_text("All keys as in the preset")
                    .clicked()
                {
                    commands.push(Command::ChangeKeys(own));
                }
            });
            return;
        };
        let action = listening.action;
        let keys = map.keys_of(action);
        let key = keys.get(listening.slot).copied();
        let (mut is_over, mut taken) = (false, None);
        match &listening.answer {
            Some(Answer::Taken(chord, holder)) => {
                ui.label(format!(
                    "{} is the key of \"{}\".",
                    key_text(*chord),
                    text_of(*holder)
                ));
                let over = ui.button("Take it over");
                if over.on_hover_text("Or press it once more").clicked() {
                    taken = Some(*chord);
                }
                is_over = ui.button("Leave it").clicked();
            }
            answer => {
                let why = match answer {
                    Some(Answer::Refused(why)) => format!("{why}: press another one"),
                    _ => "press the new key, Esc leaves it".to_owned(),
                };
                ui.label(theme::title(text_of(action)));
                ui.label(why);
                if key.is_some() && ui.button("One more key").clicked() {
                    listening.slot = keys.len();
                    listening.answer = None;
                }
                if let Some(key) = key
                    && ui.button(format!("Remove {}", key_text(key))).clicked()
                {
                    let left: Vec<_> = keys.iter().copied().filter(|other| *other != key).collect();
                    commands.push(Command::ChangeKeys(map.rebound(action, &left)));
                    is_over = true;
                }
                if map.is_own(action) {
                    let response = ui.button("Reset");
                    if response.on_hover_text("As in the preset").clicked() {
                        commands.push(Command::ChangeKeys(vec![given_back(action)]));
                        is_over = true;
                    }
                }
            }
        }
        if let Some(chord) = taken {
            self.bind(map, chord, commands);
        } else if is_over {
            self.listening = None;
        }
    }
}

/// The preset's keys again.
fn given_back(action: Action) -> KeyChange {
    KeyChange {
        name: name(action).to_owned(),
        keys: None,
    }
}

/// The combination of an event, or why it is none.
fn heard(event: &Event) -> Option<Result<Chord, String>> {
    match event {
        Event::Key {
            key,
            pressed: true,
            repeat: false,
            modifiers,
            ..
        } if !is_modifier(*key) => Some(Ok(chord(*modifiers, *key))),
        event if heard_clipboard(event) => Some(Err(clipboard())),
        _ => None,
    }
}

const fn heard_clipboard(event: &Event) -> bool {
    matches!(event, Event::Copy | Event::Cut | Event::Paste(_))
}
