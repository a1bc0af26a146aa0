//! The bottom lines: what is under the pointer, what the mouse does, what the user should know.

use egui::{Align, Layout, Ui};
use egui_material_icons::icons::{ICON_CHECK_CIRCLE, ICON_CLOSE, ICON_ERROR, ICON_INFO};

use super::canvas::number;
use super::keys::{self, Action};
use super::{text, theme};
use crate::domain::frame::bad;
use crate::domain::labels::Class;
use crate::domain::queue::Order;
use crate::session::command::Command;
use crate::session::look::HIT_PEAKS;
use crate::session::triage::Verdict;
use crate::session::{Cure, NoticeKind, Session};

/// The status bar; positions read with the first pixel's centre = 0.
pub fn bar(ui: &mut Ui, session: &Session, pointer: Option<(f32, f32)>) {
    ui.set_height(theme::ROW);
    ui.horizontal_centered(|ui| {
        let width = ui.available_width();
        ui.allocate_ui_with_layout(
            egui::vec2((width * 0.5).min(560.0), theme::ROW),
            Layout::left_to_right(Align::Center),
            |ui| {
                // As wide with the pointer away: nothing beside it moves.
                ui.set_min_width((width * 0.5).min(560.0));
                readout(ui, session, pointer);
            },
        );
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            quiet(ui, saved(session));
            if let Some(predicted) = session.shown_prediction() {
                ui.separator();
                quiet(ui, format!("net {}", text::duration(predicted.net_ms)));
            } else if session.predicting > 0 {
                ui.separator();
                quiet(ui, "predicting...".to_owned());
            }
            if let Some(shown) = &session.shown {
                ui.separator();
                quiet(ui, format!("read {}", text::duration(shown.loaded.read_ms)));
            }
            if let Some(count) = session.look.count {
                ui.separator();
                let hit = if count.peaks >= HIT_PEAKS {
                    "hit"
                } else {
                    "no hit"
                };
                let peaks = text::thousands(count.peaks as f64);
                quiet(ui, format!("{peaks} labelled peaks, {hit}"));
            }
            ui.separator();
            let importing = session.importing.map(|importing| match importing.of {
                0 => "importing labels...".to_owned(),
                of => format!("importing labels, frame {} of {of}...", importing.done),
            });
            let now = hint(ui, session);
            let stepping = stepping(ui, session);
            let key = |action| keys::key_of(ui, action);
            let playing = format!(
                "playing the listed frames; {} or painting stops",
                key(Action::Play)
            );
            let blinking = format!(
                "blinking with the neighbours; {} or a press stops",
                key(Action::Blink)
            );
            let hint = if session.run.is_none() {
                "open a run or drop one on the window"
            } else if let Some(importing) = &importing {
                importing
            } else if let Some(reason) = session
                .shown
                .as_ref()
                .and_then(|shown| shown.read_only.as_deref())
            {
                reason
            } else if session.playback.is_on {
                playing.as_str()
            } else if session.underlay.is_blinking {
                blinking.as_str()
            } else if let Some(stepping) = &stepping {
                stepping
            } else {
                now.as_str()
            };
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(egui::RichText::new(hint).weak()).truncate());
            });
        });
    });
}

/// What the mouse does, with the keys in force.
fn hint(ui: &Ui, session: &Session) -> String {
    let size = [Action::BrushSmaller, Action::BrushLarger].map(|action| keys::key_of(ui, action));
    session.hint().replace("{size}", &size.join(" "))
}

/// What the keys do while one component after another is looked at.
fn stepping(ui: &Ui, session: &Session) -> Option<String> {
    let key = |action| keys::key_of(ui, action);
    if session.triage.current.is_some() {
        let (accepts, rejects) = if session.triage.queue.order == Order::Conflict {
            ("takes theirs", "keeps mine")
        } else {
            ("accepts", "rejects")
        };
        return Some(format!(
            "triage: {} {accepts}, {} {rejects}, {} makes artifact, {} skips, {} takes back",
            key(Action::Decide(Verdict::Accept)),
            key(Action::Decide(Verdict::Reject)),
            key(Action::Decide(Verdict::Artifact)),
            key(Action::Decide(Verdict::Skip)),
            key(Action::TakeBack),
        ));
    }
    session.differences.is_on.then(|| {
        format!(
            "the keys {} and {} step through the differences; {}",
            key(Action::PreviousDifference),
            key(Action::NextDifference),
            hint(ui, session)
        )
    })
}

fn quiet(ui: &mut Ui, text: String) {
    ui.add(egui::Label::new(egui::RichText::new(text).weak()).selectable(false));
}

fn saved(session: &Session) -> String {
    if session.run.is_none() {
        "no run".to_owned()
    } else if session.read_only.is_some() {
        "read-only".to_owned()
    } else if session.store_failed {
        "not saved".to_owned()
    } else if session.unsaved > 0 {
        "saving...".to_owned()
    } else {
        "saved".to_owned()
    }
}

