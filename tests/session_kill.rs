//! The whole editor (session and workers, without a window) is killed while it paints; every gesture that the status bar
//! had called saved is there when the run is opened again, with its undo history.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use peaknet_studio::domain::labels::{Class, Sheet};
use peaknet_studio::io::project::{Mode, Project};
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::tool::{Tool, ToolEvent};
use peaknet_studio::workers::{Options, Workers};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use sha2::{Digest, Sha256};

/// `PEAKNET_KILLS` asks for more.
const ROUNDS: u64 = 100;

fn rounds() -> u64 {
    let asked = std::env::var("PEAKNET_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}
const FRAMES: usize = 3;
const WIDTH: usize = 96;
const HEIGHT: usize = 80;
const FOLDER: &str = "PEAKNET_SESSION_KILL_FOLDER";
const SEED: &str = "PEAKNET_SESSION_KILL_SEED";

fn digest(sheet: &Sheet) -> String {
    let bytes = Sha256::digest(sheet.cells());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_run(path: &Path) {
    let dict = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({FRAMES}, {HEIGHT}, {WIDTH}), }}"
    );
    let length = (10 + dict.len() + 1).div_ceil(64) * 64 - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(format!("{dict:<width$}\n", width = length - 1).as_bytes());
    for i in 0..FRAMES * HEIGHT * WIDTH {
        bytes.extend_from_slice(&((i % 17) as f32).to_le_bytes());
    }
    peaknet_studio::fs::write_whole(path, &bytes, true).expect("the run is written");
}

/// Session and workers, driven until a condition holds.
struct Editor {
    session: Session,
    workers: Workers,
}

impl Editor {
    fn until(&mut self, what: &str, done: impl Fn(&Session) -> bool) {
        let begun = Instant::now();
        loop {
            self.workers.submit(self.session.take_jobs());
            if done(&self.session) {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{what}: {:?}",
                self.session.notices
            );
            if let Some(report) = self.workers.wait_report(Duration::from_millis(50)) {
                self.session.absorb(report);
            }
        }
    }
}

/// The child: opens the run as the window does and paints until it is killed.
#[test]
fn child_edits_until_killed() {
    let (Some(folder), Ok(seed)) = (std::env::var_os(FOLDER), std::env::var(SEED)) else {
        return; // Not a child: the test below starts one.
    };
    let folder = PathBuf::from(folder);
    let mut rng = Pcg64::seed_from_u64(seed.parse().expect("a seed"));
    let options = Options {
        curator: "painter".to_owned(),
        ..Options::default()
    };
    let workers = Workers::start(options, || {}).expect("the workers start");
    let mut editor = Editor {
        session: Session::new(),
        workers,
    };
    editor.session.apply(Command::SetPredict(false));
    editor.session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![folder.join("run.npy")],
        project: Some(folder.join("run.peaknet")),
        ..RunRequest::default()
    })));
    editor.until("the first frame", |s| s.shown.is_some());
    let mut out = std::io::stdout();
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        let session = &mut editor.session;
        match rng.random_range(0..10) {
            0 => session.apply(Command::Undo),
            1 => session.apply(Command::Redo),
            2 => {
                let number = rng.random_range(0..FRAMES);
                session.apply(Command::GoTo(number));
                editor.until("the next frame", |s| {
                    s.shown.as_ref().is_some_and(|f| f.key.number == number)
                });
            }
            _ => {
                let mut at = || {
                    (
                        rng.random_range(0.0..WIDTH as f32),
                        rng.random_range(0.0..HEIGHT as f32),
                    )
                };
                let ((x, y), (to_x, to_y)) = (at(), at());
                session.apply(Command::SetTool(Tool::Brush));
                session.apply(Command::SetClass(Class::ALL[rng.random_range(0..4)]));
                session.apply(Command::SetBrushDiameter(rng.random_range(1.0..20.0)));
                session.apply(Command::Tool(ToolEvent::Press { x, y, erase: false }));
                session.apply(Command::Tool(ToolEvent::Drag { x: to_x, y: to_y }));
                session.apply(Command::Tool(ToolEvent::Release));
            }
        }
        editor.until("saved", |s| s.unsaved == 0);
        let shown = editor.session.shown.as_ref().expect("a frame is shown");
        let line = format!("saved {} {}\n", shown.key.number, digest(&shown.sheet));
        out.write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .expect("the parent reads");
    }
}

#[test]
fn what_was_saved_survives_a_kill_of_the_whole_editor() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write_run(&folder.path().join("run.npy"));
    let mut rng = Pcg64::seed_from_u64(7);
    let mut saved: Vec<Option<String>> = vec![None; FRAMES];
    let mut lines = 0;
    let rounds = rounds();
    for round in 0..rounds {
        let program = std::env::current_exe().expect("the test knows its name");
        let mut child = Process::new(program)
            .args([
                "child_edits_until_killed",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(FOLDER, folder.path())
            .env("PEAKNET_CONFIG", folder.path())
            .env(SEED, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the editor starts");
        let out = child.stdout.take().expect("its output is piped");
        let reader = std::thread::spawn(move || -> Vec<String> {
            BufReader::new(out).lines().map_while(Result::ok).collect()
        });
        std::thread::sleep(Duration::from_millis(rng.random_range(60..360)));
        child.kill().expect("it was alive");
        child.wait().expect("it ends");
        for line in reader.join().expect("its lines were read") {
            // The harness may print its own words before the first of ours.
            let Some(place) = line.find("saved ") else {
                continue;
            };
            let mut words = line[place..].split(' ').skip(1);
            let (Some(frame), Some(digest)) = (words.next(), words.next()) else {
                continue;
            };
            saved[frame.parse::<usize>().expect("a frame")] = Some(digest.to_owned());
            lines += 1;
        }
        let Ok(mut project) = Project::open(&folder.path().join("run.peaknet"), Mode::Read) else {
            assert!(
                saved
                    .iter()
                    .flatten()
                    .all(|d| *d == digest(&Sheet::filled(WIDTH, HEIGHT, 0)))
            );
            continue;
        };
        let run = project
            .runs()
            .expect("the runs are read")
            .first()
            .map(|run| run.key);
        for (frame, saved) in saved.iter_mut().enumerate() {
            let Some(expected) = saved.clone() else {
                continue;
            };
            let stored = run.and_then(|run| {
                project
                    .load_labels(run, frame)
                    .expect("the labels are read")
            });
            let Some(stored) = stored else {
                assert_eq!(
                    expected,
                    digest(&Sheet::filled(WIDTH, HEIGHT, 0)),
                    "round {round}: frame {frame} is gone"
                );
                continue;
            };
            // One gesture may be on disk that the editor had no time to report: an edit, an undo or a redo.
            let now = digest(&stored.sheet);
            let mut back = stored.sheet.clone();
            let mut history = stored.history.clone();
            history.undo(&mut back);
            let mut forth = stored.sheet.clone();
            let mut history = stored.history.clone();
            history.redo(&mut forth);
            assert!(
                [now.clone(), digest(&back), digest(&forth)].contains(&expected),
                "round {round}: frame {frame} is not what was saved"
            );
            *saved = Some(now);
        }
    }
    println!("{rounds} kills, {lines} gestures that were called saved: all there");
    assert!(
        lines > 2 * rounds,
        "the editor got hardly anything done: {lines} gestures"
    );
}
