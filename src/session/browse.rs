//! Opening a run and going from frame to frame.

use std::sync::Arc;

use super::beneath::Thumbnails;
use super::command::{Layers, RunRequest, View};
use super::job::{FrameKey, Job, LoadedFrame, LoadedLabels, ProjectState};
use super::source::SourceState;
use super::table::Rows;
use super::{Cure, Notice, NoticeKind, Session};
use crate::domain::assembly::Assembly;
use crate::domain::frame::RunInfo;
use crate::domain::labels::{History, Review, Sheet};

/// How many frames are read ahead of the curator, and kept behind.
const AHEAD: usize = 6;

#[derive(Clone, Debug)]
pub struct OpenRun {
    pub serial: u64,
    pub info: Arc<RunInfo>,
    pub request: RunRequest,
}

/// What the frame table knows of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameRow {
    /// Found by the net that is loaded now.
    pub peaks: Option<u32>,
    pub artifact_fraction: Option<f32>,
    pub doubt: Option<f32>,
    /// 1 - F1 against the peak list of another program, where there is one.
    pub disagreement: Option<f32>,
    /// Of the valid pixels, in photons where the run says what one is.
    pub mean: Option<f32>,
    pub maximum: Option<f32>,
    pub is_labelled: bool,
    pub review: Review,
}

/// The frame on the canvas: pixels and labels that belong together.
#[derive(Clone, Debug)]
pub struct Shown {
    pub key: FrameKey,
    pub loaded: LoadedFrame,
    pub sheet: Arc<Sheet>,
    pub history: History,
    /// Why this frame's labels must not be painted on.
    pub read_only: Option<String>,
    pub source: SourceState,
}

/// Pixels and labels that were asked for; shown when both are there.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    pub key: Option<FrameKey>,
    pub frame: Option<LoadedFrame>,
    pub labels: Option<Result<LoadedLabels, String>>,
    labels_asked: bool,
}

impl Pending {
    pub const fn is_waiting(&self) -> bool {
        self.key.is_some()
    }
}

/// Masks are known by their names: Fit2D's ending, or the word itself, apart from others, in the name of a file.
fn is_mask(path: &std::path::Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase());
    let is_word = |name: String| {
        let mut words = name.split(|c: char| !c.is_alphabetic());
        name.ends_with(".msk") || words.any(|word| word == "mask")
    };
    path.extension().is_some() && name.is_some_and(is_word)
}

impl Session {
    pub(super) fn open(&mut self, request: RunRequest) {
        if request.paths.is_empty() {
            return;
        }
        let request = self.for_open_run(request);
        self.run_serial += 1;
        self.opening = Some((self.run_serial, request.clone()));
        self.jobs.push(Job::OpenRun {
            run: self.run_serial,
            request: Box::new(request),
        });
    }

    /// A geometry file, a stream or a mask alone is meant for the open run: it is opened again with it.
    fn for_open_run(&self, request: RunRequest) -> RunRequest {
        let ([only], Some(open)) = (request.paths.as_slice(), &self.run) else {
            return request;
        };
        let again = RunRequest {
            frame: Some(self.selected),
            ..open.request.clone()
        };
        let ending = only.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_deref().and_then(|ending| ending.to_str()) {
            Some("geom" | "poni") => RunRequest {
                geometry: Some(only.clone()),
                ..again
            },
            Some("stream") => RunRequest {
                peaks: Some(only.clone()),
                ..again
            },
            _ if is_mask(only) => {
                let mut again = again;
                if !again.bad_pixels.contains(only) {
                    again.bad_pixels.push(only.clone());
                }
                again
            }
            _ => request,
        }
    }

