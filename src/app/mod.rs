//! The window: draws `&Session`, pushes `Command`s. The only place that knows egui and wgpu.

mod arrangement;
mod browser;
mod calibrant;
mod canvas;
mod card;
mod cursor;
mod differences;
mod frame_cells;
mod frame_plots;
mod gpu;
mod history;
mod import;
mod inspector;
mod key_edit;
mod key_map;
mod key_names;
mod key_presets;
mod key_sheet;
mod keys;
mod menu;
mod net_panel;
mod note_fields;
mod overlay;
mod playback;
mod plots;
mod pyramid;
mod run_strip;
pub mod screenshot;
mod signs;
mod status;
mod text;
mod theme;
mod thumbnails;
mod tool_options;
mod tools;
mod training;
mod triage;
mod underlay;
mod upload;
mod welcome;

use egui::Ui;
use egui_wgpu::RenderState;

use self::canvas::Canvas;
use self::gpu::Gpu;
use self::key_map::KeyMap;
use self::keys::Action;
use self::upload::{Uploaded, Uploader};
use crate::session::Session;
use crate::session::command::{Command, RunRequest};
use crate::session::job::{FrameKey, Job, LoadedFrame, Report};
use crate::session::keys::KeyLine;

/// The session's way to the world: where jobs go and reports come from.
pub struct World {
    pub submit: Box<dyn FnMut(Vec<Job>)>,
    pub reports: Box<dyn FnMut() -> Vec<Report>>,
}

impl World {
    /// The real one: files, labels and nets on their threads.
    pub fn of(workers: crate::workers::Workers) -> Self {
        let workers = std::rc::Rc::new(workers);
        let asked = workers.clone();
        Self {
            submit: Box::new(move |jobs| asked.submit(jobs)),
            reports: Box::new(move || workers.reports()),
        }
    }
}

/// The graphics card and the thread that fills it.
struct Graphics {
    gpu: Gpu,
    uploader: Uploader,
}

/// The whole window; the same in eframe, in tests and in screenshots.
pub struct Window {
    pub session: Session,
    pub canvas: Canvas,
    world: World,
    graphics: Option<Graphics>,
    uploaded: Uploaded,
    /// A frame that was read and is not on the card yet; the session has not heard of it.
    arrival: Option<(FrameKey, LoadedFrame)>,
    commands: Vec<Command>,
    browser: browser::Browser,
    frame_plots: frame_plots::FramePlots,
    /// When the playback showed its last frame.
    played: Option<std::time::Instant>,
    /// When a blinking changed last.
    blinked: Option<std::time::Instant>,
    histogram: plots::Histogram,
    run_strip: run_strip::RunStrip,
    import: import::ImportQuestion,
    training: training::TrainingPanel,
    triage: triage::Strip,
    has_fitted_screen: bool,
    is_arranged: bool,
    /// The user's own window, which comes back as it was left; pictures and measurements are always the same.
    pub is_users_own: bool,
    /// The theme that was asked for on the command line.
    has_theme: bool,
    /// A theme that was just chosen.
    chosen_theme: Option<bool>,
    /// Of the frame table and of the inspector.
    widths: [arrangement::Width; 2],
    /// A mouse button was down in the last picture.
    is_held: bool,
    are_panels_hidden: bool,
    key_sheet: key_sheet::KeySheet,
    /// The lines that the keys in force were made of; `None` before the first picture.
    key_lines: Option<Vec<KeyLine>>,
    is_calibrant_open: bool,
    palette: Option<String>,
    go_to: Option<String>,
    typed_path: String,
}

