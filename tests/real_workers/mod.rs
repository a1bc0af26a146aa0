//! What tests of the real threads share: a small run on disk, and waiting for what the session shall know.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use peaknet_studio::io::h5::{Creation, Writer};
use peaknet_studio::session::Session;
use peaknet_studio::workers::Workers;

/// Edge of the frames.
pub const SIZE: usize = 16;

/// A stack of `frames` frames of which the first `written` are there; it takes the place of what was there before.
///
/// `value` is asked for frame and cell.
pub fn write_run(
    path: &Path,
    frames: usize,
    written: usize,
    value: impl Fn(usize, usize) -> usize,
) {
    let fresh = path.with_extension("fresh");
    let writer = Writer::create(&fresh, path).unwrap();
    let creation = Creation {
        shape: vec![frames, SIZE, SIZE],
        chunk: vec![1, SIZE, SIZE],
        grows: vec![true, false, false],
        gzip_level: 1,
    };
    let chunks = writer.chunks::<u16>("/entry/data/data", &creation).unwrap();
    for frame in 0..written {
        let cells = (0..SIZE * SIZE).map(|cell| value(frame, cell) as u16);
        chunks
            .write(&[frame, 0, 0], &cells.collect::<Vec<_>>())
            .unwrap();
    }
    writer.close().unwrap();
    std::fs::rename(fresh, path).unwrap();
}

/// Goes on until the session says that it is done.
pub fn wait(workers: &Workers, what: &str, session: &mut Session, done: &dyn Fn(&Session) -> bool) {
    let begun = Instant::now();
    loop {
        workers.submit(session.take_jobs());
        if done(session) {
            return;
        }
        let is_late = begun.elapsed() > Duration::from_secs(30);
        assert!(!is_late, "{what}: {:?}", session.notices);
        if let Some(report) = workers.wait_report(Duration::from_millis(50)) {
            session.absorb(report);
        }
    }
}
