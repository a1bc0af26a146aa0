//! Two curators' projects: what they agree on, and one project of both that decides nothing by itself.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use peaknet_studio::domain::columns::Note;
use peaknet_studio::domain::frame::RunInfo;
use peaknet_studio::domain::grid::PixelRect;
use peaknet_studio::domain::labels::{Class, Edit, Review};
use peaknet_studio::io::project::merge::{State, merge};
use peaknet_studio::io::project::{Mode, PredictionSummary, Project, Provenance, RunKey};

const SIDE: usize = 300;

fn run_info(name: &str) -> RunInfo {
    RunInfo {
        name: name.to_owned(),
        source: format!("/nowhere/{name}"),
        frames: 8,
        width: SIDE,
        height: SIDE,
        dtype: "uint16".to_owned(),
        ..RunInfo::default()
    }
}

struct Curator {
    name: &'static str,
    path: PathBuf,
    project: Project,
    key: RunKey,
}

impl Curator {
    fn new(folder: &Path, name: &'static str) -> Self {
        let path = folder.join(format!("{name}.peaknet"));
        let who = name.to_owned();
        let mut project = Project::open(&path, Mode::Write { who }).unwrap();
        // Runs have other keys in the two projects.
        if name == "bob" {
            project.add_run(&run_info("bobs.h5")).unwrap();
        }
        let key = project.add_run(&run_info("run.h5")).unwrap();
        Self {
            name,
            path,
            project,
            key,
        }
    }

    /// Paints a peak of 3 x 3 pixels with its corner here.
    fn peak(&mut self, run: RunKey, frame: usize, x: usize, y: usize) {
        let rect = PixelRect::new(x, y, x + 3, y + 3);
        let before = self.project.load_sheet(run, frame).unwrap();
        let mut after = before.clone();
        after.paste_rect(rect, &[Class::Peak.code(); 9]);
        let edit = Edit::between(&before, &after, rect, "brush peak").unwrap();
        let by = Provenance {
            who: self.name.to_owned(),
            net: None,
        };
        self.project.store_edit(run, frame, &edit, &by).unwrap();
    }
}

