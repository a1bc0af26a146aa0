//! What curators note of frames: marks, tags, comments; and which frames have labels.

use rusqlite::params;

use super::runs::RunKey;
use super::{Doing, Error, Project, now};
use crate::domain::columns::{Note, tags_of};

impl Project {
    /// Keeps what is noted of a frame, in place of what was noted before; an empty note is forgotten.
    pub fn set_note(&mut self, run: RunKey, frame: usize, note: &Note) -> Result<(), Error> {
        let who = self.curator().to_owned();
        self.write("store the note", |transaction, path| {
            super::runs::shape(transaction, run, path)?;
            let done = if note.is_empty() {
                transaction.execute(
                    "DELETE FROM notes WHERE run = ?1 AND frame = ?2",
                    params![run.0, frame],
                )
            } else {
                transaction.execute(
                    "INSERT OR REPLACE INTO notes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        run.0,
                        frame,
                        note.is_marked,
                        note.tags.join("\n"),
                        note.comment,
                        who,
                        now()
                    ],
                )
            };
            done.doing("store the note", path).map(|_| ())
        })
    }

    /// What is noted of a run's frames, in order. A file of an older version that may only be read has no notes.
    pub fn notes(&self, run: RunKey) -> Result<Vec<(usize, Note)>, Error> {
        let list = || {
            let has_notes: bool = self.database.query_row(
                "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'notes'",
                [],
                |row| row.get(0),
            )?;
            if !has_notes {
                return Ok(Vec::new());
            }
            let mut statement = self.database.prepare(
                "SELECT frame, marked, tags, comment FROM notes WHERE run = ?1 ORDER BY frame",
            )?;
            let rows = statement.query_map([run.0], |row| {
                let note = Note {
                    is_marked: row.get(1)?,
                    tags: tags_of(&row.get::<_, String>(2)?),
                    comment: row.get(3)?,
                };
                Ok((row.get(0)?, note))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("read the notes", &self.path)
    }

    /// The frames of a run that have labels: an edit that was not undone.
    pub fn labelled(&self, run: RunKey) -> Result<Vec<usize>, Error> {
        let list = || {
            let mut statement = self
                .database
                .prepare("SELECT frame FROM sheets WHERE run = ?1 AND done > 0 ORDER BY frame")?;
            let rows = statement.query_map([run.0], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("read the labels", &self.path)
    }
}
