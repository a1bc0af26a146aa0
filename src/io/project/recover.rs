//! A damaged project: what can still be read of it, and for the rest the copy that was kept beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::rows::{copy_nets, copy_run, join_notes, take};
use super::runs::{RunKey, StoredRun};
use super::{Doing, Error, Mode, Project};
use crate::fs::Pending;

/// The name of a project's copy begins with the project's own.
const ENDING: &str = ".backup";

/// What came out of a damaged project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Frames that are as they were in the damaged file.
    pub whole: usize,
    /// Frames, counted from 1, that could only be taken from the copy: what was done to them since it was made is lost.
    pub older: Vec<(String, usize)>,
    /// Frames, counted from 1, that the damaged file names and nobody can read.
    pub lost: Vec<(String, usize)>,
    /// What else is missing, a sentence each.
    pub notices: Vec<String>,
}

/// Where the copy of a project is kept.
pub fn backup_path(project: &Path) -> PathBuf {
    let mut name = project.as_os_str().to_owned();
    name.push(ENDING);
    PathBuf::from(name)
}

impl Project {
    /// Keeps a copy of the project beside it, in place of an older one, once the copy is known to be sound.
    ///
    /// Errors: the project is damaged, and the older copy stays; the disk.
    pub fn back_up(&self) -> Result<(), crate::io::Error> {
        let doing = "keep a copy of itself";
        let pending = Pending::new(&backup_path(&self.path), true)?;
        // One state of the file: who writes waits.
        let transaction = self.database.unchecked_transaction();
        let transaction = transaction.doing(doing, &self.path)?;
        transaction
            .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .doing(doing, &self.path)?;
        let copied = std::fs::copy(&self.path, pending.path());
        drop(transaction);
        copied.map_err(|source| Error::File {
            doing,
            source,
            path: self.path.clone(),
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let check = || -> rusqlite::Result<String> {
            let copy = Connection::open_with_flags(pending.path(), flags)?;
            copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        };
        let verdict = check().doing(doing, &self.path)?;
        if verdict != "ok" {
            return Err(crate::io::Error::new(
                format!("the project is damaged ({verdict}); recover it with `peaknet recover`"),
                &self.path,
            ));
        }
        Ok(pending.commit()?)
    }
}

/// Writes a sound project of what a damaged one still holds, and for the rest of its copy.
///
/// Every sheet is held against its digest; damaged ones are built anew from their edits where those allow. The damaged
/// file is only read. Errors: neither it nor its copy is a project; the output exists without `force`; the disk.
pub fn recover(
    damaged: &Path,
    out: &Path,
    force: bool,
    who: &str,
) -> Result<Recovered, crate::io::Error> {
    let pending = Pending::new(out, force)?;
    let folder = pending.path().parent().unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new()
        .prefix(".recovering-")
        .tempdir_in(folder);
    let failed_here = |source| Error::File {
        doing: "be recovered",
        source,
        path: out.to_owned(),
    };
    let folder = folder.map_err(failed_here)?;
    let mut found = Recovered::default();
    let (mut sources, errors) = open_sources(damaged, folder.path()).map_err(failed_here)?;
    if sources.is_empty() {
        let first = errors.into_iter().next();
        return Err(first.unwrap_or_else(|| Error::closed(damaged)).into());
    }
    let work = folder.path().join("recovered.peaknet");
    let mode = Mode::Write {
        who: who.to_owned(),
    };
    let mut recovered = Project::open(&work, mode)?;
    // The file is synced before it gets its name.
    let settled = recovered.database.pragma_update(None, "synchronous", "OFF");
    settled.doing("be recovered", out)?;
    let mut keys: BTreeMap<RunKey, RunKey> = BTreeMap::new();
    let mut done: BTreeSet<(RunKey, usize)> = BTreeSet::new();
    let mut missing: BTreeSet<(String, RunKey, usize)> = BTreeSet::new();
    for Source {
        is_damaged,
        runs,
        project: source,
    } in &mut sources
    {
        for run in runs.iter() {
            let key = match keys.get(&run.key) {
                Some(key) => *key,
                None => match copy_run(&mut recovered, source, run.key) {
                    Ok(key) => *keys.entry(run.key).or_insert(key),
                    Err(error) => {
                        found.notices.push(error.to_string());
                        continue;
                    }
                },
            };
            let others = copy_nets(&mut recovered, source, key, run.key)
                .and_then(|()| join_notes(&mut recovered, source, key, run.key));
            if let Err(error) = others {
                found.notices.push(error.to_string());
            }
            for frame in frames_of(source, run) {
                if done.contains(&(run.key, frame)) {
                    continue;
                }
                let is_there = match source.load_labels(run.key, frame) {
                    Ok(Some(_)) => take(&mut recovered, source, key, (run.key, frame)).is_ok(),
                    Ok(None) => continue,
                    Err(_) => false,
                };
                let name = (run.name.clone(), run.key, frame);
                if !is_there {
                    missing.insert(name);
                    continue;
                }
                done.insert((run.key, frame));
                if missing.remove(&name) || !*is_damaged {
                    found.older.push((run.name.clone(), frame + 1));
                } else {
                    found.whole += 1;
                }
            }
        }
    }
    let lost = missing
        .into_iter()
        .map(|(name, _, frame)| (name, frame + 1));
    found.lost = lost.collect();
    drop(recovered);
    std::fs::rename(&work, pending.path()).map_err(failed_here)?;
    pending.commit()?;
    Ok(found)
}

/// A project that can be read at least in part.
struct Source {
    /// It is the damaged one itself, not its copy.
    is_damaged: bool,
    runs: Vec<StoredRun>,
    project: Project,
}

/// Opens copies of the damaged project and of its backup; what cannot be opened is an error of its own.
fn open_sources(damaged: &Path, folder: &Path) -> std::io::Result<(Vec<Source>, Vec<Error>)> {
    let (mut sources, mut errors) = (Vec::new(), Vec::new());
    let backup = backup_path(damaged);
    for (path, is_damaged) in [(damaged, true), (backup.as_path(), false)] {
        if !path.exists() {
            continue;
        }
        // Opening may roll a journal back: that is done to copies, the damaged file stays as it is.
        let work = folder.join(if is_damaged { "damaged" } else { "backup" });
        std::fs::copy(path, &work)?;
        let journal = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push("-journal");
            PathBuf::from(name)
        };
        if journal(path).exists() {
            std::fs::copy(journal(path), journal(&work))?;
        }
        let opened = Project::open(&work, Mode::Read);
        match opened.and_then(|project| Ok((project.runs()?, project))) {
            Ok((runs, project)) => sources.push(Source {
                is_damaged,
                runs,
                project,
            }),
            Err(error) => errors.push(error),
        }
    }
    Ok((sources, errors))
}

/// The frames that somebody labelled or looked at; all of the run where their list cannot be read to its end.
fn frames_of(project: &Project, run: &StoredRun) -> Vec<usize> {
    let listed = || -> rusqlite::Result<Vec<usize>> {
        let mut statement = project.database.prepare(
            "SELECT frame FROM frames WHERE run = ?1 UNION SELECT frame FROM sheets WHERE run = ?1",
        )?;
        let rows = statement.query_map([run.key.0], |row| row.get(0))?;
        rows.collect()
    };
    listed().unwrap_or_else(|_| (0..run.frames).collect())
}
