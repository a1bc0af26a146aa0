//! The thread that owns the label database: every write in order, each tried until it is on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::import::Bring;
use crate::domain::columns::Note;
use crate::domain::frame::RunInfo;
use crate::domain::labels::{Edit, History, Review, Sheet};
use crate::domain::source::LabelledPixels;
use crate::io;
use crate::io::export::{self, Which};
use crate::io::import;
use crate::io::project::{Mode, Project, Provenance, Recovered, RunKey};
use crate::session::arrangement::Arrangement;
use crate::session::command::View;
use crate::session::job::{FrameKey, LoadedLabels, ProjectState, Report};
use crate::session::keys::KeyChange;

/// How long a view rests before it is written, so that zooming does not keep the disk busy.
const VIEW_RESTS: Duration = Duration::from_millis(400);
/// How long nothing is written before a copy of the project is kept.
const COPY_RESTS: Duration = Duration::from_secs(20);
/// How long a copy is new enough.
const COPY_AGES: Duration = Duration::from_secs(600);
/// How long a failed write waits before it is tried again by itself.
const RETRY_AFTER: Duration = Duration::from_secs(3);

pub enum Task {
    Open {
        run: u64,
        path: Option<PathBuf>,
        info: Arc<RunInfo>,
    },
    /// The open run has more frames than when it was opened.
    Grown {
        run: u64,
        info: Arc<RunInfo>,
    },
    Load {
        key: FrameKey,
        width: usize,
        height: usize,
    },
    Edit {
        key: FrameKey,
        edit: Arc<Edit>,
        net: Option<String>,
    },
    /// Makes the damaged project of the open run sound, as far as it and its copy allow.
    Recover {
        run: u64,
        info: Arc<RunInfo>,
    },
    Undo(FrameKey),
    Redo(FrameKey),
    Review(FrameKey, Review),
    Note(FrameKey, Note),
    Pixels(FrameKey, LabelledPixels),
    View {
        run: u64,
        frame: usize,
        view: Option<View>,
    },
    Export {
        out: PathBuf,
        force: bool,
    },
    /// Lines of the user's keys: here, because nothing that was asked of this thread is dropped.
    Keys(Vec<KeyChange>),
    /// How the window is arranged.
    Arrangement(Box<Arrangement>),
    /// Writes the confirmed frames as a set and answers when it is there.
    Freeze {
        out: PathBuf,
        answer: Sender<Result<(), String>>,
    },
    /// One frame's labels from elsewhere.
    Bring(Box<Bring>),
    /// The reviews of the open run.
    Reviews {
        run: u64,
        answer: Sender<Vec<(usize, Review)>>,
    },
    Close,
}

/// The project of the open run. It is made on disk by the first write, so that looking leaves nothing behind.
struct Open {
    serial: u64,
    path: PathBuf,
    info: Arc<RunInfo>,
    database: Option<(Project, RunKey)>,
    /// Something was written that the copy beside the project has not.
    is_changed: bool,
    copied: Option<Instant>,
}

struct Keeper {
    shared: Arc<Shared>,
    tasks: Receiver<Task>,
    curator: String,
    open: Option<Open>,
    view: Option<(u64, usize, Option<View>)>,
    blank: Option<Arc<Sheet>>,
    closing: bool,
}

pub fn start(
    shared: Arc<Shared>,
    curator: String,
) -> std::io::Result<(Sender<Task>, JoinHandle<()>)> {
    let (sender, tasks) = mpsc::channel();
    let mut keeper = Keeper {
        shared,
        tasks,
        curator,
        open: None,
        view: None,
        blank: None,
        closing: false,
    };
    let thread = std::thread::Builder::new()
        .name("project".to_owned())
        .spawn(move || keeper.work())?;
    Ok((sender, thread))
}

