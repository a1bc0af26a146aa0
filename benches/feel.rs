//! How the window feels at 4096 x 4096: `cargo bench --bench feel [-- PEAKS... NAME...]`. The real window is driven by pointer
//! and keys, with 100 and with 20,000 labelled and predicted peaks on the frame, with 64 panels assembled in space
//! (`assembled`), and on a run of 100,000 frames (`table`).
//!
//! Timed is what the window's thread does: commands, drawing of the interface, uploads that it makes itself, and the meshes
//! that a graphics card is handed. Not timed are the stand-in for files and net, which lives in memory, and the card's own
//! work (a software adapter's is said at the end). The columns are in milliseconds of processor time: the machine may have
//! other work. `wall` is a clock's 99 %. "drawn" counts from the event until the picture that shows its effect is handed over.

#![expect(clippy::print_stdout, reason = "a bench prints")]

#[expect(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/memory/mod.rs"]
mod memory;

#[path = "clock/mod.rs"]
mod clock;

use std::time::{Duration, Instant};

use clock::thread_time;
use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use peaknet_studio::app::Window;
use peaknet_studio::domain::columns::Column;
use peaknet_studio::domain::frame::Frame;
use peaknet_studio::domain::geometry::{Geometry, Panel};
use peaknet_studio::domain::grid::{Grid, PixelRect};
use peaknet_studio::domain::labels::Class;
use peaknet_studio::domain::reshape::Operation;
use peaknet_studio::session::command::Command;
use peaknet_studio::session::job::{FrameKey, Report};
use peaknet_studio::session::tool::{Tool, ToolOptions};

const SIDE: usize = 4096;
/// A screen shows a picture so often, milliseconds.
const PICTURE_MS: f64 = 16.0;
const REDO: Modifiers = Modifiers {
    shift: true,
    ..Modifiers::COMMAND
};

/// What one picture took, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Took {
    thread: f64,
    wall: f64,
}

/// Times of one kind of thing, one a gesture or a step.
#[derive(Default)]
struct Times {
    /// The worst picture.
    worst: Vec<f64>,
    wall: Vec<f64>,
    /// From the event until it is drawn.
    drawn: Vec<f64>,
}

impl Times {
    /// A gesture whose pictures are these: the worst one, and the worst pair that follow each other.
    fn gesture(&mut self, pictures: &[Took]) {
        let worst = |of: fn(&Took) -> f64| pictures.iter().map(of).fold(0.0, f64::max);
        self.worst.push(worst(|took| took.thread));
        self.wall.push(worst(|took| took.wall));
        let pairs = pictures
            .windows(2)
            .map(|pair| pair[0].thread + pair[1].thread);
        self.drawn
            .push(pairs.fold(self.worst.last().copied().unwrap_or_default(), f64::max));
    }

    /// Steps of a drag: each is a picture of its own.
    fn steps(&mut self, pictures: &[Took]) {
        for pair in pictures.windows(2) {
            self.worst.push(pair[0].thread);
            self.wall.push(pair[0].wall);
            self.drawn.push(pair[0].thread + pair[1].thread);
        }
    }
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len().max(1) - 1) as f64 * q).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

struct Driven {
    harness: Harness<'static, Window>,
    memory: memory::Shared,
    table: Vec<(String, Times)>,
    most_vertices: usize,
}

impl Driven {
    const fn new(harness: Harness<'static, Window>, memory: memory::Shared) -> Self {
        Self {
            harness,
            memory,
            table: Vec::new(),
            most_vertices: 0,
        }
    }

    fn print(&self, title: &str) {
        println!(
            "\n{:<42} {:>8} {:>8} {:>8} {:>8} {:>8}",
            title, "median", "99 %", "drawn", "99 %", "wall"
        );
        for (name, times) in &self.table {
            let [median, late] = [0.5, 0.99].map(|q| quantile(&times.worst, q));
            let [drawn, drawn_late] = [0.5, 0.99].map(|q| quantile(&times.drawn, q));
            let wall = quantile(&times.wall, 0.99);
            let mark = if late > PICTURE_MS { "  > 16" } else { "" };
            println!(
                "{name:<42} {median:>8.2} {late:>8.2} {drawn:>8.2} {drawn_late:>8.2} {wall:>8.2}{mark}"
            );
        }
    }