fn readout(ui: &mut Ui, session: &Session, pointer: Option<(f32, f32)>) {
    let (Some(shown), Some((x, y))) = (&session.shown, pointer) else {
        return;
    };
    let Some(frame) = session.drawn_frame() else {
        return;
    };
    if x < 0.0 || y < 0.0 {
        return;
    }
    let (column, row) = (x as usize, y as usize);
    let (Some(&value), Some(&bits)) = (frame.pixels.get(column, row), frame.bad.get(column, row))
    else {
        return;
    };
    let fact = |ui: &mut Ui, name: &str, value: String, width: f32| {
        quiet(ui, name.to_owned());
        let size = egui::vec2(width, theme::ROW);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(width);
            ui.add(egui::Label::new(value).selectable(false).extend());
        });
    };
    fact(ui, "x", column.to_string(), 38.0);
    fact(ui, "y", row.to_string(), 38.0);
    let is_bad = bits & bad::NOT_VALID != 0;
    fact(
        ui,
        "value",
        if is_bad {
            format!("({})", number(value))
        } else {
            number(value)
        },
        64.0,
    );
    let geometry = session.run.as_ref().map(|open| &open.info.geometry);
    if let Some(d) = geometry.and_then(|g| g.d_angstrom(f64::from(x), f64::from(y))) {
        fact(ui, "d", format!("{d:.2} Å"), 62.0);
    }
    let name = |code: Option<&u8>| {
        code.and_then(|code| Class::from_code(*code))
            .map_or("", Class::name)
    };
    let label = name(shown.sheet.get(column, row));
    if is_bad {
        fact(ui, "bad", bad_reasons(bits), 90.0);
        return;
    }
    fact(ui, "class", label.to_owned(), 70.0);
    if let Some(predicted) = session.shown_prediction() {
        let class = name(predicted.classes.get(column, row));
        let part = |grid: &crate::domain::grid::Grid<u8>| {
            f32::from(grid.get(column, row).copied().unwrap_or(0)) / 255.0
        };
        let (peak, artifact) = (part(&predicted.peak), part(&predicted.artifact));
        let sure = match class {
            "peak" => peak,
            "artifact" => artifact,
            _ => 1.0 - peak - artifact,
        };
        fact(ui, "net", format!("{class} {:.2}", sure.max(0.0)), 100.0);
    }
}

/// The names of the bad bits, as the CXI mask calls them.
fn bad_reasons(bits: u16) -> String {
    let names = [
        (bad::INVALID, "invalid"),
        (bad::HOT, "hot"),
        (bad::DEAD, "dead"),
        (bad::SHADOWED, "shadowed"),
        (bad::UNTRUSTED, "untrusted"),
        (bad::MISSING, "missing"),
        (bad::NOISY, "noisy"),
    ];
    let set = names
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name);
    let text = set.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        format!("mask {bits:#x}")
    } else {
        text
    }
}

/// One line each; it stays until dismissed, with the cure where there is one.
pub fn notices(ui: &mut Ui, session: &Session, commands: &mut Vec<Command>) {
    const LINES: usize = 3;
    let hidden = session.notices.len().saturating_sub(LINES);
    for (index, notice) in session.notices.iter().enumerate().skip(hidden) {
        ui.horizontal(|ui| {
            let (icon, color) = match notice.kind {
                NoticeKind::Problem | NoticeKind::OfUser | NoticeKind::Refused => {
                    (ICON_ERROR, theme::PEAK)
                }
                NoticeKind::OfRun => (ICON_INFO, theme::ARTIFACT),
                NoticeKind::Done => (ICON_CHECK_CIRCLE, theme::RING),
            };
            ui.label(icon.rich_text().size(15.0).color(color));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let close =
                    egui::Button::new(ICON_CLOSE.rich_text().size(15.0)).frame_when_inactive(false);
                let response = ui.add(close);
                response
                    .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Dismiss"));
                if response.on_hover_text("Dismiss").clicked() {
                    commands.push(Command::DismissNotice(index));
                }
                let cure = notice.cure.map(|cure| match cure {
                    Cure::RetryStore => ("Try again", Command::RetryStore),
                    Cure::RecoverProject => ("Recover", Command::RecoverProject),
                    Cure::OpenAnother => ("Open another...", Command::OpenDialog),
                });
                if let Some((text, command)) = cure
                    && ui.button(text).clicked()
                {
                    commands.push(command);
                }
                if hidden > 0 && index == hidden {
                    quiet(ui, format!("and {hidden} earlier"));
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.add(egui::Label::new(&notice.text).truncate())
                        .on_hover_text(&notice.text);
                });
            });
        });
    }
}
