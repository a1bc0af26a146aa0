//! Labels from disk: the sheet, checked; its history, as much as fits; what can be mended, mended.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::review;
use super::runs::RunKey;
use super::sheets::{Digest32, SheetRow, decompress, digest_of_edit};
use super::{Doing, Error, Project};
use crate::domain::grid::PixelRect;
use crate::domain::labels::{Edit, History, Origin, Review, Sheet};

/// A history in memory holds so many bytes of edits at most; older ones stay on disk.
const HISTORY_BYTES: usize = 256 << 20;

/// The labels of a frame as the project keeps them.
#[derive(Clone, Debug)]
pub struct StoredLabels {
    pub sheet: Sheet,
    /// The edits in order, undone ones included, with who made each; the oldest may be missing, see [`History::older`].
    pub history: History,
    pub review: Review,
    /// The sheet's digest as stored.
    pub digest: [u8; 32],
    /// What the user should know: a sheet that had to be built anew, a history that is cut.
    pub notice: Option<String>,
}

impl Project {
    /// The labels of a frame, checked against their digests; `None` when nobody has labelled or reviewed it.
    ///
    /// A damaged sheet is built anew from its edits where they allow, and the notice says so. Otherwise an error: the
    /// frame must stay read-only, it is never blank.
    pub fn load_labels(
        &mut self,
        run: RunKey,
        frame: usize,
    ) -> Result<Option<StoredLabels>, Error> {
        let (loaded, repaired) = self.read("read the labels", |transaction, path| {
            load(transaction, run, frame, path)
        })?;
        if let Some((row, sheet)) = repaired
            && self.writes()
        {
            self.write("repair the labels", |transaction, path| {
                row.rewrite(transaction, &sheet, path)
            })?;
        }
        Ok(loaded)
    }

    /// The frame's sheet alone, blank when nobody labelled it. Errors: damage; the disk.
    pub fn load_sheet(&mut self, run: RunKey, frame: usize) -> Result<Sheet, Error> {
        let blank = self.read("read the labels", |transaction, path| {
            super::runs::shape(transaction, run, path)
        });
        match self.load_labels(run, frame)? {
            Some(stored) => Ok(stored.sheet),
            None => blank.map(|(width, height)| Sheet::filled(width, height, 0)),
        }
    }
}

/// One row of the history: `None` inside when its digest does not fit.
pub(super) type Step = Option<(Edit, Origin)>;

const STEP: &str = "x0, y0, x1, y1, tool, curator, net, digest, before, after, time";

fn step(row: &Row<'_>, sheet: &SheetRow) -> rusqlite::Result<Step> {
    let digest: Digest32 = row.get(7)?;
    let rect = PixelRect::new(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    if rect.intersect(&sheet.rect()) != rect {
        return Ok(None);
    }
    let cells = |column: usize| -> rusqlite::Result<Option<Vec<u8>>> {
        Ok(decompress(row.get_ref(column)?.as_blob()?, rect.area()))
    };
    let (Some(before), Some(after)) = (cells(8)?, cells(9)?) else {
        return Ok(None);
    };
    let edit = Edit {
        rect,
        before: before.into(),
        after: after.into(),
        tool: row.get(4)?,
    };
    let origin = Origin {
        who: row.get(5)?,
        net: row.get(6)?,
        time: row.get(10)?,
    };
    Ok((digest_of_edit(&edit) == digest).then_some((edit, origin)))
}

/// Values that cannot be what was written are damage, as a digest that does not fit is.
fn step_or_damage(row: &Row<'_>, sheet: &SheetRow) -> rusqlite::Result<Step> {
    match step(row, sheet) {
        Err(error) if error.sqlite_error_code().is_none() => Ok(None),
        found => found,
    }
}

pub(super) fn read_edit(
    transaction: &Transaction<'_>,
    row: &SheetRow,
    position: usize,
    path: &Path,
) -> Result<Option<Step>, Error> {
    transaction
        .prepare_cached(&format!(
            "SELECT {STEP} FROM edits WHERE sheet = ?1 AND position = ?2"
        ))
        .and_then(|mut statement| {
            statement
                .query_row(params![row.id, position], |found| {
                    step_or_damage(found, row)
                })
                .optional()
        })
        .doing("read the labels", path)
}

type Repair = Option<(SheetRow, Sheet)>;

fn load(
    transaction: &Transaction<'_>,
    run: RunKey,
    frame: usize,
    path: &Path,
) -> Result<(Option<StoredLabels>, Repair), Error> {
    let review = review::of(transaction, run, frame, path)?;
    let Some(row) = SheetRow::find(transaction, run, frame, path)? else {
        let (width, height) = super::runs::shape(transaction, run, path)?;
        let stored = review.map(|review| StoredLabels {
            sheet: Sheet::filled(width, height, 0),
            history: History::default(),
            review,
            digest: [0; 32],
            notice: None,
        });
        return Ok((stored, None));
    };
    let mut notice = None;
    let mut repair = None;
    let sheet = match row.read(transaction, path) {
        Ok(sheet) => sheet,
        Err(damage) => {
            let Some(sheet) = rebuild(transaction, &row, path)? else {
                return Err(damage);
            };
            notice = Some(format!(
                "The sheet of frame {frame} was damaged and has been built anew from its {} edits.",
                row.done
            ));
            repair = Some((row.clone(), sheet.clone()));
            sheet
        }
    };
    let (history, cut) = read_history(transaction, &row, path)?;
    if cut {
        let sentence = format!(
            "Part of the history of frame {frame} is damaged; its labels are whole, but not every step can be undone."
        );
        notice = Some(notice.map_or(sentence.clone(), |notice| format!("{notice} {sentence}")));
    }
    let stored = StoredLabels {
        sheet,
        history,
        review: review.unwrap_or(Review::Started),
        digest: row.digest,
        notice,
    };
    Ok((Some(stored), repair))
}

/// The sheet that the done edits make of a blank one, when it has the digest that was stored.
fn rebuild(
    transaction: &Transaction<'_>,
    row: &SheetRow,
    path: &Path,
) -> Result<Option<Sheet>, Error> {
    let mut sheet = Sheet::filled(row.width, row.height, 0);
    for position in 0..row.done {
        match read_edit(transaction, row, position, path)? {
            Some(Some((edit, _))) => edit.apply(&mut sheet),
            _ => return Ok(None),
        }
    }
    Ok((row.digest_of_cells(&sheet) == row.digest).then_some(sheet))
}

/// The newest edits without a gap around `done`, and whether damage cut them.
fn read_history(
    transaction: &Transaction<'_>,
    row: &SheetRow,
    path: &Path,
) -> Result<(History, bool), Error> {
    let (mut past, mut future) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let mut cut = false;
    let mut first = row.done;
    while first > 0 && bytes < HISTORY_BYTES {
        let Some(Some(found)) = read_edit(transaction, row, first - 1, path)? else {
            cut = true;
            break;
        };
        bytes += found.0.bytes();
        past.push(found);
        first -= 1;
    }
    loop {
        match read_edit(transaction, row, row.done + future.len(), path)? {
            Some(Some(found)) if bytes < HISTORY_BYTES => {
                bytes += found.0.bytes();
                future.push(found);
            }
            Some(None) => {
                cut = true;
                break;
            }
            _ => break,
        }
    }
    let mut history = History {
        done: past.len(),
        older: first,
        ..History::default()
    };
    for (edit, origin) in past.into_iter().rev().chain(future) {
        history.edits.push(Arc::new(edit));
        history.origins.push(origin);
    }
    Ok((history, cut))
}