    /// A command and the pictures that follow it.
    fn apply_timed(&mut self, name: &str, command: Command) {
        let thread = thread_time();
        let start = Instant::now();
        self.apply(command);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (thread, wall) = (ms(thread_time() - thread), ms(start.elapsed()));
        let mut pictures = Vec::new();
        self.rest(&mut pictures);
        if let Some(first) = pictures.first_mut() {
            // It is carried out in the same picture.
            first.thread += thread;
            first.wall += wall;
        }
        self.times(name).gesture(&pictures);
    }

    fn choose(&mut self, axis: &str, column: &str) {
        self.harness
            .get_by_role_and_label(Role::ComboBox, axis)
            .click();
        self.rest(&mut Vec::new());
        let choices = self.harness.get_all_by_role_and_label(Role::Button, column);
        if let Some(choice) = choices.last() {
            choice.click();
        }
        self.rest(&mut Vec::new());
    }

    fn picture(&mut self) -> Took {
        let answering = self.memory.borrow().answering;
        let (start, thread) = (Instant::now(), thread_time());
        self.harness.step();
        let output = self.harness.output();
        let shapes = output.shapes.clone();
        let meshes = self.harness.ctx.tessellate(shapes, output.pixels_per_point);
        let (wall, thread) = (start.elapsed(), thread_time() - thread);
        let vertices = meshes.iter().map(|part| match &part.primitive {
            egui::epaint::Primitive::Mesh(mesh) => mesh.vertices.len(),
            egui::epaint::Primitive::Callback(_) => 0,
        });
        self.most_vertices = self.most_vertices.max(vertices.sum());
        let answered = self.memory.borrow().answering - answering;
        let ms = |time: Duration| time.saturating_sub(answered).as_secs_f64() * 1e3;
        Took {
            thread: ms(thread),
            wall: ms(wall),
        }
    }

    fn with(&mut self, event: Event) -> Took {
        self.harness.event(event);
        self.picture()
    }

    /// Pictures until all that was begun is on screen; those in which the program only waits are short and do not count.
    fn rest(&mut self, pictures: &mut Vec<Took>) {
        pictures.push(self.picture());
        pictures.push(self.picture());
        let start = Instant::now();
        while !self.harness.state().is_settled() && start.elapsed().as_secs() < 20 {
            std::thread::sleep(Duration::from_millis(2));
            pictures.push(self.picture());
        }
        pictures.push(self.picture());
    }

    fn times(&mut self, name: &str) -> &mut Times {
        if !self.table.iter().any(|(other, _)| other == name) {
            self.table.push((name.to_owned(), Times::default()));
        }
        let place = self.table.iter().position(|(other, _)| other == name);
        &mut self.table[place.unwrap_or_default()].1
    }

    fn apply(&mut self, command: Command) {
        self.harness.state_mut().session.apply(command);
    }

