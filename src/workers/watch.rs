//! The thread that looks whether the open run grows, and opens it again where it has.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Shared, lock};
use crate::io::run::Trace;
use crate::session::job::Report;

/// How often the thread looks whether the program ends, and after how many looks at the files.
const TICK: Duration = Duration::from_millis(250);
const TICKS: u32 = 8;

pub fn start(shared: Arc<Shared>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || watch(&shared))
        .map(|_| ())
}

fn watch(shared: &Shared) {
    let mut seen: Option<(u64, Trace)> = None;
    // A run whose files changed in a way that was said.
    let mut said = 0;
    for tick in 0_u32.. {
        std::thread::sleep(TICK);
        if shared.closing.load(Ordering::Relaxed) {
            return;
        }
        if !tick.is_multiple_of(TICKS) {
            continue;
        }
        let open = shared
            .run
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some((serial, run)) = open else { continue };
        if said == serial {
            continue;
        }
        let trace = run.trace();
        let before = match &seen {
            Some((same, before)) if *same == serial => before.clone(),
            _ => run.opened_at(),
        };
        if before == trace {
            continue;
        }
        // A file in the middle of being written may not open; the next look tries again.
        let Ok(again) = run.reopen() else { continue };
        if !again.continues(&run) {
            said = serial;
            shared.report(Report::Notice(
                "The run has changed on disk and no longer begins with the frames that it had; open it again.".to_owned(),
            ));
            continue;
        }
        seen = Some((serial, trace));
        let info = Arc::new(again.info.clone());
        let mut current = shared.run.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|(now, _)| *now != serial) {
            continue;
        }
        *current = Some((serial, Arc::new(again)));
        drop(current);
        // What was missing then may be there now.
        lock(&shared.cache).keep(|frame| run.problems(frame).is_empty());
        lock(&shared.measured).1.clear();
        shared.report(Report::RunGrown { run: serial, info });
    }
}
