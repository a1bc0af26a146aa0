//! The real window on a software adapter: keys, strokes, pictures. The world behind it is kept in memory.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on shall say where"
)]

mod memory;

use std::path::PathBuf;

use egui::{Key, Modifiers, Pos2, pos2};
use egui_kittest::Harness;
use image::RgbaImage;
use memory::{crystal, settle, window, window_on};
use peaknet_studio::app::Window;
use peaknet_studio::domain::frame::Frame;
use peaknet_studio::domain::geometry::{Geometry, Panel};
use peaknet_studio::domain::grid::{Grid, PixelRect};
use peaknet_studio::domain::labels::{Class, Review};
use peaknet_studio::domain::tone::{ColorMap, Curve, Tone};
use peaknet_studio::session::command::{Command, View};
use peaknet_studio::session::job::{Job, Report, TrainingLine};

fn flat(width: usize, height: usize, value: f32) -> Grid<f32> {
    Grid::filled(width, height, value)
}

fn frame_of(pixels: Grid<f32>) -> Frame {
    let bits = Grid::filled(pixels.width(), pixels.height(), 0);
    Frame::new(0, pixels, bits).expect("same shape")
}

fn press(harness: &mut Harness<'_, Window>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    settle(harness, 4);
}

/// The place of a frame position in the window.
fn place(harness: &Harness<'_, Window>, x: f32, y: f32) -> Pos2 {
    let place = harness.state().canvas.ui_from_frame(x, y);
    place.expect("on a panel")
}

fn pixel(image: &RgbaImage, at: Pos2) -> [u8; 3] {
    let p = image.get_pixel(at.x as u32, at.y as u32).0;
    [p[0], p[1], p[2]]
}

fn stroke(harness: &mut Harness<'_, Window>, from: Pos2, to: Pos2) {
    harness.hover_at(from);
    harness.step();
    harness.drag_at(from);
    harness.step();
    // Two events in one picture: no gap may appear between them.
    harness.event(egui::Event::PointerMoved(from + (to - from) * 0.5));
    harness.event(egui::Event::PointerMoved(to));
    harness.step();
    harness.drop_at(to);
    harness.run_steps(4);
}

fn labelled(harness: &Harness<'_, Window>, class: Class) -> usize {
    let shown = harness.state().session.shown.as_ref().expect("a frame");
    shown
        .sheet
        .cells()
        .iter()
        .filter(|code| **code == class.code())
        .count()
}

#[test]
fn a_curator_pages_paints_undoes_and_confirms() {
    let frames = (0..3).map(|number| crystal(number, 200, 160)).collect();
    let Some((mut harness, memory)) = window([1000.0, 700.0], true, frames, false) else {
        return;
    };
    assert_eq!(harness.state().session.selected, 0);
    press(&mut harness, Modifiers::NONE, Key::D);
    assert_eq!(
        harness
            .state()
            .session
            .shown
            .as_ref()
            .map(|shown| shown.key.number),
        Some(1)
    );
    press(&mut harness, Modifiers::NONE, Key::W);
    let (from, to) = (place(&harness, 20.5, 30.5), place(&harness, 120.5, 90.5));
    stroke(&mut harness, from, to);
    let painted = labelled(&harness, Class::Artifact);
    // A stroke 117 px long and 5 px wide, round ends.
    assert!((500..750).contains(&painted), "{painted} pixels");
    assert_eq!(
        memory.borrow().stored.len(),
        1,
        "one gesture, one transaction"
    );
    let image = harness.render().expect("rendered");
    let edge = (0..40).map(|step| place(&harness, 70.5, 55.0 + step as f32 * 0.3));
    let found = edge
        .map(|at| pixel(&image, at))
        .any(|[r, _, b]| b > 180 && r < 130);
    assert!(found, "the painted outline is sky blue on screen");
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    assert_eq!(labelled(&harness, Class::Artifact), 0);
    press(
        &mut harness,
        Modifiers {
            shift: true,
            ..Modifiers::COMMAND
        },
        Key::Z,
    );
    assert_eq!(labelled(&harness, Class::Artifact), painted);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    let session = &harness.state().session;
    assert_eq!(session.rows[1].review, Review::Confirmed);
    assert_eq!(session.selected, 2);
    assert!(matches!(
        memory.borrow().stored.last(),
        Some(Job::StoreReview(_, Review::Confirmed))
    ));
}