    fn button(&mut self, pos: Pos2, pressed: bool) -> Took {
        let modifiers = Modifiers::NONE;
        self.with(Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers,
        })
    }

    fn key(&mut self, name: &str, modifiers: Modifiers, key: Key) {
        let event = |pressed| Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers,
        };
        let mut pictures = vec![self.with(event(true)), self.with(event(false))];
        self.rest(&mut pictures);
        self.times(name).gesture(&pictures);
    }

    /// A place of the canvas, as shares of its width and height.
    fn place(&self, x: f32, y: f32) -> Pos2 {
        let rect = self.harness.state().canvas.rect;
        let side = rect.width().min(rect.height());
        rect.center() + vec2(x - 0.5, y - 0.5) * side
    }

    fn drag(&mut self, name: &str, path: &[Pos2]) {
        let (Some(first), Some(last)) = (path.first(), path.last()) else {
            return;
        };
        self.with(Event::PointerMoved(*first));
        let mut pictures = vec![self.button(*first, true)];
        for at in path.iter().skip(1) {
            let took = self.with(Event::PointerMoved(*at));
            pictures.push(took);
        }
        if path.len() > 2 {
            self.times(&format!("{name}: a step")).steps(&pictures);
        }
        // Where nothing is dragged along, the press is part of the gesture.
        let begun = if path.len() > 2 {
            pictures.len() - 1
        } else {
            0
        };
        pictures.push(self.button(*last, false));
        self.rest(&mut pictures);
        let end = pictures.split_off(begun);
        let name = if path.len() > 2 {
            format!("{name}: the end")
        } else {
            name.to_owned()
        };
        self.times(&name).gesture(&end);
    }

    /// Back, forth, and back again, if anything was changed.
    fn travel(&mut self, name: &str, edits: usize) {
        let done = |driven: &Self| {
            let shown = driven.harness.state().session.shown.as_ref();
            shown.map_or(0, |shown| shown.history.done)
        };
        if done(self) == edits {
            return;
        }
        self.key(&format!("  undo of {name}"), Modifiers::COMMAND, Key::Z);
        self.key(&format!("  redo of {name}"), REDO, Key::Z);
        while done(self) > edits {
            self.key(&format!("  undo of {name}"), Modifiers::COMMAND, Key::Z);
        }
    }

    fn edits(&self) -> usize {
        let shown = self.harness.state().session.shown.as_ref();
        shown.map_or(0, |shown| shown.history.done)
    }

    fn tool(&mut self, tool: Tool, brush: f32, class: Class) {
        self.apply(Command::SetTool(tool));
        self.apply(Command::SetBrushDiameter(brush));
        self.apply(Command::SetClass(class));
    }

    fn strokes(&mut self, name: &str) {
        for row in 0..5 {
            let edits = self.edits();
            let at = |i: usize| {
                self.place(
                    0.2 + 0.5 * i as f32 / 30.0,
                    0.15 + 0.16 * row as f32 + 0.002 * i as f32,
                )
            };
            let path: Vec<Pos2> = (0..30).map(at).collect();
            self.drag(name, &path);
            self.travel(name, edits);
        }
    }

    fn shapes(&mut self, name: &str, path: impl Fn(usize) -> Vec<(f32, f32)>) {
        for round in 0..6 {
            let edits = self.edits();
            let path: Vec<Pos2> = path(round)
                .into_iter()
                .map(|(x, y)| self.place(x, y))
                .collect();
            self.drag(name, &path);
            self.travel(name, edits);
        }
    }

    fn hover(&mut self, name: &str) {
        let mut pictures = Vec::new();
        for i in 0..80 {
            let turn = i as f32 * 0.21;
            let at = self.place(
                0.5 + 0.4 * turn.cos() * (i as f32 / 80.0),
                0.5 + 0.4 * turn.sin(),
            );
            pictures.push(self.with(Event::PointerMoved(at)));
        }
        self.times(name).steps(&pictures);
    }

    fn options(&mut self, change: impl FnOnce(&mut ToolOptions)) {
        let mut options = self.harness.state().session.options;
        change(&mut options);
        self.apply(Command::SetToolOptions(options));
    }
}

