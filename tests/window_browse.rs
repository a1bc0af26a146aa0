//! The frame table of the real window: sort, filter, note, mark, play and look beneath, by mouse and keys.

mod memory;

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use memory::{crystal, settle, window};
use peaknet_studio::app::Window;
use peaknet_studio::domain::columns::Column;
use peaknet_studio::domain::stack::Combine;
use peaknet_studio::session::arrangement::Arrangement;
use peaknet_studio::session::beneath::Beneath;
use peaknet_studio::session::job::{Job, Report};

fn press(harness: &mut Harness<'_, Window>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    settle(harness, 4);
}

fn type_into(harness: &mut Harness<'_, Window>, name: &str, text: &str) {
    harness.get_by_role_and_label(Role::TextInput, name).click();
    harness.run_steps(2);
    press(harness, Modifiers::COMMAND, Key::A);
    harness
        .get_by_role_and_label(Role::TextInput, name)
        .type_text(text);
    harness.run_steps(2);
    press(harness, Modifiers::NONE, Key::Enter);
}

#[test]
fn a_curator_sorts_filters_notes_and_plays() {
    let frames = (0..6).map(|number| crystal(number, 120, 100)).collect();
    let Some((mut harness, memory)) = window([1300.0, 800.0], true, frames, true) else {
        return;
    };
    let is_known = |harness: &Harness<'_, Window>| {
        let rows = &harness.state().session.rows;
        (rows.iter().filter(|row| row.peaks.is_some()).count()) == 5
    };
    settle(&mut harness, 20);
    assert!(is_known(&harness), "the frame and four ahead are predicted");
    harness.get_by_label("Sort by peaks").click();
    settle(&mut harness, 4);
    let session = &harness.state().session;
    assert_eq!(session.table.column, Column::Peaks);
    let peaks = session
        .table
        .listed()
        .iter()
        .map(|n| session.rows[*n as usize].peaks);
    let peaks: Vec<_> = peaks.collect();
    assert!(peaks.is_sorted_by(|a, b| a >= b), "{peaks:?}");

    type_into(&mut harness, "Tags", "ice, weak");
    type_into(&mut harness, "Comment", "look again");
    press(&mut harness, Modifiers::COMMAND, Key::M);
    let session = &harness.state().session;
    let note = session.rows.note(0).expect("noted");
    assert!(note.is_marked && note.tags == ["ice", "weak"] && note.comment == "look again");
    let stored = memory.borrow().stored.last().cloned();
    assert!(matches!(stored, Some(Job::StoreNote(_, kept)) if kept == *note));

    type_into(&mut harness, "Filter", "tag ~ ice and mark");
    assert_eq!(harness.state().session.table.listed(), [0]);
    type_into(&mut harness, "Filter", "tag ~");
    let session = &harness.state().session;
    assert_eq!(session.table.listed(), [0], "the old filter stays");
    assert!(session.table.error.is_some());
    let left = harness.state().canvas.rect.left();
    harness.run_steps(10);
    assert_eq!(
        harness.state().canvas.rect.left(),
        left,
        "no panel grows by itself"
    );
    let control_shift = Modifiers {
        shift: true,
        ..Modifiers::COMMAND
    };
    press(&mut harness, control_shift, Key::F);
    assert_eq!(harness.state().session.table.listed().len(), 6);

    harness.get_by_label("Sort by frame").click();
    settle(&mut harness, 4);
    press(&mut harness, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(harness.state().session.selected, 1);
    press(&mut harness, Modifiers::SHIFT, Key::M);
    assert_eq!(harness.state().session.selected, 0, "the marked frame");

    harness.get_by_role_and_label(Role::Button, "Play").click();
    harness.run_steps(3);
    let begun = std::time::Instant::now();
    while harness.state().session.selected < 2 {
        assert!(
            begun.elapsed().as_secs() < 20,
            "the playback does not go on"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
        harness.run_steps(1);
    }
    let at = harness
        .state()
        .canvas
        .ui_from_frame(30.5, 30.5)
        .expect("on it");
    harness.hover_at(at);
    harness.drag_at(at);
    harness.step();
    assert!(!harness.state().session.playback.is_on, "painting stops it");
    harness.drop_at(at);
    settle(&mut harness, 4);

    press(&mut harness, Modifiers::NONE, Key::U);
    let session = &harness.state().session;
    assert_eq!(session.underlay.wanted, Beneath::Stack(Combine::Maximum));
    let own = &session.shown.as_ref().expect("a frame").loaded.frame;
    let drawn = session.drawn_frame().expect("a picture");
    assert!(!std::sync::Arc::ptr_eq(own, drawn));
    for (x, y) in (0..100)
        .map(|i| (i, i))
        .filter(|(x, y)| own.is_valid(*x, *y))
    {
        assert!(drawn.pixels.get(x, y) >= own.pixels.get(x, y), "{x} {y}");
    }
    press(&mut harness, Modifiers::NONE, Key::U);
    press(&mut harness, Modifiers::COMMAND, Key::H);
    harness
        .get_by_role_and_label(Role::ComboBox, "Vertical axis")
        .click();
    settle(&mut harness, 3);
    harness.get_by_label("doubt").click();
    settle(&mut harness, 3);
    press(&mut harness, Modifiers::COMMAND, Key::B);
    let session = &harness.state().session;
    assert!(
        !session.thumbnails.wanted.is_empty(),
        "those on screen are asked for"
    );
    if let Ok(out) = std::env::var("PEAKNET_PICTURE") {
        harness.run_steps(4);
        let image = harness.render().expect("rendered");
        image.save(out).expect("saved");
    }
}

/// What was left at the last start is taken over; what is changed now, and only that, is kept.
#[test]
fn the_window_comes_back_as_it_was_left() {
    let frames = (0..3).map(|number| crystal(number, 120, 100)).collect();
    let Some((mut harness, memory)) = window([1300.0, 800.0], true, frames, false) else {
        return;
    };
    let kept = |memory: &memory::Shared| {
        let memory = memory.borrow();
        let arrangements = memory.stored.iter().filter_map(|job| match job {
            Job::StoreArrangement(new) => Some((**new).clone()),
            _ => None,
        });
        arrangements.collect::<Vec<_>>()
    };
    let left = Arrangement {
        table_width: Some(400.0),
        columns: Some(vec![Column::Frame, Column::Comment]),
        sort: Some((Column::Frame, true)),
        ..Arrangement::default()
    };
    let report = Report::Arranged(Box::new(left.clone()));
    harness.state_mut().is_users_own = true;
    harness.state_mut().session.absorb(report);
    settle(&mut harness, 4);
    assert_eq!(harness.state().session.table.listed(), [2, 1, 0]);
    assert!(harness.query_by_label("Sort by peaks").is_none());
    let left_of_canvas = harness.state().canvas.rect.left();
    assert!((left_of_canvas - 438.0).abs() < 30.0, "{left_of_canvas}");
    assert_eq!(kept(&memory), []);

    harness.get_by_label("Sort by frame").click();
    settle(&mut harness, 4);
    let now = Arrangement { sort: None, ..left };
    assert_eq!(kept(&memory), [now]);
    // The edge of the table is dragged 60 points to the left.
    let edge = egui::pos2(400.0, 300.0);
    harness.drag_at(edge);
    harness.run_steps(2);
    harness.hover_at(edge - egui::vec2(60.0, 0.0));
    harness.run_steps(2);
    harness.drop_at(edge - egui::vec2(60.0, 0.0));
    settle(&mut harness, 4);
    let width = kept(&memory).last().and_then(|new| new.table_width);
    assert!(
        width.is_some_and(|width| (width - 340.0).abs() < 8.0),
        "{width:?}"
    );
}
