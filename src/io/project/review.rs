//! How far each frame was looked at, and what was on screen.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::runs::RunKey;
use super::{Doing, Error, Project, now};
use crate::domain::labels::Review;

/// Which frames of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Confirmed ones; those without a stroke are confirmed to be background throughout.
    #[default]
    Reviewed,
    /// Those with a sheet, and the confirmed ones.
    Labelled,
    /// Every frame of every run.
    All,
}

/// A frame of a project and its review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelledFrame {
    pub run: RunKey,
    pub frame: usize,
    pub review: Review,
}

impl Project {
    /// Says how far a frame was looked at.
    pub fn set_review(&mut self, run: RunKey, frame: usize, review: Review) -> Result<(), Error> {
        let who = self.curator().to_owned();
        self.write("store the review", |transaction, path| {
            super::runs::shape(transaction, run, path)?;
            set(transaction, run, frame, review, &who, path)
        })
    }

    /// The frames of a run that were looked at, in order.
    pub fn review_states(&self, run: RunKey) -> Result<Vec<(usize, Review)>, Error> {
        let list = || {
            let mut statement = self
                .database
                .prepare("SELECT frame, review FROM frames WHERE run = ?1 ORDER BY frame")?;
            let rows = statement.query_map([run.0], |row| {
                Ok((row.get(0)?, review_of(&row.get::<_, String>(1)?)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("read the reviews", &self.path)
    }

    /// The frames of every run, in order.
    pub fn labelled_frames(&self, which: Which) -> Result<Vec<LabelledFrame>, Error> {
        if which == Which::All {
            return self.all_frames();
        }
        let condition = match which {
            Which::Reviewed => "review = 'confirmed'",
            _ => {
                "(review = 'confirmed' OR EXISTS (SELECT 1 FROM sheets
                  WHERE sheets.run = frames.run AND sheets.frame = frames.frame))"
            }
        };
        let list = || {
            let mut statement = self.database.prepare(&format!(
                "SELECT run, frame, review FROM frames WHERE {condition} ORDER BY run, frame"
            ))?;
            let rows = statement.query_map([], |row| {
                Ok(LabelledFrame {
                    run: RunKey(row.get(0)?),
                    frame: row.get(1)?,
                    review: review_of(&row.get::<_, String>(2)?),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("read the reviews", &self.path)
    }

    fn all_frames(&self) -> Result<Vec<LabelledFrame>, Error> {
        let mut frames = Vec::new();
        for run in self.runs()? {
            let mut known = self.review_states(run.key)?.into_iter().peekable();
            for frame in 0..run.frames {
                let review = known
                    .next_if(|(at, _)| *at == frame)
                    .map_or(Review::Untouched, |(_, review)| review);
                frames.push(LabelledFrame {
                    run: run.key,
                    frame,
                    review,
                });
            }
        }
        Ok(frames)
    }

    /// Keeps what was on screen, as the text that the caller makes of it.
    pub fn store_view(&mut self, run: RunKey, view: &str) -> Result<(), Error> {
        self.write("store the view", |transaction, path| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO views VALUES (?1, ?2, ?3)",
                    params![run.0, view, now()],
                )
                .doing("store the view", path)?;
            Ok(())
        })
    }

    /// What was on screen when the run was last open.
    pub fn load_view(&self, run: RunKey) -> Result<Option<String>, Error> {
        self.database
            .query_row("SELECT view FROM views WHERE run = ?1", [run.0], |row| {
                row.get(0)
            })
            .optional()
            .doing("read the view", &self.path)
    }

    /// The run that was on screen last.
    pub fn last_run(&self) -> Result<Option<RunKey>, Error> {
        self.database
            .query_row(
                "SELECT run FROM views ORDER BY time DESC LIMIT 1",
                [],
                |row| row.get(0).map(RunKey),
            )
            .optional()
            .doing("read the view", &self.path)
    }

    /// Keeps a value of the whole project under a name.
    pub fn store_setting(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.write("store a setting", |transaction, path| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO settings VALUES (?1, ?2)",
                    [key, value],
                )
                .doing("store a setting", path)?;
            Ok(())
        })
    }

    pub fn load_setting(&self, key: &str) -> Result<Option<String>, Error> {
        self.database
            .query_row("SELECT value FROM settings WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()
            .doing("read a setting", &self.path)
    }

    /// Who writes, by the lease; empty when opened to read.
    pub(super) fn curator(&self) -> &str {
        self.lease.as_ref().map_or("", super::lease::Lease::who)
    }
}

/// A word of a later version counts as looked at but not confirmed.
fn review_of(name: &str) -> Review {
    Review::from_name(name).unwrap_or(Review::Started)
}

pub(super) fn of(
    database: &Connection,
    run: RunKey,
    frame: usize,
    path: &Path,
) -> Result<Option<Review>, Error> {
    let name: Option<String> = database
        .query_row(
            "SELECT review FROM frames WHERE run = ?1 AND frame = ?2",
            params![run.0, frame],
            |row| row.get(0),
        )
        .optional()
        .doing("read the reviews", path)?;
    Ok(name.map(|name| review_of(&name)))
}

pub(super) fn set(
    database: &Connection,
    run: RunKey,
    frame: usize,
    review: Review,
    who: &str,
    path: &Path,
) -> Result<(), Error> {
    database
        .prepare_cached("INSERT OR REPLACE INTO frames VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut s| s.execute(params![run.0, frame, review.name(), who, now()]))
        .doing("store the review", path)?;
    Ok(())
}

/// After a change of the labels, see [`Review::after_change`].
pub(super) fn start(
    database: &Connection,
    run: RunKey,
    frame: usize,
    who: &str,
    path: &Path,
) -> Result<(), Error> {
    let before = of(database, run, frame, path)?;
    let after = before.unwrap_or_default().after_change();
    if before == Some(after) {
        return Ok(());
    }
    set(database, run, frame, after, who, path)
}
