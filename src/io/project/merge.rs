//! Two curators' projects: what both labelled compared, and one project of both in which nothing is decided silently.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::edits::Provenance;
use super::rows::{copy_nets, copy_run, join_notes, take, take_review};
use super::runs::RunKey;
use super::sheets::SheetRow;
use super::{Doing, Error, Mode, Project, review};
use crate::domain::agreement::{self, Agreement};
use crate::domain::labels::{Edit, MERGED, Review, Sheet};
use crate::fs::{self, Pending};

/// Who has labels of a frame, and whether they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    OnlyMine,
    OnlyTheirs,
    Equal,
    Conflict,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyMine => "only_mine",
            Self::OnlyTheirs => "only_theirs",
            Self::Equal => "equal",
            Self::Conflict => "conflict",
        }
    }
}

/// One frame that somebody labelled or looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The name of its run.
    pub run: String,
    pub frame: usize,
    pub state: State,
    pub reviews: [Review; 2],
    /// Where both have labels.
    pub agreement: Option<Agreement>,
}

/// A run of either project under the keys that it has there.
struct Pair {
    name: String,
    mine: Option<RunKey>,
    theirs: Option<RunKey>,
}

/// Compares the frames of two projects, in the order of runs and frames; `each` is told of every one.
///
/// Errors: frames of one run have two sizes; damaged labels; the disk.
pub fn compare(
    mine: &mut Project,
    theirs: &mut Project,
    each: &mut dyn FnMut(Compared),
) -> Result<(), Error> {
    for pair in pairs(mine, theirs)? {
        for frame in frames(mine, theirs, &pair)? {
            each(compare_frame(mine, theirs, &pair, frame)?.0);
        }
    }
    Ok(())
}

/// Writes a project with the labels of both, and tells `each` of every frame as [`compare`] does.
///
/// Frames that one has and frames that are equal are taken, with their histories. Of frames that differ mine are on top
/// and theirs one step below: two edits in the history, which undo and redo go through, and the frame is flagged. Neither
/// project is written to. Errors: as [`compare`]; the output exists without `force` or is one of the two.
pub fn merge(
    mine: &mut Project,
    theirs: &mut Project,
    out: &Path,
    force: bool,
    who: &str,
    each: &mut dyn FnMut(Compared),
) -> Result<(), super::super::Error> {
    for project in [&*mine, &*theirs] {
        if fs::is_same_file(project.path(), out) {
            return Err(super::super::Error::new(
                "this is one of the projects that are merged; choose another name for the output",
                out,
            ));
        }
    }
    let pending = Pending::new(out, force)?;
    // What opening an older version leaves beside it goes with this folder.
    let folder = pending.path().parent().unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new()
        .prefix(".merging-")
        .tempdir_in(folder);
    let failed = |source| Error::File {
        doing: "be made",
        source,
        path: out.to_owned(),
    };
    let folder = folder.map_err(failed)?;
    let work = folder.path().join("merged.peaknet");
    copy(mine.path(), &work)?;
    let mode = Mode::Write {
        who: who.to_owned(),
    };
    let mut merged = Project::open(&work, mode)?;
    // The file is synced before it gets its name.
    let settled = merged.database.pragma_update(None, "synchronous", "OFF");
    settled.doing("be made", out)?;
    for pair in pairs(mine, theirs)? {
        let key = match (pair.mine, pair.theirs) {
            (Some(key), _) => key,
            (None, Some(key)) => copy_run(&mut merged, theirs, key)?,
            (None, None) => continue,
        };
        let numbers = frames(mine, theirs, &pair)?;
        if let Some(from) = pair.theirs {
            copy_nets(&mut merged, theirs, key, from)?;
            join_notes(&mut merged, theirs, key, from)?;
        }
        for frame in numbers {
            let (compared, sheets) = compare_frame(mine, theirs, &pair, frame)?;
            if let Some(from) = pair.theirs {
                let theirs_at = (from, frame);
                match (compared.state, sheets) {
                    (State::OnlyMine, _) => {}
                    (State::OnlyTheirs, _) => take(&mut merged, theirs, key, theirs_at)?,
                    (State::Conflict, Some([ours, other])) => {
                        let names = [
                            whose(mine, pair.mine.unwrap_or(key), frame)?,
                            whose(theirs, from, frame)?,
                        ];
                        let files = [mine.path(), theirs.path()].map(file_name);
                        keep_both(&mut merged, (key, frame), [&ours, &other], names, files)?;
                    }
                    _ => take_review(&mut merged, theirs, key, theirs_at, compared.reviews)?,
                }
            }
            each(compared);
        }
    }
    drop(merged);
    std::fs::rename(&work, pending.path()).map_err(failed)?;
    Ok(pending.commit()?)
}

/// A copy of a project's state now, whatever another program writes to it; it belongs to nobody yet.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let doing = "be copied";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(from, flags).doing(doing, from)?;
    database
        .busy_timeout(std::time::Duration::from_secs(10))
        .and_then(|()| database.execute("VACUUM INTO ?1", [to.to_string_lossy()]))
        .doing(doing, from)?;
    let database = Connection::open_with_flags(to, flags).doing(doing, to)?;
    database.execute("DELETE FROM lease", []).doing(doing, to)?;
    Ok(())
}

