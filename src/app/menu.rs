//! The menu bar, the overlay of keys and the palette: all drawn from the one table.

use egui::Ui;

use super::Window;
use super::key_map::KeyMap;
use super::keys::{self, Action, Entry, Menu, TABLE};
use super::theme;
use crate::domain::stack::Combine;
use crate::session::Session;
use crate::session::beneath::Beneath;
use crate::session::command::Command;
use crate::session::triage::TriageCommand;

/// The bar on top: menus, what is open, the way to the keys.
pub fn bar(ui: &mut Ui, session: &Session) -> Vec<Action> {
    let mut actions = Vec::new();
    egui::MenuBar::new().ui(ui, |ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.name(), |ui| {
                for entry in TABLE.iter().filter(|entry| entry.menu == menu) {
                    if starts_group(entry.action) {
                        ui.separator();
                    }
                    if button(ui, session, entry) {
                        actions.push(entry.action);
                        ui.close();
                    }
                }
            });
        }
        let title = title(session);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let keys = egui::Button::new(theme::small("? keys")).frame(false);
            if ui
                .add(keys)
                .on_hover_text(keys::tip(ui, Action::Keys))
                .clicked()
            {
                actions.push(Action::Keys);
            }
            ui.with_layout(
                egui::Layout::centered_and_justified(egui::Direction::LeftToRight),
                |ui| {
                    let label = ui.add(egui::Label::new(title).selectable(false).truncate());
                    let label = match (&session.run, &session.project) {
                        (Some(open), Some(project)) => label.on_hover_text(format!(
                            "{}\nlabels in {}",
                            open.info.source,
                            project.display()
                        )),
                        _ => label,
                    };
                    let is_busy = session.importing.is_some();
                    if session.pending.is_waiting() || session.opening.is_some() || is_busy {
                        waiting_line(ui, label.rect);
                    }
                },
            );
        });
    });
    actions
}

/// The thin line under the title of what waits.
pub fn waiting_line(ui: &Ui, rect: egui::Rect) {
    let y = rect.bottom() + 1.0;
    let color = ui.visuals().selection.bg_fill;
    let middle = rect.center().x;
    let half = (rect.width() / 2.0).min(90.0);
    ui.painter().hline(
        middle - half..=middle + half,
        y,
        egui::Stroke::new(2.0, color),
    );
}

fn title(session: &Session) -> String {
    match (&session.run, &session.opening) {
        (_, Some((_, request))) => {
            let name = request
                .paths
                .first()
                .map_or_else(String::new, |path| super::text::file_name(path));
            format!("opening {name}")
        }
        (Some(open), None) => format!(
            "{}{}  ·  frame {} / {}",
            open.info.name,
            // A project that was named is not the run's own: one must see which it is.
            (open.request.project.as_deref()).map_or_else(String::new, |project| {
                format!("  ·  {}", super::text::file_name(project))
            }),
            super::text::thousands(session.selected as f64 + 1.0),
            super::text::thousands(open.info.frames as f64),
        ),
        (None, None) => "PeakNet Studio".to_owned(),
    }
}

/// A line above these entries of a menu.
const fn starts_group(action: Action) -> bool {
    use crate::session::tool::Tool;
    matches!(
        action,
        Action::Import
            | Action::Quit
            | Action::Tool(Tool::Brush)
            | Action::Operation(crate::domain::reshape::Operation::Make)
            | Action::BrushSmaller
            | Action::First
            | Action::NextListed
            | Action::FilterFrames
            | Action::StackMaximum
            | Action::Mark
            | Action::Fit
            | Action::AutoTone
            | Action::Fill
            | Action::Panels
            | Action::SwapClass
            | Action::AcceptAll
            | Action::Differences
            | Action::Triage
            | Action::Confirm
            | Action::Train
    )
}

fn button(ui: &mut Ui, session: &Session, entry: &Entry) -> bool {
    let mut button = egui::Button::new(entry.text);
    let key = keys::key_of(ui, entry.action);
    if !key.is_empty() {
        button = button.shortcut_text(key);
    }
    button = button.selected(is_on(session, entry.action));
    ui.add_enabled(is_possible(session, entry.action), button)
        .clicked()
}

