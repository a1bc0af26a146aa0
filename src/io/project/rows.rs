//! What of a project is copied into another one: runs, nets, whole frames, reviews, notes.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::edits;
use super::merge::whose;
use super::runs::RunKey;
use super::sheets::SheetRow;
use super::{Doing, Error, Project};
use crate::domain::columns::Note;
use crate::domain::labels::{Edit, Review};

/// Copies rows of a table into a table of the same columns, the first one replaced by `key`.
fn copy_rows(
    from: &Connection,
    to: &Transaction<'_>,
    select: &str,
    asked: &[i64],
    insert: &str,
    key: i64,
) -> rusqlite::Result<()> {
    let mut statement = from.prepare(select)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(asked))?;
    let mut insert = to.prepare(insert)?;
    while let Some(row) = rows.next()? {
        let mut values = vec![Value::Integer(key)];
        for column in 1..columns {
            values.push(row.get(column)?);
        }
        insert.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

pub(super) fn copy_run(
    merged: &mut Project,
    theirs: &Project,
    key: RunKey,
) -> Result<RunKey, Error> {
    merged.write("add the run", |transaction, path| {
        let new: i64 = transaction
            .query_row("SELECT coalesce(max(run), 0) + 1 FROM runs", [], |row| {
                row.get(0)
            })
            .doing("add the run", path)?;
        copy_rows(
            &theirs.database,
            transaction,
            "SELECT run, name, source, paths, dataset, frames, width, height, dtype, format, detector, bytes, content,
             added FROM runs WHERE run = ?1",
            &[key.0],
            "INSERT INTO runs (run, name, source, paths, dataset, frames, width, height, dtype, format, detector, bytes,
             content, added) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            new,
        )
        .doing("add the run", path)?;
        Ok(RunKey(new))
    })
}

/// The nets and what they said of a run, where mine do not know it; a run that has grown keeps its larger number of frames.
pub(super) fn copy_nets(
    merged: &mut Project,
    theirs: &Project,
    key: RunKey,
    from: RunKey,
) -> Result<(), Error> {
    merged.write("take the predictions", |transaction, path| {
        let copy = || -> rusqlite::Result<()> {
            let mut nets = theirs
                .database
                .prepare("SELECT digest, name, first_used FROM nets")?;
            let mut rows = nets.query([])?;
            while let Some(row) = rows.next()? {
                transaction.execute(
                    "INSERT OR IGNORE INTO nets (digest, name, first_used) VALUES (?1, ?2, ?3)",
                    params![
                        row.get::<_, Value>(0)?,
                        row.get::<_, Value>(1)?,
                        row.get::<_, Value>(2)?
                    ],
                )?;
            }
            copy_rows(
                &theirs.database,
                transaction,
                "SELECT run, frame, net, peaks, doubt, artifact_fraction, time FROM predictions WHERE run = ?1",
                &[from.0],
                "INSERT OR IGNORE INTO predictions (run, frame, net, peaks, doubt, artifact_fraction, time)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                key.0,
            )?;
            let frames: i64 = theirs.database.query_row(
                "SELECT frames FROM runs WHERE run = ?1",
                [from.0],
                |row| row.get(0),
            )?;
            transaction.execute(
                "UPDATE runs SET frames = max(frames, ?2) WHERE run = ?1",
                [key.0, frames],
            )?;
            Ok(())
        };
        copy().doing("take the predictions", path)
    })
}