/// All gestures that a curator makes; each leaves the sheet as it was.
fn gestures(driven: &mut Driven, wanted: &dyn Fn(&str) -> bool) {
    let box_of = |round: usize, side: f32| {
        let corner = 0.08 + 0.01 * round as f32;
        vec![(corner, corner), (corner + side, corner + side)]
    };
    if wanted("hover") {
        driven.tool(Tool::Brush, 5.0, Class::Artifact);
        driven.hover("hover");
    }
    for (name, tool, size) in [
        ("brush 5 px", Tool::Brush, 5.0),
        ("brush 200 px", Tool::Brush, 200.0),
        ("eraser 200 px", Tool::Eraser, 200.0),
        ("threshold brush 20 px", Tool::Threshold, 20.0),
        ("threshold brush 200 px", Tool::Threshold, 200.0),
    ] {
        if wanted(name) {
            driven.tool(tool, size, Class::Artifact);
            driven.strokes(name);
        }
    }
    if wanted("line") {
        driven.tool(Tool::Line, 50.0, Class::Artifact);
        driven.shapes("line", |round| box_of(round, 0.8));
    }
    if wanted("rectangle") {
        driven.tool(Tool::Rectangle, 5.0, Class::Artifact);
        driven.shapes("rectangle", |round| box_of(round, 0.8));
    }
    if wanted("lasso") {
        driven.tool(Tool::Lasso, 5.0, Class::Artifact);
        driven.shapes("lasso", |_| {
            let turn = |i: usize| std::f32::consts::TAU * i as f32 / 60.0;
            (0..60)
                .map(|i| (0.5 + 0.4 * turn(i).cos(), 0.5 + 0.3 * turn(i).sin()))
                .collect()
        });
    }
    if wanted("polygon") {
        driven.tool(Tool::Polygon, 5.0, Class::Artifact);
        for _ in 0..6 {
            let edits = driven.edits();
            for (x, y) in [(0.1, 0.1), (0.9, 0.2), (0.7, 0.9), (0.2, 0.8), (0.1, 0.1)] {
                let at = driven.place(x, y);
                driven.drag("polygon: a corner", &[at, at]);
            }
            driven.travel("polygon", edits);
        }
    }
    if wanted("fill") {
        fills(driven, box_of(0, 0.6));
    }
    if wanted("ring") {
        for width in [12.0, 200.0] {
            driven.tool(Tool::Ring, 5.0, Class::Artifact);
            driven.options(|options| options.ring_width_px = width);
            driven.hover(&format!("ring {width} px: hover"));
            driven.shapes(&format!("ring {width} px, all azimuths"), |round| {
                let at = (0.86 + 0.01 * round as f32, 0.48);
                vec![at, at]
            });
            let turn = |i: usize| i as f32 * 0.1;
            driven.shapes(&format!("ring {width} px, sector"), |_| {
                (0..20)
                    .map(|i| (0.5 + 0.4 * turn(i).cos(), 0.5 + 0.4 * turn(i).sin()))
                    .collect()
            });
        }
    }
    if wanted("peak-grow") {
        driven.tool(Tool::PeakGrow, 5.0, Class::Peak);
        driven.hover("peak-grow: hover");
        driven.options(|options| options.grow_sigmas = 3.0);
        for (x, y) in peaks(driven) {
            let edits = driven.edits();
            if let Some(at) = driven.harness.state().canvas.ui_from_frame(x, y) {
                driven.drag("peak-grow: click", &[at, at]);
                driven.travel("peak-grow", edits);
            }
        }
    }
    if wanted("component") {
        components(driven);
    }
    if wanted("stamp") {
        driven.apply(Command::ClearSheet);
        driven.tool(Tool::Rectangle, 5.0, Class::Artifact);
        driven.options(|options| options.stamps = true);
        driven.shapes("stamp of the whole frame", |_| {
            vec![(0.001, 0.001), (0.999, 0.999)]
        });
        driven.options(|options| options.stamps = false);
        driven.key("undo of clear", Modifiers::COMMAND, Key::Z);
    }
}

fn fills(driven: &mut Driven, area: Vec<(f32, f32)>) {
    driven.tool(Tool::Rectangle, 5.0, Class::Artifact);
    let path: Vec<Pos2> = area.into_iter().map(|(x, y)| driven.place(x, y)).collect();
    driven.drag("rectangle", &path);
    driven.tool(Tool::Fill, 5.0, Class::Ignore);
    driven.shapes("fill of 6 million pixels", |round| {
        let at = 0.2 + 0.01 * round as f32;
        vec![(at, 0.3), (at, 0.3)]
    });
    driven.shapes("fill that runs out, refused", |round| {
        let at = 0.9 + 0.01 * round as f32;
        vec![(at, 0.3), (at, 0.3)]
    });
    driven.key("  undo of rectangle", Modifiers::COMMAND, Key::Z);
}

/// Some peaks of the prediction, all over the frame.
fn peaks(driven: &Driven) -> Vec<(f32, f32)> {
    let predicted = driven.harness.state().session.shown_prediction();
    let Some(predicted) = predicted else {
        return Vec::new();
    };
    let every = predicted.peaks.len() / 6 + 1;
    let places = predicted.peaks.iter().step_by(every);
    places.map(|peak| (peak.x, peak.y)).collect()
}

