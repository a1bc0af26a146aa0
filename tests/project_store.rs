//! The project file against a model in memory: random histories, two writers, moved runs, damage, other files.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

mod painter;

use std::path::{Path, PathBuf};

use painter::{Gesture, Labels, Painter, load_all, run_info};
use peaknet_studio::domain::columns::Note;
use peaknet_studio::domain::grid::{Grid, PixelRect};
use peaknet_studio::domain::labels::{Class, Edit, Review, Sheet};
use peaknet_studio::io::project::{
    Error, Mode, PredictionSummary, Project, Provenance, RunKey, Which, runs_of,
};
use proptest::prelude::*;
use rusqlite::Connection;

const WIDTH: usize = 300;
const HEIGHT: usize = 270;

fn writer(who: &str) -> Mode {
    Mode::Write {
        who: who.to_owned(),
    }
}

fn by(who: &str) -> Provenance {
    Provenance {
        who: who.to_owned(),
        net: None,
    }
}

/// A project with one run of three frames, in a folder that goes with it.
fn scratch() -> (tempfile::TempDir, PathBuf, Project, RunKey) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.peaknet");
    let mut project = Project::open(&path, writer("ann")).expect("made");
    let run = project.add_run(&run_info(3, WIDTH, HEIGHT)).expect("added");
    (folder, path, project, run)
}

fn sql(path: &Path, statement: &str) {
    let database = Connection::open(path).expect("opens");
    database.execute_batch(statement).expect(statement);
}

/// Paints some gestures and returns the labels that must be on disk.
fn paint(project: &mut Project, run: RunKey, seed: u64, count: usize) -> Vec<Labels> {
    let mut frames = vec![Labels::blank(WIDTH, HEIGHT); 3];
    let mut painter = Painter::new(seed, WIDTH, HEIGHT);
    for _ in 0..count {
        let gesture = painter.next(&mut frames);
        gesture.commit(project, run).expect("stored");
    }
    frames
}

fn same(stored: &[Labels], expected: &[Labels]) -> Result<(), TestCaseError> {
    for (frame, (a, b)) in stored.iter().zip(expected).enumerate() {
        prop_assert_eq!(a.difference(b), None, "frame {}", frame);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn stores_what_the_session_holds(seed: u64, count in 1_usize..40, reopen in 0_usize..40) {
        let (_folder, path, mut project, run) = scratch();
        let info = run_info(3, WIDTH, HEIGHT);
        let mut frames = vec![Labels::blank(WIDTH, HEIGHT); 3];
        let mut painter = Painter::new(seed, WIDTH, HEIGHT);
        for step in 0..count {
            painter.next(&mut frames).commit(&mut project, run).expect("stored");
            if step == reopen {
                drop(project);
                project = Project::open(&path, writer("ann")).expect("free again");
                prop_assert_eq!(project.add_run(&info).expect("known"), run);
                frames = load_all(&mut project, run, &info).expect("loaded");
            }
        }
        let mut reader = Project::open(&path, Mode::Read).expect("beside a writer");
        same(&load_all(&mut reader, run, &info).expect("loaded"), &frames)?;
        // All the way back and forth again, on disk as in memory.
        for back in [true, false] {
            for (frame, labels) in frames.iter_mut().enumerate() {
                for _ in 0..count {
                    let (moved, stored) = if back {
                        (labels.history.undo(&mut labels.sheet), project.undo(run, frame))
                    } else {
                        (labels.history.redo(&mut labels.sheet), project.redo(run, frame))
                    };
                    stored.expect("stored");
                    if moved.is_some() && labels.review != Review::Flagged {
                        labels.review = Review::Started;
                    }
                }
            }
            same(&load_all(&mut reader, run, &info).expect("loaded"), &frames)?;
        }
    }
}

#[test]
fn one_writes_others_read() {
    let (_folder, path, mut ann, run) = scratch();
    let error = Project::open(&path, writer("bob")).expect_err("held");
    assert!(
        error
            .to_string()
            .starts_with("ann is working on this project on "),
        "{error}"
    );
    let mut reader = Project::open(&path, Mode::Read).expect("read");
    let refused = reader.set_review(run, 0, Review::Confirmed);
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));

    // A process of this machine that is gone frees it at once; on another machine only time does.
    sql(
        &path,
        "UPDATE lease SET token = 'x', pid = 4194305, who = 'eve'",
    );
    let bob = Project::open(&path, writer("bob")).expect("the dead do not write");
    // Ann comes back from sleep: bob writes now, and she is told.
    let error = ann.set_review(run, 0, Review::Confirmed).expect_err("lost");
    assert!(error.to_string().starts_with("bob on "), "{error}");
    drop(bob);
    ann.set_review(run, 0, Review::Confirmed)
        .expect("free again");

    sql(
        &path,
        "UPDATE lease SET token = 'y', who = 'eve', host = 'far', machine = 'far', pid = 1",
    );
    let error = Project::open(&path, writer("bob")).expect_err("held");
    assert!(
        error
            .to_string()
            .starts_with("eve is working on this project on far"),
        "{error}"
    );
    sql(
        &path,
        "UPDATE lease SET heartbeat = heartbeat - 60, expires = expires - 60",
    );
    drop(Project::open(&path, writer("bob")).expect("not heard of for a minute"));
    drop(ann);
    Project::open(&path, writer("bob")).expect("given back");
}

