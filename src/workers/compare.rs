//! The thread that holds one opinion of a frame against another: differences of the shown one, candidates of many; and
//! its pixels against those that were labelled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use super::Shared;
use super::desk::Desk;
use super::predict::give_way;
use crate::domain::difference::{Comparison, Judged, Reference, differences};
use crate::domain::frame::Frame;
use crate::domain::listed::Listed;
use crate::domain::queue::{Candidate, Opinion, candidates};
use crate::domain::source::{LabelledPixels, digest_of_pixels};
use crate::session::job::{CompareRequest, DigestRequest, FrameKey, Predicted, Report, Side};

#[derive(Default)]
pub struct Wanted {
    pub compare: Option<(u64, Box<CompareRequest>)>,
    pub gather: VecDeque<Gather>,
    pub digests: VecDeque<Box<DigestRequest>>,
}

/// The candidates of one frame are wanted.
pub struct Gather {
    pub serial: u64,
    pub key: FrameKey,
    pub net: Arc<Predicted>,
    pub other: Option<Side>,
    pub with_artifact: bool,
}

enum Work {
    Compare(u64, Box<CompareRequest>),
    Gather(Gather),
    Digest(Box<DigestRequest>),
}

pub fn start(shared: Arc<Shared>) -> std::io::Result<Arc<Desk<Wanted>>> {
    let desk = Arc::new(Desk::new(Wanted::default()));
    let inbox = desk.clone();
    std::thread::Builder::new()
        .name("compare".to_owned())
        .spawn(move || {
            give_way();
            while let Some(work) = inbox.next(take) {
                match work {
                    Work::Compare(serial, request) => shared.report(Report::Differences {
                        key: request.key,
                        serial,
                        comparison: Arc::new(compare(&request)),
                    }),
                    Work::Digest(request) => shared.report(Report::Digested {
                        key: request.key,
                        now: pixels_of(&request),
                        known: request.known,
                    }),
                    Work::Gather(gather) => {
                        // Its run is closed: nobody waits for it.
                        let Some(cached) = shared.frame(gather.key) else {
                            continue;
                        };
                        let found = cached.map(|cached| found(&cached.frame, &gather));
                        shared.report(Report::Gathered {
                            key: gather.key,
                            serial: gather.serial,
                            result: found,
                        });
                    }
                }
            }
        })?;
    Ok(desk)
}

/// The frame on screen comes before those of the queue.
fn take(wanted: &mut Wanted) -> Option<Work> {
    if let Some(request) = wanted.digests.pop_front() {
        return Some(Work::Digest(request));
    }
    if let Some((serial, request)) = wanted.compare.take() {
        return Some(Work::Compare(serial, request));
    }
    wanted.gather.pop_front().map(Work::Gather)
}

fn pixels_of(request: &DigestRequest) -> LabelledPixels {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    };
    let facts = std::fs::metadata(&request.source)
        .ok()
        .filter(std::fs::Metadata::is_file);
    LabelledPixels {
        digest: digest_of_pixels(&request.frame.pixels),
        bytes: facts.as_ref().map(std::fs::Metadata::len),
        modified: (facts.and_then(|facts| facts.modified().ok())).map(seconds),
        noted: seconds(SystemTime::now()),
    }
}

fn compare(request: &CompareRequest) -> Comparison {
    let listed;
    let reference = match &request.reference {
        Side::Label(sheet) => Reference::Label(sheet),
        Side::Predicted(predicted) => Reference::Peaks(&predicted.peaks, &predicted.classes),
        Side::Listed(all) => {
            listed = places(all);
            Reference::Places(&listed)
        }
    };
    let judged = match &request.judged {
        Side::Label(sheet) => Judged::Label(sheet),
        Side::Predicted(predicted) => Judged::Peaks(&predicted.peaks, &predicted.classes),
        // Nobody judges a list.
        Side::Listed(_) => return Comparison::default(),
    };
    differences(&request.frame, reference, judged)
}

/// The peaks that a program found; the reflections that it predicted where it lists no others.
fn places(listed: &Listed) -> Vec<(f32, f32)> {
    if listed.found.is_empty() {
        let predicted = listed.predicted.iter();
        predicted
            .map(|reflection| (reflection.x, reflection.y))
            .collect()
    } else {
        listed.found.clone()
    }
}

fn opinion(predicted: &Predicted) -> Opinion<'_> {
    Opinion::Maps {
        classes: &predicted.classes,
        peak: &predicted.peak,
        artifact: &predicted.artifact,
    }
}

fn found(frame: &Frame, gather: &Gather) -> Vec<Arc<Candidate>> {
    let other = match &gather.other {
        Some(Side::Label(sheet)) => Some(Opinion::Label(sheet)),
        Some(Side::Predicted(predicted)) => Some(opinion(predicted)),
        Some(Side::Listed(_)) | None => None,
    };
    let found = candidates(frame, opinion(&gather.net), other, gather.with_artifact);
    // The frame's own number may differ from its place in the run.
    let placed = found.into_iter().map(|candidate| Candidate {
        frame: gather.key.number,
        ..candidate
    });
    placed.map(Arc::new).collect()
}