impl Window {
    /// A window onto a session; without a render state the canvas stays empty.
    pub fn new(session: Session, world: World, render: Option<&RenderState>) -> Self {
        let graphics = render.and_then(|state| {
            let gpu = Gpu::new(state);
            let uploader = Uploader::start(gpu.card.clone()).ok()?;
            Some(Graphics { gpu, uploader })
        });
        Self {
            session,
            canvas: Canvas::default(),
            world,
            graphics,
            uploaded: Uploaded::default(),
            arrival: None,
            commands: Vec::new(),
            browser: browser::Browser::default(),
            frame_plots: frame_plots::FramePlots::default(),
            played: None,
            blinked: None,
            histogram: plots::Histogram::default(),
            run_strip: run_strip::RunStrip::default(),
            import: import::ImportQuestion::default(),
            training: training::TrainingPanel::default(),
            triage: triage::Strip::default(),
            has_fitted_screen: false,
            is_arranged: false,
            is_users_own: false,
            has_theme: false,
            chosen_theme: None,
            widths: Default::default(),
            is_held: false,
            are_panels_hidden: false,
            key_sheet: key_sheet::KeySheet::default(),
            key_lines: None,
            is_calibrant_open: false,
            palette: None,
            go_to: None,
            typed_path: String::new(),
        }
    }

    /// Opens the calibrant panel from the start.
    pub const fn open_calibrant(&mut self) {
        self.is_calibrant_open = true;
    }

    /// Takes in what the world has reported and hands out what the session asks for.
    pub fn logic(&mut self) {
        for report in (self.world.reports)() {
            match report {
                Report::Frame {
                    key,
                    result: Ok(loaded),
                } if self.graphics.is_some() => self.arrival = Some((key, loaded)),
                Report::Keys(mut file) => {
                    file.problems.extend(KeyMap::of(&file.lines).1);
                    file.problems.sort();
                    self.session.absorb(Report::Keys(file));
                }
                report => self.session.absorb(report),
            }
        }
        self.upload();
        self.hand_out();
    }

    /// Whether the frame and its classes are on screen as the session has them.
    pub fn is_settled(&self) -> bool {
        let is_busy = |graphics: &Graphics| graphics.uploader.is_busy();
        self.session.is_settled()
            && self.arrival.is_none()
            && self.is_fine_enough()
            && !self.graphics.as_ref().is_some_and(is_busy)
    }

    fn hand_out(&mut self) {
        let jobs = self.session.take_jobs();
        if !jobs.is_empty() {
            (self.world.submit)(jobs);
        }
    }

    /// One picture of the window: draw, then apply what the user asked for while it was drawn.
    pub fn ui(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        if let Some(graphics) = &self.graphics {
            graphics.uploader.context.get_or_init(|| ctx.clone());
        }
        self.fit_the_screen(&ctx);
        self.enforce_keys(&ctx);
        self.take_arrangement(&ctx);
        self.keyboard(&ctx);
        self.play(&ctx);
        self.blink(&ctx);
        self.dropped(&ctx);
        self.layout(ui);
        self.overlays(&ctx);
        self.keep_arrangement(&ctx);
        let has_changed = !self.commands.is_empty();
        for command in std::mem::take(&mut self.commands) {
            self.session.apply(command);
        }
        self.hand_out();
        if has_changed {
            // What was just changed is drawn with the next picture.
            ctx.request_repaint();
        }
    }

    /// A window that is larger than its screen would hide its status bar: it fills the screen instead.
    fn fit_the_screen(&mut self, ctx: &egui::Context) {
        const TITLE_BAR: f32 = 48.0;
        if self.has_fitted_screen {
            return;
        }
        let (monitor, inner) = ctx.input(|input| {
            let viewport = input.viewport();
            (viewport.monitor_size, viewport.inner_rect)
        });
        if let (Some(monitor), Some(inner)) = (monitor, inner) {
            self.has_fitted_screen = true;
            if inner.height() + TITLE_BAR > monitor.y || inner.width() > monitor.x {
                ctx.send_viewport_cmd(egui::ViewportCommand::Maximized(true));
            }
        }
    }

    /// Makes the user's keys those that are heard and shown, when they have changed.
    fn enforce_keys(&mut self, ctx: &egui::Context) {
        if self.key_lines.as_ref() != Some(&self.session.keys) {
            self.key_lines = Some(self.session.keys.clone());
            KeyMap::of(&self.session.keys).0.enforce(ctx);
        }
    }

