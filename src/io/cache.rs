//! Frames kept in memory, bounded in bytes; the one longest unused goes first.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::frame::{Frame, Statistics};

/// A frame that was read, and what was computed of it with the reading.
#[derive(Clone, Debug)]
pub struct Cached {
    pub frame: Arc<Frame>,
    pub statistics: Statistics,
}

impl Cached {
    pub fn new(frame: Frame) -> Self {
        Self {
            statistics: frame.statistics(),
            frame: Arc::new(frame),
        }
    }
}

/// The number of an opening, and that of a frame of it.
pub type Place = (u64, usize);

/// A cache of frames by the opening of the run that they belong to and their number in it.
#[derive(Debug)]
pub struct FrameCache {
    frames: HashMap<Place, (u64, Cached)>,
    clock: u64,
    bytes: usize,
    capacity: usize,
}

impl FrameCache {
    /// A cache of at most `capacity` bytes; a single larger frame is kept alone.
    pub fn new(capacity: usize) -> Self {
        Self {
            frames: HashMap::new(),
            clock: 0,
            bytes: 0,
            capacity,
        }
    }

    /// The frame, which counts as used now.
    pub fn get(&mut self, place: Place) -> Option<Cached> {
        self.clock += 1;
        let (used, cached) = self.frames.get_mut(&place)?;
        *used = self.clock;
        Some(cached.clone())
    }

    pub fn contains(&self, place: Place) -> bool {
        self.frames.contains_key(&place)
    }

    /// Keeps a frame and drops the longest unused ones until the rest fits.
    pub fn insert(&mut self, place: Place, cached: Cached) {
        self.clock += 1;
        self.bytes += cached.frame.bytes();
        if let Some((_, old)) = self.frames.insert(place, (self.clock, cached)) {
            self.bytes -= old.frame.bytes();
        }
        while self.bytes > self.capacity && self.frames.len() > 1 {
            let oldest = self
                .frames
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(key, _)| *key);
            let Some((_, gone)) = oldest.and_then(|key| self.frames.remove(&key)) else {
                break;
            };
            self.bytes -= gone.frame.bytes();
        }
    }

    /// Drops the frames that are not wanted.
    pub fn keep(&mut self, is_wanted: impl Fn(&Frame) -> bool) {
        self.frames
            .retain(|_, (_, cached)| is_wanted(&cached.frame));
        let frames = self.frames.values();
        self.bytes = frames.map(|(_, cached)| cached.frame.bytes()).sum();
    }

    pub fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Bytes held now.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    #[test]
    fn stays_within_its_bytes_and_drops_the_longest_unused() {
        let frame = |n| {
            Cached::new(Frame::new(n, Grid::filled(10, 10, 0.0), Grid::filled(10, 10, 0)).unwrap())
        };
        let mut cache = FrameCache::new(3 * 600);
        for n in 0..3 {
            cache.insert((1, n), frame(n));
        }
        assert!(cache.get((1, 0)).is_some());
        cache.insert((1, 3), frame(3));
        assert!(cache.contains((1, 0)) && !cache.contains((1, 1)) && cache.contains((1, 2)));
        cache.insert((1, 3), frame(3));
        for n in 0..1000 {
            cache.insert((1, n), frame(n));
            assert!(cache.bytes() <= 1800 && cache.frames.len() <= 3);
        }
        let mut tiny = FrameCache::new(1);
        tiny.insert((1, 7), frame(7));
        assert!(tiny.get((1, 7)).is_some() && tiny.get((2, 7)).is_none());
    }
}
