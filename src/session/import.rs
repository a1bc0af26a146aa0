//! Labels made elsewhere, into the open project: what is asked about them, and when they are in.

use std::path::PathBuf;

use super::job::{ImportDone, Job};
use super::{Notice, NoticeKind, Session};
use crate::domain::incoming::{ImportChoices, Question};

/// What a file of labels needs to be known before it is brought in.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportAsked {
    pub labels: PathBuf,
    pub question: Question,
    /// What was said already.
    pub choices: ImportChoices,
}

/// An import under way: nobody paints until it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Importing {
    pub done: usize,
    pub of: usize,
}

impl Session {
    /// Brings labels in for the open run.
    pub(super) fn import(&mut self, labels: PathBuf, choices: ImportChoices) {
        self.import_asked = None;
        let Some(open) = &self.run else {
            return self.notice("Labels belong to a run; open the run first.");
        };
        if let Some(reason) = &self.read_only {
            let reason = reason.clone();
            return self.notice(reason);
        }
        if self.importing.is_some() {
            return self.notice("Labels are being imported already; wait until they are in.");
        }
        let run = open.serial;
        self.finish_gesture();
        self.importing = Some(Importing::default());
        self.jobs.push(Job::Import {
            run,
            labels,
            choices: Box::new(choices),
        });
    }

    pub(super) fn import_asks(&mut self, run: u64, asked: ImportAsked) {
        if self.is_open(run) {
            self.importing = None;
            self.import_asked = Some(asked);
        }
    }

    pub(super) fn import_goes_on(&mut self, run: u64, done: usize, of: usize) {
        if self.is_open(run) && self.importing.is_some() {
            self.importing = Some(Importing { done, of });
        }
    }

    pub(super) fn imported(&mut self, run: u64, result: Result<ImportDone, String>) {
        if !self.is_open(run) {
            return;
        }
        self.importing = None;
        match result {
            Ok(done) => {
                for (number, review) in done.reviews {
                    if let Some(row) = self.rows.get_mut(number) {
                        row.review = review;
                    }
                }
                self.done(done.summary);
                self.notices
                    .extend(done.notices.into_iter().map(|text| Notice {
                        text,
                        cure: None,
                        kind: NoticeKind::OfRun,
                    }));
            }
            Err(reason) => self.notice(reason),
        }
        // What is shown may have been changed on disk, also by an import that ended early.
        self.reload_wanted = true;
    }

    fn is_open(&self, run: u64) -> bool {
        self.run.as_ref().is_some_and(|open| open.serial == run)
    }
}