    fn layout(&mut self, ui: &mut Ui) {
        let bar = egui::Frame::new()
            .fill(ui.visuals().panel_fill)
            .inner_margin(egui::Margin::symmetric(6, 2));
        let actions = egui::Panel::top("menu")
            .frame(bar)
            .show(ui, |ui| menu::bar(ui, &self.session))
            .inner;
        let ctx = ui.ctx().clone();
        for action in actions {
            self.perform(&ctx, action);
        }
        let status_frame = egui::Frame::new()
            .fill(ui.visuals().panel_fill)
            .inner_margin(egui::Margin::symmetric(8, 2));
        egui::Panel::bottom("status")
            .frame(status_frame)
            .show(ui, |ui| {
                status::bar(ui, &self.session, self.canvas.pointer);
            });
        let has_run = self.session.run.is_some();
        if self.session.triage.is_on && has_run {
            let frame = theme::panel_frame(ui, 5);
            egui::Panel::bottom("triage")
                .frame(frame)
                .exact_size(theme::TRIAGE_STRIP)
                .show(ui, |ui| {
                    self.triage.show(ui, &self.session, &mut self.commands);
                });
        }
        if !self.are_panels_hidden {
            if self.session.rows.len() > 1 {
                let frame = theme::panel_frame(ui, 4);
                egui::Panel::bottom("strip")
                    .frame(frame)
                    .exact_size(theme::RUN_STRIP)
                    .show(ui, |ui| {
                        self.run_strip.show(ui, &self.session, &mut self.commands)
                    });
            }
            let frame = theme::panel_frame(ui, 6);
            let kept = self.session.arrangement.as_ref();
            let width = kept.and_then(|kept| kept.table_width);
            let drawn = egui::Panel::left(("run", self.is_arranged))
                .frame(frame)
                .default_size(width.unwrap_or(theme::RUN_PANEL))
                .size_range(150.0..=900.0)
                .show(ui, |ui| {
                    self.browser.show(ui, &self.session, &mut self.commands)
                });
            self.widths[0].now = drawn.response.rect.width();
        }
        let frame = theme::panel_frame(ui, 3);
        let tool = egui::Panel::left("tools")
            .frame(frame)
            .resizable(false)
            .exact_size(theme::TOOL_STRIP)
            .show(ui, |ui| tools::strip(ui, &self.session))
            .inner;
        if let Some(action) = tool {
            self.perform(&ctx, action);
        }
        if !self.are_panels_hidden {
            let frame = theme::panel_frame(ui, 0);
            let kept = self.session.arrangement.as_ref();
            let width = kept.and_then(|kept| kept.inspector_width);
            let drawn = egui::Panel::right(("inspector", self.is_arranged))
                .frame(frame)
                .default_size(width.unwrap_or(theme::INSPECTOR))
                .size_range(230.0..=420.0)
                .show(ui, |ui| {
                    inspector::show(
                        ui,
                        &self.session,
                        &mut self.histogram,
                        &mut self.canvas.pointed_edit,
                        &mut self.commands,
                    );
                });
            self.widths[1].now = drawn.response.rect.width();
        }
        if has_run {
            // What is drawn is what may be painted on.
            let shown = self.session.shown.as_ref().map(|shown| shown.key);
            self.canvas.may_paint = self.graphics.is_none() || self.uploaded.key == shown;
            let gpu = self.graphics.as_ref().map(|graphics| &graphics.gpu);
            self.canvas.show(ui, &self.session, gpu, &mut self.commands);
            self.show_frame_error(ui);
        } else {
            welcome::show(ui, &self.session, &mut self.commands);
        }
        self.show_notices(ui);
    }

