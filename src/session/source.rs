//! Labels belong to pixels: which ones is noted when a frame is labelled or confirmed, and looked at when it is shown again.

use std::sync::Arc;

use super::Session;
use super::job::{DigestRequest, FrameKey, Job};
use crate::domain::source::LabelledPixels;

/// What is known of the pixels that the shown frame's labels were made on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// Nothing is noted.
    #[default]
    Unknown,
    /// They are being noted, or held against what was noted.
    Asked,
    Same,
    Changed,
}

impl Session {
    /// A frame is shown whose labels were made on noted pixels: are they still the same?
    pub(super) fn check_source(&mut self, known: LabelledPixels) {
        self.ask_digest(Some(known));
    }

    /// The shown frame got its first label: its pixels are noted.
    pub(super) fn note_source(&mut self) {
        let state = self.shown.as_ref().map(|shown| shown.source);
        if state == Some(SourceState::Unknown) {
            self.ask_digest(None);
        }
    }

    /// A person vouches for the labels on these pixels, whatever they were before.
    pub(super) fn renew_source(&mut self) {
        let state = self.shown.as_ref().map(|shown| shown.source);
        if matches!(state, Some(SourceState::Unknown | SourceState::Changed)) {
            self.ask_digest(None);
        }
    }

    fn ask_digest(&mut self, known: Option<LabelledPixels>) {
        let source = self.run.as_ref().map(|open| open.info.source.clone());
        let (Some(shown), Some(source)) = (&mut self.shown, source) else {
            return;
        };
        shown.source = SourceState::Asked;
        self.jobs.push(Job::Digest(Box::new(DigestRequest {
            key: shown.key,
            frame: Arc::clone(&shown.loaded.frame),
            source,
            known,
        })));
    }

    pub(super) fn digested(
        &mut self,
        key: FrameKey,
        now: &LabelledPixels,
        known: Option<&LabelledPixels>,
    ) {
        if self.key(key.number) != Some(key) {
            return;
        }
        let changed = known.and_then(|known| known.differ(now, key.number));
        let state = if changed.is_some() {
            SourceState::Changed
        } else {
            SourceState::Same
        };
        if let Some(shown) = self.shown.as_mut().filter(|shown| shown.key == key) {
            shown.source = state;
        }
        if let Some(text) = changed {
            self.notice(text);
        }
    }
}