#[test]
fn other_labels_than_those_painted_on_are_not_overwritten() {
    let (_folder, _path, mut project, run) = scratch();
    let blank = Sheet::filled(WIDTH, HEIGHT, 0);
    let mut painted = blank.clone();
    painted.paste_rect(PixelRect::new(250, 250, 260, 260), &[1; 100]);
    let edit = Edit::between(&blank, &painted, blank.rect(), "brush peak").expect("differs");
    project
        .store_edit(run, 1, &edit, &by("ann"))
        .expect("stored");
    let again = project.store_edit(run, 1, &edit, &by("ann"));
    assert!(
        matches!(again, Err(Error::Diverged { frame: 1, .. })),
        "{again:?}"
    );
    let stored = project
        .load_labels(run, 1)
        .expect("loads")
        .expect("is there");
    assert_eq!((stored.sheet, stored.history.edits.len()), (painted, 1));
    let [origin] = stored.history.origins.as_slice() else {
        panic!("one edit, one origin");
    };
    assert_eq!((origin.who.as_str(), &origin.net), ("ann", &by("ann").net));

    for (edit, word) in [
        (
            Edit {
                after: vec![7; 100].into(),
                ..edit.clone()
            },
            "class code 7",
        ),
        (
            Edit {
                rect: PixelRect::new(290, 0, 300 + 90, 1),
                ..edit.clone()
            },
            "frames of 300 x 270",
        ),
        (
            Edit {
                after: vec![1; 99].into(),
                ..edit
            },
            "frames of 300 x 270",
        ),
    ] {
        let error = project
            .store_edit(run, 0, &edit, &by("ann"))
            .expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(
        project.load_labels(run, 0).expect("loads").is_none(),
        "a refused edit leaves nothing"
    );
}

#[test]
fn damage_is_mended_or_said_never_blank() {
    // (what is damaged, whether the sheet survives, a word of the notice or error)
    let flip = "CAST(x'00' || substr({}, 2) AS BLOB)";
    let cases = [
        (
            "UPDATE tiles SET codes = F(codes)",
            true,
            "built anew from its",
        ),
        (
            "UPDATE tiles SET digest = F(digest)",
            true,
            "built anew from its",
        ),
        ("DELETE FROM tiles", true, "built anew from its"),
        (
            "UPDATE edits SET after = F(after) WHERE position = 3",
            true,
            "history of frame",
        ),
        (
            "UPDATE edits SET x0 = x0 - 1, x1 = x1 - 1 WHERE position = 3",
            true,
            "history of frame",
        ),
        (
            "UPDATE tiles SET codes = F(codes); UPDATE edits SET before = F(before) WHERE position = 1",
            false,
            "labels of frame",
        ),
        (
            "DELETE FROM tiles; DELETE FROM edits WHERE position = 2",
            false,
            "labels of frame",
        ),
        (
            "UPDATE sheets SET digest = F(digest)",
            false,
            "labels of frame",
        ),
    ];
    for (damage, survives, word) in cases {
        let (_folder, path, mut project, run) = scratch();
        let expected = paint(&mut project, run, 11, 40);
        drop(project);
        let mut statement = damage.to_owned();
        for column in ["codes", "digest", "after", "before"] {
            statement = statement.replace(&format!("F({column})"), &flip.replace("{}", column));
        }
        sql(&path, &statement);

        let mut project = Project::open(&path, writer("ann")).expect("opens");
        for (frame, labels) in expected.iter().enumerate() {
            let loaded = project.load_labels(run, frame);
            let said = match &loaded {
                Ok(stored) => stored
                    .as_ref()
                    .and_then(|s| s.notice.clone())
                    .unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(word), "{damage}: {said:?}");
            assert_eq!(loaded.is_ok(), survives, "{damage}: {said}");
            if let Ok(stored) = loaded {
                let stored = stored.expect("not forgotten");
                assert_eq!(stored.sheet, labels.sheet, "{damage}");
                let (mut sheet, mut history) = (stored.sheet, stored.history);
                while history.undo(&mut sheet).is_some() {
                    project
                        .undo(run, frame)
                        .expect("what is left of the history works");
                }
                let mut reader = Project::open(&path, Mode::Read).expect("opens");
                let after = reader
                    .load_labels(run, frame)
                    .expect("loads")
                    .expect("is there");
                assert_eq!(after.sheet, sheet, "{damage}");
                assert!(
                    after.notice.is_none_or(|n| !n.contains("built anew")),
                    "mended once"
                );
            } else {
                // Nothing can be painted over it either.
                let whole = Sheet::filled(WIDTH, HEIGHT, 2);
                let edit =
                    Edit::between(&Grid::filled(WIDTH, HEIGHT, 0), &whole, whole.rect(), "all");
                let refused = project.store_edit(run, frame, &edit.expect("differs"), &by("ann"));
                assert!(refused.is_err(), "{damage}");
            }
        }
    }
}

#[test]
fn a_byte_of_the_file_turned_over_never_gives_wrong_labels() {
    let (folder, path, mut project, run) = scratch();
    let expected = paint(&mut project, run, 5, 25);
    drop(project);
    let whole = std::fs::read(&path).expect("reads");
    let turned = folder.path().join("turned.peaknet");
    let (mut said, mut unharmed) = (0, 0);
    for i in 0..150 {
        let mut bytes = whole.clone();
        let at = (i * 7_919 + i * i * 31) % bytes.len();
        bytes[at] ^= 1 << (i % 8);
        #[expect(clippy::disallowed_methods, reason = "a scratch file")]
        std::fs::write(&turned, &bytes).expect("writes");
        let loaded = Project::open(&turned, Mode::Read)
            .and_then(|mut project| load_all(&mut project, run, &run_info(3, WIDTH, HEIGHT)));
        match loaded {
            Err(_) => said += 1,
            Ok(stored) => {
                for (frame, (a, b)) in stored.iter().zip(&expected).enumerate() {
                    assert_eq!(a.sheet, b.sheet, "byte {at}, frame {frame}");
                }
                unharmed += 1;
            }
        }
    }
    println!("{said} said so, {unharmed} gave the right sheets");
}

#[test]
fn runs_are_found_where_they_went() {
    let (folder, path, mut project, _) = scratch();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        #[expect(clippy::disallowed_methods, reason = "a scratch file")]
        std::fs::write(&path, content).expect("written");
        path
    };
    let info = |path: &Path, frames: usize, width: usize| peaknet_studio::domain::frame::RunInfo {
        name: "r.h5".to_owned(),
        source: path.display().to_string(),
        ..run_info(frames, width, 8)
    };
    let here = file("r.h5", &[7; 100_000]);
    let run = project.add_run(&info(&here, 4, 8)).expect("added");
    assert_eq!(project.add_run(&info(&here, 9, 8)).expect("grown"), run);
    let copy = file("copy/r.h5", &[7; 100_000]);
    assert_ne!(
        project
            .add_run(&info(&copy, 9, 8))
            .expect("a copy is another"),
        run
    );
    let other = project.add_run(&info(&here, 9, 16)).expect("another shape");
    assert_ne!(other, run);

    let moved = folder.path().join("moved/r.h5");
    std::fs::create_dir_all(folder.path().join("moved")).expect("made");
    std::fs::rename(&here, &moved).expect("moved");
    assert_eq!(
        project.find_run(&info(&moved, 9, 8)).expect("read"),
        Some(run)
    );
    assert_eq!(project.add_run(&info(&moved, 9, 8)).expect("found"), run);
    assert!(runs_of(&path).expect("read").contains(&moved));
    // A file of the same name and shape with other content at a new place is a new run.
    let stranger = file("stranger/r.h5", &[8; 100_000]);
    std::fs::remove_file(&moved).expect("gone");
    assert_eq!(
        project.find_run(&info(&stranger, 9, 8)).expect("read"),
        None
    );
}

