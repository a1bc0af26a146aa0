//! Full and read-only disks, real ones: a small file system in memory, in name spaces of the test's own. The real workers paint on it;
//! what cannot be written is said, stops the painting, waits, and is there in the end.

#![expect(clippy::expect_used, reason = "a step that fails fails the test")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "scratch files; a skipped test says so"
)]

mod real_workers;

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use peaknet_studio::io::project::{Mode, Project};
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::tool::ToolEvent;
use peaknet_studio::session::{Cure, Session};
use peaknet_studio::workers::{Options, Workers};
use real_workers::{SIZE, wait, write_run};

/// Set in the child: the folder that is the small disk.
const DISK: &str = "PEAKNET_SMALL_DISK";

fn open(run: &Path, project: &Path) -> (Workers, Session) {
    let mut session = Session::new();
    session.apply(Command::SetPredict(false));
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec![run.to_owned()],
        project: Some(project.to_owned()),
        ..RunRequest::default()
    })));
    let workers = Workers::start(Options::default(), || {}).expect("the workers start");
    wait(&workers, "a frame", &mut session, &|s| s.shown.is_some());
    (workers, session)
}

/// One stroke from somewhere to somewhere.
fn stroke(session: &mut Session, number: usize) {
    let at = |n: usize| ((n * 7 % SIZE) as f32 + 0.5, (n * 11 % SIZE) as f32 + 0.5);
    let ((x, y), to) = (at(number), at(number * 3 + 5));
    session.apply(Command::Tool(ToolEvent::Press {
        x,
        y,
        erase: number % 3 == 2,
    }));
    session.apply(Command::Tool(ToolEvent::Drag { x: to.0, y: to.1 }));
    session.apply(Command::Tool(ToolEvent::Release));
}

fn failed(session: &Session) -> bool {
    let mut notices = session.notices.iter();
    session.store_failed && notices.any(|notice| notice.cure == Some(Cure::RetryStore))
}

/// What is on disk is what was on screen, step by step.
fn check(project: &Path, session: &Session) {
    let shown = session.shown.as_ref().expect("a frame is shown");
    let mut stored = Project::open(project, Mode::Read).expect("opens");
    let run = stored.runs().expect("runs").first().expect("a run").key;
    let labels = stored.load_labels(run, 0).expect("loads").expect("there");
    assert_eq!(labels.sheet, *shown.sheet);
    assert_eq!(labels.history.edits, shown.history.edits);
}

fn mount(disk: &Path, options: &str) {
    let done = Process::new("mount")
        .args(["-o", options, "none"])
        .arg(disk)
        .status();
    assert!(done.expect("mount runs").success(), "mount -o {options}");
}

fn full_disk(disk: &Path, run: &Path) {
    let project = disk.join("full.peaknet");
    let (workers, mut session) = open(run, &project);
    stroke(&mut session, 0);
    wait(&workers, "the first stroke", &mut session, &|s| {
        s.unsaved == 0
    });
    // All of the disk but a few pages is taken.
    let ballast = disk.join("ballast");
    let mut bytes = 4 << 20;
    while bytes > 2048 {
        let before = std::fs::metadata(&ballast).map_or(0, |facts| facts.len());
        let grown = vec![7; before as usize + bytes];
        if std::fs::write(&ballast, &grown).is_err() {
            std::fs::write(&ballast, &grown[..before as usize]).expect("fits again");
            bytes /= 2;
        }
    }
    let mut number = 1;
    while !session.store_failed && number < 500 {
        stroke(&mut session, number);
        number += 1;
        wait(&workers, "an answer", &mut session, &|s| {
            s.unsaved == 0 || failed(s)
        });
    }
    assert!(
        failed(&session),
        "the disk is full after {number} strokes: {:?}",
        session.notices
    );
    let words: Vec<&str> = session.notices.iter().map(|n| n.text.as_str()).collect();
    assert!(
        words.iter().any(|text| text.contains("free some space")),
        "{words:?}"
    );
    let before = session.shown.as_ref().expect("shown").sheet.clone();
    stroke(&mut session, number + 1);
    assert!(!session.can_paint());
    assert_eq!(
        before,
        session.shown.as_ref().expect("shown").sheet,
        "nothing more is painted"
    );
    std::fs::remove_file(&ballast).expect("there was ballast");
    session.apply(Command::RetryStore);
    wait(&workers, "all strokes on disk", &mut session, &|s| {
        s.unsaved == 0 && !s.store_failed
    });
    stroke(&mut session, number + 2);
    wait(&workers, "one more", &mut session, &|s| s.unsaved == 0);
    drop(workers);
    check(&project, &session);
    println!("full disk: {number} strokes, all there");
}

fn read_only_folder(disk: &Path, run: &Path) {
    let project = disk.join("locked.peaknet");
    // No project yet: the first stroke cannot make one.
    mount(disk, "remount,ro");
    let (workers, mut session) = open(run, &project);
    stroke(&mut session, 0);
    wait(&workers, "a failure", &mut session, &failed);
    mount(disk, "remount,rw");
    session.apply(Command::RetryStore);
    wait(&workers, "the stroke", &mut session, &|s| {
        s.unsaved == 0 && !s.store_failed
    });
    drop(workers);
    check(&project, &session);
    // A project that cannot be written is looked at, and painting on it is refused in a sentence.
    mount(disk, "remount,ro");
    let (workers, mut session) = open(run, &project);
    check(&project, &session);
    assert!(!session.can_paint());
    stroke(&mut session, 6);
    let said = |s: &Session| s.notices.iter().any(|n| n.text.contains("read"));
    assert!(said(&session), "{:?}", session.notices);
    check(&project, &session);
    drop(workers);
    mount(disk, "remount,rw");
    println!("read-only folder: said, and the stroke is there");
}

#[test]
fn on_the_small_disk() {
    let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) else {
        return; // Not a child: the test below starts one.
    };
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run.h5");
    write_run(&run, 2, 2, |frame, cell| frame + cell % 5);
    full_disk(&disk, &run);
    read_only_folder(&disk, &run);
}

#[test]
fn nothing_is_lost_on_full_and_read_only_disks() {
    if std::env::var_os(DISK).is_some() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    let script = "mount -t tmpfs -o size=512k none \"$1\" || exit 77
        exec \"$2\" on_the_small_disk --exact --nocapture --test-threads=1";
    let program = std::env::current_exe().expect("the test knows its name");
    let child = Process::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(&disk)
        .arg(program)
        .env(DISK, &disk)
        .env("PEAKNET_CONFIG", folder.path())
        .output();
    match child {
        Ok(done) if done.status.success() => {
            print!("{}", String::from_utf8_lossy(&done.stdout));
        }
        Ok(done) if !matches!(done.status.code(), Some(1 | 77)) || !done.stdout.is_empty() => {
            panic!(
                "{}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            )
        }
        _ => println!("skipped: this system lets nobody mount a small disk of their own"),
    }
}
