//! The tables of the project file, version by version.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::{Doing, Error};

/// "PkNt" in the file's header: `file` and SQLite's own tools can tell a project from other databases.
const APPLICATION: i64 = 0x506b_4e74;
/// The newest form this program knows; in the header as `user_version`.
pub const VERSION: i64 = 1 + STEPS.len() as i64;

/// Times are seconds since 1970. `codes`, `before` and `after` are zstd-compressed class codes, row by row.
///
/// A sheet begins blank (all background) or as its first edit says, so that the first `done` edits applied to a blank
/// sheet give the sheet. Tiles that are all background have no row.
const VERSION_1: &str = "
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token TEXT NOT NULL, who TEXT NOT NULL, host TEXT NOT NULL,
    machine TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    heartbeat REAL NOT NULL, expires REAL NOT NULL);
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    name TEXT NOT NULL, source TEXT NOT NULL, paths TEXT NOT NULL,
    dataset TEXT, frames INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    dtype TEXT NOT NULL, format TEXT NOT NULL, detector TEXT,
    bytes INTEGER, content BLOB, added REAL NOT NULL);
CREATE TABLE frames (
    run INTEGER NOT NULL REFERENCES runs (run),
    frame INTEGER NOT NULL, review TEXT NOT NULL, reviewer TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (run, frame)) WITHOUT ROWID;
CREATE TABLE sheets (
    sheet INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (run), frame INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, tile INTEGER NOT NULL,
    digest BLOB NOT NULL, done INTEGER NOT NULL, base TEXT NOT NULL, updated REAL NOT NULL,
    UNIQUE (run, frame));
CREATE TABLE tiles (
    sheet INTEGER NOT NULL REFERENCES sheets (sheet), tile INTEGER NOT NULL,
    digest BLOB NOT NULL, codes BLOB NOT NULL,
    PRIMARY KEY (sheet, tile)) WITHOUT ROWID;
CREATE TABLE edits (
    edit INTEGER PRIMARY KEY,
    sheet INTEGER NOT NULL REFERENCES sheets (sheet), position INTEGER NOT NULL,
    x0 INTEGER NOT NULL, y0 INTEGER NOT NULL, x1 INTEGER NOT NULL, y1 INTEGER NOT NULL,
    tool TEXT NOT NULL, curator TEXT NOT NULL, net TEXT, time REAL NOT NULL,
    digest BLOB NOT NULL, before BLOB NOT NULL, after BLOB NOT NULL,
    UNIQUE (sheet, position));
CREATE TABLE nets (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, first_used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE predictions (
    run INTEGER NOT NULL REFERENCES runs (run), frame INTEGER NOT NULL, net TEXT NOT NULL,
    peaks INTEGER NOT NULL, doubt REAL NOT NULL, artifact_fraction REAL NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (run, frame, net)) WITHOUT ROWID;
CREATE TABLE views (
    run INTEGER PRIMARY KEY REFERENCES runs (run), view TEXT NOT NULL, time REAL NOT NULL);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// What each version after the first adds to the one before it.
const STEPS: &[&str] = &[
    // 2: what curators note of frames; tags one a line.
    "CREATE TABLE notes (
    run INTEGER NOT NULL REFERENCES runs (run), frame INTEGER NOT NULL,
    marked INTEGER NOT NULL, tags TEXT NOT NULL, comment TEXT NOT NULL,
    curator TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (run, frame)) WITHOUT ROWID;",
    // 3: the pixels that were labelled; times are seconds since 1970.
    "CREATE TABLE pixels (
    run INTEGER NOT NULL REFERENCES runs (run), frame INTEGER NOT NULL,
    digest BLOB NOT NULL, bytes INTEGER, modified REAL, time REAL NOT NULL,
    PRIMARY KEY (run, frame)) WITHOUT ROWID;",
];

/// The steps from a version to the newest.
fn steps_from(version: i64) -> &'static [&'static str] {
    let first = usize::try_from(version - 1).unwrap_or(usize::MAX);
    STEPS.get(first..).unwrap_or_default()
}

/// Makes the tables of a new file, brings an old one up to date, refuses any other.
pub fn prepare(database: &mut Connection, path: &Path) -> Result<(), Error> {
    // The journal mode is kept in the file only for WAL: whoever set that, it is not what network disks allow.
    database
        .query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))
        .doing("be opened", path)?;
    keep_old(database, path)?;
    let transaction = database
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing("be opened", path)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .doing("be opened", path)?;
    if tables == 0 {
        transaction
            .execute_batch(VERSION_1)
            .and_then(|()| transaction.execute_batch(&STEPS.concat()))
            .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION))
            .and_then(|()| transaction.pragma_update(None, "user_version", VERSION))
            .doing("be made", path)?;
    } else {
        check(&transaction, path)?;
        let steps = steps_from(version(&transaction, path)?);
        if !steps.is_empty() {
            transaction
                .execute_batch(&steps.concat())
                .and_then(|()| transaction.pragma_update(None, "user_version", VERSION))
                .doing("be brought up to date", path)?;
        }
    }
    transaction.commit().doing("be made", path)
}

/// Keeps a copy of a file of an older version beside it, before it is changed: `work.peaknet.v1`.
fn keep_old(database: &Connection, path: &Path) -> Result<(), Error> {
    let found = version(database, path)?;
    if found < 1 || steps_from(found).is_empty() || check(database, path).is_err() {
        return Ok(());
    }
    let name = |count: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".v{found}"));
        if count > 0 {
            name.push(format!("-{count}"));
        }
        PathBuf::from(name)
    };
    let Some(copy) = (0..1000).map(name).find(|copy| !copy.exists()) else {
        return Ok(());
    };
    database
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .doing("keep a copy of its older version beside it", path)?;
    // The copy must outlive a power cut that comes before the change is complete.
    std::fs::File::open(&copy)
        .and_then(|file| file.sync_all())
        .map_err(|source| Error::File {
            doing: "keep a copy of its older version beside it",
            source,
            path: path.to_owned(),
        })
}

/// The version in the header; 0 for a new file.
fn version(database: &Connection, path: &Path) -> Result<i64, Error> {
    database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .doing("be opened", path)
}

/// Refuses a file that is not a project of a version we know.
pub fn check(database: &Connection, path: &Path) -> Result<(), Error> {
    let number =
        |pragma: &str| database.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id").doing("be opened", path)?;
    let found = number("user_version").doing("be opened", path)?;
    if application != APPLICATION || found < 1 {
        return Err(Error::NotAProject {
            path: path.to_owned(),
        });
    }
    if found > VERSION {
        return Err(Error::TooNew {
            found,
            path: path.to_owned(),
        });
    }
    Ok(())
}