#[test]
fn imports_reviews_views_and_predictions_come_back() {
    let (_folder, path, mut project, run) = scratch();
    let sheets: Vec<Sheet> = (0..3)
        .map(|i| {
            Grid::from_fn(WIDTH, HEIGHT, |x, y| {
                [0, 1, 2, 255][(x / 40 + y / 50 * i) % 4]
            })
        })
        .collect();
    let net = Provenance {
        net: Some("d1".to_owned()),
        ..by("ann")
    };
    for (frame, sheet) in sheets.iter().enumerate().take(2) {
        project
            .import_sheet(run, frame, sheet, "import set", true, &net)
            .expect("in");
    }
    let wrong = project.import_sheet(run, 2, &Grid::filled(9, 9, 0), "import", true, &net);
    assert!(wrong.is_err_and(|e| e.to_string().contains("9 x 9")));
    project.set_review(run, 2, Review::Flagged).expect("set");
    project.undo(run, 1).expect("an import is a step");
    project.store_view(run, "{\"frame\":1}").expect("set");
    project.record_net("d1", "first").expect("set");
    let summary = |frame, net: &str, peaks| PredictionSummary {
        frame,
        net: net.to_owned(),
        peaks,
        doubt: 0.25,
        artifact_fraction: 0.5,
    };
    let all = [
        summary(0, "d1", 3),
        summary(2, "d1", 4),
        summary(2, "d2", 5),
    ];
    for one in &all {
        project.store_prediction_summary(run, one).expect("set");
    }

    let mut reader = Project::open(&path, Mode::Read).expect("read");
    assert_eq!(reader.load_sheet(run, 0).expect("read"), sheets[0]);
    assert_eq!(
        reader.load_sheet(run, 1).expect("read"),
        Grid::filled(WIDTH, HEIGHT, 0)
    );
    let states = [
        (0, Review::Confirmed),
        (1, Review::Started),
        (2, Review::Flagged),
    ];
    assert_eq!(reader.review_states(run).expect("read"), states);
    let frames = |which| -> Vec<usize> {
        let list = reader.labelled_frames(which).expect("read");
        list.into_iter().map(|labelled| labelled.frame).collect()
    };
    assert_eq!(frames(Which::Reviewed), [0]);
    assert_eq!(frames(Which::Labelled), [0, 1]);
    assert_eq!(frames(Which::All), [0, 1, 2]);
    assert_eq!(
        reader.load_view(run).expect("read").as_deref(),
        Some("{\"frame\":1}")
    );
    assert_eq!(reader.last_run().expect("read"), Some(run));
    assert_eq!(
        reader.nets().expect("read"),
        [("d1".to_owned(), "first".to_owned())]
    );
    assert_eq!(reader.predictions(run, Some("d1")).expect("read"), all[..2]);
    assert_eq!(
        reader.predictions(run, None).expect("read"),
        [all[0].clone(), all[2].clone()]
    );
    assert!(matches!(
        Gesture::Undo(0).commit(&mut reader, run),
        Err(Error::ReadOnly { .. })
    ));
}

