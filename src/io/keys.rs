//! The user's own keys: `keys.toml` in the configuration folder, one line an action, made to be edited by hand too.
//!
//! Every line is TOML by itself (`next-frame = ["D", "Right"]`), so that a wrong one leaves the others in force, and
//! a change touches its own line only: comments, order and lines that were not understood stay as they are.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::settings;
use crate::fs;

const FILE: &str = "keys.toml";
const HEAD: &str = "\
# The keys of PeakNet Studio, one line an action. What is not here is as in the preset.
#   preset = \"napari\"              or \"peaknet\"
#   next-frame = [\"D\", \"Right\"]
#   quit = []                      no key
# Help > Change the keys... writes this file, and shows the name of an action when the pointer rests on its key.
";

/// Why the keys could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the keys hold until the program ends: {0}")]
    NoFolder(settings::Error),
    #[error(
        "the keys could not be written and hold until the program ends ({source}); free space or set PEAKNET_CONFIG to another folder: {}",
        path.display()
    )]
    File {
        source: std::io::Error,
        path: PathBuf,
    },
    #[error("the keys hold until the program ends: {0}")]
    Write(#[from] fs::Error),
}

/// One line: an action, or `preset`, and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    pub name: String,
    pub keys: Vec<String>,
}

/// What a file says, and the lines that say nothing, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub lines: Vec<Line>,
    pub problems: Vec<(usize, String)>,
}

/// A line that is to be as it says; `None` = it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub keys: Option<Vec<String>>,
}

/// Where the keys lie; `None` for a user without a configuration folder.
pub fn path() -> Option<PathBuf> {
    settings::folder().map(|folder| folder.join(FILE))
}

/// Reads the file of that name; one that is not there says nothing.
pub fn load_from(path: &Path) -> Result<Loaded, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(read(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Loaded::default()),
        Err(error) => Err(format!(
            "The keys could not be read ({error}); those of the program are used: {}",
            path.display()
        )),
    }
}

/// Changes lines of the user's file.
pub fn change(changes: &[Change]) -> Result<(), Error> {
    let path = path().ok_or(Error::NoFolder(settings::Error::NoFolder))?;
    change_in(&path, changes)
}

/// As [`change`], in the file of that name; it and its folder are made where they are not there.
pub fn change_in(path: &Path, changes: &[Change]) -> Result<(), Error> {
    let failed = |source| Error::File {
        source,
        path: path.to_owned(),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    Ok(fs::write_whole(
        path,
        changed(&text, changes).as_bytes(),
        true,
    )?)
}

fn read(text: &str) -> Loaded {
    let mut loaded = Loaded::default();
    for (number, line) in (1..).zip(text.lines()) {
        match read_line(line) {
            Ok(None) => {}
            Ok(Some((name, keys))) => {
                let before = loaded.lines.iter().find(|line| line.name == name);
                match before.map(|line| line.number) {
                    Some(before) => {
                        let why = format!("line {before} has {name} already");
                        loaded.problems.push((number, why));
                    }
                    None => loaded.lines.push(Line { number, name, keys }),
                }
            }
            Err(why) => loaded.problems.push((number, why)),
        }
    }
    loaded
}

/// Name and keys of a line; `None` for an empty one or a comment.
fn read_line(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let table: toml::Table =
        toml::from_str(line).map_err(|error| error.message().trim().to_owned())?;
    let Some((name, value)) = table.into_iter().next() else {
        return Ok(None);
    };
    let text = |value| match value {
        toml::Value::String(text) => Some(text),
        _ => None,
    };
    let keys = match value {
        toml::Value::Array(values) => values.into_iter().map(text).collect(),
        value => text(value).map(|key| vec![key]),
    };
    let keys = keys.ok_or_else(|| format!("keys stand in quotes: {name} = [\"D\", \"Right\"]"))?;
    Ok(Some((name, keys)))
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for change in changes {
        let names = |line: &String| {
            let read = read_line(line).ok().flatten();
            read.is_some_and(|(name, _)| name == change.name)
        };
        let at = lines.iter().position(names).unwrap_or(lines.len());
        lines.retain(|line| !names(line));
        if let Some(keys) = &change.keys {
            lines.insert(at.min(lines.len()), written(&change.name, keys));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn written(name: &str, keys: &[String]) -> String {
    let value = match keys {
        [key] => toml::Value::String(key.clone()),
        keys => toml::Value::Array(keys.iter().cloned().map(toml::Value::String).collect()),
    };
    format!("{name} = {value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrong_lines_are_said_and_stay_and_the_rest_holds() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/keys.toml");
        assert_eq!(load_from(&path)?, Loaded::default());
        let text = "# mine\npreset = \"napari\"\nbrush = \"K\nfill = 7\n\nnext-frame = [\"D\", \"Right\"] # on\n[keys]\nbrush = \"2\"\nfill=['\\']\nbrush = \"3\"\n";
        std::fs::create_dir_all(folder.path().join("new"))?;
        fs::write_whole(&path, text.as_bytes(), true)?;
        let loaded = load_from(&path)?;
        let names: Vec<_> = loaded.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["preset", "next-frame", "brush", "fill"]);
        assert_eq!(loaded.lines[1].keys, ["D", "Right"]);
        assert_eq!(loaded.lines[3].keys, ["\\"]);
        let wrong: Vec<_> = loaded.problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(wrong, [3, 4, 7, 10]);
        assert!(loaded.problems[3].1.contains("line 8"));

        let change = |name: &str, keys: Option<&[&str]>| Change {
            name: name.to_owned(),
            keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        };
        let changes = [
            change("next-frame", None),
            change("brush", Some(&["Ctrl+B"])),
            change("quit", Some(&[])),
        ];
        change_in(&path, &changes)?;
        let now = std::fs::read_to_string(&path)?;
        assert_eq!(
            now,
            "# mine\npreset = \"napari\"\nbrush = \"K\nfill = 7\n\n[keys]\nbrush = \"Ctrl+B\"\nfill=['\\']\nquit = []\n"
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn what_is_changed_is_read_back(entries in proptest::collection::btree_map("[a-z][a-z0-9-]{0,12}", proptest::collection::vec("[ -~]{0,9}", 0..4), 0..8)) {
            let changes: Vec<Change> = entries
                .iter()
                .map(|(name, keys)| Change { name: name.clone(), keys: Some(keys.clone()) })
                .collect();
            let text = changed(HEAD, &changes);
            let loaded = read(&text);
            prop_assert!(loaded.problems.is_empty());
            let back: std::collections::BTreeMap<_, _> =
                loaded.lines.into_iter().map(|line| (line.name, line.keys)).collect();
            prop_assert_eq!(back, entries.clone());
            let gone: Vec<Change> =
                entries.keys().map(|name| Change { name: name.clone(), keys: None }).collect();
            prop_assert_eq!(changed(&text, &gone), HEAD);
        }
    }
}
