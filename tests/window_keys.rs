//! The user's own keys in the real window with its real threads: bound by role and label, kept, and there again.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on shall say where, and writes what a user would"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::{Key, Modifiers, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use peaknet_studio::app::{self, Window, World};
use peaknet_studio::session::Session;
use peaknet_studio::session::tool::Tool;
use peaknet_studio::workers::{Options, Workers};

/// Set in the run of this test that has a configuration folder of its own.
const INNER: &str = "PEAKNET_TEST_KEYS";

/// A start of the program; `None` (with a message) without an adapter.
fn start(size: [f32; 2]) -> Option<Harness<'static, Window>> {
    let started = app::screenshot::harness(size, true, |state| {
        let workers = Workers::start(Options::default(), || {})?;
        Ok(Window::new(Session::new(), World::of(workers), Some(state)))
    });
    match started {
        Ok(mut harness) => {
            // The keys are read by a thread of their own.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(600) {
                harness.run_steps(1);
                std::thread::sleep(Duration::from_millis(20));
            }
            Some(harness)
        }
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

fn press(harness: &mut Harness<'_, Window>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(3);
}

fn click(harness: &mut Harness<'_, Window>, label: &str) {
    harness.get_by_role_and_label(Role::Button, label).click();
    harness.run_steps(3);
}

fn tool_after(harness: &mut Harness<'_, Window>, key: Key) -> Tool {
    press(harness, Modifiers::NONE, key);
    harness.state().session.tool
}

fn save(harness: &mut Harness<'_, Window>, name: &str) {
    // For eyes, not for a comparison.
    if let Some(folder) = std::env::var_os("PEAKNET_PICTURES").map(PathBuf::from) {
        let image = harness.render().expect("rendered");
        image.save(folder.join(name)).expect("saved");
    }
}

fn kept(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("keys.toml")).unwrap_or_default()
}

#[test]
fn a_key_is_bound_anew_acts_and_acts_again_after_a_restart() {
    if std::env::var_os(INNER).is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let test = std::env::current_exe().expect("this test");
        let ended = std::process::Command::new(test)
            .args(["--exact", "--nocapture"])
            .arg("a_key_is_bound_anew_acts_and_acts_again_after_a_restart")
            .env(INNER, "1")
            .env("PEAKNET_CONFIG", folder.path())
            .status()
            .expect("started");
        assert!(ended.success());
        return;
    }
    let folder = PathBuf::from(std::env::var_os("PEAKNET_CONFIG").expect("a folder"));
    let Some(mut harness) = start([1600.0, 1000.0]) else {
        return;
    };
    assert_eq!(tool_after(&mut harness, Key::Num2), Tool::Eraser);
    press(&mut harness, Modifiers::NONE, Key::Questionmark);
    save(&mut harness, "keys.png");
    click(&mut harness, "Change...");
    click(&mut harness, "Brush: 1");
    save(&mut harness, "keys_listening.png");
    // What is not to be had is said, and the next key is waited for.
    press(&mut harness, Modifiers::COMMAND, Key::P);
    harness.get_by_label_contains("Ctrl+P always finds a command");
    press(&mut harness, Modifiers::NONE, Key::J);
    harness.get_by_label("J is the key of \"Rectangle\".");
    save(&mut harness, "keys_taken.png");
    click(&mut harness, "Take it over");
    harness.get_by_role_and_label(Role::Button, "Brush: J");
    harness.get_by_role_and_label(Role::Button, "Rectangle: none");
    // Nothing else acts while keys are changed, and Escape leaves first the key, then the sheet.
    assert_eq!(tool_after(&mut harness, Key::Num3), Tool::Eraser);
    click(&mut harness, "Lasso: 8");
    press(&mut harness, Modifiers::NONE, Key::Escape);
    harness.get_by_role_and_label(Role::Button, "Lasso: 8");
    press(&mut harness, Modifiers::NONE, Key::Escape);
    assert!(harness.query_by_label("Lasso: 8").is_none());
    assert_eq!(tool_after(&mut harness, Key::Num1), Tool::Eraser, "no more");
    assert_eq!(tool_after(&mut harness, Key::J), Tool::Brush);
    harness.key_down(Key::V);
    harness.run_steps(2);
    assert!(harness.state().session.layers.hidden, "held");
    harness.key_up(Key::V);
    harness.run_steps(2);
    assert!(!harness.state().session.layers.hidden);

    // The palette is there whatever the keys are, and leads back to them.
    press(&mut harness, Modifiers::COMMAND, Key::P);
    harness.event(egui::Event::Text("change keys".to_owned()));
    harness.run_steps(3);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    click(&mut harness, "napari");
    save(&mut harness, "keys_napari.png");
    press(&mut harness, Modifiers::NONE, Key::Escape);
    assert_eq!(tool_after(&mut harness, Key::E), Tool::Eraser);
    assert_eq!(tool_after(&mut harness, Key::J), Tool::Brush);
    drop(harness);
    let text = kept(&folder);
    assert!(text.contains("\npreset = \"napari\"\n") && text.contains("\nbrush = \"J\"\n"));

    // By hand, with a slip: it is said, stays where it is, and the rest holds.
    let number = text.lines().count() + 1;
    let text = format!("{text}brsh = \"K\" # a slip\nlasso = [\"K\"]\n");
    std::fs::write(folder.join("keys.toml"), &text).expect("written");
    let mut harness = start([1280.0, 720.0]).expect("as before");
    let notices = &harness.state().session.notices;
    let said = notices.iter().map(|notice| notice.text.as_str());
    let said: Vec<&str> = said.filter(|text| text.contains("keys")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with(&format!("Line {number} of the keys")) && said[0].contains("brsh"));
    assert_eq!(kept(&folder), text);
    assert_eq!(tool_after(&mut harness, Key::K), Tool::Lasso);
    assert_eq!(tool_after(&mut harness, Key::J), Tool::Brush);
    assert_eq!(tool_after(&mut harness, Key::E), Tool::Eraser);
    press(&mut harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::K);
    save(&mut harness, "keys_small.png");
    click(&mut harness, "Brush: J");
    click(&mut harness, "Reset");
    harness.get_by_role_and_label(Role::Button, "Brush: 2");
    press(&mut harness, Modifiers::NONE, Key::Escape);
    assert_eq!(tool_after(&mut harness, Key::J), Tool::Rectangle);
    drop(harness);
    assert_eq!(kept(&folder), text.replace("brush = \"J\"\n", ""));
}