fn components(driven: &mut Driven) {
    let peaks = peaks(driven);
    let count = driven
        .harness
        .state()
        .session
        .shown_prediction()
        .map_or(1, |p| p.peaks.len());
    let side = (1000.0 / count as f32).sqrt().min(0.95);
    for operation in [
        Operation::Make,
        Operation::Grow,
        Operation::Delete,
        Operation::Split,
    ] {
        driven.tool(Tool::Component, 5.0, Class::Artifact);
        driven.options(|options| options.operation = operation);
        let name = format!("component {}: click", operation.name());
        for (x, y) in &peaks {
            let edits = driven.edits();
            let Some(at) = driven.harness.state().canvas.ui_from_frame(*x, *y) else {
                continue;
            };
            driven.drag(&name, &[at, at]);
            driven.travel(&name, edits);
        }
        driven.shapes(
            &format!("component {}: box over 1,000", operation.name()),
            |round| {
                let corner = 0.01 + 0.003 * round as f32;
                vec![(corner, corner), (corner + side, corner + side)]
            },
        );
    }
}

/// What changes the look alone, and the way to the next frame.
fn looks(driven: &mut Driven, wanted: &dyn Fn(&str) -> bool) {
    if wanted("look") {
        driven.tool(Tool::Brush, 5.0, Class::Peak);
        for _ in 0..10 {
            driven.key("class change", Modifiers::NONE, Key::W);
            driven.key("class change", Modifiers::NONE, Key::Q);
            driven.key("overlays away, and back", Modifiers::NONE, Key::V);
            driven.key("fill or outline", Modifiers::NONE, Key::F);
            let mut layers = driven.harness.state().session.layers.clone();
            layers.labels = !layers.labels;
            driven.apply(Command::SetLayers(layers));
            let mut pictures = Vec::new();
            driven.rest(&mut pictures);
            driven.times("label layer on or off").gesture(&pictures);
        }
        let mut pictures = Vec::new();
        for i in 0..100 {
            let mut tone = driven.harness.state().session.tone;
            tone.high = 50.0 + i as f32;
            driven.apply(Command::SetTone(tone));
            pictures.push(driven.picture());
        }
        driven.times("tone drag: a step").steps(&pictures);
        let at = driven.place(0.47, 0.53);
        let mut pictures = vec![driven.with(Event::PointerMoved(at))];
        for i in 0..60 {
            pictures.push(driven.with(Event::MouseWheel {
                unit: egui::MouseWheelUnit::Line,
                delta: vec2(0.0, if i < 30 { 1.0 } else { -1.0 }),
                phase: egui::TouchPhase::Move,
                modifiers: Modifiers::NONE,
                source: egui::MouseWheelSource::Wheel,
            }));
        }
        driven.times("wheel: a step").steps(&pictures);
        driven.key("fit", Modifiers::NONE, Key::Z);
    }
    if wanted("page") {
        for round in 0..24 {
            let key = if round % 4 < 2 { Key::D } else { Key::A };
            driven.key("page to a frame that was read", Modifiers::NONE, key);
        }
    }
    if wanted("accept") {
        for _ in 0..4 {
            driven.apply(Command::ClearSheet);
            let mut pictures = Vec::new();
            driven.rest(&mut pictures);
            driven.key("accept the prediction", Modifiers::NONE, Key::Y);
            driven.key("  undo of accept", Modifiers::COMMAND, Key::Z);
            driven.key("  undo of clear", Modifiers::COMMAND, Key::Z);
        }
    }
}

/// The label held against the net, and one component after the other.
fn opinions(driven: &mut Driven, wanted: &dyn Fn(&str) -> bool) {
    if wanted("differences") {
        driven.key("differences on or off", Modifiers::NONE, Key::H);
        driven.tool(Tool::Brush, 5.0, Class::Peak);
        driven.hover("differences: hover");
        driven.strokes("differences: brush 5 px");
        // Far fewer labels than peaks: almost all of them are marked as missed.
        driven.apply(Command::ClearSheet);
        driven.rest(&mut Vec::new());
        driven.hover("all peaks missed: hover");
        driven.strokes("all peaks missed: brush 5 px");
        for _ in 0..10 {
            driven.key("next difference", Modifiers::NONE, Key::Period);
        }
        driven.key("  undo of clear", Modifiers::COMMAND, Key::Z);
        driven.key("differences on or off", Modifiers::NONE, Key::H);
        driven.key("fit", Modifiers::NONE, Key::Z);
    }
    if wanted("triage") {
        driven.apply(Command::ClearSheet);
        driven.rest(&mut Vec::new());
        driven.key("triage on", Modifiers::NONE, Key::O);
        let edits = driven.edits();
        for _ in 0..10 {
            driven.key("triage: a decision", Modifiers::NONE, Key::A);
            driven.key("triage: a decision", Modifiers::NONE, Key::D);
        }
        while driven.edits() > edits {
            driven.key("triage: taken back", Modifiers::NONE, Key::Backspace);
        }
        driven.key("triage off", Modifiers::NONE, Key::O);
        driven.key("  undo of clear", Modifiers::COMMAND, Key::Z);
        driven.key("fit", Modifiers::NONE, Key::Z);
    }
}