    pub(super) fn run_opened(&mut self, run: u64, result: Result<Arc<RunInfo>, String>) {
        let Some((serial, request)) = self.opening.clone() else {
            return;
        };
        if serial != run {
            return;
        }
        self.opening = None;
        let info = match result {
            Ok(info) => info,
            Err(reason) => return self.notice_with(reason, Some(Cure::OpenAnother)),
        };
        self.cancel_gesture();
        // What was said before was about something else, save for writes that still fail and the user's own files.
        self.notices.retain(|notice| {
            notice.cure == Some(Cure::RetryStore) || notice.kind == NoticeKind::OfUser
        });
        self.notices.extend(info.said().map(|text| Notice {
            text: text.clone(),
            cure: None,
            kind: NoticeKind::OfRun,
        }));
        self.rows = Rows::blank(info.frames);
        self.playback.is_on = false;
        self.underlay.forget();
        self.thumbnails = Thumbnails::default();
        self.jobs.push(Job::StopPowder);
        // A list that the user named is wanted; one that the file happens to have is a click away.
        self.layers.listed = request.peaks.is_some();
        self.selected = 0;
        self.shown = None;
        self.pending = Pending::default();
        self.frame_error = None;
        self.visited.clear();
        self.asked_about = None;
        self.flagged_from.clear();
        self.confirmed_here.clear();
        self.predictions.clear();
        self.prediction_order.clear();
        self.predicting = 0;
        self.forget_second();
        self.forget_triage();
        self.calibration = None;
        self.reload_wanted = false;
        self.importing = None;
        self.import_asked = None;
        self.guides = None;
        self.view = None;
        self.view_version += 1;
        self.tone_wanted = !self.tone_locked;
        self.project = None;
        self.read_only = None;
        self.assembly = Assembly::of(&info.geometry).map(Arc::new);
        // One panel looks the same both ways.
        self.is_assembled = info.geometry.panels.len() > 1 && self.assembly.is_some();
        let project = request.project.clone();
        self.run = Some(OpenRun {
            serial,
            info: info.clone(),
            request,
        });
        self.ask_guides();
        // The project says where the curator left off: the first frame is asked for when it has answered.
        self.jobs.push(Job::OpenProject {
            run: serial,
            path: project,
            info,
        });
    }

    /// The run has more frames than before, or frames that were empty are not any more.
    pub(super) fn run_grown(&mut self, run: u64, info: Arc<RunInfo>) {
        let Some(open) = self.run.as_mut().filter(|open| open.serial == run) else {
            return;
        };
        self.rows.grow(info.frames);
        // What is no longer true goes, what is new comes; what the curator has closed stays closed.
        let known: Vec<&String> = open.info.said().collect();
        self.notices.retain(|notice| {
            notice.kind != NoticeKind::OfRun || info.said().any(|text| *text == notice.text)
        });
        let fresh = info.said().filter(|text| !known.contains(text));
        self.notices.extend(fresh.map(|text| Notice {
            text: text.clone(),
            cure: None,
            kind: NoticeKind::OfRun,
        }));
        open.info = info;
        let is_empty = self.shown.as_ref().is_some_and(|shown| {
            shown.key.number == self.selected && !shown.loaded.problems.is_empty()
        });
        let info = open.info.clone();
        self.jobs.push(Job::NoteGrowth { run, info });
        self.reload_wanted |= is_empty || self.frame_error.is_some();
        self.reload();
        self.read_ahead();
    }

    /// Reads the shown frame again if that is wanted and nothing is under way.
    pub(super) fn reload(&mut self) {
        let waits = self.gesture.is_some() || self.pending.is_waiting() || self.project.is_none();
        if self.reload_wanted && !waits {
            self.reload_wanted = false;
            self.select(self.selected);
        }
    }

    pub(super) fn set_layers(&mut self, layers: Layers) {
        let is_asked = layers.guides && !self.layers.guides;
        self.layers = layers;
        if is_asked && self.run.is_some() && !self.places_rings() {
            self.notice("Rings of resolution need wavelength, distance, beam centre and pixel size: from the file, a .geom or .poni, or options.");
        }
        self.ask_guides();
    }

    /// The rings are computed when they are first looked at.
    fn ask_guides(&mut self) {
        if let (true, None, Some(open)) = (self.layers.guides, &self.guides, &self.run) {
            self.jobs.push(Job::PlaceGuides {
                run: open.serial,
                info: open.info.clone(),
            });
        }
    }

    pub(super) fn project_opened(&mut self, run: u64, result: Result<ProjectState, String>) {
        let Some(open) = self.run.as_ref().filter(|open| open.serial == run) else {
            return;
        };
        let mut wanted = open.request.frame;
        match result {
            Ok(state) => {
                for (number, review) in state.reviews {
                    if let Some(row) = self.rows.get_mut(number) {
                        row.review = review;
                    }
                }
                for (number, note) in state.notes {
                    self.rows.set_note(number, note);
                }
                for number in state.labelled {
                    if let Some(row) = self.rows.get_mut(number) {
                        row.is_labelled = true;
                    }
                }
                wanted = wanted.or(state.last_frame);
                if let Some(view) = state.view {
                    self.is_assembled = view.is_assembled && self.assembly.is_some();
                    // The place of another plane means nothing.
                    if self.is_assembled == view.is_assembled {
                        self.view = Some(view);
                    }
                    self.view_version += 1;
                }
                if let Some(reason) = &state.read_only {
                    let cure = state.is_damaged.then_some(Cure::RecoverProject);
                    self.notice_with(reason.clone(), cure);
                }
                self.read_only = state.read_only;
                self.project = Some(state.path);
            }
            Err(reason) => {
                self.notice(reason.clone());
                self.read_only = Some(reason);
            }
        }
        if let Some(asked) = wanted.filter(|asked| *asked >= self.rows.len()) {
            self.notice(format!(
                "There is no frame {}; the run has {}.",
                asked + 1,
                self.rows.len()
            ));
        }
        let first = wanted.unwrap_or(0).min(self.rows.len().saturating_sub(1));
        self.select(first);
    }

