//! Who may know whom: reads `src/` and finds every word that a module must not say (table in ARCHITECTURE.md).

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Module, and the words that its code (comments aside) must not contain.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "egui",
            "eframe",
            "wgpu",
            "candle",
            "hdf5",
            "serde",
            "rusqlite",
            "rayon",
            "std::fs",
            "std::thread",
            "crate::io",
            "crate::net",
            "crate::session",
            "crate::workers",
            "crate::app",
            "crate::cli",
            "crate::fs",
        ],
    ),
    (
        "io",
        &[
            "egui",
            "eframe",
            "wgpu",
            "candle",
            "crate::session",
            "crate::net",
            "crate::app",
        ],
    ),
    (
        "net",
        &[
            "egui",
            "eframe",
            "wgpu",
            "hdf5",
            "rusqlite",
            "crate::session",
            "crate::io",
            "crate::app",
        ],
    ),
    (
        "session",
        &[
            "egui",
            "eframe",
            "wgpu",
            "candle",
            "hdf5",
            "rusqlite",
            "std::fs",
            "std::thread",
            "std::time::Instant",
            "Instant",
            "crate::io",
            "crate::net",
            "crate::workers",
            "crate::app",
        ],
    ),
    (
        "workers",
        &["egui", "eframe", "wgpu", "hdf5", "candle", "crate::app"],
    ),
    (
        "app",
        &["hdf5", "candle", "rusqlite", "crate::io", "crate::net"],
    ),
    (
        "cli",
        &[
            "egui",
            "eframe",
            "wgpu",
            "hdf5",
            "candle",
            "crate::session",
            "crate::workers",
            "crate::app",
        ],
    ),
    // Words that nobody says.
    (
        "",
        &[
            "pub use crate",
            "todo!",
            "unimplemented!",
            "lazy_static",
            "static mut",
        ],
    ),
];

#[test]
fn modules_know_only_whom_they_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    assert!(files.len() > 5, "src/ was not found");
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&source).unwrap().display().to_string();
        if name.ends_with("utils.rs") || name.split('/').any(|part| part == "core") {
            wrong.push(format!("{name}: neither a file utils.rs nor a folder core"));
        }
        let code = without_comments(&fs::read_to_string(file).unwrap())
            .replace("peaknet_studio::", "crate::");
        let code = spelled_out(code);
        let module = name.split(['/', '.']).next().unwrap_or_default();
        for (_, words) in FORBIDDEN
            .iter()
            .filter(|(of, _)| of.is_empty() || *of == module)
        {
            for word in words.iter().filter(|word| says(&code, word)) {
                wrong.push(format!("{name} must not say `{word}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The `.rs` files under a folder, in order.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file: what stands behind `//` is speech, and so are the contents of string literals.
fn without_comments(text: &str) -> String {
    let strip = |line: &str| {
        let (mut code, mut quoted, mut before) = (String::new(), false, ' ');
        for (at, letter) in line.char_indices() {
            let escaped = before == '\\';
            if letter == '"' && !escaped && !(before == '\'' && line[at..].starts_with("\"'")) {
                quoted = !quoted;
            } else if !quoted && line[at..].starts_with("//") {
                break;
            } else if !quoted {
                code.push(letter);
            }
            before = if escaped && letter == '\\' {
                ' '
            } else {
                letter
            };
        }
        code
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

/// The code with every path of a braced `use` written in full behind it: `a::{b, c}` adds `a::b a::c`.
fn spelled_out(mut code: String) -> String {
    let mut from = 0;
    while let Some(at) = code[from..].find("::{").map(|at| from + at) {
        let name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        let prefix = code[..at]
            .rsplit(|letter| !name(letter))
            .next()
            .unwrap_or_default()
            .to_owned();
        let (mut depth, mut added) = (0, format!("\n{prefix}::"));
        for letter in code[at + 3..].chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => {}
            }
            match letter {
                ',' if depth == 0 => added.push_str(&format!("\n{prefix}::")),
                _ if letter.is_whitespace() => {}
                _ => added.push(letter),
            }
        }
        code.push_str(&added);
        from = at + 3;
    }
    code
}

/// Whether code contains a word as the start of an identifier or path: `egui` is in `egui_plot`, not in `my_egui`.
fn says(code: &str, word: &str) -> bool {
    let part_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(part_of_name);
        let after = code[at + word.len()..]
            .chars()
            .next()
            .is_some_and(part_of_name);
        !before && (!after || word.ends_with('!'))
    })
}

#[test]
fn comments_and_longer_names_do_not_count() {
    let code = without_comments("let a = \"egui // x\"; // hdf5\n/// serde\nuse wgpulike;");
    assert_eq!(code, "let a = ; \n\nuse wgpulike;");
    assert!(
        !says(&code, "wgpu") && says("use egui::Ui;", "egui") && says("use hdf5::File", "hdf5")
    );
    assert!(!says("my_hdf5", "hdf5"));
    let code = spelled_out("use std::{fs, time::{Duration, Instant}};".to_owned());
    assert!(
        says(&code, "std::fs") && says(&code, "std::time::Instant") && !says(&code, "std::Instant")
    );
}
