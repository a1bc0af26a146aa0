//! Edits on disk: one transaction each, with the sheet they change; undo and redo move a pointer.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};

use super::review;
use super::runs::RunKey;
use super::sheets::{Digest32, SheetRow, compress, decompress, digest_of_edit};
use super::{Doing, Error, Project, now};
use crate::domain::grid::PixelRect;
use crate::domain::labels::{Class, Edit, History, Review, Sheet};

/// A history in memory holds so many bytes of edits at most; older ones stay on disk.
const HISTORY_BYTES: usize = 256 << 20;
/// How many frames a bulk import puts into one transaction.
const IMPORT_AT_ONCE: usize = 64;

/// Who made an edit, and by which net where one proposed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The curator's name.
    pub who: String,
    /// The digest of the net whose prediction was taken over.
    pub net: Option<String>,
}

/// The labels of a frame as the project keeps them.
#[derive(Clone, Debug)]
pub struct StoredLabels {
    pub sheet: Sheet,
    /// The edits in order, undone ones included; the oldest may be missing, see `older`.
    pub history: History,
    /// How many edits before the history's first are on disk but not in memory.
    pub older: usize,
    pub review: Review,
    /// Who made each edit of `history`.
    pub provenance: Vec<Provenance>,
    /// The sheet's digest as stored.
    pub digest: [u8; 32],
    /// What the user should know: a sheet that had to be built anew, a history that is cut.
    pub notice: Option<String>,
}

impl Project {
    /// Stores an edit that is painted already, with the sheet it changes: one transaction.
    ///
    /// What was undone before can no longer be redone; a confirmed frame is only started again. Errors: the sheet in
    /// the project is not the one that was painted on ([`Error::Diverged`]); damage; lost lease; the disk.
    pub fn store_edit(
        &mut self,
        run: RunKey,
        frame: usize,
        edit: &Edit,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        self.write("store the labels", |transaction, path| {
            store(transaction, run, frame, edit, provenance, path)?;
            review::start(transaction, run, frame, &provenance.who, path)
        })
    }

    /// Takes back the frame's last edit that was not undone; does nothing when there is none.
    pub fn undo(&mut self, run: RunKey, frame: usize) -> Result<(), Error> {
        self.travel(run, frame, true)
    }

    /// Does the frame's next undone edit again; does nothing when there is none.
    pub fn redo(&mut self, run: RunKey, frame: usize) -> Result<(), Error> {
        self.travel(run, frame, false)
    }

    fn travel(&mut self, run: RunKey, frame: usize, back: bool) -> Result<(), Error> {
        self.write("store the labels", |transaction, path| {
            let Some(mut row) = SheetRow::find(transaction, run, frame, path)? else {
                return Ok(());
            };
            let position = match row.done.checked_sub(1) {
                Some(last) if back => last,
                _ if !back => row.done,
                _ => return Ok(()),
            };
            let Some(found) = read_edit(transaction, &row, position, path)? else {
                return Ok(());
            };
            let (edit, by) = found.ok_or_else(|| Error::Damaged {
                frame,
                what: format!(
                    "step {} of its history does not fit its digest",
                    position + 1
                ),
                path: path.to_owned(),
            })?;
            if back {
                row.change(transaction, edit.rect, &edit.after, &edit.before, path)?;
                row.done = position;
            } else {
                row.change(transaction, edit.rect, &edit.before, &edit.after, path)?;
                row.done = position + 1;
            }
            row.update(transaction, path)?;
            review::start(transaction, run, frame, &by.who, path)
        })
    }

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

    /// Puts a sheet from elsewhere in place of the frame's own, as one edit that can be undone.
    pub fn import_sheet(
        &mut self,
        run: RunKey,
        frame: usize,
        sheet: &Sheet,
        tool: &str,
        reviewed: bool,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        self.write("import the labels", |transaction, path| {
            import(
                transaction,
                run,
                frame,
                sheet,
                tool,
                reviewed,
                provenance,
                path,
            )
        })
    }

