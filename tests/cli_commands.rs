//! The real program in a scratch folder: what goes to stdout, what to stderr, which exit code.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a step that fails fails the test; bad input is written as it is"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn peaknet(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peaknet"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .output()
        .unwrap()
}

/// Runs a command that must succeed; its stdout.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = peaknet(folder, arguments);
    let speech = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {speech}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn bad_input_is_one_sentence_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    at("empty.h5", b"");
    at("words.h5", b"this is not an HDF5 file");
    at("truncated.h5", b"\x89HDF\r\n\x1a\n\x00\x00\x00");
    at("words.tif", b"no picture");
    at("words.cbf", b"no picture");
    at("notes.txt", b"no frames here");
    at("list.lst", b"nowhere.cxi //0\n");
    std::fs::create_dir(folder.path().join("bare")).unwrap();
    for arguments in [
        &["infoo", "absent.h5"][..],
        &["info", "absent.h5"],
        &["view", "words.h5", "--screenshot", "w.png"],
        &["info", "empty.h5"],
        &["info", "words.h5"],
        &["info", "truncated.h5"],
        &["info", "words.tif"],
        &["info", "words.cbf"],
        &["info", "notes.txt"],
        &["info", "list.lst"],
        &["info", "bare"],
        &["info", "*.nothing"],
        &["info"],
        &["info", "--no-such-option", "x"],
        &["info", "words.h5", "--wavelength-angstrom", "-1"],
        &["check", "absent.h5"],
        &["predict", "absent.h5", "--out", "o.cxi"],
        &["predict", "absent.h5", "--out", "o.cxi", "--frames", "5..2"],
        &["predict", "absent.h5"],
        &["mask", "absent.h5", "--frame", "0", "--out", "m.npy"],
        &["train", "--out", "net"],
        &["train", "--set", "absent.h5", "--out", "net"],
        &["score", "--set", "absent.h5"],
        &["score", "--peaks", "absent.cxi", "--against", "absent.cxi"],
        &["import", "p.peaknet", "absent.h5"],
        &["export", "absent.peaknet", "--out", "s.h5"],
        &["rank", "absent.h5"],
        &["calibrate", "absent.tif"],
        &["calibrate", "words.tif", "--calibrant", "salt"],
        &["predict", "absent.h5", "--out", "no/such/folder/o.cxi"],
        &[
            "simulate",
            "--out",
            "r.cxi",
            "--frames",
            "1",
            "--detector",
            "eye",
        ],
        &[
            "simulate",
            "--out",
            "no/such/folder/r.cxi",
            "--frames",
            "1",
            "--detector",
            "jungfrau",
        ],
    ] {
        let output = peaknet(folder.path(), arguments);
        let speech = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {speech}");
        assert_eq!(speech.lines().count(), 1, "{arguments:?}: {speech}");
        assert!(
            output.stdout.is_empty() && speech.len() > 20,
            "{arguments:?}: {speech}"
        );
        assert!(
            !speech.contains("panicked") && !speech.contains("Err("),
            "{arguments:?}: {speech}"
        );
    }
    assert!(!folder.path().join("o.cxi").exists() && !folder.path().join("p.peaknet").exists());
}

