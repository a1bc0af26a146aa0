//! Training from the window: a set is frozen, a child process trains on it, its lines become reports.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use super::{Shared, lock, project};
use crate::net::catalog;
use crate::session::command::TrainRequest;
use crate::session::job::{Report, TrainingLine};

pub struct Trainer {
    shared: Arc<Shared>,
    project: Sender<project::Task>,
    child: Arc<Mutex<Option<Child>>>,
}

impl Trainer {
    pub fn new(shared: Arc<Shared>, project: Sender<project::Task>) -> Self {
        Self {
            shared,
            project,
            child: Arc::new(Mutex::new(None)),
        }
    }

    pub fn start(&self, request: TrainRequest) {
        let (shared, project, slot) = (
            self.shared.clone(),
            self.project.clone(),
            self.child.clone(),
        );
        let spawned = std::thread::Builder::new()
            .name("training".to_owned())
            .spawn(move || {
                let outcome = run(&shared, &project, &slot, &request);
                shared.report(Report::TrainingEnded(outcome));
            });
        if let Err(error) = spawned {
            self.shared.report(Report::TrainingEnded(Err(format!(
                "The training could not be started ({error}); close other programs and try again."
            ))));
        }
    }

    /// Asks a running training to end: it writes the best net so far. Asked again it ends at once, without one.
    pub fn stop(&self) {
        if let Some(child) = lock(&self.child).as_mut() {
            let id = i32::try_from(child.id()).ok();
            let asked = id
                .and_then(rustix::process::Pid::from_raw)
                .map(|id| rustix::process::kill_process(id, rustix::process::Signal::TERM));
            if !matches!(asked, Some(Ok(()))) {
                let _ = child.kill();
            }
        }
    }
}

fn run(
    shared: &Shared,
    project: &Sender<project::Task>,
    slot: &Mutex<Option<Child>>,
    request: &TrainRequest,
) -> Result<PathBuf, String> {
    let folder = tempfile::tempdir().map_err(|e| {
        format!("No temporary folder for the training set ({e}); make room on the disk.")
    })?;
    let set = folder.path().join("set.h5");
    freeze(project, &set)?;
    let program = std::env::current_exe().map_err(|e| {
        format!("This program cannot find itself to train ({e}); train with `peaknet train`.")
    })?;
    // A bare name goes where the user's own nets lie.
    let is_bare = request
        .out
        .parent()
        .is_some_and(|parent| parent.as_os_str().is_empty());
    let out = if is_bare {
        catalog::own_folder().join(&request.out)
    } else {
        request.out.clone()
    };
    let mut command = Command::new(program);
    command
        .arg("train")
        .arg("--background")
        .arg("--set")
        .arg(&set)
        .arg("--out")
        .arg(&out)
        .args(["--minutes", &request.minutes.to_string()])
        .args(["--seed", &request.seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(from) = &request.from {
        // Simulated frames between the corrected ones, so that the new net does not forget what the old one knew.
        command.arg("--from").arg(from).args(["--replay", "0.3"]);
    }
    let mut child = command
        .spawn()
        .map_err(|e| format!("The training process could not be started: {e}."))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    *lock(slot) = Some(child);
    let speech = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    if let Some(stdout) = stdout {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(line) = parse(&line) {
                shared.report(Report::Training(line));
            }
        }
    }
    let speech = speech.join().unwrap_or_default();
    let child = lock(slot).take();
    let status = child.map(|mut child| child.wait());
    match status {
        Some(Ok(status)) if status.success() => Ok(out),
        _ => Err(speech
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map_or_else(
                || "The training was stopped; no new net was made.".to_owned(),
                str::to_owned,
            )),
    }
}

/// Has the project write its confirmed frames as a set and waits for it.
fn freeze(project: &Sender<project::Task>, set: &Path) -> Result<(), String> {
    let (answer, answered) = std::sync::mpsc::channel();
    let closed = || "The label database is closed; restart the program.".to_owned();
    project
        .send(project::Task::Freeze {
            out: set.to_owned(),
            answer,
        })
        .map_err(|_| closed())?;
    answered.recv().map_err(|_| closed())?
}

fn parse(line: &str) -> Option<TrainingLine> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let number = |key: &str| value.get(key).and_then(serde_json::Value::as_f64);
    Some(TrainingLine {
        epoch: number("epoch")? as usize,
        loss: number("loss")?,
        validation_loss: number("validation_loss").unwrap_or(f64::NAN),
        peak_f1: number("peak_f1").unwrap_or(f64::NAN),
        artifact_iou: number("artifact_iou").unwrap_or(f64::NAN),
        seconds: number("seconds").unwrap_or(0.0),
    })
}
