//! What the window costs a CPU: `cargo bench --bench window`. The real window is driven by keys and pointer; medians and
//! 99th percentiles of one step (all of `logic` and `ui`, without the graphics card's own work), in milliseconds. With files
//! (`cargo bench --bench window -- FILE... [FILE.geom]`) it pages forward through each with the program's own threads, in frames a second.

#![expect(clippy::print_stdout, reason = "a bench prints")]

#[path = "../tests/memory/mod.rs"]
mod memory;

use std::time::Instant;

use egui::{Event, Key, Modifiers, PointerButton, pos2, vec2};
use egui_kittest::Harness;
use peaknet_studio::app::{Window, World};
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::workers::{Options, Workers};

type Driven = Harness<'static, Window>;

/// One picture of the window; how long it took.
fn step(harness: &mut Driven) -> f64 {
    let start = Instant::now();
    harness.step();
    start.elapsed().as_secs_f64() * 1e3
}

fn print(name: &str, mut took: Vec<f64>) {
    took.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let index = ((took.len().max(1) - 1) as f64 * q).round() as usize;
        took.get(index).copied().unwrap_or_default()
    };
    println!("{name:<52} {:>8.2} ms {:>8.2} ms", at(0.5), at(0.99));
}

/// Pages to and fro: every picture until the next frame is there, and how long that takes.
fn page(harness: &mut Driven, size: &str) {
    let (mut steps, mut until_shown) = (Vec::new(), Vec::new());
    for round in 0..20 {
        let key = if round % 4 < 2 { Key::D } else { Key::A };
        let wanted = harness
            .state()
            .session
            .selected
            .wrapping_add_signed(if key == Key::D { 1 } else { -1 });
        harness.key_press_modifiers(Modifiers::NONE, key);
        let start = Instant::now();
        loop {
            steps.push(step(harness));
            let shown = harness.state().session.shown.as_ref();
            if shown.is_some_and(|shown| shown.key.number == wanted) {
                break;
            }
            if start.elapsed().as_secs() > 10 {
                println!("paging stopped: frame {wanted} does not come");
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        until_shown.push(start.elapsed().as_secs_f64() * 1e3);
        memory::settle(harness, 1);
    }
    print(&format!("page, {size}: a step"), steps);
    print(
        &format!("page, {size}: key to frame on the card"),
        until_shown,
    );
}

fn drag_tone(harness: &mut Driven, size: &str) {
    let mut steps = Vec::new();
    for i in 0..100 {
        let mut tone = harness.state().session.tone;
        tone.high = 50.0 + i as f32;
        harness.state_mut().session.apply(Command::SetTone(tone));
        steps.push(step(harness));
    }
    print(&format!("tone drag, {size}"), steps);
}

/// Strokes of a 100 px brush across the frame, the view zoomed so that they are long.
fn paint(harness: &mut Driven, size: &str) {
    harness
        .state_mut()
        .session
        .apply(Command::SetBrushDiameter(100.0));
    let rect = harness.state().canvas.rect;
    let mut steps = Vec::new();
    let mut ends = Vec::new();
    for row in 0..8 {
        let y = rect.min.y + rect.height() * (0.1 + 0.1 * row as f32);
        let at = |i: usize| pos2(rect.min.x + rect.width() * (0.3 + 0.4 * i as f32 / 30.0), y);
        harness.event(Event::PointerMoved(at(0)));
        step(harness);
        let button = |pos, pressed| Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        };
        harness.event(button(at(0), true));
        steps.push(step(harness));
        for i in 1..30 {
            harness.event(Event::PointerMoved(at(i)));
            steps.push(step(harness));
        }
        harness.event(button(at(30), false));
        ends.push(step(harness));
        memory::settle(harness, 1);
    }
    print(&format!("brush of 100 px, {size}: a step"), steps);
    print(
        &format!("brush of 100 px, {size}: the end of a stroke"),
        ends,
    );
    let mut undone = Vec::new();
    for _ in 0..8 {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
        undone.push(step(harness));
        undone.push(step(harness));
        memory::settle(harness, 1);
    }
    print(&format!("undo, {size}"), undone);
}

fn toggle_layers(harness: &mut Driven, size: &str) {
    let mut steps = Vec::new();
    for _ in 0..40 {
        harness.key_press_modifiers(Modifiers::NONE, Key::F);
        steps.push(step(harness));
        steps.push(step(harness));
    }
    print(&format!("overlay toggle, {size}"), steps);
}

fn zoom(harness: &mut Driven, size: &str) {
    let at = harness.state().canvas.rect.center() + vec2(31.0, 17.0);
    harness.event(Event::PointerMoved(at));
    let mut steps = vec![step(harness)];
    for i in 0..60 {
        harness.event(Event::MouseWheel {
            unit: egui::MouseWheelUnit::Line,
            delta: vec2(0.0, if i < 30 { 1.0 } else { -1.0 }),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        steps.push(step(harness));
    }
    print(&format!("wheel, {size}"), steps);
}

/// Pages forward through a real run as fast as frames come, with the program's own threads and without prediction.
fn page_file(file: &std::path::Path, geometry: Option<&std::path::PathBuf>) {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return println!("no folder for the project: {error}"),
    };
    let mut session = Session::new();
    session.apply(Command::SetPredict(false));
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![file.to_owned()],
        geometry: geometry.cloned(),
        project: Some(folder.path().join("run.peaknet")),
        frame: Some(0),
        ..RunRequest::default()
    })));
    let made = peaknet_studio::app::screenshot::harness([1600.0, 1000.0], true, |state| {
        let workers = Workers::start(Options::default(), || {})?;
        Ok(Window::new(session, World::of(workers), Some(state)))
    });
    let Ok(mut harness) = made else {
        return println!("no graphics adapter");
    };
    let is_shown = |harness: &Driven, number: usize| {
        let shown = harness.state().session.shown.as_ref();
        shown.is_some_and(|shown| shown.key.number == number)
    };
    let wait = |harness: &mut Driven, number: usize, steps: &mut Vec<f64>| {
        let start = Instant::now();
        while !is_shown(harness, number) && start.elapsed().as_secs() < 20 {
            steps.push(step(harness));
            // A fast screen asks no oftener.
            std::thread::sleep(std::time::Duration::from_millis(4));
        }
    };
    let mut steps = Vec::new();
    wait(&mut harness, 0, &mut steps);
    steps.clear();
    let frames = harness.state().session.rows.len().min(200);
    let start = Instant::now();
    for number in 1..frames {
        harness.key_press_modifiers(Modifiers::NONE, Key::D);
        wait(&mut harness, number, &mut steps);
    }
    let rate = (frames - 1) as f64 / start.elapsed().as_secs_f64();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    print(&format!("page on, {name}: a step"), steps);
    println!("page on, {name}: {rate:.1} frames/s");
}

fn main() {
    peaknet_studio::memory::keep_large_blocks();
    let files: Vec<std::path::PathBuf> = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(std::path::PathBuf::from)
        .collect();
    if !files.is_empty() {
        let is_geometry =
            |file: &&std::path::PathBuf| file.extension().is_some_and(|e| e == "geom");
        let geometry = files.iter().find(is_geometry);
        let runs = files.iter().filter(|file| !is_geometry(file));
        return runs.for_each(|file| page_file(file, geometry));
    }
    println!("{:<52} {:>11} {:>11}", "", "median", "99 %");
    for side in [1920, 4096] {
        let frames = (0..3)
            .map(|number| memory::crystal(number, side, side))
            .collect();
        let Some((mut harness, _)) = memory::window([1600.0, 1000.0], true, frames, false) else {
            return;
        };
        let size = format!("{side} x {side}");
        page(&mut harness, &size);
        drag_tone(&mut harness, &size);
        zoom(&mut harness, &size);
        harness.key_press_modifiers(Modifiers::NONE, Key::Z);
        memory::settle(&mut harness, 2);
        paint(&mut harness, &size);
        toggle_layers(&mut harness, &size);
    }
}