#[test]
fn wheel_zooms_about_the_cursor_and_values_are_written_into_large_pixels() {
    let Some((mut harness, _)) = window([1000.0, 700.0], false, vec![crystal(0, 300, 300)], false)
    else {
        return;
    };
    let at = place(&harness, 150.5, 100.5);
    harness.hover_at(at);
    harness.step();
    for _ in 0..18 {
        harness.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Line,
            delta: egui::vec2(0.0, 1.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        harness.step();
    }
    assert!((place(&harness, 150.5, 100.5) - at).length() < 1.0);
    assert!(harness.state().canvas.zoom > 40.0);
    harness.render().expect("rendered");
}

#[test]
fn the_gpu_tones_like_the_reference() {
    let ramp = Grid::from_fn(128, 128, |x, y| (x + y) as f32 * 3.0 - 20.0);
    let Some((mut harness, _)) = window([900.0, 700.0], true, vec![frame_of(ramp.clone())], false)
    else {
        return;
    };
    for curve in Curve::ALL {
        for map in ColorMap::ALL {
            let tone = Tone {
                curve,
                map,
                low: 10.0,
                high: 600.0,
            };
            harness.state_mut().session.apply(Command::SetTone(tone));
            harness.run_steps(2);
            let image = harness.render().expect("rendered");
            for (x, y) in [
                (0, 0),
                (3, 9),
                (20, 20),
                (64, 64),
                (90, 120),
                (127, 127),
                (127, 3),
            ] {
                let drawn = pixel(&image, place(&harness, x as f32 + 0.5, y as f32 + 0.5));
                let wanted = tone.color(*ramp.get(x, y).expect("inside"));
                let off = drawn.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).max();
                assert!(
                    off <= Some(5),
                    "{curve:?} {map:?} at {x},{y}: {drawn:?}, not {wanted:?}"
                );
            }
        }
    }
}

#[test]
fn a_one_pixel_peak_survives_zooming_out_and_a_hot_pixel_leaves_the_tone_alone() {
    let mut pixels = Grid::from_fn(2000, 2000, |x, y| 10.0 + ((x * 31 + y * 17) % 7) as f32);
    let lone = [(3, 4), (777, 1203), (1999, 1999), (1024, 63), (1500, 0)];
    for (x, y) in lone {
        *pixels.get_mut(x, y).expect("inside") = 400.0;
    }
    *pixels.get_mut(200, 200).expect("inside") = 4.0e9;
    let Some((mut harness, _)) = window([1000.0, 700.0], true, vec![frame_of(pixels)], false)
    else {
        return;
    };
    let tone = harness.state().session.tone;
    assert!(tone.high < 500.0, "one hot pixel ruined the tone: {tone:?}");
    for zoom in [None, Some(0.24), Some(0.11), Some(0.047)] {
        if let Some(zoom) = zoom {
            let session = &mut harness.state_mut().session;
            session.view_version += 1;
            session.view = Some(View {
                center_x: 1013.0,
                center_y: 987.3,
                zoom,
                is_assembled: false,
            });
            harness.run_steps(2);
        }
        let start = std::time::Instant::now();
        let image = harness.render().expect("rendered");
        eprintln!(
            "rendered at zoom {zoom:?} in {:.0} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
        for (x, y) in lone {
            let at = place(&harness, x as f32 + 0.5, y as f32 + 0.5);
            let near = (-2..=2)
                .flat_map(|dy| (-2..=2).map(move |dx| pos2(at.x + dx as f32, at.y + dy as f32)));
            let darkest = near.map(|at| pixel(&image, at)[0]).min();
            assert!(darkest < Some(50), "{x},{y} at zoom {zoom:?}: {darkest:?}");
        }
    }
}

/// Every panel is drawn where it lies in space, turned as it is; M shows the slab as it is stored.
#[test]
fn panels_are_drawn_where_they_are() {
    let (width, height) = (64, 96);
    let ramp = Grid::from_fn(width, height, |x, y| ((x * 37 + y * 11) % 251) as f32);
    let panel = |i: usize, angle: f64, at: [f64; 2]| {
        let size = 1e-4;
        let (sin, cos) = angle.sin_cos();
        Panel {
            name: format!("p{i}"),
            rect: PixelRect::new(0, 32 * i, 64, 32 * i + 32),
            corner_m: [-at[0] * size, -at[1] * size, 0.2],
            fast_m: [-size * cos, -size * sin, 0.0],
            slow_m: [size * sin, -size * cos, 0.0],
        }
    };
    let geometry = Geometry {
        panels: vec![
            panel(0, 0.0, [0.0, 0.0]),
            panel(1, std::f64::consts::FRAC_PI_2, [120.0, 10.0]),
            panel(2, 0.35, [10.0, 60.0]),
        ],
        ..Geometry::default()
    };
    let frame = frame_of(ramp.clone());
    let window = window_on([1000.0, 800.0], true, vec![frame], false, geometry);
    let Some((mut harness, _)) = window else {
        return;
    };
    let tone = Tone {
        low: 0.0,
        high: 251.0,
        ..Tone::default()
    };
    harness.state_mut().session.apply(Command::SetTone(tone));
    for is_assembled in [true, false] {
        settle(&mut harness, 2);
        assert_eq!(harness.state().session.is_assembled, is_assembled);
        let image = harness.render().expect("rendered");
        for y in (0..height).step_by(5) {
            for x in (0..width).step_by(7) {
                let at = place(&harness, x as f32 + 0.5, y as f32 + 0.5);
                let drawn = pixel(&image, at);
                let wanted = tone.color(*ramp.get(x, y).expect("inside"));
                let off = drawn.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).max();
                assert!(
                    off <= Some(5),
                    "{x},{y} at {at:?}: {drawn:?}, not {wanted:?}"
                );
            }
        }
        press(&mut harness, Modifiers::NONE, Key::M);
    }
}

