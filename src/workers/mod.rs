//! A few named threads, each owning one scarce thing, between the session and the world.
//!
//! `files` owns the open run, `ahead` reads the frames that are likely next; `project` owns the label database and keeps every job in
//! order; `digest` says which pixels were labelled and loses no note of them; `predict` owns the loaded nets; `compare` holds one opinion
//! against another; training is a child process. Elsewhere a newer request replaces a waiting older one. Every report ends with a call of the wake function.

mod aside;
mod compare;
mod desk;
mod digest;
mod files;
mod import;
mod predict;
mod project;
mod settings;
mod train;
mod watch;

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use self::predict::Choice;
use crate::domain::listed::Listed;
use crate::io::Run;
use crate::io::cache::{Cached, FrameCache};
use crate::session::job::{DigestRequest, FrameKey, Job, Report};
use crate::session::second::Against;

/// Frames kept in memory, in bytes.
const CACHE_BYTES: usize = 1 << 30;

/// How the workers are to be set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The net that is listed first; `None` = the shipped one.
    pub net: Option<PathBuf>,
    /// `auto`, `cpu`, `cuda`, `cuda:1`.
    pub device: crate::net::DeviceChoice,
    /// Asked of the net's peaks.
    pub wishes: crate::net::Wishes,
    /// Whoever paints, for the provenance of labels.
    pub curator: String,
}

/// What several threads look at: the open run, the frames in memory, the way back to the session.
struct Shared {
    run: RwLock<Option<(u64, Arc<Run>)>>,
    cache: Mutex<FrameCache>,
    /// Frames that some thread is reading now, and the bell for when one of them is there.
    reading: Mutex<Vec<FrameKey>>,
    read: Condvar,
    /// Frames of an opening whose mean and maximum were reported.
    measured: Mutex<(u64, HashSet<usize>)>,
    reports: Mutex<Sender<Report>>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// The run that was warned of last, so that it is said once.
    warned: AtomicU64,
    /// The run whose frames were looked at for that, and in the lowest byte how many.
    looked_at: AtomicU64,
    /// The user wants a failed write tried again now.
    retry: AtomicBool,
    /// Held by whoever changes the user's settings.
    settings: Mutex<()>,
    /// The program ends: a write that fails once more is given up.
    closing: AtomicBool,
}

impl Shared {
    fn report(&self, report: Report) {
        // The receiver is gone only while the program ends.
        let _ = lock(&self.reports).send(report);
        (self.wake)();
    }

    fn run_of(&self, key: FrameKey) -> Option<Arc<Run>> {
        let run = self.run.read().unwrap_or_else(PoisonError::into_inner);
        run.as_ref()
            .filter(|(serial, _)| *serial == key.run)
            .map(|(_, run)| run.clone())
    }

    /// Says once a run that its frames are no counts.
    fn warn_of(&self, key: FrameKey, frame: &crate::domain::frame::Frame) {
        /// Frames of a run that are looked at: the next ones are no other.
        const ENOUGH: u64 = 4;
        let seen = (key.run << 8) | ENOUGH;
        let before = self.looked_at.load(Ordering::Relaxed);
        if self.warned.load(Ordering::Relaxed) == key.run || before == seen {
            return;
        }
        let of_this_run = if before >> 8 == key.run {
            before
        } else {
            key.run << 8
        };
        self.looked_at.store(of_this_run + 1, Ordering::Relaxed);
        let warning = self.run_of(key).and_then(|run| run.warning(frame));
        if let Some(warning) = warning
            && self.warned.swap(key.run, Ordering::Relaxed) != key.run
        {
            self.report(Report::Notice(warning));
        }
    }

    /// Tells the frame table how bright a frame is, once, after whoever wanted the frame has got it.
    fn measure(&self, key: FrameKey, frame: &crate::domain::frame::Frame) {
        {
            let mut measured = lock(&self.measured);
            if measured.0 != key.run {
                *measured = (key.run, HashSet::new());
            }
            if !measured.1.insert(key.number) {
                return;
            }
        }
        let Some(run) = self.run_of(key) else { return };
        if let Some((mean, maximum)) = crate::domain::stack::mean_and_maximum(frame) {
            let geom = run.geom();
            let unit = geom.and_then(|geom| geom.units_per_photon());
            let unit = unit.unwrap_or(1.0);
            self.report(Report::Measured {
                key,
                mean: mean / unit,
                maximum: maximum / unit,
            });
        }
    }

    /// What another program's list says of a frame.
    fn listed(&self, key: FrameKey) -> Result<Option<Arc<Listed>>, String> {
        let Some(run) = self.run_of(key) else {
            return Ok(None);
        };
        let listed = run.listed(key.number).map_err(|error| error.to_string())?;
        Ok(listed.map(Arc::new))
    }