/// Takes a frame that only they labelled, with its history and review.
pub(super) fn take(
    merged: &mut Project,
    theirs: &mut Project,
    key: RunKey,
    (from, frame): (RunKey, usize),
) -> Result<(), Error> {
    let by = whose(theirs, from, frame)?;
    let sheet = theirs.load_sheet(from, frame)?;
    merged.write("take the labels", |transaction, path| {
        let theirs = &theirs.database;
        let doing = "take the labels";
        let source: Option<i64> = theirs
            .query_row(
                "SELECT sheet FROM sheets WHERE run = ?1 AND frame = ?2",
                params![from.0, frame],
                |row| row.get(0),
            )
            .optional()
            .doing(doing, path)?;
        let has_row = SheetRow::find(transaction, key, frame, path)?;
        if let (Some(source), None) = (source, &has_row) {
            let copy = || -> rusqlite::Result<()> {
                copy_rows(
                    theirs,
                    transaction,
                    "SELECT run, frame, width, height, tile, digest, done, base, updated FROM sheets WHERE sheet = ?1",
                    &[source],
                    "INSERT INTO sheets (run, frame, width, height, tile, digest, done, base, updated)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    key.0,
                )?;
                let new = transaction.last_insert_rowid();
                copy_rows(
                    theirs,
                    transaction,
                    "SELECT sheet, tile, digest, codes FROM tiles WHERE sheet = ?1",
                    &[source],
                    "INSERT INTO tiles (sheet, tile, digest, codes) VALUES (?1, ?2, ?3, ?4)",
                    new,
                )?;
                copy_rows(
                    theirs,
                    transaction,
                    "SELECT sheet, position, x0, y0, x1, y1, tool, curator, net, time, digest, before, after FROM edits
                     WHERE sheet = ?1 ORDER BY position",
                    &[source],
                    "INSERT INTO edits (sheet, position, x0, y0, x1, y1, tool, curator, net, time, digest, before, after)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                    new,
                )
            };
            copy().doing(doing, path)?;
            copy_pixels(theirs, transaction, (key, from), frame).doing(doing, path)?;
        } else if let Some(row) = has_row {
            // Mine has a sheet that was emptied again by undo: theirs becomes its next step.
            let old = row.read(transaction, path)?;
            let tool = format!("merge: labels of {}", by.who);
            if let Some(edit) = Edit::between(&old, &sheet, old.rect(), &tool) {
                edits::store(transaction, key, frame, &edit, &by, path)?;
            }
        }
        copy_review(theirs, transaction, (key, from), frame, path)
    })
}

/// Which pixels were labelled; a file of an older version does not say.
fn copy_pixels(
    theirs: &Connection,
    transaction: &Transaction<'_>,
    (key, from): (RunKey, RunKey),
    frame: usize,
) -> rusqlite::Result<()> {
    let has_pixels = theirs
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'pixels'")?
        .exists([])?;
    if !has_pixels {
        return Ok(());
    }
    copy_rows(
        theirs,
        transaction,
        "SELECT run, frame, digest, bytes, modified, time FROM pixels WHERE run = ?1 AND frame = ?2",
        &[from.0, frame as i64],
        "INSERT OR REPLACE INTO pixels (run, frame, digest, bytes, modified, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        key.0,
    )
}

fn copy_review(
    theirs: &Connection,
    transaction: &Transaction<'_>,
    (key, from): (RunKey, RunKey),
    frame: usize,
    path: &Path,
) -> Result<(), Error> {
    copy_rows(
        theirs,
        transaction,
        "SELECT run, frame, review, reviewer, time FROM frames WHERE run = ?1 AND frame = ?2",
        &[from.0, frame as i64],
        "INSERT OR REPLACE INTO frames (run, frame, review, reviewer, time) VALUES (?1, ?2, ?3, ?4, ?5)",
        key.0,
    )
    .doing("take the review", path)
}

/// Marks, tags and comments of both.
pub(super) fn join_notes(
    merged: &mut Project,
    theirs: &Project,
    key: RunKey,
    from: RunKey,
) -> Result<(), Error> {
    let mine: BTreeMap<usize, Note> = merged.notes(key)?.into_iter().collect();
    for (frame, note) in theirs.notes(from)? {
        let joined = mine.get(&frame).cloned().unwrap_or_default().joined(&note);
        if mine.get(&frame) != Some(&joined) {
            merged.set_note(key, frame, &joined)?;
        }
    }
    Ok(())
}

/// Of equal labels the review that says more: a question that somebody has, then that somebody vouches for them.
pub(super) fn take_review(
    merged: &mut Project,
    theirs: &Project,
    key: RunKey,
    (from, frame): (RunKey, usize),
    [mine, their]: [Review; 2],
) -> Result<(), Error> {
    let says = |review| match review {
        Review::Untouched => 0,
        Review::Started => 1,
        Review::Confirmed => 2,
        Review::Flagged => 3,
    };
    if says(their) <= says(mine) {
        return Ok(());
    }
    merged.write("take the review", |transaction, path| {
        copy_review(&theirs.database, transaction, (key, from), frame, path)
    })
}