/// Panels of 512 x 512 pixels, each turned a little and moved apart.
fn panels() -> Geometry {
    const PANEL: usize = 512;
    let size = 1e-4;
    let panels = (0..(SIDE / PANEL).pow(2)).map(|index| {
        let (column, row) = (index % (SIDE / PANEL), index / (SIDE / PANEL));
        let (sin, cos) = (((index * 7) % 11) as f64 * 1e-3 - 5e-3).sin_cos();
        let place = |at: usize| (at * (PANEL + 12)) as f64 - SIDE as f64 / 2.0;
        Panel {
            name: format!("p{index}"),
            rect: PixelRect::new(
                column * PANEL,
                row * PANEL,
                (column + 1) * PANEL,
                (row + 1) * PANEL,
            ),
            corner_m: [-place(column) * size, -place(row) * size, 0.1],
            fast_m: [-cos * size, -sin * size, 0.0],
            slow_m: [sin * size, -cos * size, 0.0],
        }
    });
    Geometry {
        wavelength_angstrom: Some(1.0),
        panels: panels.collect(),
        ..Geometry::default()
    }
}

/// The window on a run of 100,000 small frames of which everything is known.
fn long_run() {
    const FRAMES: usize = 100_000;
    let frame = |number: usize| {
        let pixels = Grid::from_fn(8, 8, |x, y| ((x * 7 + y * 3 + number) % 11) as f32);
        Frame::new(number, pixels, Grid::filled(8, 8, 0))
    };
    let frames: Vec<Frame> = (0..FRAMES).filter_map(frame).collect();
    let geometry = Geometry::default();
    let made = memory::window_on([1600.0, 1000.0], true, frames, true, geometry);
    let Some((harness, memory)) = made else {
        return println!("no graphics adapter");
    };
    let mut driven = Driven::new(harness, memory);
    let rows = &mut driven.harness.state_mut().session.rows;
    for number in 0..FRAMES {
        if let Some(row) = rows.get_mut(number) {
            let random = number.wrapping_mul(2_654_435_761) >> 7;
            row.peaks = Some((random % 300) as u32);
            row.doubt = Some((random % 9973) as f32 / 15_000.0);
            row.mean = Some((random % 99_991) as f32 / 1000.0);
        }
    }
    driven.apply(Command::FilterFrames(String::new()));
    let wheel = |i: usize| Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        delta: vec2(0.0, if i % 60 < 40 { -9.0 } else { 9.0 }),
        phase: egui::TouchPhase::Move,
        modifiers: Modifiers::NONE,
        source: egui::MouseWheelSource::Wheel,
    };
    let mut pictures = vec![driven.with(Event::PointerMoved(pos2(90.0, 500.0)))];
    pictures.extend((0..120).map(|i| driven.with(wheel(i))));
    driven.times("scroll the table: a step").steps(&pictures);
    let strip = driven.harness.get_by_label("Run strip").rect();
    let mut pictures = Vec::new();
    for i in 0..60 {
        let x = strip.left() + strip.width() * i as f32 / 60.0;
        pictures.push(driven.with(Event::PointerMoved(pos2(x, strip.center().y))));
    }
    driven
        .times("pointer along the run strip: a step")
        .steps(&pictures);
    for round in 0..12 {
        for column in [Column::Doubt, Column::Peaks, Column::Comment, Column::Frame] {
            driven.apply_timed("sort", Command::SortFrames(column));
        }
        let filter = format!("peaks > {round} and doubt > 0.3 and review = untouched");
        driven.apply_timed("filter", Command::FilterFrames(filter));
        driven.apply_timed("no filter", Command::FilterFrames(String::new()));
        driven.key("next frame", Modifiers::NONE, Key::D);
    }
    driven.key("open the plots", Modifiers::COMMAND, Key::H);
    for (name, is_scatter) in [("histogram", false), ("scatter", true)] {
        if is_scatter {
            driven.choose("Vertical axis", "doubt");
        }
        let plot = driven.harness.get_by_label("Plot of frames").rect();
        let mut pictures = Vec::new();
        for i in 0..60 {
            let at = plot.min + plot.size() * (0.1 + 0.8 * i as f32 / 60.0);
            pictures.push(driven.with(Event::PointerMoved(at)));
        }
        driven
            .times(&format!("pointer over a {name}: a step"))
            .steps(&pictures);
        for number in 0..60 {
            // One more frame becomes known: list, strip and plot follow.
            let key = FrameKey { run: 1, number };
            if let Some(row) = driven.harness.state_mut().session.rows.get_mut(number) {
                row.doubt = Some(number as f32 / 100.0);
            }
            let (mean, maximum) = (1.0, 2.0);
            let report = Report::Measured { key, mean, maximum };
            driven.harness.state_mut().session.absorb(report);
            let took = driven.picture();
            driven
                .times(&format!("a row changes under a {name}"))
                .gesture(&[took]);
        }
    }
    driven.print(&format!("{FRAMES} frames, ms"));
}

