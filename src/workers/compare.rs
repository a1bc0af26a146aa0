//! The thread that holds one opinion of a frame against another: differences of the shown one, candidates of many.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Shared;
use super::desk::Desk;
use super::predict::give_way;
use crate::domain::difference::{Comparison, Judged, Reference, differences};
use crate::domain::listed::Listed;
use crate::session::job::{CompareRequest, FrameKey, Proposals, Report, Side};

#[derive(Default)]
pub struct Wanted {
    pub compare: Option<(u64, Box<CompareRequest>)>,
    pub gather: VecDeque<Gather>,
}

/// The candidates of one frame are wanted.
pub struct Gather {
    pub serial: u64,
    pub key: FrameKey,
    pub proposals: Proposals,
}

enum Work {
    Compare(u64, Box<CompareRequest>),
    Gather(Gather),
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
                    Work::Gather(gather) => {
                        // Its run is closed: nobody waits for it.
                        let Some(cached) = shared.frame(gather.key) else {
                            continue;
                        };
                        let found = cached
                            .map(|cached| gather.proposals.found(&cached.frame, gather.key.number));
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
    if let Some((serial, request)) = wanted.compare.take() {
        return Some(Work::Compare(serial, request));
    }
    wanted.gather.pop_front().map(Work::Gather)
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
