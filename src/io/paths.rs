//! What a PATH can be: a file, a folder, a glob or an event list; and the natural order of names.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::Error;

/// One thing to open: a file with all its frames, or one event of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub file: PathBuf,
    /// A row of the file, from an event list.
    pub row: Option<usize>,
    /// What stands before `//` in an event list: the words for `%` in the path of the frame.
    pub event: Option<String>,
}

impl Item {
    /// A file with all its frames.
    pub const fn whole(file: PathBuf) -> Self {
        Self {
            file,
            row: None,
            event: None,
        }
    }
}

/// Whether names that end so are frames, the ending in lower case; whole-file compression is looked through.
pub fn looks_like_frames(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let mut name = name.to_lowercase();
    if name.starts_with('.') {
        return false;
    }
    for compressed in [".gz", ".bz2", ".zst"] {
        if let Some(inner) = name.strip_suffix(compressed) {
            name = inner.to_owned();
            break;
        }
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    matches!(
        ending,
        "h5" | "hdf5"
            | "hdf"
            | "nxs"
            | "cxi"
            | "cbf"
            | "tif"
            | "tiff"
            | "mccd"
            | "img"
            | "edf"
            | "npy"
            | "npz"
            | "png"
            | "sfrm"
            | "gfrm"
    ) || ending
        .strip_prefix("mar")
        .is_some_and(|size| size.len() == 4 && size.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Expands paths in the order given; the content of folders and globs comes in natural order.
///
/// Errors: nothing there; a folder or glob without frames; a bad line in an event list.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for path in paths {
        expand_one(path, &mut items)?;
    }
    if items.is_empty() {
        return Err(Error::new(
            "nothing to open; give a file, a folder or an event list",
            ".",
        ));
    }
    Ok(items)
}

fn expand_one(path: &Path, items: &mut Vec<Item>) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => {
            let mut files: Vec<PathBuf> = std::fs::read_dir(path)
                .map_err(|error| Error::reading(&error, path))?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|file| looks_like_frames(file) && file.is_file())
                .collect();
            sort_naturally(&mut files);
            // A folder with an Eiger master: the data files beside it are reached through the master.
            let masters: Vec<PathBuf> = files
                .iter()
                .filter(|file| is_master(file))
                .cloned()
                .collect();
            for master in masters {
                let stem = master.to_string_lossy().replace("_master.h5", "_data_");
                files.retain(|file| !file.to_string_lossy().starts_with(&stem));
            }
            keep_detector(&mut files);
            if files.is_empty() {
                return Err(Error::new(
                    "no detector frames in this folder (HDF5, CBF, TIFF, IMG, EDF, mar345, NPY, NPZ); give another",
                    path,
                ));
            }
            items.extend(files.into_iter().map(Item::whole));
            Ok(())
        }
        Ok(_) if path.extension().is_some_and(|ending| ending == "lst") => event_list(path, items),
        Ok(_) => {
            items.push(Item::whole(path.to_owned()));
            Ok(())
        }
        Err(error) => {
            let pattern = path.to_string_lossy();
            if !pattern.contains(['*', '?', '[']) {
                return Err(Error::reading(&error, path));
            }
            let mut files: Vec<PathBuf> = glob::glob(&pattern)
                .map_err(|error| {
                    Error::new(
                        format!(
                            "this pattern is not valid ({}); quote or correct it",
                            error.msg
                        ),
                        path,
                    )
                })?
                .filter_map(Result::ok)
                .filter(|file| file.is_file())
                .collect();
            sort_naturally(&mut files);
            if files.is_empty() {
                return Err(Error::new("no file fits this pattern; check it", path));
            }
            items.extend(files.into_iter().map(Item::whole));
            Ok(())
        }
    }
}