    /// A frame from memory, or read now and remembered. A frame that another thread is reading is waited for.
    fn frame(&self, key: FrameKey) -> Option<Result<Cached, String>> {
        let place = (key.run, key.number);
        let mut reading = lock(&self.reading);
        loop {
            if let Some(cached) = lock(&self.cache).get(place) {
                return Some(Ok(cached));
            }
            if !reading.contains(&key) {
                break;
            }
            reading = self
                .read
                .wait(reading)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let run = self.run_of(key)?;
        reading.push(key);
        drop(reading);
        let _done = Reading { shared: self, key };
        let result = run.read_frame(key.number).map(Cached::new);
        if let Ok(cached) = &result {
            let mut cache = lock(&self.cache);
            // What was read of a run that has grown since may be there now.
            if self.run_of(key).is_some_and(|now| Arc::ptr_eq(&now, &run)) {
                cache.insert(place, cached.clone());
            }
        }
        Some(result.map_err(|error| error.to_string()))
    }
}

/// A frame that a thread is reading; when it is dropped, whoever waits for the frame goes on.
struct Reading<'a> {
    shared: &'a Shared,
    key: FrameKey,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        lock(&self.shared.reading).retain(|other| *other != self.key);
        self.shared.read.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running threads; they end when this is dropped.
pub struct Workers {
    files: Arc<desk::Desk<files::Wanted>>,
    ahead: Arc<desk::Desk<VecDeque<FrameKey>>>,
    predict: Arc<desk::Desk<predict::Wanted>>,
    aside: Arc<desk::Desk<aside::Wanted>>,
    project: Sender<project::Task>,
    compare: Arc<desk::Desk<compare::Wanted>>,
    digest: Option<(Sender<Box<DigestRequest>>, std::thread::JoinHandle<()>)>,
    train: train::Trainer,
    reports: Receiver<Report>,
    shared: Arc<Shared>,
    project_thread: Option<std::thread::JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads; `wake` is called after every report, from any thread.
    pub fn start(
        options: Options,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let (sender, reports) = mpsc::channel();
        let shared = Arc::new(Shared {
            run: RwLock::new(None),
            cache: Mutex::new(FrameCache::new(CACHE_BYTES)),
            reading: Mutex::default(),
            read: Condvar::new(),
            measured: Mutex::default(),
            reports: Mutex::new(sender),
            wake: Box::new(wake),
            warned: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            retry: AtomicBool::new(false),
            settings: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        let failed = |e: std::io::Error| {
            format!("The worker threads could not be started ({e}); close other programs.")
        };
        let files = files::start(shared.clone()).map_err(failed)?;
        let ahead = files::start_ahead(shared.clone()).map_err(failed)?;
        let predict = predict::start(shared.clone(), options.clone()).map_err(failed)?;
        let aside = aside::start(shared.clone()).map_err(failed)?;
        let (project, project_thread) =
            project::start(shared.clone(), options.curator.clone()).map_err(failed)?;
        let compare = compare::start(shared.clone()).map_err(failed)?;
        let digest = digest::start(shared.clone(), project.clone()).map_err(failed)?;
        watch::start(shared.clone()).map_err(failed)?;
        let train = train::Trainer::new(shared.clone(), project.clone());
        Ok(Self {
            files,
            ahead,
            predict,
            aside,
            project,
            compare,
            digest: Some(digest),
            train,
            reports,
            shared,
            project_thread: Some(project_thread),
        })
    }

    /// Hands jobs to the threads that own what they need.
    pub fn submit(&self, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                Job::OpenRun { run, request } => {
                    self.files.ask(|wanted| wanted.open = Some((run, *request)));
                }
                Job::LoadFrame(key) => self.files.ask(|wanted| wanted.load = Some(key)),
                Job::ReadAhead(keys) => self.ahead.ask(|wanted| *wanted = keys.into()),
                Job::Stack(order) => self.aside.ask(|wanted| wanted.stack = Some(order)),
                Job::Powder(order) => self.aside.ask(|wanted| wanted.powder = Some(order.into())),
                Job::StopPowder => self.aside.ask(|wanted| wanted.powder = None),
                Job::Thumbnails(keys) => self.aside.ask(|wanted| wanted.thumbnails = keys.into()),
                Job::Calibrate {
                    key,
                    calibrant,
                    frame,
                    info,
                    artifact,
                } => self.files.ask(|wanted| {
                    wanted.calibrate = Some((key, calibrant, frame, info, artifact));
                }),
                Job::NoteGrowth { run, info } => {
                    self.tell_project(project::Task::Grown { run, info });
                }
                Job::Count {
                    key,
                    version,
                    sheet,
                } => self
                    .files
                    .ask(|wanted| wanted.count = Some((key, version, sheet))),
                Job::PlaceGuides { run, info } => {
                    self.files.ask(|wanted| wanted.guides = Some((run, info)));
                }
                Job::OpenDialog { folder } => self.dialog(files::Dialog::Run { folder }),
                Job::OpenProjectDialog => self.dialog(files::Dialog::Project),
                Job::OpenGeometryDialog => self.dialog(files::Dialog::Geometry),
                Job::ExportDialog => self.dialog(files::Dialog::Export),
                Job::ImportDialog => self.dialog(files::Dialog::Import),
                Job::Import {
                    run,
                    labels,
                    choices,
                } => import::start(&self.shared, &self.project, run, labels, *choices),
                Job::OpenDemo => self.files.ask(|wanted| wanted.demo = true),
                Job::ListNets => self.predict.ask(|wanted| wanted.list = true),
                Job::LoadNet { serial, path } => {
                    self.predict
                        .ask(|wanted| wanted.source = Some((serial, Choice::Net(path))));
                }
                Job::UseFinder { serial, finder } => {
                    self.predict
                        .ask(|wanted| wanted.source = Some((serial, Choice::Finder(finder))));
                }
                Job::Predict { net, frames } => self.predict.ask(|wanted| {
                    wanted.frames = frames.into();
                    wanted.serial = net;
                    wanted.is_seconds_turn = false;
                }),
                Job::LoadSecond { serial, against } => {
                    let choice = match against {
                        Against::Net(path) => Choice::Net(path),
                        Against::Finder(finder) => Choice::Finder(finder),
                        Against::Label | Against::Listed => continue,
                    };
                    self.predict
                        .ask(|wanted| wanted.second = Some((serial, choice)));
                }
                Job::PredictSecond { serial, frames } => self.predict.ask(|wanted| {
                    wanted.second_frames = frames.into();
                    wanted.second_serial = serial;
                }),
                Job::Compare { serial, request } => {
                    self.compare
                        .ask(|wanted| wanted.compare = Some((serial, request)));
                }
                Job::Gather {
                    serial,
                    key,
                    proposals,
                } => self.compare.ask(|wanted| {
                    wanted.gather.push_back(compare::Gather {
                        serial,
                        key,
                        proposals,
                    });
                }),
                Job::Train(request) => self.train.start(request),
                Job::StopTraining => self.train.stop(),
                Job::OpenProject { run, path, info } => {
                    self.tell_project(project::Task::Open { run, path, info });
                }
                Job::LoadLabels { key, width, height } => {
                    self.tell_project(project::Task::Load { key, width, height });
                }
                Job::StoreEdit { key, edit, net } => {
                    self.tell_project(project::Task::Edit { key, edit, net });
                }
                Job::Digest(request) => {
                    // The receiver is gone only while the program ends.
                    let _ = self.digest.as_ref().map(|(digest, _)| digest.send(request));
                }
                Job::StoreUndo(key) => self.tell_project(project::Task::Undo(key)),
                Job::StoreRedo(key) => self.tell_project(project::Task::Redo(key)),
                Job::StoreReview(key, review) => {
                    self.tell_project(project::Task::Review(key, review));
                }
                Job::StoreNote(key, note) => self.tell_project(project::Task::Note(key, note)),
                Job::StoreView { run, frame, view } => {
                    self.tell_project(project::Task::View { run, frame, view });
                }
                Job::RecoverProject { run, info } => {
                    self.tell_project(project::Task::Recover { run, info });
                }
                Job::StoreKeys(changes) => self.tell_project(project::Task::Keys(changes)),
                Job::StoreArrangement(new) => {
                    self.tell_project(project::Task::Arrangement(new));
                }
                Job::RetryStore => self.shared.retry.store(true, Ordering::Relaxed),
                Job::Export { out, force } => {
                    self.tell_project(project::Task::Export { out, force });
                }
            }
        }
    }

    /// The reports that have come since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.try_iter().collect()
    }

    /// Waits for the next report, at most so long.
    pub fn wait_report(&self, timeout: std::time::Duration) -> Option<Report> {
        self.reports.recv_timeout(timeout).ok()
    }

    fn tell_project(&self, task: project::Task) {
        if self.project.send(task).is_err() {
            self.shared.report(Report::StoreFailed(
                "The label database is closed; restart the program, what was saved is safe."
                    .to_owned(),
            ));
        }
    }

    fn dialog(&self, dialog: files::Dialog) {
        files::ask_user(self.shared.clone(), dialog);
    }
}

impl Drop for Workers {
    /// Lets the project finish its queue, so that closing the window loses nothing.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.files.close();
        self.ahead.close();
        self.predict.close();
        self.aside.close();
        self.compare.close();
        self.train.stop();
        if let Some((requests, thread)) = self.digest.take() {
            drop(requests);
            let _ = thread.join();
        }
        let _ = self.project.send(project::Task::Close);
        if let Some(thread) = self.project_thread.take() {
            let _ = thread.join();
        }
    }
}
