//! Paging by itself through the listed frames, and what is learnt of frames on the way.

use super::Session;
use super::job::FrameKey;

/// Frames a second that can be asked for.
pub const RATES: std::ops::RangeInclusive<f32> = 0.5..=60.0;

/// Whether frames go by, and how fast. The window says when the next one is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Playback {
    pub is_on: bool,
    /// Frames a second; a frame that comes later than it is due is waited for.
    pub rate: f32,
}

impl Default for Playback {
    fn default() -> Self {
        Self {
            is_on: false,
            rate: 5.0,
        }
    }
}

impl Session {
    pub(super) fn play(&mut self, on: bool) {
        self.playback.is_on = on && self.gesture.is_none() && self.table.listed().len() > 1;
    }

    pub(super) const fn set_play_rate(&mut self, rate: f32) {
        self.playback.rate = rate.clamp(*RATES.start(), *RATES.end());
    }

    /// The next listed frame, once the one before is on screen; the last one ends it.
    pub(super) fn play_on(&mut self) {
        let is_waiting = self.pending.is_waiting();
        if self.playback.is_on && !is_waiting && !self.step_listed(1) {
            self.playback.is_on = false;
        }
    }

    pub(super) fn measured(&mut self, key: FrameKey, mean: f32, maximum: f32) {
        if self.key(key.number) != Some(key) {
            return;
        }
        if let Some(row) = self.rows.get_mut(key.number) {
            row.mean = Some(mean);
            row.maximum = Some(maximum);
        }
    }

    pub(super) fn compared(&mut self, key: FrameKey, net: u64, disagreement: f32) {
        let is_current = self.net.as_ref().is_some_and(|info| info.serial == net);
        if !is_current || self.key(key.number) != Some(key) {
            return;
        }
        if let Some(row) = self.rows.get_mut(key.number) {
            row.disagreement = Some(disagreement);
        }
    }
}