    /// Notices lie over the canvas: what is under the pointer stays there when one comes or goes.
    fn show_notices(&mut self, ui: &Ui) {
        if self.session.notices.is_empty() {
            return;
        }
        let within = if self.session.run.is_some() {
            self.canvas.rect
        } else {
            ui.max_rect()
        };
        egui::Area::new(egui::Id::unique("notices"))
            .order(egui::Order::Middle)
            .pivot(egui::Align2::LEFT_BOTTOM)
            .fixed_pos(within.left_bottom())
            .show(ui.ctx(), |ui| {
                let frame = theme::panel_frame(ui, 4);
                let margin = frame.total_margin().sum().x;
                frame.show(ui, |ui| {
                    ui.set_width(within.width() - margin);
                    status::notices(ui, &self.session, &mut self.commands);
                });
            });
    }

    /// Why the canvas shows nothing, where it would be.
    fn show_frame_error(&self, ui: &Ui) {
        if let Some(reason) = &self.session.frame_error {
            let rect = ui.min_rect();
            let painter = ui.painter();
            let font = egui::FontId::proportional(theme::TEXT);
            let width = rect.width().min(520.0);
            let galley = painter.layout(reason.clone(), font, theme::LIGHT, width);
            let at = rect.center() - galley.size() / 2.0;
            let ground = egui::Rect::from_min_size(at, galley.size()).expand(10.0);
            painter.rect_filled(ground, 5, theme::SHADE);
            painter.galley(at, galley, theme::LIGHT);
        }
    }

    fn overlays(&mut self, ctx: &egui::Context) {
        self.key_sheet.show(ctx, &mut self.commands);
        if let Some(action) = menu::palette(ctx, &mut self.palette, &self.session) {
            self.perform(ctx, action);
        }
        browser::go_to(ctx, &mut self.go_to, &self.session, &mut self.commands);
        welcome::path_prompt(ctx, &mut self.typed_path, &self.session, &mut self.commands);
        let canvas = self.canvas.rect;
        self.frame_plots
            .show(ctx, &self.session, canvas, &mut self.commands);
        self.import.show(ctx, &self.session, &mut self.commands);
        self.training.show(ctx, &self.session, &mut self.commands);
        calibrant::show(
            ctx,
            &mut self.is_calibrant_open,
            &self.session,
            &mut self.commands,
        );
    }

    fn keyboard(&mut self, ctx: &egui::Context) {
        let is_modal = self.palette.is_some()
            || self.go_to.is_some()
            || self.session.path_prompt.is_some()
            || self.session.import_asked.is_some()
            || self.key_sheet.is_editing();
        let keys = KeyMap::in_force(ctx);
        if !is_modal {
            let is_typing = ctx.text_edit_focused();
            let is_enter = ctx.input(|input| input.key_pressed(egui::Key::Enter)) && !is_typing;
            if is_enter && self.session.gesture.is_some() {
                // Whatever Enter is bound to, it ends what is under way, as Escape drops it.
                self.commands
                    .push(Command::Tool(crate::session::tool::ToolEvent::Finish));
            } else {
                for action in menu::pressed(ctx, &keys, self.session.triage.is_on) {
                    self.perform(ctx, action);
                }
            }
            if ctx.input(|input| input.key_pressed(egui::Key::Escape))
                && self.session.gesture.is_some()
            {
                self.commands
                    .push(Command::Tool(crate::session::tool::ToolEvent::Cancel));
            }
        }
        let is_typing = ctx.text_edit_focused() || is_modal;
        let is_held = ctx.input(|input| keys.is_held(input, Action::HideOverlays)) && !is_typing;
        if is_held != self.session.layers.hidden {
            let mut layers = self.session.layers.clone();
            layers.hidden = is_held;
            self.commands.push(Command::SetLayers(layers));
        }
    }

    fn dropped(&mut self, ctx: &egui::Context) {
        let files = ctx.input(|input| input.raw.dropped_files.clone());
        let paths: Vec<_> = files
            .into_iter()
            .map(|file| file.path().to_owned())
            .collect();
        if !paths.is_empty() {
            self.commands.push(Command::Open(Box::new(RunRequest {
                paths,
                ..RunRequest::default()
            })));
        }
    }
}

