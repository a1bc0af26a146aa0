//! Damaged projects made sound again: what can be read is taken from the damaged file, the rest from the copy beside it.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]
#![allow(clippy::disallowed_methods, reason = "scratch files")]

mod painter;
mod real_workers;

use std::path::Path;

use painter::{Labels, Painter, load_all, run_info};
use peaknet_studio::io::project::{Mode, Project, Recovered, RunKey, backup_path, recover};
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::tool::ToolEvent;
use peaknet_studio::session::{Cure, Session};
use peaknet_studio::workers::{Options, Workers};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use real_workers::{wait, write_run};

const FRAMES: usize = 6;
const WIDTH: usize = 300;
const HEIGHT: usize = 260;
const UNDAMAGED: &str = "undamaged";

fn writer() -> Mode {
    Mode::Write {
        who: "ann".to_owned(),
    }
}

fn paint(project: &mut Project, run: RunKey, frames: &mut [Labels], seed: u64, gestures: usize) {
    let mut painter = Painter::new(seed, WIDTH, HEIGHT);
    for _ in 0..gestures {
        let gesture = painter.next(frames);
        gesture.commit(project, run).expect("stored");
    }
}

/// The labels when the copy was made, and those of the end.
fn painted(path: &Path) -> [Vec<Labels>; 2] {
    let info = run_info(FRAMES, WIDTH, HEIGHT);
    let mut project = Project::open(path, writer()).expect("made");
    let run = project.add_run(&info).expect("known");
    let mut labels = vec![Labels::blank(WIDTH, HEIGHT); FRAMES];
    paint(&mut project, run, &mut labels, 3, 60);
    project.back_up().expect("a sound copy");
    let then = labels.clone();
    paint(&mut project, run, &mut labels, 4, 40);
    [then, labels]
}

/// Recovers and holds every frame against what it may be: nothing is wrong, nothing is missing and not said to be.
fn check(path: &Path, [then, end]: &[Vec<Labels>; 2], what: &str) -> Recovered {
    let out = path.with_file_name("sound.peaknet");
    let found = recover(path, &out, true, "ann").unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut sound = Project::open(&out, writer()).expect("sound");
    let run = sound.runs().expect("runs").first().map(|run| run.key);
    let run = run.expect("the run is there");
    let stored = load_all(&mut sound, run, &run_info(FRAMES, WIDTH, HEIGHT)).expect(what);
    let has = |list: &[(String, usize)], frame: usize| list.iter().any(|(_, n)| *n == frame + 1);
    for frame in 0..FRAMES {
        let (older, lost) = (has(&found.older, frame), has(&found.lost, frame));
        let expected = match (older, lost) {
            (true, _) => &then[frame],
            (false, true) => continue,
            (false, false) => &end[frame],
        };
        if what == UNDAMAGED {
            assert_eq!(stored[frame].difference(expected), None, "frame {frame}");
        }
        assert_eq!(
            stored[frame].sheet, expected.sheet,
            "{what}, frame {frame}: {found:?}"
        );
    }
    assert_eq!(
        found.whole + found.older.len() + found.lost.len(),
        FRAMES,
        "{what}: {found:?}"
    );
    found
}

#[test]
fn what_is_readable_is_kept_and_the_rest_comes_from_the_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("work.peaknet");
    let labels = painted(&path);
    let whole = std::fs::read(&path).expect("reads");
    let backup = std::fs::read(backup_path(&path)).expect("reads");
    let sound = check(&path, &labels, UNDAMAGED);
    assert_eq!((sound.whole, sound.lost.len()), (FRAMES, 0));

    let mut damages: Vec<(String, Vec<u8>)> = vec![
        ("the header is gone".to_owned(), {
            let mut bytes = whole.clone();
            bytes[..100].fill(0);
            bytes
        }),
        ("empty".to_owned(), Vec::new()),
    ];
    let mut random = Pcg64::seed_from_u64(9);
    for part in [0.1, 0.3, 0.5, 0.7, 0.9, 0.97] {
        let length = (whole.len() as f64 * part) as usize;
        damages.push((format!("cut to {part}"), whole[..length].to_vec()));
    }
    for round in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..1 << (round % 8) {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        damages.push((format!("bits of round {round}"), bytes));
    }
    let (mut saved, mut older) = (0, 0);
    for (what, bytes) in &damages {
        std::fs::write(&path, bytes).expect("writes");
        let found = check(&path, &labels, what);
        assert_eq!(found.lost, [], "{what}: the copy has all frames");
        saved += found.whole;
        older += found.older.len();
        assert_eq!(
            &std::fs::read(&path).expect("reads"),
            bytes,
            "{what}: only read"
        );
    }
    println!(
        "{} damages: {saved} frames whole, {older} as old as the copy",
        damages.len()
    );
    assert!(
        saved > FRAMES * 10 && older > FRAMES,
        "{saved} whole, {older} older"
    );

    // A damaged project does not take the place of its sound copy.
    let mut bytes = whole;
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, &bytes).expect("writes");
    let refused = Project::open(&path, Mode::Read).map(|project| project.back_up().is_err());
    assert!(refused.unwrap_or(true));
    assert_eq!(std::fs::read(backup_path(&path)).expect("reads"), backup);
}

#[test]
fn the_window_opens_a_damaged_project_to_read_and_recovers_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run.h5");
    let path = folder.path().join("run.peaknet");
    write_run(&run, 3, 3, |frame, cell| frame + cell % 5);
    let open = || {
        let mut session = Session::new();
        session.apply(Command::SetPredict(false));
        session.apply(Command::Open(Box::new(RunRequest {
            paths: vec![run.clone()],
            project: Some(path.clone()),
            ..RunRequest::default()
        })));
        let workers = Workers::start(Options::default(), || {}).expect("start");
        wait(&workers, "a frame", &mut session, &|s| s.shown.is_some());
        (workers, session)
    };
    let dab = |session: &mut Session, x: f32| {
        for event in [
            ToolEvent::Press {
                x,
                y: 4.5,
                erase: false,
            },
            ToolEvent::Release,
        ] {
            session.apply(Command::Tool(event));
        }
    };
    let (workers, mut session) = open();
    dab(&mut session, 4.5);
    wait(&workers, "a stroke on disk", &mut session, &|s| {
        s.unsaved == 0
    });
    let painted = session.shown.as_ref().expect("shown").sheet.clone();
    drop(workers);
    assert!(backup_path(&path).exists(), "closing keeps a copy");

    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[..4096].fill(0x55);
    std::fs::write(&path, &bytes).expect("writes");
    let (workers, mut session) = open();
    let has_cure = |s: &Session| {
        let mut notices = s.notices.iter();
        notices.any(|notice| notice.cure == Some(Cure::RecoverProject))
    };
    assert!(has_cure(&session), "{:?}", session.notices);
    assert!(!session.can_paint());
    session.apply(Command::RecoverProject);
    wait(&workers, "a sound project", &mut session, &|s| {
        s.can_paint() && s.shown.as_ref().is_some_and(|shown| shown.sheet == painted)
    });
    dab(&mut session, 10.5);
    wait(&workers, "another stroke", &mut session, &|s| {
        s.unsaved == 0
    });
    drop(workers);
    let mut stored = Project::open(&path, Mode::Read).expect("sound");
    let key = stored.runs().expect("runs")[0].key;
    let labels = stored.load_labels(key, 0).expect("loads").expect("there");
    assert_eq!(labels.history.done, 2);
    let kept = folder.path().join("run.peaknet.damaged-1");
    assert_eq!(std::fs::read(kept).expect("kept"), bytes);
}