#[test]
fn other_files_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    #[expect(clippy::disallowed_methods, reason = "a scratch file")]
    std::fs::write(
        at("text"),
        "no database at all, but long enough to have a header of one\n".repeat(9),
    )
    .expect("written");
    sql(&at("other"), "CREATE TABLE a (b)");
    drop(Project::open(&at("newer"), writer("ann")).expect("made"));
    sql(&at("newer"), "PRAGMA user_version = 99");
    // Whoever sets WAL: it is taken back, network disks do not carry it.
    drop(Project::open(&at("wal"), writer("ann")).expect("made"));
    sql(&at("wal"), "PRAGMA journal_mode = WAL");
    drop(Project::open(&at("wal"), writer("ann")).expect("opens"));
    let database = Connection::open(at("wal")).expect("opens");
    let mode: String = database
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .expect("a mode");
    assert_eq!(mode, "delete");

    for (name, mode, word) in [
        ("text", writer("ann"), "not a PeakNet project"),
        ("text", Mode::Read, "not a PeakNet project"),
        ("other", writer("ann"), "not a PeakNet project"),
        ("other", Mode::Read, "not a PeakNet project"),
        ("newer", writer("ann"), "newer version"),
        ("missing", Mode::Read, "check that the folder exists"),
        ("no/folder", writer("ann"), "check that the folder exists"),
    ] {
        let error = Project::open(&at(name), mode).expect_err(name);
        let said = error.to_string();
        let error = peaknet_studio::io::Error::from(error).to_string();
        assert_eq!(said, error, "the same sentence");
        assert!(error.contains(word), "{name}: {error}");
        assert!(
            error.ends_with(&at(name).display().to_string()),
            "{name}: {error}"
        );
        assert!(!error.contains('\n'), "{name}: {error}");
    }
    assert!(!at("missing").exists());
    assert_eq!(Class::ALL.len(), 4);
}