/// In a folder of the European XFEL: the files of detector modules, and of several detectors those of the first.
///
/// Names are CORR-R0012-AGIPD05-S00000.h5 (European-XFEL/EXtra-data, docs/data_files.rst); DA01 and its kin hold no frames.
fn keep_detector(files: &mut Vec<PathBuf>) {
    let detector = |file: &PathBuf| {
        let name = file.file_name()?.to_str()?;
        let mut words = name.split('-');
        let (kind, run, module, sequence) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let is_run = matches!(kind, "RAW" | "CORR" | "PROC")
            && run.starts_with('R')
            && sequence.starts_with('S');
        let letters = module.trim_end_matches(|c: char| c.is_ascii_digit());
        is_run.then(|| (kind.to_owned(), letters.to_owned()))
    };
    let holds_modules = |name: &str| {
        ["AGIPD", "LPD", "DSSC", "JNGFR", "EPIX", "PNCCD"]
            .iter()
            .any(|known| name.starts_with(known))
    };
    // Corrected frames before raw ones, by the order of the alphabet.
    let found = files
        .iter()
        .filter_map(detector)
        .filter(|(_, name)| holds_modules(name))
        .min();
    if let Some(found) = found {
        files.retain(|file| detector(file).as_ref() == Some(&found));
    }
}

fn is_master(path: &Path) -> bool {
    path.to_string_lossy().ends_with("_master.h5")
}

/// CrystFEL's event lists; names that are not absolute are looked for beside the list, then from here.
fn event_list(list: &Path, items: &mut Vec<Item>) -> Result<(), Error> {
    let text = std::fs::read_to_string(list).map_err(|error| Error::reading(&error, list))?;
    let folder = list.parent().unwrap_or(Path::new("."));
    for item in parse_events(&text).map_err(|sentence| Error::new(sentence, list))? {
        let beside = folder.join(&item.file);
        let file = if beside.exists() { beside } else { item.file };
        items.push(Item { file, ..item });
    }
    Ok(())
}

/// The lines of an event list: a file name, or a file name and an event after the last space.
///
/// An event is `//3`, or has further numbers, or words for `%` in front; the last number is the row. Errors: a sentence without the path, for an event without either and an empty list.
pub fn parse_events(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (name, event) = match line.rsplit_once(' ') {
            Some((name, event)) if event.contains("//") => (name.trim(), event.split_once("//")),
            _ => (line, None),
        };
        let mut item = Item::whole(PathBuf::from(name));
        if let Some((path, numbers)) = event {
            let last = numbers.rsplit('/').next().unwrap_or("");
            item.row = last.parse().ok();
            item.event = Some(path.trim_matches('/').to_owned()).filter(|path| !path.is_empty());
            if item.row.is_none() && (item.event.is_none() || !last.is_empty()) {
                return Err(format!(
                    "line {} of the event list has no number after `//`; correct it",
                    number + 1
                ));
            }
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err("the event list is empty; write a file name a line".to_owned());
    }
    Ok(items)
}

pub fn sort_naturally(paths: &mut [PathBuf]) {
    paths.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
}

/// Numbers inside names count as numbers: frame_9 before frame_10.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(first), Some(second)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        let order;
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let digits = |s: &str| s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
            let (x, rest_a) = a.split_at(digits(a));
            let (y, rest_b) = b.split_at(digits(b));
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            order = p
                .len()
                .cmp(&q.len())
                .then_with(|| p.cmp(q))
                .then(x.len().cmp(&y.len()));
            (a, b) = (rest_a, rest_b);
        } else {
            order = first.cmp(&second);
            (a, b) = (&a[first.len_utf8()..], &b[second.len_utf8()..]);
        }
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["f10", "f9", "f009b", "f09", "a", "f9a", "f"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "f", "f9", "f9a", "f09", "f009b", "f10"]);
    }

    #[test]
    fn event_lists_split_at_the_last_space() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("a.lst");
        let text = "/x/my run.cxi //7\n\n/x/b.h5 entry//2/3\n/x/c d.h5\n/x/e.h5 tag-1/x//\n";
        crate::fs::write_whole(&list, text.as_bytes(), true).unwrap();
        let items = expand(std::slice::from_ref(&list)).unwrap();
        let rows: Vec<_> = items
            .iter()
            .map(|item| {
                let event = item.event.as_deref();
                (item.file.to_str().unwrap(), item.row, event)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("/x/my run.cxi", Some(7), None),
                ("/x/b.h5", Some(3), Some("entry")),
                ("/x/c d.h5", None, None),
                ("/x/e.h5", None, Some("tag-1/x"))
            ]
        );
        crate::fs::write_whole(&list, b"a.h5 //x\n", true).unwrap();
        assert!(expand(&[list]).unwrap_err().to_string().contains("line 1"));
    }
}
