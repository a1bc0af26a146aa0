//! The thread that takes the digest of a frame's pixels: held against the one they were labelled with, or noted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use super::predict::give_way;
use super::{Shared, project};
use crate::io::project::pixels::pixels_now;
use crate::session::job::{DigestRequest, Report};

/// Starts the thread. It ends when the sender is dropped; what shall be noted has then been handed to the thread that writes, so
/// that closing the window at once loses none of it.
pub fn start(
    shared: Arc<Shared>,
    project: Sender<project::Task>,
) -> std::io::Result<(Sender<Box<DigestRequest>>, JoinHandle<()>)> {
    let (sender, requests) = mpsc::channel::<Box<DigestRequest>>();
    let thread = std::thread::Builder::new()
        .name("digest".to_owned())
        .spawn(move || {
            give_way();
            while let Ok(first) = requests.recv() {
                // What shall be noted is noted; of what shall be looked at the last frame shown is wanted alone.
                let waiting: Vec<_> = std::iter::once(first).chain(requests.try_iter()).collect();
                let last = waiting.len() - 1;
                for (index, request) in waiting.into_iter().enumerate() {
                    let is_closing = shared.closing.load(Ordering::Relaxed);
                    if request.known.is_some() && (index < last || is_closing) {
                        continue;
                    }
                    let now = pixels_now(&request.frame, &request.source);
                    if request.known.is_none() {
                        // The receiver is gone only while the program ends, after this thread.
                        let _ = project.send(project::Task::Pixels(request.key, now.clone()));
                    }
                    shared.report(Report::Digested {
                        key: request.key,
                        now,
                        known: request.known,
                    });
                }
            }
        })?;
    Ok((sender, thread))
}