fn run(peaks: usize, assembled: bool, wanted: &dyn Fn(&str) -> bool) {
    // About half of them stand out enough for the stand-in of the net.
    let frame = |number| memory::crystal_of(number, SIDE, SIDE, peaks * 2);
    let frames = (0..3).map(frame).collect();
    let middle = SIDE as f64 / 2.0;
    let geometry = if assembled {
        panels()
    } else {
        Geometry {
            beam_center_px: Some([middle, middle]),
            ..Geometry::default()
        }
    };
    let made = memory::window_on([1600.0, 1000.0], true, frames, true, geometry);
    let Some((harness, memory)) = made else {
        return println!("no graphics adapter");
    };
    let mut driven = Driven::new(harness, memory);
    driven.with(Event::PointerMoved(pos2(5.0, 5.0)));
    driven.key("accept the prediction", Modifiers::NONE, Key::Y);
    driven.table.clear();
    let session = &driven.harness.state().session;
    let predicted = session
        .shown_prediction()
        .map_or(0, |predicted| predicted.peaks.len());
    driven.apply(Command::SetAssembled(assembled));
    driven.rest(&mut Vec::new());
    gestures(&mut driven, wanted);
    looks(&mut driven, wanted);
    opinions(&mut driven, wanted);
    let view = if assembled { ", 64 panels" } else { "" };
    driven.print(&format!("{SIDE} x {SIDE}{view}, {predicted} peaks, ms"));
    let longest = (driven.table.iter()).flat_map(|(name, times)| {
        let walls = times.wall.iter();
        walls.map(move |wall| (*wall, name))
    });
    if let Some((wall, name)) = longest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        println!("the longest that the window was held up: {wall:.1} ms ({name})");
    }
    let vertices = driven.most_vertices;
    let start = Instant::now();
    let is_drawn = driven.harness.render().is_ok();
    println!(
        "most vertices a picture {vertices}; a picture by the software adapter: {:.0} ms ({is_drawn})",
        start.elapsed().as_secs_f64() * 1e3
    );
}

fn main() {
    peaknet_studio::memory::keep_large_blocks();
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let numbers: Vec<usize> = asked.iter().filter_map(|a| a.parse().ok()).collect();
    let names: Vec<&String> = asked
        .iter()
        .filter(|a| a.parse::<usize>().is_err())
        .collect();
    let wanted =
        |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let peaks = if numbers.is_empty() {
        vec![100, 20_000]
    } else {
        numbers
    };
    for &peaks in &peaks {
        run(peaks, false, &wanted);
    }
    if names.is_empty() || names.iter().any(|name| *name == "assembled") {
        let is_gesture = |name: &str| names.len() < 2 || (name != "assembled" && wanted(name));
        run(
            peaks.iter().copied().max().unwrap_or(100),
            true,
            &is_gesture,
        );
    }
    if wanted("table") {
        long_run();
    }
}
