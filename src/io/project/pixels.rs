//! Which pixels were labelled, by their digest: a source that has changed since is noticed.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};

use super::runs::RunKey;
use super::{Doing, Error, Project};
use crate::domain::frame::Frame;
use crate::domain::source::{LabelledPixels, digest_of_pixels};

/// A frame's pixels as they are now, and the file they come from: `source` as the run names it.
pub fn pixels_now(frame: &Frame, source: &str) -> LabelledPixels {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    };
    let facts = std::fs::metadata(source).ok();
    let facts = facts.filter(std::fs::Metadata::is_file);
    LabelledPixels {
        digest: digest_of_pixels(&frame.pixels),
        bytes: facts.as_ref().map(std::fs::Metadata::len),
        modified: (facts.and_then(|facts| facts.modified().ok())).map(seconds),
        noted: seconds(SystemTime::now()),
    }
}

impl Project {
    /// Notes the pixels that a frame's labels belong to; takes the place of what was noted before.
    pub fn store_pixels(
        &mut self,
        run: RunKey,
        frame: usize,
        pixels: &LabelledPixels,
    ) -> Result<(), Error> {
        self.write("note which pixels were labelled", |transaction, path| {
            let bytes = pixels.bytes.and_then(|bytes| i64::try_from(bytes).ok());
            transaction
                .execute(
                    "INSERT OR REPLACE INTO pixels (run, frame, digest, bytes, modified, time)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        run.0,
                        frame,
                        pixels.digest,
                        bytes,
                        pixels.modified,
                        pixels.noted
                    ],
                )
                .doing("note which pixels were labelled", path)?;
            Ok(())
        })
    }

    /// The pixels that a frame's labels belong to; `None` where nobody has noted them.
    pub fn pixels_of(&self, run: RunKey, frame: usize) -> Result<Option<LabelledPixels>, Error> {
        if !self.has_pixels()? {
            return Ok(None);
        }
        let find = || {
            self.database
                .prepare_cached(
                    "SELECT digest, bytes, modified, time FROM pixels WHERE run = ?1 AND frame = ?2",
                )?
                .query_row(params![run.0, frame], |row| {
                    Ok(LabelledPixels {
                        digest: row.get(0)?,
                        bytes: row
                            .get::<_, Option<i64>>(1)?
                            .and_then(|bytes| u64::try_from(bytes).ok()),
                        modified: row.get(2)?,
                        noted: row.get(3)?,
                    })
                })
                .optional()
        };
        match find() {
            // A note that cannot be what was written says nothing.
            Err(error) if error.sqlite_error_code().is_none() => Ok(None),
            found => found.doing("read which pixels were labelled", &self.path),
        }
    }

    /// A file of an older version that is only read has no such notes.
    fn has_pixels(&self) -> Result<bool, Error> {
        self.database
            .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'pixels'")
            .and_then(|mut statement| statement.exists([]))
            .doing("read which pixels were labelled", &self.path)
    }
}
