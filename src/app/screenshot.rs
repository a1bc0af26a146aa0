//! The same window without a display: for `--screenshot` and for tests.

use std::path::Path;
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use egui_kittest::wgpu::WgpuTestRenderer;

use super::key_map::{self, Chord};
use super::{Start, Window, World, theme};

/// How a picture is taken.
#[derive(Clone, Debug)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// Replaces a picture that is there already.
    pub is_forced: bool,
    /// Pressed one after the other when all is there, each once the one before has done its work.
    pub keys: Vec<Chord>,
    /// How long to wait for the answers of all jobs.
    pub patience: Duration,
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            width: 1600,
            height: 1000,
            is_forced: false,
            keys: Vec::new(),
            patience: Duration::from_secs(120),
        }
    }
}

/// Keys by their names, as `keys.toml` writes them; a sentence about the first that is none.
pub fn keys(names: &[String]) -> Result<Vec<Chord>, String> {
    names.iter().map(|name| key_map::parse(name)).collect()
}

/// A harness that drives the window on a device of its own; a sentence where there is no adapter.
pub fn harness(
    size: [f32; 2],
    is_dark: bool,
    window: impl FnOnce(&egui_wgpu::RenderState) -> Result<Window, String>,
) -> Result<Harness<'static, Window>, String> {
    let state = super::gpu::headless()?;
    let window = window(&state)?;
    let theme = if is_dark {
        egui::Theme::Dark
    } else {
        egui::Theme::Light
    };
    Ok(Harness::builder()
        .with_size(size)
        .with_theme(theme)
        .with_max_steps(64)
        .with_step_dt(1.0 / 60.0)
        .with_render_cursor(false)
        .with_accessibility_check(false)
        .allow_missing_glyphs()
        .with_context_setup(theme::install)
        .renderer(WgpuTestRenderer::from_render_state(state))
        .build_ui_state(
            |ui, window: &mut Window| {
                window.logic();
                // The harness leaves a margin; a real window has none.
                let screen = ui.ctx().content_rect();
                ui.scope_builder(egui::UiBuilder::new().max_rect(screen), |ui| {
                    ui.set_clip_rect(screen);
                    window.ui(ui);
                });
            },
            window,
        ))
}

/// Waits until all jobs are answered, or until the deadline.
fn settle(harness: &mut Harness<'_, Window>, deadline: Instant) {
    let mut quiet = 0;
    // A job may ask for another one: settled means settled for a while.
    while quiet < 5 && Instant::now() < deadline {
        harness.step();
        quiet = if harness.state().is_settled() {
            quiet + 1
        } else {
            0
        };
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Renders the window as the command line asked for it, once all jobs are answered, into a PNG file.
pub fn render(start: Start, picture: Picture, out: &Path) -> Result<(), String> {
    let size = [picture.width as f32, picture.height as f32];
    let is_dark = start.is_dark.unwrap_or(true);
    let mut harness = harness(size, is_dark, |state| {
        let workers = crate::workers::Workers::start(start.workers.clone(), || {})?;
        let mut window = Window::new(start.session(), World::of(workers), Some(state));
        if start.calibrant.is_some() {
            window.open_calibrant();
        }
        Ok(window)
    })?;
    let deadline = Instant::now() + picture.patience;
    settle(&mut harness, deadline);
    for (modifiers, key) in picture.keys {
        harness.key_press_modifiers(modifiers, key);
        settle(&mut harness, deadline);
    }
    harness.run_steps(2);
    let image = harness.render()?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, image::ImageFormat::Png)
        .map_err(|error| format!("The picture could not be encoded: {error}."))?;
    crate::fs::write_whole(out, bytes.get_ref(), picture.is_forced)
        .map_err(|error| error.to_string())
}