impl Keeper {
    fn work(&mut self) {
        while !self.closing {
            let rests = if self.view.is_some() {
                VIEW_RESTS
            } else if self.wants_copy() {
                COPY_RESTS
            } else {
                Duration::MAX
            };
            match self.tasks.recv_timeout(rests) {
                Ok(task) => self.do_task(task),
                Err(RecvTimeoutError::Timeout) if self.view.is_some() => self.write_view(),
                Err(RecvTimeoutError::Timeout) => self.keep_copy(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.write_view();
        self.leave();
    }

    fn do_task(&mut self, task: Task) {
        match task {
            Task::Open { run, path, info } => {
                self.write_view();
                self.leave();
                let result = self.open_project(run, path, info);
                self.shared.report(Report::ProjectOpened { run, result });
            }
            Task::Grown { run, info } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.serial == run) {
                    open.info = info;
                    if let Some((project, _)) = &mut open.database {
                        // A project that may only be read keeps the old number; nothing depends on it until it is exported.
                        let _ = project.add_run(&open.info);
                    }
                }
            }
            Task::Load { key, width, height } => {
                let result = self.load(key, width, height);
                self.shared.report(Report::Labels { key, result });
            }
            Task::Edit { key, edit, net } => {
                let curator = self.curator.clone();
                self.write(key, true, |project, run| {
                    let provenance = Provenance {
                        who: curator.clone(),
                        net: net.clone(),
                    };
                    project.store_edit(run, key.number, &edit, &provenance)
                });
            }
            Task::Recover { run, info } => {
                self.write_view();
                let path = self.open.take().map(|open| open.path);
                if let Some(path) = path {
                    self.recover(&path);
                    let result = self.open_project(run, Some(path), info);
                    self.shared.report(Report::ProjectOpened { run, result });
                }
            }
            Task::Undo(key) => self.write(key, true, |project, run| project.undo(run, key.number)),
            Task::Redo(key) => self.write(key, true, |project, run| project.redo(run, key.number)),
            Task::Review(key, review) => self.write(key, true, |project, run| {
                project.set_review(run, key.number, review)
            }),
            Task::Note(key, note) => self.write(key, true, |project, run| {
                project.set_note(run, key.number, &note)
            }),
            Task::Pixels(key, pixels) => self.write(key, false, |project, run| {
                project.store_pixels(run, key.number, &pixels)
            }),
            Task::View { run, frame, view } => self.view = Some((run, frame, view)),
            Task::Export { out, force } => {
                let (format, place) = export::form_of(&out);
                // The user was asked about this name, not about another one.
                let force = force && place == out;
                let result = self.export(place, format, force);
                self.shared.report(Report::Exported(result));
            }
            Task::Arrangement(new) => super::settings::keep(&self.shared, &new),
            Task::Keys(changes) => {
                let changes = changes.into_iter().map(|change| io::keys::Change {
                    name: change.name,
                    keys: change.keys,
                });
                if let Err(error) = io::keys::change(&changes.collect::<Vec<_>>()) {
                    self.shared.report(Report::Notice(error.to_string()));
                }
            }
            Task::Freeze { out, answer } => {
                let _ = answer.send(self.export(out, "set", false).map(|_| ()));
            }
            Task::Bring(bring) => {
                let result = self.bring(&bring);
                // A run that was closed meanwhile is answered by nobody; who waits hears that.
                if let Some(result) = result {
                    let _ = bring.answer.send(result);
                }
            }
            Task::Reviews { run, answer } => {
                let _ = answer.send(self.reviews(run));
            }
            Task::Close => self.closing = true,
        }
    }

    fn open_project(
        &mut self,
        run: u64,
        path: Option<PathBuf>,
        info: Arc<RunInfo>,
    ) -> Result<ProjectState, String> {
        self.open = None;
        let path = path.unwrap_or_else(|| io::project::default_path(&info));
        let mut state = ProjectState {
            path: path.clone(),
            ..ProjectState::default()
        };
        let mut open = Open {
            serial: run,
            path: path.clone(),
            info,
            database: None,
            is_changed: false,
            copied: None,
        };
        if path.exists() {
            let mode = Mode::Write {
                who: self.curator.clone(),
            };
            match open_database(&path, mode, &open.info, &mut state) {
                Ok(database) => open.database = database,
                // The run can still be looked at.
                Err(error) if error.is_damage() => {
                    state.read_only = Some(error.to_string());
                    state.is_damaged = true;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        self.open = Some(open);
        Ok(state)
    }

    fn opened(&mut self, key: FrameKey) -> Option<&mut Open> {
        self.open.as_mut().filter(|open| open.serial == key.run)
    }

    fn load(&mut self, key: FrameKey, width: usize, height: usize) -> Result<LoadedLabels, String> {
        // Frames without labels share one sheet; who paints on it gets a copy.
        let fits = |sheet: &&Arc<Sheet>| (sheet.width(), sheet.height()) == (width, height);
        let sheet = match self.blank.as_ref().filter(fits) {
            Some(sheet) => sheet.clone(),
            None => Arc::new(Sheet::filled(width, height, 0)),
        };
        self.blank = Some(sheet.clone());
        let blank = || LoadedLabels {
            sheet: sheet.clone(),
            history: History::default(),
            pixels: None,
        };
        let Some(open) = self.opened(key) else {
            return Ok(blank());
        };
        let Some((project, run)) = &mut open.database else {
            return Ok(blank());
        };
        let stored = project
            .load_labels(*run, key.number)
            .map_err(|error| error.to_string())?;
        let Some(stored) = stored else {
            return Ok(blank());
        };
        // What cannot be read here was said of the labels already, or is only missing.
        let pixels = project.pixels_of(*run, key.number).unwrap_or_default();
        if let Some(notice) = stored.notice {
            self.shared.report(Report::Notice(notice));
        }
        Ok(LoadedLabels {
            sheet: Arc::new(stored.sheet),
            history: stored.history,
            pixels,
        })
    }

    /// Does one write until it succeeds; what comes after it waits, so that the order on disk is the order of work.
    fn write(
        &mut self,
        key: FrameKey,
        counted: bool,
        mut act: impl FnMut(&mut Project, RunKey) -> Result<(), io::project::Error>,
    ) {
        let mut said = String::new();
        loop {
            let curator = self.curator.clone();
            let Some(open) = self.opened(key) else { return };
            let result =
                ensure_database(open, &curator).and_then(|(project, run)| act(project, run));
            let Err(error) = result else {
                open.is_changed = true;
                if counted {
                    self.shared.report(Report::Stored);
                }
                return;
            };
            let sentence = error.to_string();
            if sentence != said {
                self.shared.report(Report::StoreFailed(sentence.clone()));
                said = sentence;
            }
            if !self.wait_for_retry() {
                return;
            }
        }
    }

    /// Waits before a failed write is tried again; false when the program ends instead.
    fn wait_for_retry(&self) -> bool {
        let until = Instant::now() + RETRY_AFTER;
        while Instant::now() < until {
            if self.shared.closing.load(Ordering::Relaxed) {
                return false;
            }
            if self.shared.retry.swap(false, Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Joins one frame's labels; `None` when another run is open.
    fn bring(&mut self, bring: &Bring) -> Option<Result<import::Brought, String>> {
        let curator = self.curator.clone();
        let open = self.opened(bring.key)?;
        let number = bring.key.number;
        let (labels, tool, choices) = (&bring.labels, &bring.tool, &bring.choices);
        let done = match ensure_database(open, &curator) {
            Ok((project, run)) => {
                import::bring(project, run, number, labels, tool, choices, &curator)
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        Some(done)
    }

    /// Whether the copy beside the project is older than what was written, and not made just now.
    fn wants_copy(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let is_new = open.copied.is_some_and(|then| then.elapsed() < COPY_AGES);
            open.is_changed && !is_new
        })
    }

    fn keep_copy(&mut self) {
        let Some(open) = &mut self.open else { return };
        open.copied = Some(Instant::now());
        let Some((project, _)) = &open.database else {
            return;
        };
        match project.back_up() {
            Ok(()) => open.is_changed = false,
            Err(error) => self.shared.report(Report::Notice(error.to_string())),
        }
    }

    /// The project is closed: what was written since the last copy goes into the next one.
    fn leave(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.is_changed) {
            self.keep_copy();
        }
        self.open = None;
    }

    /// Puts what can be saved of a project in its place; the damaged file stays beside it.
    fn recover(&self, path: &Path) {
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let fresh = beside(".recovered");
        let found = match io::project::recover(path, &fresh, true, &self.curator) {
            Ok(found) => found,
            Err(error) => {
                let sentence = format!("The project could not be recovered: {error}");
                return self.shared.report(Report::Notice(sentence));
            }
        };
        let mut names = (1..1000).map(|count| beside(&format!(".damaged-{count}")));
        let kept = names.find(|name| !name.exists());
        let kept = kept.unwrap_or_else(|| beside(".damaged"));
        let moved = std::fs::rename(path, &kept).and_then(|()| std::fs::rename(&fresh, path));
        let sentence = match moved {
            Ok(()) => format!(
                "{} The damaged file is kept: {}",
                said(&found),
                kept.display()
            ),
            Err(error) => format!(
                "The recovered project could not be put in its place ({error}); open it yourself: {}",
                fresh.display()
            ),
        };
        // A journal of the damaged file must not be taken for one of the new file.
        let journal = beside("-journal");
        if journal.exists() {
            let mut name = kept.into_os_string();
            name.push("-journal");
            let _ = std::fs::rename(journal, name);
        }
        self.shared.report(Report::Notice(sentence));
    }

    fn reviews(&mut self, run: u64) -> Vec<(usize, Review)> {
        let open = self.open.as_ref().filter(|open| open.serial == run);
        let database = open.and_then(|open| open.database.as_ref());
        // Reviews that cannot be read now are read when the run is opened again.
        database.map_or_else(Vec::new, |(project, key)| {
            project.review_states(*key).unwrap_or_default()
        })
    }

    fn write_view(&mut self) {
        let Some((run, frame, view)) = self.view.take() else {
            return;
        };
        let Some(open) = self.open.as_mut().filter(|open| open.serial == run) else {
            return;
        };
        // A run that was only looked at gets no project for its view alone.
        if let Some((project, key)) = &mut open.database {
            let text = serde_json::json!({
                "frame": frame,
                "center_x": view.map(|v| v.center_x),
                "center_y": view.map(|v| v.center_y),
                "zoom": view.map(|v| v.zoom),
                "assembled": view.map(|v| v.is_assembled),
            });
            // A view that is not remembered loses no work.
            let _ = project.store_view(*key, &text.to_string());
        }
    }

    fn export(&mut self, out: PathBuf, format: &str, force: bool) -> Result<String, String> {
        if !force && out.exists() {
            return Err(format!(
                "A file of this name exists; choose another one: {}",
                out.display()
            ));
        }
        let none =
            "There are no labels to export yet; paint or accept some and confirm the frames.";
        let open = self.open.as_mut().ok_or_else(|| none.to_owned())?;
        let (project, _) = open.database.as_mut().ok_or_else(|| none.to_owned())?;
        let summary = export::export(
            project,
            &out,
            format,
            Which::Reviewed,
            force,
            &mut |_, _| {},
        )
        .map_err(|error| error.to_string())?;
        for notice in summary.notices {
            self.shared.report(Report::Notice(sentence(&notice)));
        }
        let frames = match summary.frames {
            1 => "1 frame".to_owned(),
            count => format!("{count} frames"),
        };
        Ok(format!("Exported {frames} to {}.", out.display()))
    }
}

/// Opens the database to write, or else to read, and says what it knows of the run.
fn open_database(
    path: &Path,
    mode: Mode,
    info: &RunInfo,
    state: &mut ProjectState,
) -> Result<Option<(Project, RunKey)>, io::project::Error> {
    let mut project = match Project::open(path, mode) {
        Ok(project) => project,
        Err(error) => {
            let Ok(project) = Project::open(path, Mode::Read) else {
                return Err(error);
            };
            state.is_damaged = error.is_damage();
            state.read_only = Some(error.to_string());
            project
        }
    };
    let found = if state.read_only.is_some() {
        project.find_run(info)?
    } else {
        Some(project.add_run(info)?)
    };
    let Some(key) = found else { return Ok(None) };
    state.reviews = project.review_states(key)?;
    state.notes = project.notes(key)?;
    state.labelled = project.labelled(key)?;
    if let Some(text) = project.load_view(key)? {
        (state.last_frame, state.view) = parse_view(&text);
    }
    Ok(Some((project, key)))
}

/// What a command would say in passing, as the window says it.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let mut sentence: String = first.chain(letters).collect();
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// What came out of a damaged project, in words.
fn said(found: &Recovered) -> String {
    let mut text = format!("The project is sound again: {} frames whole", found.whole);
    let frames = |list: &[(String, usize)]| {
        const NAMED: usize = 12;
        let names = list.iter().take(NAMED).map(|(_, frame)| frame.to_string());
        let mut names: Vec<String> = names.collect();
        if list.len() > NAMED {
            names.push(format!("{} more", list.len() - NAMED));
        }
        names.join(", ")
    };
    if !found.older.is_empty() {
        text.push_str(&format!(
            "; as old as the copy beside it: frames {}",
            frames(&found.older)
        ));
    }
    if !found.lost.is_empty() {
        text.push_str(&format!("; lost: frames {}", frames(&found.lost)));
    }
    text.push('.');
    text
}

fn ensure_database<'a>(
    open: &'a mut Open,
    curator: &str,
) -> Result<(&'a mut Project, RunKey), io::project::Error> {
    if open.database.is_none() {
        if let Some(folder) = open.path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let mode = Mode::Write {
            who: curator.to_owned(),
        };
        let mut project = Project::open(&open.path, mode)?;
        let key = project.add_run(&open.info)?;
        open.database = Some((project, key));
    }
    match &mut open.database {
        Some((project, key)) => Ok((project, *key)),
        None => Err(io::project::Error::closed(&open.path)),
    }
}

fn parse_view(text: &str) -> (Option<usize>, Option<View>) {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return (None, None);
    };
    let number = |key: &str| value.get(key).and_then(serde_json::Value::as_f64);
    let view = match (number("center_x"), number("center_y"), number("zoom")) {
        (Some(x), Some(y), Some(zoom)) => Some(View {
            center_x: x as f32,
            center_y: y as f32,
            zoom: zoom as f32,
            is_assembled: value
                .get("assembled")
                .and_then(serde_json::Value::as_bool)
                .unwrap_or(false),
        }),
        _ => None,
    };
    (number("frame").map(|n| n as usize), view)
}
