//! The program is killed at random moments under a scripted painter; every gesture it had finished is there afterwards.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

mod painter;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use painter::{Labels, Painter, load_all, run_info};
use peaknet_studio::domain::labels::Review;
use peaknet_studio::io::project::{Mode, Project};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// `PEAKNET_KILLS` asks for more.
const ROUNDS: u64 = 100;

fn rounds() -> u64 {
    let asked = std::env::var("PEAKNET_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}
const FRAMES: usize = 3;
const WIDTH: usize = 600;
const HEIGHT: usize = 500;
/// Set in the child: the project that it paints in.
const PROJECT: &str = "PEAKNET_KILL_TEST_PROJECT";
const SEED: &str = "PEAKNET_KILL_TEST_SEED";

fn writer() -> Mode {
    Mode::Write {
        who: "painter".to_owned(),
    }
}

/// The child: paints until it is killed, and says so after every gesture that is on disk.
#[test]
fn child_paints_until_killed() {
    let (Some(path), Ok(seed)) = (std::env::var_os(PROJECT), std::env::var(SEED)) else {
        return; // Not a child: the test below starts one.
    };
    let seed = seed.parse().expect("a seed");
    let info = run_info(FRAMES, WIDTH, HEIGHT);
    let mut project = Project::open(&PathBuf::from(path), writer()).expect("the project opens");
    let run = project.add_run(&info).expect("the run is known");
    let mut frames = load_all(&mut project, run, &info).expect("the labels load");
    let mut painter = Painter::new(seed, WIDTH, HEIGHT);
    let mut out = std::io::stdout();
    let parent = std::os::unix::process::parent_id();
    loop {
        let gesture = painter.next(&mut frames);
        gesture
            .commit(&mut project, run)
            .expect("the gesture is stored");
        out.write_all(b"stored\n")
            .and_then(|()| out.flush())
            .expect("the parent reads");
        if std::os::unix::process::parent_id() != parent {
            return; // The test was stopped: do not paint for ever.
        }
    }
}

/// Starts a painter, kills it after `pause`, and returns how many gestures it had reported.
fn paint_and_kill(path: &Path, seed: u64, pause: Duration) -> usize {
    let program = std::env::current_exe().expect("the test knows its name");
    let mut child = Command::new(program)
        .args([
            "child_paints_until_killed",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PROJECT, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the painter starts");
    let out = child.stdout.take().expect("its output is piped");
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines.filter(|line| line.ends_with("stored")).count()
    });
    std::thread::sleep(pause);
    child.kill().expect("it was alive");
    let status = child.wait().expect("it ends");
    assert!(
        !status.success() && status.code().is_none(),
        "it was killed, not done: {status}"
    );
    reader.join().expect("its lines were read")
}

fn differs(stored: &[Labels], expected: &[Labels]) -> Option<String> {
    stored
        .iter()
        .zip(expected)
        .enumerate()
        .find_map(|(frame, (a, b))| Some(format!("frame {frame}: {}", a.difference(b)?)))
}

#[test]
fn every_finished_gesture_survives_a_kill() {
    if std::env::var_os(PROJECT).is_some() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("painted.peaknet");
    let info = run_info(FRAMES, WIDTH, HEIGHT);
    let mut expected = vec![Labels::blank(WIDTH, HEIGHT); FRAMES];
    let mut random = Pcg64::seed_from_u64(20_261_123);
    let rounds = rounds();
    let begun = Instant::now();
    let (mut finished, mut unreported, mut journals, mut before_first) = (0, 0, 0, 0);
    for round in 0..rounds {
        let seed = random.random();
        let pause = Duration::from_micros(random.random_range(2_000..300_000));
        let reported = paint_and_kill(&path, seed, pause);
        journals += usize::from(folder.path().join("painted.peaknet-journal").exists());
        before_first += usize::from(reported == 0);
        finished += reported;

        // The same seed on the same labels gives the same gestures.
        let mut painter = Painter::new(seed, WIDTH, HEIGHT);
        for _ in 0..reported {
            painter.next(&mut expected);
        }
        let mut project = Project::open(&path, writer()).expect("the project opens again at once");
        let run = project.add_run(&info).expect("the run is known");
        let stored = load_all(&mut project, run, &info).expect("the labels load");
        if let Some(difference) = differs(&stored, &expected) {
            // Killed between the end of the transaction and the report: one more gesture, whole, is on disk.
            painter.next(&mut expected);
            unreported += 1;
            let next = differs(&stored, &expected);
            assert_eq!(
                next, None,
                "round {round}, {reported} reported; and without one more: {difference}"
            );
        }

        // What was loaded can be undone to the last step, on disk as in memory.
        if round % 10 == 9 {
            for (frame, labels) in expected.iter_mut().enumerate() {
                for _ in 0..10 {
                    let undone = labels.history.undo(&mut labels.sheet).is_some();
                    project.undo(run, frame).expect("undo is stored");
                    if undone && labels.review != Review::Flagged {
                        labels.review = Review::Started;
                    }
                }
            }
            let stored = load_all(&mut project, run, &info).expect("the labels load");
            assert_eq!(
                differs(&stored, &expected),
                None,
                "after undo in round {round}"
            );
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{rounds} kills in {seconds:.1} s: {finished} reported gestures all there; {unreported} more were on disk \
         unreported, {journals} kills left a journal to roll back, {before_first} came before the first gesture"
    );
    assert!(
        finished > rounds as usize,
        "the painter got hardly anything done"
    );
}
