//! `peaknet score` with the real program: parts of the scores, several sets, classical finders, CrystFEL streams.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a step that fails fails the test; the streams are written as CrystFEL writes them"
)]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use peaknet_studio::io::peak_list::read_peaks;
use serde_json::Value;

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_peaknet"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let speech = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {speech}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn simulate(folder: &Path, name: &str, artifacts: &str) {
    let arguments = [
        "simulate",
        "--out",
        name,
        "--frames",
        "3",
        "--size",
        "256x192",
        "--detector",
        "jungfrau",
        "--seed",
        "5",
        "--hit-rate",
        "0.7",
        "--artifacts",
        artifacts,
    ];
    json(folder, &arguments);
}

fn sum(parts: &Value, key: &str, takes: impl Fn(&Value) -> bool) -> u64 {
    let parts = parts.as_array().unwrap().iter().filter(|part| takes(part));
    parts.map(|part| part[key].as_u64().unwrap()).sum()
}

#[test]
fn parts_of_the_scores_add_up_to_the_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    simulate(folder, "ringed.cxi", "all");
    simulate(folder, "clean.cxi", "none");
    for finder in ["peakfinder8", "robust"] {
        let told = json(
            folder,
            &[
                "score",
                "--set",
                "ringed.cxi",
                "clean.cxi",
                "--finder",
                finder,
            ],
        );
        assert_eq!(told["finder"], finder);
        let (peaks, sets) = (&told["peaks"], told["sets"].as_array().unwrap());
        assert!(
            peaks["n_true"].as_u64().unwrap() > 20 && peaks["centroid_error_median_px"].is_f64()
        );
        let is_sure = |part: &Value| part["snr"][0].as_f64().unwrap() >= 6.0;
        assert_eq!(sum(&told["snr"], "n_true", is_sure), peaks["n_true"]);
        assert_eq!(sum(&told["snr"], "n_found", |_| true), peaks["n_found"]);
        // The .geom beside a run places its shells.
        let is_shell = |part: &Value| part["d_angstrom"].is_array();
        assert_eq!(sum(&told["shells"], "n_true", is_shell), peaks["n_true"]);
        let halves = [&told["with_artifacts"], &told["without_artifacts"]];
        for key in ["n_true", "n_found", "n_left_out"] {
            let of = |scores: &Value| scores["peaks"][key].as_u64().unwrap();
            assert_eq!(halves.iter().map(|half| of(half)).sum::<u64>(), of(&told));
            assert_eq!(sets.iter().map(of).sum::<u64>(), of(&told), "{key}");
        }
        assert_eq!(halves[0]["artifact_free"]["frames"], 0);
        // A classical finder marks nothing.
        assert!(halves[1]["artifact_free"]["frames"].as_u64().unwrap() >= 3);
        assert_eq!(halves[1]["artifact_free"]["largest_component_px"], 0);
        assert_eq!(halves[0]["classes"]["artifact"]["recall"], 0.0);
        let blanks = told["blanks"]["frames"].as_u64().unwrap();
        assert!(blanks > 0 && told["blanks"]["false_peaks_max"].is_u64());
    }
}

/// A stream that integrates reflections at these places, corner of the first pixel at 0, every other one too weak to be missed.
fn stream(image: &str, frames: &[Vec<(f64, f64)>]) -> String {
    let mut text = "CrystFEL stream format 2.3\n".to_owned();
    for (row, peaks) in frames.iter().enumerate() {
        let how = if peaks.is_empty() { "none" } else { "xgandalf" };
        write!(
            text,
            "----- Begin chunk -----\nImage filename: {image}\nEvent: //{row}\nindexed_by = {how}\n"
        )
        .unwrap();
        if !peaks.is_empty() {
            text += "--- Begin crystal\nReflections measured after indexing\n";
            text +=
                "   h    k    l          I   sigma(I)       peak background  fs/px  ss/px panel\n";
            for (number, (x, y)) in peaks.iter().enumerate() {
                let intensity = if number % 2 == 0 { 90.0 } else { 40.0 };
                writeln!(
                    text,
                    "   1    2 {number:4} {intensity:10.2}      10.00      50.00       1.00 {:6.1} {:6.1} p0",
                    x,
                    y
                )
                .unwrap();
            }
            text += "End of reflections\n--- End crystal\n";
        }
        text += "----- End chunk -----\n";
    }
    text
}

#[test]
fn found_peaks_are_held_against_integrated_reflections() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    simulate(folder, "run.cxi", "none");
    json(
        folder,
        &[
            "predict",
            "run.cxi",
            "--out",
            "found.cxi",
            "--finder",
            "peakfinder8",
        ],
    );
    let found: Vec<Vec<(f64, f64)>> = read_peaks(&folder.join("found.cxi"))
        .unwrap()
        .iter()
        .map(|peaks| {
            peaks
                .iter()
                .map(|p| (f64::from(p.x), f64::from(p.y)))
                .collect()
        })
        .collect();
    let total: usize = found.iter().map(Vec::len).sum();
    assert!(found.len() == 3 && total > 20);
    // What CrystFEL writes has the corner of the first pixel at 0, as positions inside the program do.
    let away = |by: f64| -> Vec<Vec<(f64, f64)>> {
        let moved = |peaks: &Vec<(f64, f64)>| peaks.iter().map(|(x, y)| (x + by, *y)).collect();
        found.iter().map(moved).collect()
    };
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("named.stream", &stream("/elsewhere/run.cxi", &away(0.0)));
    // Other names, so that the rows of the events lead to the frames.
    write("rows.stream", &stream("elsewhere.h5", &away(2.0)));
    write("far.stream", &stream("elsewhere.h5", &away(-4.0)));
    let score = |stream: &str, more: &[&str]| {
        let arguments = ["score", "--peaks", "found.cxi", "--against", stream];
        json(folder, &[&arguments[..], more].concat())
    };
    for (stream, recall, more) in [
        ("named.stream", 1.0, &["--within", "0.1"][..]),
        ("rows.stream", 1.0, &[]),
        ("far.stream", 1.0, &["--within", "4.1"]),
    ] {
        let told = score(stream, more);
        let all = &told["reflections"];
        assert_eq!(
            (&all["recall"], &all["share"]),
            (&recall.into(), &1.0.into()),
            "{stream}"
        );
        let strong: usize = found.iter().map(|peaks| peaks.len().div_ceil(2)).sum();
        assert_eq!(
            (&all["n_strong"], &all["n_found"]),
            (&strong.into(), &total.into())
        );
        for (frame, peaks) in told["frames"].as_array().unwrap().iter().zip(&found) {
            assert_eq!(frame["n_found"], peaks.len());
            assert_eq!(frame["indexed"], !peaks.is_empty());
        }
    }
    let told = score("named.stream", &["--i-over-sigma", "3"]);
    assert_eq!(told["reflections"]["n_strong"], total);
    let chance = told["reflections"]["chance_recall"].as_f64().unwrap();
    assert!(chance < 0.3, "{chance}");
    let told = score("far.stream", &[]);
    assert!(told["reflections"]["recall"].as_f64().unwrap() < 0.5);

    // A stream about more frames than the list has is about something else.
    write(
        "long.stream",
        &stream("elsewhere.h5", &[&found[..], &found[..]].concat()),
    );
    let arguments = ["score", "--peaks", "found.cxi", "--against", "long.stream"];
    let output = Command::new(env!("CARGO_BIN_EXE_peaknet"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the stream tells of 6 frames"));
}