    /// The project is opened again when it is recovered; until then nothing can be painted.
    pub(super) fn recover_project(&mut self) {
        self.finish_gesture();
        let Some(open) = &self.run else { return };
        self.jobs.push(Job::RecoverProject {
            run: open.serial,
            info: open.info.clone(),
        });
        let is_cure = |notice: &Notice| notice.cure == Some(Cure::RecoverProject);
        self.notices.retain(|notice| !is_cure(notice));
        self.read_only = Some("The project is being recovered.".to_owned());
        if let Some(shown) = &mut self.shown {
            shown.read_only.clone_from(&self.read_only);
        }
    }

    /// The key of a frame of the open run.
    pub fn key(&self, number: usize) -> Option<FrameKey> {
        let open = self.run.as_ref()?;
        (number < self.rows.len()).then_some(FrameKey {
            run: open.serial,
            number,
        })
    }

    pub(super) fn go_to(&mut self, number: usize) {
        if self.rows.is_empty() {
            return;
        }
        let number = number.min(self.rows.len() - 1);
        if number != self.selected || self.frame_error.is_some() {
            self.select(number);
        }
    }

    pub(super) fn step(&mut self, by: isize) {
        self.go_to(self.selected.saturating_add_signed(by));
    }

    pub(super) fn go_random(&mut self) {
        let listed = self.table.listed();
        let others = listed.len() - usize::from(self.table.place_of(self.selected).is_some());
        if others == 0 {
            return;
        }
        // xorshift64: only to pick a frame, so that the session needs no generator of its own.
        let mut state = self.random_state;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let here = self.table.place_of(self.selected).unwrap_or(usize::MAX);
        let place = (state % others as u64) as usize;
        let number = listed.get(place + usize::from(place >= here)).copied();
        self.random_state = state;
        if let Some(number) = number {
            self.visited.push(self.selected);
            self.go_to(number as usize);
        }
    }

    pub(super) fn go_back(&mut self) {
        if let Some(number) = self.visited.pop() {
            self.go_to(number);
        }
    }

    pub(super) fn next_unreviewed(&mut self) {
        let count = self.rows.len();
        let next = (1..=count)
            .map(|step| (self.selected + step) % count)
            .find(|&i| {
                self.rows
                    .get(i)
                    .is_some_and(|row| row.review != Review::Confirmed)
            });
        if let Some(number) = next {
            self.go_to(number);
        }
    }

    /// The next frame that was put aside with a question, round the end of the run.
    pub(super) fn next_flagged(&mut self) {
        let count = self.rows.len();
        let is_flagged = |row: &FrameRow| row.review == Review::Flagged;
        let next = (1..=count)
            .map(|step| (self.selected + step) % count)
            .find(|&i| self.rows.get(i).is_some_and(is_flagged));
        match next {
            Some(number) => self.go_to(number),
            None if count > 0 => self.notice("No frame of this run is flagged; T flags one."),
            None => {}
        }
    }

    fn select(&mut self, number: usize) {
        let Some(key) = self.key(number) else { return };
        self.finish_gesture();
        self.forget_refusals();
        self.selected = number;
        self.frame_error = None;
        self.pending = Pending {
            key: Some(key),
            ..Pending::default()
        };
        self.jobs.push(Job::LoadFrame(key));
        if let Some(info) = self.run.as_ref().map(|open| open.info.clone()) {
            self.ask_labels(key, info.width, info.height);
        }
        self.jobs.push(Job::StoreView {
            run: key.run,
            frame: number,
            view: self.view,
        });
        self.read_ahead();
        self.ask_predictions();
    }

    fn ask_labels(&mut self, key: FrameKey, width: usize, height: usize) {
        self.pending.labels_asked = true;
        self.jobs.push(Job::LoadLabels { key, width, height });
    }