#[test]
fn nothing_is_lost_and_nothing_decided_silently() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut ann = Curator::new(folder, "ann");
    let mut bob = Curator::new(folder, "bob");
    let (mine, theirs, other) = (ann.key, bob.key, RunKey(1));
    assert_ne!(mine, theirs);
    // 0: mine alone. 1: theirs alone, two steps. 2: equal, they confirmed. 3: differ. 4: they only flagged.
    // 5: they confirmed it as empty, I painted. 6: I painted and took it back.
    for (x, y) in [(10, 10), (100, 260)] {
        ann.peak(mine, 0, x, y);
        bob.peak(theirs, 1, x, y);
        ann.peak(mine, 2, x, y);
        bob.peak(theirs, 2, x, y);
        ann.peak(mine, 3, x, y);
    }
    bob.peak(theirs, 3, 11, 10);
    bob.peak(theirs, 3, 200, 40);
    bob.peak(theirs, 3, 230, 140);
    ann.peak(mine, 5, 7, 7);
    ann.peak(mine, 6, 7, 7);
    ann.project.undo(mine, 6).unwrap();
    bob.peak(theirs, 6, 50, 50);
    bob.peak(other, 4, 30, 30);
    for (frame, review) in [
        (2, Review::Confirmed),
        (4, Review::Flagged),
        (5, Review::Confirmed),
    ] {
        bob.project.set_review(theirs, frame, review).unwrap();
    }
    bob.project.record_net("d1", "a net").unwrap();
    let summary = PredictionSummary {
        frame: 1,
        net: "d1".to_owned(),
        peaks: 2,
        doubt: 0.5,
        artifact_fraction: 0.0,
    };
    bob.project
        .store_prediction_summary(theirs, &summary)
        .unwrap();
    let sheets = |project: &mut Project, run, frame| project.load_sheet(run, frame).unwrap();
    let (ann_3, bob_3) = (
        sheets(&mut ann.project, mine, 3),
        sheets(&mut bob.project, theirs, 3),
    );
    let (bob_1, bob_6) = (
        sheets(&mut bob.project, theirs, 1),
        sheets(&mut bob.project, theirs, 6),
    );

    let note = |is_marked, tags: &[&str], comment: &str| Note {
        is_marked,
        tags: tags.iter().map(ToString::to_string).collect(),
        comment: comment.to_owned(),
    };
    let looked = note(true, &["ice"], "look");
    ann.project.set_note(mine, 3, &looked).unwrap();
    for (run, frame, note) in [
        (theirs, 3, note(false, &["jet", "ice"], "done")),
        (theirs, 7, note(false, &["salt"], "")),
        (other, 4, note(false, &[], "far away")),
    ] {
        bob.project.set_note(run, frame, &note).unwrap();
    }

    let out = folder.join("both.peaknet");
    let mut seen = Vec::new();
    // The window may have mine open meanwhile.
    let mut reading = Project::open(&ann.path, Mode::Read).unwrap();
    merge(
        &mut reading,
        &mut bob.project,
        &out,
        false,
        "carl",
        &mut |frame| seen.push(frame),
    )
    .unwrap();
    let states: Vec<(&str, usize, State)> = (seen.iter())
        .map(|frame| (frame.run.as_str(), frame.frame, frame.state))
        .collect();
    use State::{Conflict, Equal, OnlyMine, OnlyTheirs};
    assert_eq!(
        states,
        [
            ("run.h5", 0, OnlyMine),
            ("run.h5", 1, OnlyTheirs),
            ("run.h5", 2, Equal),
            ("run.h5", 3, Conflict),
            ("run.h5", 4, Equal),
            ("run.h5", 5, Conflict),
            ("run.h5", 6, OnlyTheirs),
            ("bobs.h5", 4, OnlyTheirs),
        ]
    );
    let agreement = seen[3].agreement.as_ref().unwrap();
    assert_eq!((agreement.peaks, agreement.agreed), ([2, 3], 1));
    assert_eq!(agreement.different, 6 + 9 + 18);
    assert_eq!(agreement.f1(), Some(0.4));

    let who = "dora".to_owned();
    let mut both = Project::open(&out, Mode::Write { who }).unwrap();
    let runs = both.runs().unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["run.h5", "bobs.h5"]);
    let new = runs[1].key;
    let notes = [
        (3, note(true, &["ice", "jet"], "look / done")),
        (7, note(false, &["salt"], "")),
    ];
    assert_eq!(both.notes(mine).unwrap(), notes);
    assert_eq!(
        both.notes(new).unwrap(),
        [(4, note(false, &[], "far away"))]
    );
    let reviews = both.review_states(mine).unwrap();
    use Review::{Confirmed, Flagged, Started};
    let wanted = [
        Started, Started, Confirmed, Flagged, Flagged, Flagged, Started,
    ];
    assert_eq!(reviews, (0..7).zip(wanted).collect::<Vec<_>>());
    // Theirs alone comes with its history and who made it.
    let taken = both.load_labels(mine, 1).unwrap().unwrap();
    assert_eq!((&taken.sheet, taken.history.done), (&bob_1, 2));
    assert!(taken.history.origins.iter().all(|by| by.who == "bob"));
    assert_eq!(sheets(&mut both, mine, 6), bob_6);
    assert_eq!(both.load_labels(new, 4).unwrap().unwrap().history.done, 1);
    assert_eq!(both.predictions(mine, Some("d1")).unwrap(), [summary]);
    // Of what differs both versions stand in the history: mine, one step back theirs, then mine as it was made.
    let differs = both.load_labels(mine, 3).unwrap().unwrap();
    assert_eq!((&differs.sheet, differs.history.done), (&ann_3, 4));
    let tools: Vec<&str> = (differs.history.edits.iter())
        .map(|edit| edit.tool.as_str())
        .collect();
    assert_eq!(
        tools[2..],
        [
            "merge: labels of bob in bob.peaknet",
            "merge: again those of ann in ann.peaknet"
        ]
    );
    // That is what the queue of conflicts is made of.
    let since = differs.history.since_merge().unwrap();
    assert_eq!(since.len(), 2);
    assert!(taken.history.since_merge().is_none());
    both.undo(mine, 3).unwrap();
    assert_eq!(sheets(&mut both, mine, 3), bob_3);
    both.undo(mine, 3).unwrap();
    assert_eq!(sheets(&mut both, mine, 3), ann_3);
    // Neither was written to, and the output is not replaced unasked.
    assert_eq!(
        ann.project
            .load_labels(mine, 3)
            .unwrap()
            .unwrap()
            .history
            .done,
        2
    );
    assert!(bob.project.load_labels(theirs, 0).unwrap().is_none());
    let again = merge(
        &mut reading,
        &mut bob.project,
        &out,
        false,
        "carl",
        &mut |_| {},
    );
    assert!(again.is_err_and(|error| error.to_string().contains("--force")));
    let onto = merge(
        &mut reading,
        &mut bob.project,
        &ann.path,
        true,
        "carl",
        &mut |_| {},
    );
    assert!(onto.is_err_and(|error| error.to_string().contains("another name")));

    let peaknet = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_peaknet"))
            .current_dir(folder)
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = peaknet(&["merge", "ann.peaknet", "bob.peaknet", "--json"]);
    let lines: Vec<serde_json::Value> = (text.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((code, lines.len()), (Some(0), 9));
    assert_eq!(
        (&lines[3]["state"], &lines[3]["f1"]),
        (&"conflict".into(), &0.4.into())
    );
    let summary = &lines[8]["summary"];
    assert_eq!(
        (&summary["conflicts"], &summary["only_theirs"]),
        (&2.into(), &3.into())
    );
    // Frames 2, 3 and 5: 2 + 2 + 1 peaks of mine, 2 + 3 + 0 of theirs, 2 + 1 of them the same.
    assert_eq!(
        (&summary["peaks_agreed"], &summary["f1"]),
        (&3.into(), &0.6.into())
    );
    assert!(summary["kappa"].as_f64().unwrap() > 0.3);
    let (code, text) = peaknet(&[
        "merge",
        "bob.peaknet",
        "ann.peaknet",
        "--out",
        "new.peaknet",
    ]);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("8 frames: 3 only mine, 1 only theirs, 2 equal, 2 differ"),
        "{text}"
    );
    assert_eq!(peaknet(&["merge", "ann.peaknet", "ann.peaknet"]).0, Some(2));
}
