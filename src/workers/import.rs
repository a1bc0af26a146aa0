//! Labels made elsewhere: read and grown to pixels by a thread of their own, joined one frame at a time by the thread
//! that owns the project, so that the window's own work goes on between two frames.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use super::{Shared, project};
use crate::domain::incoming::{ImportChoices, Incoming};
use crate::io::import::{self, Brought, Labels, Opened, Tally};
use crate::io::project::pixels::pixels_now;
use crate::session::import::ImportAsked;
use crate::session::job::{FrameKey, ImportDone, Report};

/// One frame's labels for the project thread, which answers what it did.
pub struct Bring {
    pub key: FrameKey,
    pub labels: Incoming,
    pub tool: String,
    pub choices: Arc<ImportChoices>,
    pub answer: Sender<Result<Brought, String>>,
}

/// How often the window hears how far it is.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// Begins an import; what it did is told in reports.
pub fn start(
    shared: &Arc<Shared>,
    project: &Sender<project::Task>,
    run: u64,
    labels: PathBuf,
    choices: ImportChoices,
) {
    let (inside, project) = (shared.clone(), project.clone());
    let spawned = std::thread::Builder::new()
        .name("import".to_owned())
        .spawn(move || work(&inside, &project, run, labels, choices));
    if spawned.is_err() {
        shared.report(Report::Imported {
            run,
            result: Err("The import could not be started; close other programs.".to_owned()),
        });
    }
}

fn work(
    shared: &Shared,
    project: &Sender<project::Task>,
    run: u64,
    path: PathBuf,
    choices: ImportChoices,
) {
    let key = FrameKey { run, number: 0 };
    let Some(source) = shared.run_of(key) else {
        return;
    };
    let result = match import::open(&source, &path, &choices) {
        Err(error) => Err(error.to_string()),
        Ok(Opened::Ask(question)) => {
            return shared.report(Report::ImportAsks {
                run,
                asked: ImportAsked {
                    labels: path,
                    question,
                    choices,
                },
            });
        }
        Ok(Opened::Ready(labels)) => bring_all(shared, project, run, &source, &labels, choices),
    };
    let (answer, reviews) = mpsc::channel();
    let _ = project.send(project::Task::Reviews { run, answer });
    let reviews = reviews.recv().unwrap_or_default();
    let result = result.map(|(summary, notices)| ImportDone {
        summary,
        notices,
        reviews,
    });
    shared.report(Report::Imported { run, result });
}

/// The summary and what else there is to say.
type Said = (String, Vec<String>);

fn bring_all(
    shared: &Shared,
    project: &Sender<project::Task>,
    run: u64,
    source: &crate::io::Run,
    labels: &Labels,
    choices: ImportChoices,
) -> Result<Said, String> {
    let choices = Arc::new(choices);
    let (mut tally, mut said) = (Tally::default(), Instant::now());
    let of = labels.frames.len();
    for (place, number) in labels.frames.iter().enumerate() {
        if shared.closing.load(Ordering::Relaxed) {
            break;
        }
        let key = FrameKey {
            run,
            number: *number,
        };
        let read = labels.read(source, place).map_err(|e| e.to_string())?;
        let Some((incoming, counts)) = read else {
            continue;
        };
        let (answer, brought) = mpsc::channel();
        let task = project::Task::Bring(Box::new(Bring {
            key,
            labels: incoming,
            tool: labels.tool.clone(),
            choices: choices.clone(),
            answer,
        }));
        let closed = |_| "The label database is closed; what was brought in is safe.".to_owned();
        project.send(task).map_err(|error| closed(error.0))?;
        let brought = brought.recv().map_err(|_| {
            "The run was closed before all labels were in; those that came are safe.".to_owned()
        })?;
        let brought = brought?;
        if brought.lacks_pixels
            && let Ok(frame) = source.read_frame(*number)
        {
            let pixels = pixels_now(&frame, &source.info.source);
            let task = project::Task::Pixels(key, pixels);
            project.send(task).map_err(|error| closed(error.0))?;
        }
        tally.add(*number, brought, counts);
        if said.elapsed() >= SAID_EVERY {
            said = Instant::now();
            let done = place + 1;
            shared.report(Report::Importing { run, done, of });
        }
    }
    let mut notices = labels.notices.clone();
    notices.extend(tally.sentences(choices.on_conflict));
    let notices = notices.iter().map(|text| as_sentence(text)).collect();
    let summary = format!(
        "Labels of {} frames are in, {} of these are new or changed.",
        tally.frames, tally.changed
    );
    Ok((summary, notices))
}

/// With a large letter and a full stop, as the window writes.
fn as_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
