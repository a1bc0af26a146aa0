//! Who made the labels of a frame, by which net and when: what goes out with them.

use rusqlite::{OptionalExtension, params};

use super::runs::RunKey;
use super::{Doing, Error, Project};

/// Where the labels of one frame come from. Times are UTC, `2026-11-25T04:53:00Z`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFacts {
    /// Who said last how far the frame was looked at, and when.
    pub reviewer: Option<String>,
    pub reviewed: Option<String>,
    /// Who made the edits that stand, each once, the last one last.
    pub curators: Vec<String>,
    /// Digests of the nets whose predictions were taken over, the last one last.
    pub nets: Vec<String>,
    /// When the last of these edits was made.
    pub edited: Option<String>,
}

impl Project {
    /// Where the labels of a frame come from; nothing in it when nobody touched the frame.
    pub fn label_facts(&self, run: RunKey, frame: usize) -> Result<LabelFacts, Error> {
        let find = || {
            let mut facts = LabelFacts::default();
            let review = self
                .database
                .prepare_cached(
                    "SELECT reviewer, strftime('%Y-%m-%dT%H:%M:%SZ', time, 'unixepoch') FROM frames
                     WHERE run = ?1 AND frame = ?2",
                )?
                .query_row(params![run.0, frame], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((reviewer, time)) = review {
                (facts.reviewer, facts.reviewed) = (Some(reviewer), time);
            }
            let mut statement = self.database.prepare_cached(
                "SELECT curator, net, strftime('%Y-%m-%dT%H:%M:%SZ', time, 'unixepoch')
                 FROM edits JOIN sheets USING (sheet)
                 WHERE run = ?1 AND frame = ?2 AND position < done ORDER BY position",
            )?;
            let mut rows = statement.query(params![run.0, frame])?;
            while let Some(row) = rows.next()? {
                put_last(&mut facts.curators, row.get(0)?);
                if let Some(net) = row.get(1)? {
                    put_last(&mut facts.nets, net);
                }
                facts.edited = row.get(2)?;
            }
            Ok(facts)
        };
        find().doing("read the labels", &self.path)
    }
}

fn put_last(names: &mut Vec<String>, name: String) {
    names.retain(|other| *other != name);
    names.push(name);
}