#[test]
fn help_and_version_are_data() {
    let folder = tempfile::tempdir().unwrap();
    assert!(done(folder.path(), &["--version"]).starts_with("peaknet 0."));
    let help = done(folder.path(), &["--help"]);
    for command in [
        "view",
        "info",
        "predict",
        "train",
        "score",
        "import",
        "export",
        "simulate",
        "calibrate",
    ] {
        assert!(help.contains(command), "{command}");
        assert!(done(folder.path(), &[command, "--help"]).contains("Usage"));
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_peaknet"))
        .args(["predict", "--help"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The work of a curator without a window: simulate, look, import, export, train, score, predict, mask, rank.
#[test]
fn the_whole_loop_runs_headless() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let run = |arguments: &[&str]| done(folder, arguments);
    run(&[
        "simulate",
        "--out",
        "run.cxi",
        "--frames",
        "6",
        "--size",
        "192x128",
        "--detector",
        "jungfrau",
        "--seed",
        "3",
        "--hit-rate",
        "1",
    ]);
    assert!(folder.join("run.geom").exists());

    let info = &json(&run(&["info", "run.cxi", "--json"]))[0];
    assert_eq!(
        (&info["frames"], &info["width"], &info["height"]),
        (&6.into(), &192.into(), &128.into())
    );
    assert!(info["wavelength_angstrom"].is_f64() && info["beam_center_px"].is_array());
    run(&["check", "run.cxi"]);

    // Nothing is overwritten unasked.
    let again = peaknet(
        folder,
        &[
            "simulate", "--out", "run.cxi", "--frames", "1", "--size", "128x96",
        ],
    );
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));

    run(&[
        "import",
        "work.peaknet",
        "run.cxi",
        "--labels",
        "run.cxi",
        "--reviewed",
    ]);
    let exported = &json(&run(&[
        "export",
        "work.peaknet",
        "--out",
        "set.h5",
        "--format",
        "set",
        "--json",
    ]))[0];
    assert_eq!(exported["frames"], 6);

    std::fs::write(
        folder.join("tiny.toml"),
        "channels = [4, 8]\npatch = 64\nsteps_per_epoch = 5\n",
    )
    .unwrap();
    let lines = run(&[
        "train",
        "--set",
        "set.h5",
        "--out",
        "net",
        "--config",
        "tiny.toml",
        "--epochs",
        "2",
        "--seed",
        "1",
        "--device",
        "cpu",
    ]);
    let lines = json(&lines);
    for key in [
        "epoch",
        "step",
        "loss",
        "validation_loss",
        "peak_f1",
        "artifact_iou",
        "seconds",
    ] {
        assert!(lines[0].get(key).is_some(), "{key}");
    }
    assert!(
        folder.join("net/card.toml").exists() && folder.join("net/weights.safetensors").exists()
    );
    let asked = "peak_confidence_amid_artifact = 0.25";
    let card = std::fs::read_to_string(folder.join("net/card.toml")).unwrap();
    let card = card.replacen("weights_digest", &format!("{asked}\nweights_digest"), 1);
    std::fs::write(folder.join("net/card.toml"), card).unwrap();
    run(&[
        "train",
        "--from",
        "net",
        "--set",
        "set.h5",
        "--out",
        "net2",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--config",
        "tiny.toml",
    ]);
    let card = std::fs::read_to_string(folder.join("net2/card.toml")).unwrap();
    assert!(card.contains(asked), "a child asks for what its parent did");

    let score = &json(&run(&[
        "score", "--net", "net", "--set", "set.h5", "--device", "cpu",
    ]))[0];
    assert!(score["classes"]["peak"]["f1"].is_number() && score["peaks"]["n_true"].is_number());
    let failed = peaknet(
        folder,
        &[
            "score", "--net", "net", "--set", "set.h5", "--min", "0.999", "--device", "cpu",
        ],
    );
    assert_eq!(failed.status.code(), Some(1));

    let lines = json(&run(&[
        "predict",
        "run.cxi",
        "--out",
        "found.cxi",
        "--net",
        "net",
        "--classes",
        "--json",
        "--device",
        "cpu",
    ]));
    assert_eq!(lines.len(), 7);
    for (number, line) in lines[..6].iter().enumerate() {
        assert_eq!(line["frame"], number);
        for key in [
            "n_peaks",
            "hit",
            "artifact_fraction",
            "read_ms",
            "net_ms",
            "peaks_ms",
        ] {
            assert!(!line[key].is_null(), "{key}");
        }
    }
    assert_eq!(lines[6]["summary"]["frames"], 6);
    assert!(folder.join("found.geom").exists());
    assert_eq!(
        std::fs::read_to_string(folder.join("found.lst"))
            .unwrap()
            .lines()
            .count(),
        6
    );
    let info = &json(&run(&["info", "found.cxi", "--json"]))[0];
    assert_eq!(info["frames"], 6);

    // A list agrees with itself; true peaks with true peaks.
    let same = &json(&run(&[
        "score",
        "--peaks",
        "run.cxi",
        "--against",
        "run.cxi",
    ]))[0];
    assert_eq!(same["peaks"]["f1"], 1.0);
    // Classical finders need no net and find most of what is there.
    for (finder, least) in [("peakfinder8", 0.5), ("robust", 0.3)] {
        let out = format!("{finder}.cxi");
        run(&["predict", "run.cxi", "--out", &out, "--finder", finder]);
        let found = &json(&run(&["score", "--peaks", &out, "--against", "run.cxi"]))[0]["peaks"];
        let recall = found["recall"].as_f64().unwrap();
        assert!(recall > least, "{finder}: {found}");
    }
    run(&[
        "mask", "run.cxi", "--frame", "2", "--out", "m.npy", "--net", "net",
    ]);
    // What the detector says needs none either, and comes back as a mask of the run.
    run(&["mask", "run.cxi", "--from", "detector", "--out", "bad.edf"]);
    run(&[
        "mask",
        "run.cxi",
        "--from",
        "statistics",
        "--out",
        "suspects.h5",
    ]);
    let masked = &json(&run(&[
        "info",
        "run.cxi",
        "--bad-pixels",
        "bad.edf",
        "--json",
    ]))[0];
    let said = masked["notices"].to_string();
    assert!(said.contains("bad.edf is not 0"), "{said}");
    assert_eq!(
        std::fs::metadata(folder.join("m.npy")).unwrap().len(),
        128 + 192 * 128 * 2
    );
    let ranked = json(&run(&["rank", "run.cxi", "--net", "net", "--json"]));
    assert_eq!(ranked.len(), 7);
    assert!(ranked[0]["doubt"].as_f64() >= ranked[5]["doubt"].as_f64());

    // No switch writes over what is read, whatever name it goes by; and lost frames are said, not replaced by a mask.
    let before = std::fs::read(folder.join("run.cxi")).unwrap();
    std::fs::hard_link(folder.join("run.cxi"), folder.join("twin.cxi")).unwrap();
    std::fs::copy(folder.join("found.geom"), folder.join("mine.geom")).unwrap();
    for arguments in [
        &["predict", "run.cxi", "--out", "run.cxi"][..],
        &["predict", "run.cxi", "--out", "twin.cxi"],
        &[
            "predict",
            "run.cxi",
            "--geometry",
            "mine.geom",
            "--out",
            "mine.cxi",
        ],
        &["mask", "run.cxi", "--frame", "0", "--out", "run.cxi"],
        &[
            "export",
            "work.peaknet",
            "--format",
            "cxi",
            "--out",
            "run.cxi",
        ],
        &[
            "export",
            "work.peaknet",
            "--format",
            "npy",
            "--out",
            "work.peaknet",
        ],
    ] {
        let with_net = ["--net", "net", "--device", "cpu", "--force"];
        let extra = if arguments[0] == "export" {
            &with_net[4..]
        } else {
            &with_net[..]
        };
        let refused = peaknet(folder, &[arguments, extra].concat());
        let speech = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {speech}");
        assert!(
            speech.contains("choose another name"),
            "{arguments:?}: {speech}"
        );
    }
    assert!(std::fs::read(folder.join("run.cxi")).unwrap() == before);
    std::fs::rename(folder.join("run.cxi"), folder.join("away.cxi")).unwrap();
    let lost = peaknet(folder, &["info", "found.cxi"]);
    let speech = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert_eq!(lost.status.code(), Some(2), "{speech}");
    assert!(speech.contains("run.cxi"), "{speech}");
}

/// The shipped net on powders without a crystal: almost no peak where the beam is known, many where rings are not asked.
#[test]
fn grains_of_powder_rings_are_no_peaks_where_the_beam_is_known() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    done(
        folder,
        &[
            "simulate",
            "--out",
            "powder.cxi",
            "--frames",
            "3",
            "--detector",
            "pilatus1m",
            "--artifacts",
            "powder",
            "--hit-rate",
            "0",
            "--seed",
            "4",
        ],
    );
    let net = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/peaknet");
    let peaks = |more: &[&str]| -> u64 {
        let net = net.to_str().unwrap();
        let mut arguments = vec!["predict", "powder.cxi", "--out", "found.cxi", "--net", net];
        arguments.extend(["--device", "cpu", "--json", "--force"]);
        arguments.extend(more);
        json(&done(folder, &arguments)).last().unwrap()["summary"]["peaks"]
            .as_u64()
            .unwrap()
    };
    let (without, with) = (peaks(&[]), peaks(&["--ring-peaks"]));
    assert!(with >= 10 * without.max(1), "{without} and {with} peaks");
}
