//! Triage and the difference view in the real window, by keys and mouse, with pictures.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on shall say where"
)]

mod memory;

use std::path::PathBuf;
use std::time::Instant;

use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use image::RgbaImage;
use memory::{crystal, settle, window};
use peaknet_studio::app::Window;
use peaknet_studio::domain::difference::Kind;
use peaknet_studio::domain::finders::{Finder, Peakfinder8};
use peaknet_studio::domain::labels::Class;
use peaknet_studio::session::command::Command;
use peaknet_studio::session::job::Job;
use peaknet_studio::session::second::Against;

fn press(harness: &mut Harness<'_, Window>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    settle(harness, 2);
}

fn save(image: &RgbaImage, name: &str) {
    // For eyes, not for a comparison.
    if let Some(folder) = std::env::var_os("PEAKNET_PICTURES").map(PathBuf::from) {
        image.save(folder.join(name)).expect("saved");
    }
}

#[test]
fn a_curator_decides_components_with_one_key_each() {
    let frames = (0..4).map(|number| crystal(number, 240, 200)).collect();
    let Some((mut harness, memory)) = window([1400.0, 900.0], true, frames, true) else {
        return;
    };
    press(&mut harness, Modifiers::NONE, Key::O);
    settle(&mut harness, 4);
    let waiting = harness.state().session.triage.queue.len();
    assert!(waiting > 40, "{waiting} candidates");
    let current = |harness: &Harness<'_, Window>| {
        let session = &harness.state().session;
        session.triage.current.clone().expect("a candidate")
    };
    let first = current(&harness);
    let canvas = &harness.state().canvas;
    let at = canvas
        .ui_from_frame(first.at.x as f32 + 0.5, first.at.y as f32 + 0.5)
        .expect("on the canvas");
    assert!((at - canvas.rect.center()).length() < 120.0, "centred");
    assert!(canvas.zoom >= 3.0);
    let image = harness.render().expect("rendered");
    save(&image, "triage.png");

    let mut spent = Vec::new();
    let keys = [
        (Key::A, Class::Peak),
        (Key::D, Class::Background),
        (Key::F, Class::Artifact),
    ];
    for round in 0..12 {
        let candidate = current(&harness);
        let (key, class) = keys[round % keys.len()];
        let begun = Instant::now();
        press(&mut harness, Modifiers::NONE, key);
        spent.push(begun.elapsed().as_secs_f64() * 1e3);
        let stored = memory.borrow().stored.len();
        assert_eq!(stored, round + 1, "one decision, one transaction");
        let last = memory.borrow().stored.last().cloned();
        let Some(Job::StoreEdit { key, edit, .. }) = last else {
            panic!("not an edit");
        };
        assert_eq!(key.number, candidate.frame);
        let offset = (candidate.at.y - edit.rect.y0) * edit.rect.width();
        let place = offset + candidate.at.x - edit.rect.x0;
        assert_eq!(edit.after.get(place), Some(class.code()));
        assert_ne!(current(&harness).rect, candidate.rect);
    }
    spent.sort_by(f64::total_cmp);
    eprintln!(
        "a decision takes {:.0} ms, at most {:.0} ms",
        spent[6], spent[11]
    );
    assert!(spent[11] < 1000.0, "{spent:?}");

    let before = current(&harness);
    press(&mut harness, Modifiers::NONE, Key::S);
    assert_ne!(current(&harness).rect, before.rect);
    press(&mut harness, Modifiers::NONE, Key::Backspace);
    assert_eq!(current(&harness).rect, before.rect);
    press(&mut harness, Modifiers::NONE, Key::Backspace);
    settle(&mut harness, 4);
    let session = &harness.state().session;
    assert_eq!(session.triage.decisions(), 11);
    assert!(matches!(
        memory.borrow().stored.last(),
        Some(Job::StoreUndo(_))
    ));
    // The strip shows what comes next; a click takes one of them first.
    let next = session.triage.queue.iter().nth(2).cloned().expect("more");
    let name = format!(
        "Candidate on frame {} at {}, {}",
        next.frame + 1,
        next.at.x,
        next.at.y
    );
    harness.get_by_label(&name).click();
    settle(&mut harness, 4);
    assert_eq!(current(&harness).rect, next.rect);
    // Closed, A and D page again.
    press(&mut harness, Modifiers::NONE, Key::O);
    press(&mut harness, Modifiers::NONE, Key::Home);
    press(&mut harness, Modifiers::NONE, Key::D);
    assert_eq!(harness.state().session.selected, 1);
}

#[test]
fn differences_are_drawn_in_their_own_colours_and_stepped_through() {
    let frames = (0..2).map(|number| crystal(number, 240, 200)).collect();
    let Some((mut harness, _)) = window([1400.0, 900.0], true, frames, true) else {
        return;
    };
    let finder = Against::Finder(Finder::Peakfinder8(Peakfinder8::USUAL));
    let session = &mut harness.state_mut().session;
    session.apply(Command::SetAgainst(finder));
    settle(&mut harness, 2);
    press(&mut harness, Modifiers::NONE, Key::H);
    settle(&mut harness, 4);
    let comparison = harness.state().session.comparison().cloned();
    let comparison = comparison.expect("compared");
    assert!(comparison.agreed > 0 && comparison.missed > 0 && comparison.added > 0);
    for (count, name) in [
        (comparison.agreed, "agreed"),
        (comparison.missed, "missed"),
        (comparison.added, "added"),
    ] {
        harness.get_by_label(&format!("{count} {name}"));
    }
    let image = harness.render().expect("rendered");
    save(&image, "differences.png");
    for key in [Key::Period, Key::Period, Key::Comma] {
        press(&mut harness, Modifiers::NONE, key);
        let state = harness.state();
        let mark = state.session.difference().cloned().expect("stepped to");
        let at = state.canvas.ui_from_frame(mark.x, mark.y);
        let away = at.expect("on the canvas") - state.canvas.rect.center();
        assert!(away.length() < 2.0, "centred, not {away:?} away");
        let reach = (mark.radius + 1.5) * state.canvas.zoom + 70.0;
        let middle = state.canvas.rect.center();
        let image = harness.render().expect("rendered");
        let near = |color: &dyn Fn(u8, u8, u8) -> bool| {
            let reach = reach as i32;
            let pixels = (-reach..reach).flat_map(|y| (-reach..reach).map(move |x| (x, y)));
            pixels
                .filter_map(|(x, y)| {
                    let (x, y) = (middle.x as i32 + x, middle.y as i32 + y);
                    image.get_pixel_checked(x as u32, y as u32)
                })
                .filter(|p| color(p.0[0], p.0[1], p.0[2]))
                .count()
        };
        match mark.kind {
            Kind::Missed => {
                let magenta = near(&|r, g, b| r > 180 && g < 60 && b > 150);
                assert!(magenta > 40, "{magenta} magenta pixels");
            }
            Kind::Added => {
                let orange = near(&|r, g, b| r > 220 && (110..170).contains(&g) && b < 40);
                assert!(orange > 30, "{orange} orange pixels");
            }
            Kind::Agreed => panic!("no difference"),
        }
        save(&image, &format!("difference_{key:?}.png"));
    }
}