/// What tells one run from another, whatever the path.
const SAME_RUN: &str = "SELECT run FROM runs WHERE dataset IS ?1 AND width = ?2 AND height = ?3
     AND (content = ?4 OR paths = ?5 OR (content IS NULL AND ?4 IS NULL AND name = ?6 AND frames = ?7))
     ORDER BY content IS ?4 DESC, paths = ?5 DESC LIMIT 1";

/// The runs of both projects, mine first.
fn pairs(mine: &Project, theirs: &Project) -> Result<Vec<Pair>, Error> {
    let mut pairs: Vec<Pair> = (mine.runs()?.into_iter())
        .map(|run| Pair {
            name: run.name,
            mine: Some(run.key),
            theirs: None,
        })
        .collect();
    for run in theirs.runs()? {
        let facts = theirs.database.query_row(
            "SELECT content, paths FROM runs WHERE run = ?1",
            [run.key.0],
            |row| Ok((row.get::<_, Value>(0)?, row.get::<_, Value>(1)?)),
        );
        let (content, paths) = facts.doing("be read", &theirs.path)?;
        let found: Option<i64> = mine
            .database
            .query_row(
                SAME_RUN,
                params![
                    run.dataset,
                    run.width,
                    run.height,
                    content,
                    paths,
                    run.name,
                    run.frames
                ],
                |row| row.get(0),
            )
            .optional()
            .doing("be read", &mine.path)?;
        let same = found.map(RunKey);
        let free = pairs
            .iter_mut()
            .find(|pair| same.is_some() && pair.mine == same && pair.theirs.is_none());
        match free {
            Some(pair) => pair.theirs = Some(run.key),
            None => pairs.push(Pair {
                name: run.name,
                mine: None,
                theirs: Some(run.key),
            }),
        }
    }
    Ok(pairs)
}

/// The frames of a run that somebody labelled or looked at, in order.
fn frames(mine: &Project, theirs: &Project, pair: &Pair) -> Result<Vec<usize>, Error> {
    let mut all = Vec::new();
    for (project, key) in [(mine, pair.mine), (theirs, pair.theirs)] {
        if let Some(key) = key {
            let states = project.review_states(key)?;
            all.extend(states.into_iter().map(|(frame, _)| frame));
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// A frame's review, and its sheet where somebody labelled it or confirmed that nothing is in it.
fn labels(
    project: &mut Project,
    key: Option<RunKey>,
    frame: usize,
) -> Result<(Review, Option<Sheet>), Error> {
    let Some(key) = key else {
        return Ok((Review::Untouched, None));
    };
    let found = project.read("read the labels", |transaction, path| {
        let row = SheetRow::find(transaction, key, frame, path)?;
        let review = review::of(transaction, key, frame, path)?;
        Ok((review.unwrap_or_default(), row.map_or(0, |row| row.done)))
    });
    let (review, done) = found?;
    let has_labels = done > 0 || review == Review::Confirmed;
    let sheet = has_labels.then(|| project.load_sheet(key, frame));
    Ok((review, sheet.transpose()?))
}

type Both = Option<[Sheet; 2]>;

fn compare_frame(
    mine: &mut Project,
    theirs: &mut Project,
    pair: &Pair,
    frame: usize,
) -> Result<(Compared, Both), Error> {
    let (my_review, my_sheet) = labels(mine, pair.mine, frame)?;
    let (their_review, their_sheet) = labels(theirs, pair.theirs, frame)?;
    let reviews = [my_review, their_review];
    let (state, agreement, sheets) = match (my_sheet, their_sheet) {
        (Some(ours), Some(other)) => {
            let agreement = agreement::compare(&ours, &other).ok_or_else(|| Error::Unfit {
                what: format!("frame {frame} has two sizes in the two projects"),
                path: theirs.path.clone(),
            })?;
            let state = if ours == other {
                State::Equal
            } else {
                State::Conflict
            };
            (state, Some(agreement), Some([ours, other]))
        }
        (Some(_), None) => (State::OnlyMine, None, None),
        (None, Some(_)) => (State::OnlyTheirs, None, None),
        // Only looked at: nothing can differ but the review.
        (None, None) => (State::Equal, None, None),
    };
    let compared = Compared {
        run: pair.name.clone(),
        frame,
        state,
        reviews,
        agreement,
    };
    Ok((compared, sheets))
}

/// Who labelled a frame, and in which project.
pub(super) fn whose(project: &Project, key: RunKey, frame: usize) -> Result<Provenance, Error> {
    let facts = project.label_facts(key, frame)?;
    let who = facts.curators.last().or(facts.reviewer.as_ref());
    Ok(Provenance {
        who: who.map_or_else(|| "unknown".to_owned(), Clone::clone),
        net: facts.nets.last().cloned(),
    })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Mine stay on top, theirs stand one step below, and the frame waits for a decision.
fn keep_both(
    merged: &mut Project,
    (key, frame): (RunKey, usize),
    [mine, theirs]: [&Sheet; 2],
    [my, their]: [Provenance; 2],
    [my_file, their_file]: [String; 2],
) -> Result<(), Error> {
    let steps = [
        (
            mine,
            theirs,
            format!("{MERGED} {} in {their_file}", their.who),
            their,
        ),
        (
            theirs,
            mine,
            format!("merge: again those of {} in {my_file}", my.who),
            my,
        ),
    ];
    for (before, after, tool, by) in steps {
        if let Some(edit) = Edit::between(before, after, before.rect(), &tool) {
            merged.store_edit(key, frame, &edit, &by)?;
        }
    }
    merged.set_review(key, frame, Review::Flagged)
}