    /// As [`Project::import_sheet`] for many frames, several to a transaction. Returns how many were imported.
    ///
    /// The first error of `sheets` or of the project ends it; what was imported before stays.
    pub fn import_sheets<E: From<Error>>(
        &mut self,
        run: RunKey,
        sheets: impl IntoIterator<Item = Result<(usize, Sheet), E>>,
        tool: &str,
        reviewed: bool,
        provenance: &Provenance,
    ) -> Result<usize, E> {
        let mut sheets = sheets.into_iter().fuse();
        let mut imported = 0;
        loop {
            let mut failed = None;
            let count = self.write("import the labels", |transaction, path| {
                let mut count = 0;
                for sheet in sheets.by_ref().take(IMPORT_AT_ONCE) {
                    match sheet {
                        Ok((frame, sheet)) => {
                            import(
                                transaction,
                                run,
                                frame,
                                &sheet,
                                tool,
                                reviewed,
                                provenance,
                                path,
                            )?;
                        }
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                    count += 1;
                }
                Ok(count)
            })?;
            imported += count;
            if let Some(error) = failed {
                return Err(error);
            }
            if count < IMPORT_AT_ONCE {
                return Ok(imported);
            }
        }
    }
}

fn store(
    transaction: &Transaction<'_>,
    run: RunKey,
    frame: usize,
    edit: &Edit,
    provenance: &Provenance,
    path: &Path,
) -> Result<(), Error> {
    let mut known = [false; 256];
    for class in Class::ALL {
        known[usize::from(class.code())] = true;
    }
    if let Some(code) = edit.after.iter().find(|code| !known[usize::from(**code)]) {
        return Err(Error::Unfit {
            what: format!("class code {code} means nothing here; 0, 1, 2 and 255 do"),
            path: path.to_owned(),
        });
    }
    let mut row = SheetRow::find_or_make(transaction, run, frame, path)?;
    row.change(transaction, edit.rect, &edit.before, &edit.after, path)?;
    let compressed = |cells: &[u8]| {
        compress(cells).map_err(|source| Error::File {
            doing: "compress the labels",
            source,
            path: path.to_owned(),
        })
    };
    let (before, after) = (compressed(&edit.before)?, compressed(&edit.after)?);
    let insert = || {
        transaction
            .prepare_cached("DELETE FROM edits WHERE sheet = ?1 AND position >= ?2")?
            .execute(params![row.id, row.done])?;
        transaction
            .prepare_cached(
                "INSERT INTO edits (sheet, position, x0, y0, x1, y1, tool, curator, net, time, digest, before, after)
                 VALUES (:sheet, :position, :x0, :y0, :x1, :y1, :tool, :curator, :net, :time, :digest, :before, :after)",
            )?
            .execute(named_params! {
                ":sheet": row.id, ":position": row.done, ":x0": edit.rect.x0, ":y0": edit.rect.y0,
                ":x1": edit.rect.x1, ":y1": edit.rect.y1, ":tool": edit.tool, ":curator": provenance.who,
                ":net": provenance.net, ":time": now(), ":digest": digest_of_edit(edit),
                ":before": before, ":after": after,
            })
    };
    insert().doing("store the labels", path)?;
    row.done += 1;
    row.update(transaction, path)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the facts of one import, said once above"
)]
fn import(
    transaction: &Transaction<'_>,
    run: RunKey,
    frame: usize,
    sheet: &Sheet,
    tool: &str,
    reviewed: bool,
    provenance: &Provenance,
    path: &Path,
) -> Result<(), Error> {
    let row = SheetRow::find_or_make(transaction, run, frame, path)?;
    if (sheet.width(), sheet.height()) != (row.width, row.height) {
        return Err(Error::Unfit {
            what: format!(
                "labels of {} x {} pixels for frames of {} x {}",
                sheet.width(),
                sheet.height(),
                row.width,
                row.height
            ),
            path: path.to_owned(),
        });
    }
    let old = row.read(transaction, path)?;
    if let Some(edit) = Edit::between(&old, sheet, sheet.rect(), tool) {
        store(transaction, run, frame, &edit, provenance, path)?;
    }
    if reviewed {
        review::set(
            transaction,
            run,
            frame,
            Review::Confirmed,
            &provenance.who,
            path,
        )
    } else {
        review::start(transaction, run, frame, &provenance.who, path)
    }
}

/// One row of the history: `None` inside when its digest does not fit.
type Step = Option<(Edit, Provenance)>;

const STEP: &str = "x0, y0, x1, y1, tool, curator, net, digest, before, after";

fn step(row: &Row<'_>) -> rusqlite::Result<Step> {
    let rect = PixelRect::new(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let provenance = Provenance {
        who: row.get(5)?,
        net: row.get(6)?,
    };
    let digest: Digest32 = row.get(7)?;
    let cells = |column: usize| -> rusqlite::Result<Option<Vec<u8>>> {
        Ok(decompress(row.get_ref(column)?.as_blob()?, rect.area()))
    };
    let (Some(before), Some(after)) = (cells(8)?, cells(9)?) else {
        return Ok(None);
    };
    let edit = Edit {
        rect,
        before,
        after,
        tool: row.get(4)?,
    };
    Ok((digest_of_edit(&edit) == digest).then_some((edit, provenance)))
}

fn read_edit(
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
                .query_row(params![row.id, position], step)
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
            older: 0,
            review,
            provenance: Vec::new(),
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
    let (history, provenance, older, cut) = read_history(transaction, &row, path)?;
    if cut {
        let sentence = format!(
            "Part of the history of frame {frame} is damaged; its labels are whole, but not every step can be undone."
        );
        notice = Some(notice.map_or(sentence.clone(), |notice| format!("{notice} {sentence}")));
    }
    let stored = StoredLabels {
        sheet,
        history,
        older,
        review: review.unwrap_or(Review::Started),
        provenance,
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

/// The newest edits without a gap around `done`: history, who made each, how many are older, whether damage cut it.
fn read_history(
    transaction: &Transaction<'_>,
    row: &SheetRow,
    path: &Path,
) -> Result<(History, Vec<Provenance>, usize, bool), Error> {
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
    let done = past.len();
    let (edits, provenance) = past
        .into_iter()
        .rev()
        .chain(future)
        .map(|(edit, by)| (Arc::new(edit), by))
        .unzip();
    Ok((History { edits, done }, provenance, first, cut))
}
