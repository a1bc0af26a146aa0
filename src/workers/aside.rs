//! The thread that reads frames beside the curator's way: thumbnails, neighbours added up, the powder of a run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::{Shared, lock, predict};
use crate::domain::frame::Frame;
use crate::domain::stack::{Combine, Stack, thumbnail};
use crate::session::job::{FrameKey, Picture, PowderOrder, Report, StackOrder};

/// The longer side of a thumbnail.
const SIDE: usize = 96;
/// How often the progress of a powder is said.
const SAID: Duration = Duration::from_millis(150);

#[derive(Default)]
pub struct Wanted {
    pub stack: Option<StackOrder>,
    pub thumbnails: VecDeque<FrameKey>,
    pub powder: Option<Powder>,
}

/// A powder that is being made: one frame at a time, so that what is more urgent comes between.
pub struct Powder {
    serial: u64,
    run: u64,
    combine: Combine,
    left: VecDeque<usize>,
    total: usize,
}

impl From<PowderOrder> for Powder {
    fn from(order: PowderOrder) -> Self {
        Self {
            serial: order.serial,
            run: order.run,
            combine: order.combine,
            total: order.frames.len(),
            left: order.frames.into(),
        }
    }
}

enum Work {
    Stack(StackOrder),
    Thumbnail(FrameKey),
    Powder(Step),
}

/// One frame of a powder.
struct Step {
    serial: u64,
    key: FrameKey,
    combine: Combine,
    left: usize,
    total: usize,
}

/// What the frames of a powder have come to so far.
struct Sum {
    serial: u64,
    stack: Stack,
    said: Instant,
}

pub fn start(shared: Arc<Shared>) -> std::io::Result<Arc<Desk<Wanted>>> {
    let desk = Arc::new(Desk::new(Wanted::default()));
    let inbox = desk.clone();
    std::thread::Builder::new()
        .name("aside".to_owned())
        .spawn(move || {
            predict::give_way();
            let mut sum = None;
            while let Some(work) = inbox.next(take) {
                match work {
                    Work::Stack(order) => stack(&shared, &order),
                    Work::Thumbnail(key) => {
                        // A frame that cannot be read has no thumbnail; its reason is said when it is opened.
                        if let Some(Ok(frame)) = passing(&shared, key) {
                            let picture = Arc::new(thumbnail(&frame, SIDE));
                            shared.report(Report::Thumbnail { key, picture });
                        }
                    }
                    Work::Powder(step) => add(&shared, &mut sum, &step),
                }
            }
        })?;
    Ok(desk)
}

fn take(wanted: &mut Wanted) -> Option<Work> {
    if let Some(order) = wanted.stack.take() {
        return Some(Work::Stack(order));
    }
    if let Some(key) = wanted.thumbnails.pop_front() {
        return Some(Work::Thumbnail(key));
    }
    let powder = wanted.powder.as_mut()?;
    let number = powder.left.pop_front()?;
    Some(Work::Powder(Step {
        serial: powder.serial,
        key: FrameKey {
            run: powder.run,
            number,
        },
        combine: powder.combine,
        left: powder.left.len(),
        total: powder.total,
    }))
}

/// A frame from memory, or read now and not remembered: the curator's frames stay in memory.
fn passing(shared: &Shared, key: FrameKey) -> Option<Result<Arc<Frame>, String>> {
    let cached = lock(&shared.cache).get((key.run, key.number));
    let result = match cached {
        Some(cached) => Ok(cached.frame),
        None => {
            let read = shared.run_of(key)?.read_frame(key.number);
            read.map(Arc::new).map_err(|error| error.to_string())
        }
    };
    if let Ok(frame) = &result {
        shared.measure(key, frame);
    }
    Some(result)
}

fn stack(shared: &Shared, order: &StackOrder) {
    let mut frames = order.frames.iter().filter_map(|number| {
        passing(
            shared,
            FrameKey {
                number: *number,
                ..order.key
            },
        )
    });
    let result = if let [_] = order.frames.as_slice() {
        let Some(only) = frames.next() else { return };
        only.map(picture)
    } else {
        let Some(run) = shared.run_of(order.key) else {
            return;
        };
        let mut stack = Stack::new(order.combine, run.info.width, run.info.height);
        // Frames that cannot be read are left out; of their neighbours there is enough to see.
        for frame in frames.flatten() {
            stack.add(&frame);
        }
        finish(stack, order.key.number)
    };
    shared.report(Report::Stacked {
        serial: order.serial,
        result,
    });
}

fn finish(stack: Stack, number: usize) -> Result<Picture, String> {
    let has_frames = stack.frames() > 0;
    let frame = stack.finish(number).filter(|_| has_frames);
    frame.map(|frame| picture(Arc::new(frame))).ok_or_else(|| {
        "None of these frames could be read; look whether the files are there.".to_owned()
    })
}

fn picture(frame: Arc<Frame>) -> Picture {
    Picture {
        statistics: frame.statistics(),
        frame,
    }
}

fn add(shared: &Shared, sum: &mut Option<Sum>, step: &Step) {
    let Some(run) = shared.run_of(step.key) else {
        *sum = None;
        return;
    };
    let mut current = match sum.take() {
        Some(same) if same.serial == step.serial => same,
        _ => Sum {
            serial: step.serial,
            stack: Stack::new(step.combine, run.info.width, run.info.height),
            said: Instant::now(),
        },
    };
    if let Some(Ok(frame)) = passing(shared, step.key) {
        current.stack.add(&frame);
    }
    if step.left == 0 {
        let frames = current.stack.frames();
        shared.report(Report::Powder {
            serial: step.serial,
            frames,
            result: finish(current.stack, 0),
        });
        return;
    }
    if current.said.elapsed() > SAID {
        current.said = Instant::now();
        shared.report(Report::PowderProgress {
            serial: step.serial,
            done: step.total - step.left,
            total: step.total,
        });
    }
    *sum = Some(current);
}