    fn read_ahead(&mut self) {
        let likely = (1..=AHEAD)
            .map(|step| self.selected + step)
            .chain((1..=2).filter_map(|step| self.selected.checked_sub(step)))
            .filter_map(|number| self.key(number))
            .collect();
        self.jobs.push(Job::ReadAhead(likely));
    }

    pub(super) fn frame_arrived(&mut self, key: FrameKey, result: Result<LoadedFrame, String>) {
        if self.pending.key != Some(key) {
            return;
        }
        match result {
            Ok(loaded) => {
                self.pending.frame = Some(loaded);
                self.show_if_complete();
            }
            Err(reason) => {
                self.pending = Pending::default();
                self.notice(reason.clone());
                self.frame_error = Some(reason);
            }
        }
    }

    pub(super) fn labels_arrived(&mut self, key: FrameKey, result: Result<LoadedLabels, String>) {
        if self.pending.key == Some(key) {
            self.pending.labels = Some(result);
            self.show_if_complete();
        }
    }

    /// Pixels and labels are put on screen together, never one without the other.
    fn show_if_complete(&mut self) {
        if self.pending.frame.is_none() || self.pending.labels.is_none() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let (Some(key), Some(loaded), Some(labels)) = (pending.key, pending.frame, pending.labels)
        else {
            return;
        };
        let (width, height) = (loaded.frame.width(), loaded.frame.height());
        let mut read_only = self.read_only.clone();
        let labels = match labels {
            Ok(labels) if labels.sheet.width() == width && labels.sheet.height() == height => {
                labels
            }
            Ok(labels) => {
                read_only = Some(format!(
                    "The labels of frame {} are {} x {} but the frame is {width} x {height}; open the run they were \
                     made on, or another project.",
                    key.number + 1,
                    labels.sheet.width(),
                    labels.sheet.height(),
                ));
                empty_labels(width, height)
            }
            Err(reason) => {
                read_only = Some(reason);
                empty_labels(width, height)
            }
        };
        if let Some(reason) = &read_only
            && self.read_only.is_none()
        {
            self.notice(reason.clone());
        }
        let mut history = labels.history;
        let row = self.rows.get(key.number);
        let is_confirmed = row.is_some_and(|row| row.review == Review::Confirmed);
        // What others have confirmed, or this curator some other day, is not confirmed again in their name.
        if is_confirmed && self.confirmed_here.contains(&key.number) {
            history.confirmed = Some(history.done);
        }
        self.shown = Some(Shown {
            key,
            loaded,
            sheet: labels.sheet,
            history,
            read_only,
            source: SourceState::Unknown,
        });
        if let Some(known) = labels.pixels {
            self.check_source(known);
        }
        // That it was still being read is no longer true.
        self.forget_refusals();
        self.sheet_changed_wholly();
        self.ask_stack();
        if self.tone_wanted {
            self.auto_tone();
        }
        self.ask_calibration();
        self.triage_frame_shown();
    }

    pub(super) fn auto_tone(&mut self) {
        self.tone_wanted = self.shown.is_none();
        if let Some(statistics) = self.statistics().copied() {
            self.tone.set_auto(&statistics);
        }
    }

    /// Shows the panels in space or as stored; what is in the middle stays there.
    pub(super) fn set_assembled(&mut self, on: bool) {
        let Some(assembly) = self.assembly.clone().filter(|_| on != self.is_assembled) else {
            return;
        };
        self.cancel_gesture();
        self.is_assembled = on;
        let moved = self.view.and_then(|view| {
            let (x, y) = (f64::from(view.center_x), f64::from(view.center_y));
            let [x, y] = if on {
                assembly.plane_from_raw(x, y)?
            } else {
                assembly.raw_from_plane(x, y)?
            };
            Some(View {
                center_x: x as f32,
                center_y: y as f32,
                is_assembled: on,
                ..view
            })
        });
        self.view_version += 1;
        self.set_view(moved.unwrap_or(View {
            center_x: 0.0,
            center_y: 0.0,
            zoom: 0.0,
            is_assembled: on,
        }));
    }

    pub(super) fn set_view(&mut self, view: View) {
        self.view = Some(view);
        if let Some(open) = &self.run {
            let run = open.serial;
            self.jobs.push(Job::StoreView {
                run,
                frame: self.selected,
                view: Some(view),
            });
        }
    }
}

fn empty_labels(width: usize, height: usize) -> LoadedLabels {
    LoadedLabels {
        sheet: Arc::new(Sheet::filled(width, height, 0)),
        history: History::default(),
        pixels: None,
    }
}