fn is_on(session: &Session, action: Action) -> bool {
    match action {
        Action::Tool(tool) => session.tool == tool,
        Action::Class(class) => session.class.current == class,
        Action::Protect => !session.protect.is_empty(),
        Action::ProtectClass(class) => session.protect.contains(class),
        Action::Stamp => session.options.stamps,
        Action::Operation(operation) => {
            session.tool == crate::session::tool::Tool::Component
                && session.options.operation == operation
        }
        Action::LockTone => session.tone_locked,
        Action::Fill => session.layers.filled,
        Action::ShowLabels => session.layers.labels,
        Action::Predict => session.predict,
        Action::Assembled => session.is_assembled,
        Action::Guides => session.layers.guides,
        Action::PredictAll => session.predict_all,
        Action::Differences => session.differences.is_on,
        Action::Triage => session.triage.is_on,
        Action::Play => session.playback.is_on,
        Action::Blink => session.underlay.is_blinking,
        Action::StackMaximum => session.underlay.wanted == Beneath::Stack(Combine::Maximum),
        Action::StackMean => session.underlay.wanted == Beneath::Stack(Combine::Mean),
        Action::Powder => session.underlay.wanted == Beneath::Powder,
        Action::Mark => session
            .rows
            .note(session.selected)
            .is_some_and(|note| note.is_marked),
        _ => false,
    }
}

/// Whether an action makes sense now; others are grey in the menus.
pub fn is_possible(session: &Session, action: Action) -> bool {
    let history = session.shown.as_ref().map(|shown| &shown.history);
    match action {
        Action::Undo => {
            history.is_some_and(|history| history.done > 0) || session.gesture.is_some()
        }
        Action::Redo => history.is_some_and(|history| history.next_undone().is_some()),
        Action::AcceptAll | Action::AcceptPeaks | Action::AcceptArtifact => {
            session.can_paint() && session.shown_prediction().is_some()
        }
        Action::ClearSheet
        | Action::Confirm
        | Action::Withdraw
        | Action::Flag
        | Action::CopyPrevious
        | Action::CopyPreviousArtifact => session.can_paint(),
        Action::Decide(_) => session.triage.is_on && session.triage.current.is_some(),
        Action::TakeBack => session.triage.is_on && !session.triage.done.is_empty(),
        Action::Assembled => session.assembly.is_some(),
        Action::RecoverProject => session.project.is_some(),
        Action::Import => session.run.is_some() && session.importing.is_none(),
        Action::Next
        | Action::Previous
        | Action::NextTen
        | Action::PreviousTen
        | Action::First
        | Action::Last
        | Action::Random
        | Action::RandomBack
        | Action::GoTo
        | Action::NextUnreviewed
        | Action::Differences
        | Action::NextDifference
        | Action::PreviousDifference
        | Action::Triage
        | Action::NextListed
        | Action::PreviousListed
        | Action::FilterFrames
        | Action::ClearFilter
        | Action::Mark
        | Action::NextMark
        | Action::PreviousMark
        | Action::Comment
        | Action::Play
        | Action::FramePlots
        | Action::Thumbnails
        | Action::StackMaximum
        | Action::StackMean
        | Action::Blink
        | Action::Powder
        | Action::NextFlagged
        | Action::Export
        | Action::OpenGeometry
        | Action::PredictAll => session.run.is_some(),
        _ => true,
    }
}

/// The palette: type a few letters of a command, Enter does the first one.
pub fn palette(
    ctx: &egui::Context,
    text: &mut Option<String>,
    session: &Session,
) -> Option<Action> {
    let typed = text.as_mut()?;
    let mut chosen = None;
    let modal = egui::Modal::new(egui::Id::unique("palette")).show(ctx, |ui| {
        ui.set_width(360.0);
        let field = egui::TextEdit::singleline(typed)
            .hint_text("find a command")
            .desired_width(f32::INFINITY);
        let response = ui.add(field);
        response.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Find a command")
        });
        response.request_focus();
        let wanted = typed.to_lowercase();
        let fits = |entry: &&Entry| {
            let text = entry.text.to_lowercase();
            let has_all = wanted.split_whitespace().all(|word| text.contains(word));
            has_all && is_possible(session, entry.action)
        };
        ui.with_layout(egui::Layout::top_down_justified(egui::Align::Min), |ui| {
            for (index, entry) in TABLE.iter().filter(fits).take(12).enumerate() {
                let is_entered = ui.input(|input| input.key_pressed(egui::Key::Enter));
                let is_first = index == 0 && !wanted.is_empty();
                if button(ui, session, entry) || (is_first && is_entered) {
                    chosen = Some(entry.action);
                }
            }
        });
    });
    if chosen.is_some() || modal.should_close() {
        *text = None;
    }
    chosen
}