impl eframe::App for Window {
    fn logic(&mut self, _ctx: &egui::Context, _frame: &mut eframe::Frame) {
        Self::logic(self);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        Self::ui(self, ui);
    }
}

/// What the command line says about the window.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// What to open; `None` = the welcome page, or the demo.
    pub request: Option<RunRequest>,
    pub is_demo: bool,
    pub workers: crate::workers::Options,
    /// Switches prediction on or off; `None` = as it is.
    pub predict: Option<bool>,
    /// `linear`, `log`, `sqrt`, `asinh`.
    pub curve: Option<crate::domain::tone::Curve>,
    pub calibrant: Option<crate::domain::calibrant::Calibrant>,
    /// A classical finder in the net's place.
    pub finder: Option<crate::domain::finders::Finder>,
    /// Rings of round resolutions, the beam centre and the names of panels.
    pub guides: bool,
    /// Light or dark; `None` = what the desktop prefers.
    pub is_dark: Option<bool>,
}

impl Start {
    /// A session that has been told all of it.
    fn session(&self) -> Session {
        let mut session = Session::new();
        if let Some(curve) = self.curve {
            let tone = crate::domain::tone::Tone {
                curve,
                ..session.tone
            };
            session.apply(Command::SetTone(tone));
        }
        if let Some(on) = self.predict {
            session.apply(Command::SetPredict(on));
        }
        if self.calibrant.is_some() {
            session.apply(Command::SetCalibrant(self.calibrant));
        }
        if let Some(finder) = self.finder {
            session.apply(Command::ChooseFinder(finder));
        }
        if self.guides {
            let layers = crate::session::command::Layers {
                guides: true,
                ..session.layers.clone()
            };
            session.apply(Command::SetLayers(layers));
        }
        if let Some(request) = &self.request {
            session.apply(Command::Open(Box::new(request.clone())));
        } else if self.is_demo {
            session.apply(Command::OpenDemo);
        }
        session
    }
}

/// Opens the window and stays until it is closed; a sentence where there is no display or no adapter.
pub fn run_window(start: Start) -> Result<(), String> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let displays = ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"];
    if cfg!(target_os = "linux") && !displays.into_iter().any(is_set) {
        return Err(
            "There is no display to open a window on; set DISPLAY, or render the window with --screenshot OUT.png."
                .to_owned(),
        );
    }
    let mut setup = egui_wgpu::WgpuSetupCreateNew::without_display_handle();
    gpu::raise_limits(&mut setup);
    let mut options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("PeakNet Studio")
            .with_app_id("peaknet-studio")
            .with_inner_size([1600.0, 1000.0])
            .with_min_inner_size([860.0, 520.0])
            .with_drag_and_drop(true),
        ..eframe::NativeOptions::default()
    };
    options.wgpu_options.wgpu_setup = egui_wgpu::WgpuSetup::CreateNew(setup);
    eframe::run_native(
        "peaknet-studio",
        options,
        Box::new(move |cc| {
            theme::install(&cc.egui_ctx);
            if let Some(is_dark) = start.is_dark {
                cc.egui_ctx.set_theme(arrangement::preference(is_dark));
            }
            let ctx = cc.egui_ctx.clone();
            let wake = move || ctx.request_repaint();
            let workers = crate::workers::Workers::start(start.workers.clone(), wake)?;
            let mut window = Window::new(start.session(), World::of(workers), cc.wgpu_render_state.as_ref());
            window.is_calibrant_open = start.calibrant.is_some();
            window.has_theme = start.is_dark.is_some();
            window.is_users_own = true;
            Ok(Box::new(window))
        }),
    )
    .map_err(|error| {
        format!("The window could not be opened ({error}); set DISPLAY, or render it with --screenshot OUT.png.")
    })
}
