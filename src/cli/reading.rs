//! Reads frames in other threads, so that whoever works on them never waits for the disk.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use super::Failure;
use crate::domain::frame::Frame;
use crate::io::{self, Run};

/// One frame as it came, and how long that took.
pub struct ReadFrame {
    pub result: Result<Frame, io::Error>,
    pub took: Duration,
}

/// Calls `work` with every frame of the range in order, while `readers` threads read the next ones.
///
/// At most `2 readers + 1` frames wait in memory. `work` may end the reading by an error.
pub fn read_ahead(
    run: &Run,
    range: Range<usize>,
    readers: usize,
    mut work: impl FnMut(usize, ReadFrame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let readers = readers.clamp(1, range.len().max(1));
    std::thread::scope(|scope| {
        // Each reader has every readers-th frame, so that taking turns gives them back in order.
        let channels: Vec<Receiver<ReadFrame>> = (0..readers)
            .map(|first| {
                let (sender, receiver) = sync_channel(1);
                let numbers = range.clone().skip(first).step_by(readers);
                scope.spawn(move || {
                    for number in numbers {
                        let start = Instant::now();
                        let result = run.read_frame(number);
                        let took = start.elapsed();
                        if sender.send(ReadFrame { result, took }).is_err() {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        for (number, receiver) in range.zip((0..readers).cycle().filter_map(|i| channels.get(i))) {
            let Ok(read) = receiver.recv() else {
                return Err(Failure::could_not(format!(
                    "the reader of frame {number} stopped; please report this"
                )));
            };
            work(number, read)?;
        }
        Ok(())
    })
}