#[test]
fn tall_raw_stacks_and_tiny_frames_are_drawn() {
    for (width, height) in [(1030, 16_448), (5071, 2463), (1, 1), (3, 2000)] {
        let mut pixels = flat(width, height, 1.0);
        *pixels.get_mut(width - 1, height - 1).expect("inside") = 100.0;
        let Some((mut harness, _)) = window([900.0, 600.0], true, vec![frame_of(pixels)], false)
        else {
            return;
        };
        let tone = Tone {
            low: 0.0,
            high: 50.0,
            ..Tone::default()
        };
        harness.state_mut().session.apply(Command::SetTone(tone));
        harness.run_steps(2);
        assert!(harness.state().session.notices.is_empty());
        let image = harness.render().expect("rendered");
        let last = place(&harness, width as f32 - 0.5, height as f32 - 0.5);
        let near = (-1..=1)
            .flat_map(|dy| (-1..=1).map(move |dx| pos2(last.x + dx as f32, last.y + dy as f32)));
        assert!(
            near.map(|at| pixel(&image, at)[0]).min() < Some(20),
            "{width} x {height}"
        );
    }
}

#[test]
fn pictures_of_the_whole_window() {
    // For eyes, not for a comparison: set PEAKNET_PICTURES to a folder to get them.
    let Some(folder) = std::env::var_os("PEAKNET_PICTURES").map(PathBuf::from) else {
        return;
    };
    let sizes = [
        ([1600.0, 1000.0], true, "dark"),
        ([1600.0, 1000.0], false, "light"),
        ([1280.0, 720.0], true, "small_dark"),
    ];
    for (size, is_dark, name) in sizes {
        let frames = (0..60).map(|number| crystal(number, 960, 960)).collect();
        let Some((mut harness, _)) = window(size, is_dark, frames, true) else {
            return;
        };
        let (from, to) = (place(&harness, 300.0, 620.0), place(&harness, 420.0, 700.0));
        press(&mut harness, Modifiers::NONE, Key::W);
        harness
            .state_mut()
            .session
            .apply(Command::SetBrushDiameter(24.0));
        stroke(&mut harness, from, to);
        harness.hover_at(to);
        harness.run_steps(4);
        harness
            .render()
            .expect("rendered")
            .save(folder.join(format!("{name}.png")))
            .expect("saved");
        if is_dark && size[0] > 1500.0 {
            let session = &mut harness.state_mut().session;
            session.view_version += 1;
            session.view = Some(View {
                center_x: 300.0,
                center_y: 470.0,
                zoom: 6.0,
                is_assembled: false,
            });
            harness.run_steps(4);
            harness
                .render()
                .expect("rendered")
                .save(folder.join("zoom.png"))
                .expect("saved");
            let peak = harness
                .state()
                .session
                .shown_prediction()
                .and_then(|p| p.peaks.first().copied());
            let session = &mut harness.state_mut().session;
            session.view_version += 1;
            let (x, y) = peak.map_or((300.0, 470.0), |peak| (peak.x, peak.y));
            session.view = Some(View {
                center_x: x,
                center_y: y,
                zoom: 46.0,
                is_assembled: false,
            });
            harness.run_steps(4);
            harness
                .render()
                .expect("rendered")
                .save(folder.join("values.png"))
                .expect("saved");
            press(&mut harness, Modifiers::NONE, Key::Questionmark);
            harness
                .render()
                .expect("rendered")
                .save(folder.join("keys.png"))
                .expect("saved");
            press(&mut harness, Modifiers::NONE, Key::Questionmark);
            press(&mut harness, Modifiers::COMMAND, Key::P);
            harness.event(egui::Event::Text("pe".to_owned()));
            harness.run_steps(3);
            harness
                .render()
                .expect("rendered")
                .save(folder.join("palette.png"))
                .expect("saved");
            press(&mut harness, Modifiers::NONE, Key::Escape);
            press(&mut harness, Modifiers::COMMAND, Key::T);
            press(&mut harness, Modifiers::NONE, Key::F);
            press(&mut harness, Modifiers::NONE, Key::Z);
            harness.state_mut().session.absorb(Report::Notice(
                "The 3rd external link of the master file dangles and is left out; restore it beside the master: \
                 data_000003.h5"
                    .to_owned(),
            ));
            for epoch in 0..20 {
                harness
                    .state_mut()
                    .session
                    .absorb(Report::Training(TrainingLine {
                        epoch,
                        loss: 0.4 / (1.0 + epoch as f64 * 0.4),
                        validation_loss: 0.5 / (1.0 + epoch as f64 * 0.3),
                        peak_f1: 0.9 - 0.6 / (1.0 + epoch as f64),
                        artifact_iou: 0.5,
                        seconds: 12.0,
                    }));
            }
            harness.run_steps(4);
            harness
                .render()
                .expect("rendered")
                .save(folder.join("train.png"))
                .expect("saved");
        }
        if !is_dark {
            harness.state_mut().session.run = None;
            harness.state_mut().session.shown = None;
            harness.state_mut().session.recent =
                ["/data/lysozyme/run_12.cxi", "/data/agbh/agbh_0001.cbf"]
                    .map(|path| (PathBuf::from(path), None))
                    .to_vec();
            harness.run_steps(4);
            harness
                .render()
                .expect("rendered")
                .save(folder.join("welcome.png"))
                .expect("saved");
        }
    }
}

#[test]
fn a_press_beside_the_canvas_paints_nothing_wherever_the_pointer_goes_on_to() {
    let frames = vec![crystal(0, 200, 160)];
    let Some((mut harness, _)) = window([1000.0, 700.0], true, frames, false) else {
        return;
    };
    let canvas = harness.state().canvas.rect;
    let button = |pos: Pos2, pressed: bool| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    for (outside, painted) in [(true, false), (false, true)] {
        let from = if outside {
            pos2(canvas.left() - 12.0, canvas.bottom() - 40.0)
        } else {
            canvas.center()
        };
        // All of it is heard of in one picture, when the pointer is over the canvas already.
        harness.input_mut().events.extend([
            egui::Event::PointerMoved(from),
            button(from, true),
            egui::Event::PointerMoved(canvas.center() + egui::vec2(30.0, 0.0)),
        ]);
        harness.step();
        harness.event(egui::Event::PointerMoved(canvas.center()));
        harness.step();
        harness.event(button(canvas.center(), false));
        settle(&mut harness, 4);
        assert_eq!(labelled(&harness, Class::Peak) > 0, painted, "{outside}");
    }
}