/// The keys that were pressed this frame, as actions; none while text is typed.
pub fn pressed(ctx: &egui::Context, keys: &KeyMap, is_triage: bool) -> Vec<Action> {
    if ctx.text_edit_focused() {
        return Vec::new();
    }
    let actions = ctx.input(|input| {
        let pressed = input.events.iter().filter_map(|event| match event {
            egui::Event::Key {
                key,
                pressed: true,
                modifiers,
                repeat,
                ..
            } => keys
                .action_of(*key, *modifiers, is_triage)
                .filter(|action| !repeat || repeats(*action)),
            _ => None,
        });
        pressed.collect::<Vec<_>>()
    });
    if actions.contains(&Action::Panels) {
        // Tab would also move the keyboard focus onto a widget.
        ctx.memory_mut(|memory| {
            if let Some(id) = memory.focused() {
                memory.surrender_focus(id);
            }
        });
    }
    actions
}

/// Shows a picture in the frame's place, or the frame again.
fn toggled(session: &Session, beneath: Beneath) -> Command {
    let is_on = session.underlay.wanted == beneath;
    Command::SetBeneath(if is_on { Beneath::Own } else { beneath })
}

/// Actions that go on while their key is held.
const fn repeats(action: Action) -> bool {
    matches!(
        action,
        Action::Next
            | Action::Previous
            | Action::NextTen
            | Action::PreviousTen
            | Action::NextListed
            | Action::PreviousListed
            | Action::BrushLarger
            | Action::BrushSmaller
            | Action::Undo
            | Action::Redo
            | Action::ZoomIn
            | Action::ZoomOut
    )
}

