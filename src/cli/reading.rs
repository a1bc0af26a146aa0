//! Makes frames in other threads, so that whoever works on them never waits for the disk or the simulator.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
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
/// At most two frames a reader wait in memory. `work` may end the reading by an error.
pub fn read_ahead(
    run: &Run,
    range: Range<usize>,
    readers: usize,
    mut work: impl FnMut(usize, ReadFrame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let read = |number| {
        let start = Instant::now();
        let result = run.read_frame(number);
        let took = start.elapsed();
        ReadFrame { result, took }
    };
    let expected = range.len();
    let mut count = 0;
    std::thread::scope(|scope| {
        for (number, frame) in made_ahead(scope, range, readers, &read) {
            if count == 0
                && let Ok(frame) = &frame.result
                && let Some(warning) = run.warning(frame)
            {
                super::output::speak(&warning);
            }
            work(number, frame)?;
            count += 1;
        }
        Ok::<(), Failure>(())
    })?;
    if count < expected {
        return Err(Failure::could_not(
            "a reading thread stopped; please report this",
        ));
    }
    Ok(())
}

/// What `make` says of every number of the range, in order, made by `makers` threads ahead of the taker.
pub fn made_ahead<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    range: Range<usize>,
    makers: usize,
    make: &'scope (impl Fn(usize) -> T + Sync),
) -> impl Iterator<Item = (usize, T)> {
    let makers = makers.clamp(1, range.len().max(1));
    // Each maker has every makers-th number, so that taking turns gives them back in order.
    let channels: Vec<Receiver<T>> = (0..makers)
        .map(|first| {
            let (sender, receiver) = sync_channel(1);
            let mut numbers = range.clone().skip(first).step_by(makers);
            // It ends when all is made, or when nobody takes any more.
            scope.spawn(move || numbers.all(|number| sender.send(make(number)).is_ok()));
            receiver
        })
        .collect();
    let first = range.start;
    range.map_while(move |number| {
        let made = channels.get((number - first) % makers)?.recv().ok()?;
        Some((number, made))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_order_and_can_be_left() {
        let square = |number: usize| number * number;
        for makers in [1, 2, 3, 50] {
            let made: Vec<_> =
                std::thread::scope(|scope| made_ahead(scope, 3..20, makers, &square).collect());
            assert_eq!(made, (3..20).map(|n| (n, n * n)).collect::<Vec<_>>());
            let some: Vec<_> = std::thread::scope(|scope| {
                made_ahead(scope, 0..1000, makers, &square)
                    .take(2)
                    .collect()
            });
            assert_eq!(some, [(0, 0), (1, 1)]);
        }
    }
}
