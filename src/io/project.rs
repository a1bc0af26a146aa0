//! The curation project: one SQLite file with sheets, edits, reviews, views and what nets said.
//!
//! A gesture is one transaction: when a function here returns `Ok`, its change is on disk. The rollback journal with
//! `synchronous=FULL` is used, not WAL, because projects lie on network file systems. One program writes at a time,
//! by a lease in a table that every write checks. Nothing is ever written to the source files.

mod edits;
mod facts;
mod history;
mod lease;
pub mod merge;
mod notes;
pub mod pixels;
mod predictions;
mod recover;
mod review;
mod rows;
mod runs;
mod schema;
mod sheets;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use edits::Provenance;
pub use facts::LabelFacts;
pub use history::StoredLabels;
pub use predictions::PredictionSummary;
pub use recover::{Recovered, backup_path, recover};
pub use review::{LabelledFrame, Which};
pub use runs::{RunKey, StoredRun, default_path, runs_of};

/// Why the project could not do it: one sentence with its cure, the path last.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{who} is working on this project on {host} (last sign of life {seconds} s ago); open it to read only, or wait until it is closed: {}", path.display())]
    Held {
        who: String,
        host: String,
        seconds: u64,
        path: PathBuf,
    },
    #[error("{who} on {host} has taken over this project while this program was not heard of; nothing more is written until they close it: {}", path.display())]
    Lost {
        who: String,
        host: String,
        path: PathBuf,
    },
    #[error("the project was opened to read only; open it to write for this: {}", path.display())]
    ReadOnly { path: PathBuf },
    #[error("this is not a PeakNet project; choose another file, or a new name to make one: {}", path.display())]
    NotAProject { path: PathBuf },
    #[error("the project was made by a newer version of this program (format {found}, this one knows {}); update the program: {}", schema::VERSION, path.display())]
    TooNew { found: i64, path: PathBuf },
    #[error("the labels of frame {frame} are damaged: {what}; the frame stays read-only; recover the project (File menu, or peaknet recover) or import its labels anew: {}", path.display())]
    Damaged {
        frame: usize,
        what: String,
        path: PathBuf,
    },
    #[error("frame {frame} in the project is not the one that was painted on ({what}); open the frame again, nothing was overwritten: {}", path.display())]
    Diverged {
        frame: usize,
        what: &'static str,
        path: PathBuf,
    },
    #[error("the labels do not fit the run ({what}); bring labels of its own frames: {}", path.display())]
    Unfit { what: String, path: PathBuf },
    #[error("the project has no such run; open the run again: {}", path.display())]
    NoRun { path: PathBuf },
    #[error("the project is not open; open it again: {}", path.display())]
    Closed { path: PathBuf },
    #[error("the project could not {doing} ({source}); {}: {}", cure(source), path.display())]
    Database {
        doing: &'static str,
        source: rusqlite::Error,
        path: PathBuf,
    },
    #[error("the project could not {doing} ({source}); check the folder and the space left: {}", path.display())]
    File {
        doing: &'static str,
        source: std::io::Error,
        path: PathBuf,
    },
}

impl Error {
    /// The project at `path` is not open.
    pub fn closed(path: &Path) -> Self {
        Self::Closed {
            path: path.to_owned(),
        }
    }

    /// Whether the file is damaged, so that recovering it may help.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged { .. } => true,
            // A file whose first page is gone looks like no project; its copy tells them apart.
            Self::NotAProject { path } => backup_path(path).exists(),
            Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(DatabaseCorrupt | NotADatabase)
            ),
            _ => false,
        }
    }

    /// The project that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Held { path, .. }
            | Self::Lost { path, .. }
            | Self::ReadOnly { path }
            | Self::NotAProject { path }
            | Self::TooNew { path, .. }
            | Self::Damaged { path, .. }
            | Self::Diverged { path, .. }
            | Self::Unfit { path, .. }
            | Self::NoRun { path }
            | Self::Closed { path }
            | Self::Database { path, .. }
            | Self::File { path, .. } => path,
        }
    }
}

impl From<Error> for super::Error {
    fn from(error: Error) -> Self {
        let (sentence, path) = (error.to_string(), error.path());
        let end = format!(": {}", path.display());
        Self::new(sentence.strip_suffix(&end).unwrap_or(&sentence), path)
    }
}

fn cure(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the file, try again"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "allow writing to the file and its folder"
        }
        Some(ErrorCode::CannotOpen) => "check that the folder exists and may be written",
        Some(ErrorCode::DatabaseCorrupt) => "recover it: File menu, or peaknet recover",
        _ => "check the disk and its space",
    }
}

/// Turns a database error into a sentence that says what was being done.
trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Error::NotAProject {
                path: path.to_owned(),
            },
            _ => Error::Database {
                doing,
                source,
                path: path.to_owned(),
            },
        })
    }
}

/// What one opens a project for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes the lease in this person's name; the file is made where there is none.
    Write { who: String },
    /// Possible while another program writes.
    Read,
}

/// An open project. It can be sent to another thread and belongs to one at a time.
#[derive(Debug)]
pub struct Project {
    path: PathBuf,
    database: Connection,
    lease: Option<lease::Lease>,
}

impl Project {
    /// Opens a project, and makes it when it is opened to write and missing.
    ///
    /// Errors: another program holds it ([`Error::Held`]); not a project; made by a newer version; the disk.
    pub fn open(path: &Path, mode: Mode) -> Result<Self, Error> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut database = connect(&path, mode != Mode::Read)?;
        let lease = match mode {
            Mode::Write { who } => {
                schema::prepare(&mut database, &path)?;
                Some(lease::Lease::take(&mut database, &who, &path)?)
            }
            Mode::Read => {
                schema::check(&database, &path)?;
                database
                    .pragma_update(None, "query_only", true)
                    .doing("be opened", &path)?;
                None
            }
        };
        Ok(Self {
            path,
            database,
            lease,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this opening may write.
    pub const fn writes(&self) -> bool {
        self.lease.is_some()
    }

    /// Does `act` within one transaction that is on disk when this returns `Ok`, and not begun when it does not.
    fn write<T>(
        &mut self,
        doing: &'static str,
        act: impl FnOnce(&Transaction<'_>, &Path) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let path = &self.path;
        let Some(lease) = &self.lease else {
            return Err(Error::ReadOnly { path: path.clone() });
        };
        let transaction = self
            .database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(doing, path)?;
        lease.check(&transaction, path)?;
        let answer = act(&transaction, path)?;
        transaction.commit().doing(doing, path)?;
        Ok(answer)
    }

    /// Does `act` on one state of the file, whatever another program writes meanwhile.
    fn read<T>(
        &self,
        doing: &'static str,
        act: impl FnOnce(&Transaction<'_>, &Path) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let transaction = self
            .database
            .unchecked_transaction()
            .doing(doing, &self.path)?;
        act(&transaction, &self.path)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back(&self.database);
        }
    }
}

/// A connection with our settings. A reader, too, may roll back the journal of a program that was killed.
fn connect(path: &Path, create: bool) -> Result<Connection, Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let database = Connection::open_with_flags(path, flags).doing("be opened", path)?;
    let settle = |database: &Connection| {
        database.busy_timeout(std::time::Duration::from_secs(10))?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "foreign_keys", true)?;
        database.pragma_update(None, "cache_size", -16384) // KiB
    };
    settle(&database).doing("be opened", path)?;
    Ok(database)
}

/// Seconds since 1970.
fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