impl Window {
    /// Does what a key, a menu entry or the palette asked for.
    pub(super) fn perform(&mut self, ctx: &egui::Context, action: Action) {
        use crate::domain::brush::ClassSet;
        use crate::domain::labels::Class;
        use crate::session::command::Accept;
        use crate::session::tool::{Tool, ToolEvent, ToolOptions};
        let session = &self.session;
        if !is_possible(session, action) {
            return;
        }
        let command = match action {
            Action::Open => Command::OpenDialog,
            Action::OpenFolder => Command::OpenFolderDialog,
            Action::OpenProject => Command::OpenProjectDialog,
            Action::RecoverProject => Command::RecoverProject,
            Action::OpenPath => Command::TypePath,
            Action::OpenGeometry => Command::OpenGeometryDialog,
            Action::Demo => Command::OpenDemo,
            Action::Import => Command::ImportDialog,
            Action::Export => Command::ExportDialog,
            Action::Undo => Command::Undo,
            Action::Redo => Command::Redo,
            Action::Next => Command::Step(1),
            Action::Previous => Command::Step(-1),
            Action::NextTen => Command::Step(10),
            Action::PreviousTen => Command::Step(-10),
            Action::First => Command::First,
            Action::Last => Command::Last,
            Action::Random => Command::Random,
            Action::RandomBack => Command::RandomBack,
            Action::NextUnreviewed => Command::NextUnreviewed,
            Action::NextListed => Command::StepListed(1),
            Action::PreviousListed => Command::StepListed(-1),
            Action::ClearFilter => Command::FilterFrames(String::new()),
            Action::Mark => Command::ToggleMark,
            Action::NextMark => Command::StepMark(1),
            Action::PreviousMark => Command::StepMark(-1),
            Action::Play => Command::Play(!session.playback.is_on),
            Action::StackMaximum => toggled(session, Beneath::Stack(Combine::Maximum)),
            Action::StackMean => toggled(session, Beneath::Stack(Combine::Mean)),
            Action::Powder => toggled(session, Beneath::Powder),
            Action::Blink => Command::SetBlink(!session.underlay.is_blinking),
            Action::Thumbnails => {
                self.are_panels_hidden = false;
                return self.browser.toggle_thumbnails();
            }
            Action::FilterFrames => {
                self.are_panels_hidden = false;
                return self.browser.focus_filter();
            }
            Action::Comment => {
                self.are_panels_hidden = false;
                return self.browser.focus_note();
            }
            Action::FramePlots => {
                self.frame_plots.is_open = !self.frame_plots.is_open;
                return;
            }
            Action::NextFlagged => Command::NextFlagged,
            Action::Differences => Command::ShowDifferences(!session.differences.is_on),
            Action::NextDifference => Command::StepDifference(1),
            Action::PreviousDifference => Command::StepDifference(-1),
            Action::Triage => Command::Triage(TriageCommand::Show(!session.triage.is_on)),
            Action::Decide(verdict) => Command::Triage(TriageCommand::Decide(verdict)),
            Action::TakeBack => Command::Triage(TriageCommand::TakeBack),
            Action::Tool(tool) => Command::SetTool(tool),
            Action::Class(class) => Command::SetClass(class),
            Action::SwapClass => Command::SwapClass,
            Action::BrushLarger => Command::StepBrush(1),
            Action::BrushSmaller => Command::StepBrush(-1),
            Action::Protect => Command::SetProtect(if session.protect.is_empty() {
                ClassSet::LABELS
            } else {
                ClassSet::default()
            }),
            Action::ProtectClass(class) => Command::SetProtect(session.protect.toggled(class)),
            Action::Stamp => Command::SetToolOptions(ToolOptions {
                stamps: !session.options.stamps,
                ..session.options
            }),
            Action::CopyPrevious => Command::CopyPrevious(None),
            Action::CopyPreviousArtifact => Command::CopyPrevious(Some(Class::Artifact)),
            Action::Operation(operation) => {
                self.commands.push(Command::SetTool(Tool::Component));
                Command::SetToolOptions(ToolOptions {
                    operation,
                    ..session.options
                })
            }
            Action::AutoTone => Command::AutoTone,
            Action::Assembled => Command::SetAssembled(!session.is_assembled),
            Action::LockTone => Command::SetToneLocked(!session.tone_locked),
            Action::Guides => {
                let mut layers = session.layers.clone();
                layers.guides = !layers.guides;
                Command::SetLayers(layers)
            }
            Action::ShowLabels => {
                let mut layers = session.layers.clone();
                layers.labels = !layers.labels;
                Command::SetLayers(layers)
            }
            Action::Fill => {
                let mut layers = session.layers.clone();
                layers.filled = !layers.filled;
                Command::SetLayers(layers)
            }
            Action::Confirm if session.gesture.is_some() => Command::Tool(ToolEvent::Finish),
            Action::Confirm => Command::Confirm,
            Action::Withdraw => Command::Withdraw,
            Action::Flag => Command::Flag,
            Action::AcceptAll => Command::Accept(Accept::All),
            Action::AcceptPeaks => Command::Accept(Accept::OneClass(Class::Peak)),
            Action::AcceptArtifact => Command::Accept(Accept::OneClass(Class::Artifact)),
            Action::ClearSheet => Command::ClearSheet,
            Action::Predict => Command::SetPredict(!session.predict),
            Action::PredictAll => Command::PredictAll(!session.predict_all),
            Action::HideOverlays => return,
            Action::Quit => return ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Action::Fit => return self.canvas.fit(),
            Action::OneToOne => return self.canvas.one_to_one(),
            Action::ZoomIn => return self.canvas.zoom_by(1.25),
            Action::ZoomOut => return self.canvas.zoom_by(0.8),
            Action::Loupe => {
                self.canvas.has_loupe = !self.canvas.has_loupe;
                return;
            }
            Action::Panels => {
                self.are_panels_hidden = !self.are_panels_hidden;
                return;
            }
            Action::Theme => {
                return self.change_theme(ctx);
            }
            Action::GoTo => {
                self.go_to = Some(String::new());
                return;
            }
            Action::Train => {
                self.training.is_open = !self.training.is_open;
                return;
            }
            Action::Calibrant => {
                self.is_calibrant_open = !self.is_calibrant_open;
                return;
            }
            Action::Palette => {
                self.palette = Some(String::new());
                return;
            }
            Action::Keys => {
                self.key_sheet.is_open = !self.key_sheet.is_open;
                return;
            }
            Action::EditKeys => return self.key_sheet.edit(),
        };
        self.commands.push(command);
    }
}
