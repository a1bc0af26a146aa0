//! A one-slot inbox: what is wanted now, changed in place, so that newer wishes replace older ones.

use std::sync::{Condvar, Mutex};

use super::lock;

pub struct Desk<T> {
    wanted: Mutex<(T, bool)>,
    bell: Condvar,
}

impl<T> Desk<T> {
    pub fn new(wanted: T) -> Self {
        Self {
            wanted: Mutex::new((wanted, true)),
            bell: Condvar::new(),
        }
    }

    /// Changes what is wanted and rings.
    pub fn ask(&self, change: impl FnOnce(&mut T)) {
        change(&mut lock(&self.wanted).0);
        self.bell.notify_one();
    }

    /// No more work: `next` returns `None` from now on.
    pub fn close(&self) {
        lock(&self.wanted).1 = false;
        self.bell.notify_all();
    }

    /// Waits until `take` finds something to do; `None` when the desk is closed.
    pub fn next<W>(&self, mut take: impl FnMut(&mut T) -> Option<W>) -> Option<W> {
        let mut wanted = lock(&self.wanted);
        loop {
            if !wanted.1 {
                return None;
            }
            if let Some(work) = take(&mut wanted.0) {
                return Some(work);
            }
            wanted = self
                .bell
                .wait(wanted)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}
