//! How far a frame has been looked at: confirmed, withdrawn, flagged.

use super::Session;
use super::job::Job;
use crate::domain::labels::Review;

impl Session {
    pub(super) fn set_review(&mut self, review: Review) {
        if let Err(reason) = self.paintable() {
            return self.refuse(reason);
        }
        let Some(shown) = &mut self.shown else { return };
        let key = shown.key;
        shown.history.confirmed = (review == Review::Confirmed).then_some(shown.history.done);
        if review == Review::Confirmed {
            self.confirmed_here.insert(key.number);
        } else {
            self.confirmed_here.remove(&key.number);
        }
        if let Some(row) = self.rows.get_mut(key.number) {
            row.review = review;
        }
        self.forget_refusals();
        self.unsaved += 1;
        self.jobs.push(Job::StoreReview(key, review));
        if review == Review::Confirmed {
            self.renew_source();
        }
    }

    /// Undo or redo has led back to the labels that a person confirmed: they still are.
    pub(super) fn confirm_again(&mut self) {
        let Some(shown) = &self.shown else { return };
        let (key, history) = (shown.key, &shown.history);
        let is_there = history.confirmed == Some(history.done);
        let row = self.rows.get_mut(key.number).filter(|_| is_there);
        if let Some(row) = row.filter(|row| row.review == Review::Started) {
            row.review = Review::Confirmed;
            self.unsaved += 1;
            self.jobs.push(Job::StoreReview(key, Review::Confirmed));
        }
    }

    pub(super) fn confirm(&mut self) {
        self.finish_gesture();
        if let Err(reason) = self.paintable() {
            return self.refuse(reason);
        }
        if self.is_doubtful_empty() {
            return self.refuse(
                "This frame has no labels, but the net finds peaks in it: accept the prediction, or confirm once \
                 more that it is empty.",
            );
        }
        self.set_review(Review::Confirmed);
        self.step(1);
    }

    /// Whether a frame is about to be confirmed as empty that the net finds peaks in; asked once a frame.
    fn is_doubtful_empty(&mut self) -> bool {
        let Some(shown) = &self.shown else {
            return false;
        };
        let key = shown.key;
        let is_untouched = shown.history.edits.is_empty();
        let has_peaks = self
            .shown_prediction()
            .is_some_and(|predicted| !predicted.peaks.is_empty());
        let is_new = self.asked_about.replace(key) != Some(key);
        is_untouched && has_peaks && is_new
    }

    pub(super) fn withdraw(&mut self) {
        if self.review_here() == Review::Confirmed {
            self.set_review(Review::Started);
        }
    }

    pub(super) fn flag(&mut self) {
        if let Err(reason) = self.paintable() {
            return self.refuse(reason);
        }
        let (number, now) = (self.selected, self.review_here());
        if now == Review::Flagged {
            let before = self.flagged_from.remove(&number);
            self.set_review(before.unwrap_or(Review::Started));
        } else {
            self.flagged_from.insert(number, now);
            self.set_review(Review::Flagged);
        }
    }

    fn review_here(&self) -> Review {
        let row = self.rows.get(self.selected);
        row.map(|row| row.review).unwrap_or_default()
    }
}
