//! Edits on disk: one transaction each, with the sheet they change; undo and redo move a pointer.

use std::path::Path;

use rusqlite::{Transaction, named_params, params};

use super::history::read_edit;
use super::review;
use super::runs::RunKey;
use super::sheets::{SheetRow, compress, digest_of_edit};
use super::{Doing, Error, Project, now};
use crate::domain::labels::{Class, Edit, Review, Sheet};

/// Who made an edit, and by which net where one proposed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The curator's name.
    pub who: String,
    /// The digest of the net whose prediction was taken over.
    pub net: Option<String>,
}

impl Project {
    /// Stores an edit that is painted already, with the sheet it changes: one transaction.
    ///
    /// What was undone before can no longer be redone; a confirmed frame is only started again (its review is [`Review::Started`]). Errors: the sheet in
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
            let (before, after) = (edit.before.to_vec(), edit.after.to_vec());
            if back {
                row.change(transaction, edit.rect, &after, &before, path)?;
                row.done = position;
            } else {
                row.change(transaction, edit.rect, &before, &after, path)?;
                row.done = position + 1;
            }
            row.update(transaction, path)?;
            review::start(transaction, run, frame, &by.who, path)
        })
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
}

pub(super) fn store(
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
    let mut codes = edit.after.stretches().map(|(_, code)| code);
    if let Some(code) = codes.find(|code| !known[usize::from(*code)]) {
        return Err(Error::Unfit {
            what: format!("class code {code} means nothing here; 0, 1, 2 and 255 do"),
            path: path.to_owned(),
        });
    }
    let mut row = SheetRow::find_or_make(transaction, run, frame, path)?;
    let (before, after) = (edit.before.to_vec(), edit.after.to_vec());
    row.change(transaction, edit.rect, &before, &after, path)?;
    let compressed = |cells: &[u8]| {
        compress(cells).map_err(|source| Error::File {
            doing: "compress the labels",
            source,
            path: path.to_owned(),
        })
    };
    let (before, after) = (compressed(&before)?, compressed(&after)?);
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
    let edit = Edit::between(&old, sheet, sheet.rect(), tool);
    if let Some(edit) = &edit {
        store(transaction, run, frame, edit, provenance, path)?;
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
    } else if edit.is_some() || review::of(transaction, run, frame, path)?.is_none() {
        review::start(transaction, run, frame, &provenance.who, path)
    } else {
        Ok(()) // The same labels again: who vouched for them still does.
    }
}