#[test]
fn notes_come_back_and_an_older_project_is_brought_up_to_date_with_a_copy_kept() {
    let (_folder, path, mut project, run) = scratch();
    let labels = paint(&mut project, run, 5, 12);
    let note = Note {
        is_marked: true,
        tags: vec!["ice".to_owned(), "two words".to_owned()],
        comment: "weak; \"look\" again".to_owned(),
    };
    project.set_note(run, 2, &note).expect("stored");
    project.set_note(run, 0, &note).expect("stored");
    project
        .set_note(run, 0, &Note::default())
        .expect("forgotten");
    assert_eq!(project.notes(run).expect("read"), [(2, note.clone())]);
    drop(project);
    // What the first version of the program has left.
    sql(
        &path,
        "DROP TABLE notes; DROP TABLE pixels; PRAGMA user_version = 1",
    );
    let old = Project::open(&path, Mode::Read).expect("an old file may be read as it is");
    assert_eq!(old.notes(run).expect("none"), []);
    drop(old);
    let copy = path.with_file_name("a.peaknet.v1");
    assert!(!copy.exists());
    let mut project = Project::open(&path, writer("ann")).expect("brought up to date");
    project.set_note(run, 1, &note).expect("stored");
    let stored = load_all(&mut project, run, &run_info(3, WIDTH, HEIGHT)).expect("read");
    same(&stored, &labels).expect("the labels are the same");
    assert!(!project.labelled(run).expect("read").is_empty());
    drop(project);
    let kept = Connection::open(&copy).expect("a copy");
    let version: i64 = kept
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("a version");
    assert_eq!(version, 1);
    drop(kept);
    Project::open(&path, writer("ann")).expect("opens again");
    assert!(!path.with_file_name("a.peaknet.v1-1").exists(), "one copy");
}
