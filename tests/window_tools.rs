//! Every tool in the real window, chosen by its button or its key: what its gesture paints, and that one undo takes it back.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on shall say where"
)]

mod memory;
mod two_panels;

use egui::{CursorIcon, Key, Modifiers, PointerButton, Pos2, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use memory::{Shared, crystal, settle, window, window_on};
use peaknet_studio::app::Window;
use peaknet_studio::domain::frame::Frame;
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::domain::labels::{Class, Sheet};
use peaknet_studio::session::job::Job;

const PEAK: u8 = 1;
const ARTIFACT: u8 = 2;

/// A flat frame with noise and three spots.
fn frame() -> Frame {
    let pixels = Grid::from_fn(SIDE, SIDE, |x, y| {
        let noise = ((x * 31 + y * 17) % 7) as f32 - 3.0;
        let spot = |(sx, sy): (usize, usize)| {
            let square = x.abs_diff(sx).pow(2) + y.abs_diff(sy).pow(2);
            300.0 * (-(square as f32) / 2.5).exp()
        };
        20.0 + noise + spot((20, 12)) + spot((44, 20)) + spot((30, 50))
    });
    Frame::new(0, pixels, Grid::filled(SIDE, SIDE, 0)).expect("one shape")
}

/// A gesture over raw pixels.
enum Mouse {
    Drag(&'static [(usize, usize)]),
    RightDrag(&'static [(usize, usize)]),
    Clicks(&'static [(usize, usize)]),
}
use Mouse::{Clicks, Drag, RightDrag};
use two_panels::{SIDE, two_panels};

struct Case {
    button: &'static str,
    key: Key,
    /// Pressed after the tool is chosen.
    first: &'static [(Modifiers, Key)],
    mouse: Mouse,
    /// Ends the gesture.
    last: Option<Key>,
    cursor: CursorIcon,
    /// What cells are afterwards.
    becomes: &'static [((usize, usize), u8)],
}

/// On a sheet with one peak from (5, 20) to (15, 26).
const BLOCK: [(usize, usize); 2] = [(5, 20), (15, 26)];

const fn case(
    button: &'static str,
    key: Key,
    mouse: Mouse,
    cursor: CursorIcon,
    becomes: &'static [((usize, usize), u8)],
) -> Case {
    Case {
        button,
        key,
        first: &[(Modifiers::NONE, Key::Q)],
        mouse,
        last: None,
        cursor,
        becomes,
    }
}

const CASES: &[Case] = &[
    case(
        "Brush",
        Key::Num1,
        Drag(&[(8, 8), (16, 8)]),
        CursorIcon::None,
        &[((12, 8), PEAK), ((12, 14), 0)],
    ),
    case(
        "Brush",
        Key::Num1,
        RightDrag(&[(7, 23), (13, 23)]),
        CursorIcon::None,
        &[((10, 23), 0), ((6, 20), PEAK)],
    ),
    case(
        "Eraser",
        Key::Num2,
        Drag(&[(7, 23), (13, 23)]),
        CursorIcon::None,
        &[((10, 23), 0), ((6, 20), PEAK)],
    ),
    case(
        "Threshold brush",
        Key::Num9,
        Drag(&[(14, 12), (27, 12)]),
        CursorIcon::None,
        &[((20, 12), PEAK), ((15, 12), 0), ((26, 12), 0)],
    ),
    // On the second panel, which is turned in space.
    case(
        "Line",
        Key::K,
        Drag(&[(10, 40), (14, 44), (20, 40)]),
        CursorIcon::None,
        &[((15, 40), PEAK), ((14, 46), 0)],
    ),
    case(
        "Rectangle",
        Key::J,
        Drag(&[(40, 4), (50, 10)]),
        CursorIcon::Crosshair,
        &[((40, 4), PEAK), ((45, 7), PEAK), ((52, 7), 0)],
    ),
    case(
        "Lasso",
        Key::Num8,
        Drag(&[(40, 4), (50, 4), (50, 10), (40, 10)]),
        CursorIcon::Crosshair,
        &[((45, 7), PEAK), ((45, 13), 0)],
    ),
    Case {
        last: Some(Key::Enter),
        ..case(
            "Polygon",
            Key::Num3,
            Clicks(&[(40, 36), (54, 36), (54, 48)]),
            CursorIcon::Crosshair,
            &[((51, 39), PEAK), ((42, 46), 0)],
        )
    },
    case(
        "Ring sector",
        Key::Num7,
        Clicks(&[(40, 10)]),
        CursorIcon::Crosshair,
        &[((40, 10), PEAK), ((30, 30), 0)],
    ),
    Case {
        first: &[(Modifiers::NONE, Key::W)],
        ..case(
            "Fill",
            Key::Num4,
            Clicks(&[(10, 23)]),
            CursorIcon::Crosshair,
            &[((6, 21), ARTIFACT), ((14, 25), ARTIFACT), ((20, 23), 0)],
        )
    },
    case(
        "Grow a peak",
        Key::Num6,
        Clicks(&[(44, 20)]),
        CursorIcon::Crosshair,
        &[((44, 20), PEAK), ((44, 21), PEAK), ((50, 20), 0)],
    ),
    Case {
        first: &[(Modifiers::COMMAND, Key::Num2)],
        ..case(
            "Components",
            Key::Num0,
            Clicks(&[(10, 23)]),
            CursorIcon::PointingHand,
            &[((6, 21), 0), ((14, 25), 0)],
        )
    },
];

fn press(harness: &mut Harness<'_, Window>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    settle(harness, 2);
}

fn place(harness: &Harness<'_, Window>, (x, y): (usize, usize)) -> Pos2 {
    let canvas = &harness.state().canvas;
    let place = canvas.ui_from_frame(x as f32 + 0.5, y as f32 + 0.5);
    place.expect("on a panel")
}

fn button(harness: &mut Harness<'_, Window>, pos: Pos2, button: PointerButton, pressed: bool) {
    harness.event(egui::Event::PointerButton {
        pos,
        button,
        pressed,
        modifiers: Modifiers::NONE,
    });
    harness.step();
}

/// Moves the mouse as a hand would, and says which shape its pointer had.
fn gesture(harness: &mut Harness<'_, Window>, mouse: &Mouse) -> CursorIcon {
    let (path, which) = match mouse {
        Drag(path) | Clicks(path) => (*path, PointerButton::Primary),
        RightDrag(path) => (*path, PointerButton::Secondary),
    };
    let path: Vec<Pos2> = path.iter().map(|&at| place(harness, at)).collect();
    harness.hover_at(path[0]);
    harness.run_steps(2);
    let cursor = harness.output().platform_output.cursor_icon;
    for (index, &at) in path.iter().enumerate() {
        let is_click = matches!(mouse, Clicks(_));
        harness.hover_at(at);
        harness.step();
        if is_click || index == 0 {
            button(harness, at, which, true);
        }
        if is_click || index + 1 == path.len() {
            button(harness, at, which, false);
        }
    }
    settle(harness, 2);
    cursor
}

fn sheet(harness: &Harness<'_, Window>) -> Sheet {
    let shown = harness.state().session.shown.as_ref();
    (*shown.expect("a frame").sheet).clone()
}

/// The window on an empty sheet with one block of class peak.
fn opened(is_assembled: bool) -> Option<(Harness<'static, Window>, Shared)> {
    let (mut harness, memory) =
        window_on([1200.0, 900.0], true, vec![frame()], false, two_panels())?;
    if !is_assembled {
        press(&mut harness, Modifiers::NONE, Key::M);
    }
    assert_eq!(harness.state().session.is_assembled, is_assembled);
    press(&mut harness, Modifiers::NONE, Key::J);
    gesture(&mut harness, &Drag(&BLOCK));
    Some((harness, memory))
}

#[test]
fn each_tool_does_its_gesture_and_one_undo_takes_it_back() {
    for is_assembled in [false, true] {
        let Some((mut harness, memory)) = opened(is_assembled) else {
            return;
        };
        let before = sheet(&harness);
        assert_eq!(before.get(10, 23), Some(&PEAK));
        for case in CASES {
            let what = format!("{}, assembled: {is_assembled}", case.button);
            // By its key in one view, by its button in the other.
            if is_assembled {
                press(&mut harness, Modifiers::NONE, case.key);
            } else {
                let key = case.key.name();
                let label = format!("{} ({key})", case.button);
                harness.get_by_role_and_label(Role::Button, &label).click();
                settle(&mut harness, 2);
            }
            for &(modifiers, key) in case.first {
                press(&mut harness, modifiers, key);
            }
            let stored = memory.borrow().stored.len();
            let cursor = gesture(&mut harness, &case.mouse);
            assert_eq!(cursor, case.cursor, "{what}");
            if let Some(key) = case.last {
                press(&mut harness, Modifiers::NONE, key);
            }
            let after = sheet(&harness);
            for &((x, y), class) in case.becomes {
                assert_eq!(after.get(x, y), Some(&class), "{what}: cell {x}, {y}");
            }
            assert_eq!(
                memory.borrow().stored.len(),
                stored + 1,
                "{what}: one gesture, one transaction"
            );
            press(&mut harness, Modifiers::COMMAND, Key::Z);
            assert!(sheet(&harness) == before, "{what}: undone");
            assert!(matches!(
                memory.borrow().stored.last(),
                Some(Job::StoreUndo(_))
            ));
        }
    }
}

#[test]
fn the_picker_takes_a_class_and_space_pans_in_every_tool() {
    let Some((mut harness, memory)) = opened(true) else {
        return;
    };
    let before = sheet(&harness);
    let stored = memory.borrow().stored.len();
    press(&mut harness, Modifiers::NONE, Key::W);
    harness
        .get_by_role_and_label(Role::Button, "Pick a class (5)")
        .click();
    settle(&mut harness, 2);
    let cursor = gesture(&mut harness, &Clicks(&[(10, 23)]));
    assert_eq!(cursor, CursorIcon::Cell);
    assert_eq!(harness.state().session.class.current, Class::Peak);
    for key in [Key::Num1, Key::Num3, Key::Num4, Key::Num6, Key::Num0] {
        press(&mut harness, Modifiers::NONE, key);
        let from = place(&harness, (30, 10));
        harness.hover_at(from);
        harness.key_down(Key::Space);
        harness.run_steps(2);
        let icon = |harness: &Harness<'_, Window>| harness.output().platform_output.cursor_icon;
        assert_eq!(icon(&harness), CursorIcon::Grab);
        button(&mut harness, from, PointerButton::Primary, true);
        harness.hover_at(from + egui::vec2(10.0, 5.0));
        harness.run_steps(2);
        assert_eq!(icon(&harness), CursorIcon::Grabbing);
        let to = from + egui::vec2(10.0, 5.0);
        button(&mut harness, to, PointerButton::Primary, false);
        harness.key_up(Key::Space);
        harness.run_steps(2);
        let moved = place(&harness, (30, 10)) - from;
        assert!((moved - egui::vec2(10.0, 5.0)).length() < 0.5, "{moved:?}");
    }
    assert!(sheet(&harness) == before);
    assert_eq!(memory.borrow().stored.len(), stored, "nothing was painted");
}

#[test]
fn the_pointer_says_that_it_sizes_the_brush_or_may_not_paint() {
    let frames = vec![crystal(0, 200, 160)];
    let Some((mut harness, memory)) = window([1000.0, 700.0], false, frames, false) else {
        return;
    };
    let at = place(&harness, (80, 60));
    let icon_with = |harness: &mut Harness<'_, Window>, modifiers: Modifiers| {
        harness.hover_at(at);
        harness.event(egui::Event::ModifiersChanged(modifiers));
        harness.run_steps(2);
        harness.output().platform_output.cursor_icon
    };
    let cursor = icon_with(&mut harness, Modifiers::NONE);
    assert_eq!(cursor, CursorIcon::None, "the circle is the pointer");
    let cursor = icon_with(&mut harness, Modifiers::ALT);
    assert_eq!(cursor, CursorIcon::ResizeHorizontal);
    let shown = harness.state_mut().session.shown.as_mut();
    shown.expect("a frame").read_only = Some("another window has it".to_owned());
    let cursor = icon_with(&mut harness, Modifiers::NONE);
    assert_eq!(cursor, CursorIcon::NotAllowed);
    gesture(&mut harness, &Drag(&[(80, 60), (90, 60)]));
    assert!(memory.borrow().stored.is_empty());
}
