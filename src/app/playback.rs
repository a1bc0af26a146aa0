//! When the next frame of a playback is due.

use std::time::{Duration, Instant};

use super::Window;
use crate::session::command::Command;

impl Window {
    /// Asks for the next frame in its time; the one before is waited for, however long it takes to read.
    pub(super) fn play(&mut self, ctx: &egui::Context) {
        let playback = self.session.playback;
        if !playback.is_on {
            self.played = None;
            return;
        }
        let pause = Duration::from_secs_f32(1.0 / playback.rate.max(0.1));
        let since = self.played.map(|at| at.elapsed());
        let wait = since.map_or(pause, |since| pause.saturating_sub(since));
        if self.played.is_none() {
            self.played = Some(Instant::now());
        } else if wait.is_zero() && !self.session.pending.is_waiting() {
            self.played = Some(Instant::now());
            self.commands.push(Command::PlayOn);
        }
        ctx.request_repaint_after(wait.max(Duration::from_millis(4)));
    }
}
