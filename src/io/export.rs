//! Labels out of a project: training sets, CXI class maps, indexed PNG, NumPy arrays.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::h5::{Creation, Writer};
use super::project::{LabelledFrame, Project, RunKey, StoredRun};
use super::set::{self, SetFrame, SetHeader, SetSummary};
use super::{Error, OpenOptions, Run, open_run};
use crate::domain::incoming::CodeMap;
use crate::domain::labels::Sheet;
use crate::domain::source::digest_of_pixels;
use crate::fs::{self, Pending};

pub use super::project::Which;

/// Where CXI files keep a class map.
pub const SEGMASK: &str = "/entry_1/data_1/segmask";

/// The texts in which an exported PNG names its run and frame.
pub const PNG_RUN: &str = "peaknet-run";
pub const PNG_FRAME: &str = "peaknet-frame";

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub frames: usize,
    /// What the user should know, a sentence each.
    pub notices: Vec<String>,
    /// Of a training set: how it is split, and its digest.
    pub set: Option<SetSummary>,
}

/// The labels of some frames of a project, and the runs that they belong to.
struct Labels<'a> {
    project: &'a mut Project,
    runs: BTreeMap<RunKey, StoredRun>,
    frames: Vec<LabelledFrame>,
}

/// Writes the labels of a project in the form `format`: `set`, `cxi`, `png` or `npy`.
///
/// `progress` is told frames done and all. Errors: nothing to export; frames of different sizes; a run that is gone.
pub fn export(
    project: &mut Project,
    out: &Path,
    format: &str,
    which: Which,
    force: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Exported, Error> {
    let frames = project.labelled_frames(which).map_err(Error::from)?;
    if frames.is_empty() {
        return Err(Error::new(
            "the project has no such frames yet; confirm some, or export with --which labelled",
            project.path(),
        ));
    }
    let runs = project.runs().map_err(Error::from)?;
    let mut labels = Labels {
        project,
        runs: runs.into_iter().map(|run| (run.key, run)).collect(),
        frames,
    };
    labels.refuse_to_replace(out)?;
    match format {
        "set" => labels.write_set(out, force, progress),
        "cxi" => labels.write_cxi(out, force, progress),
        "png" => labels.write_png(out, force, progress),
        "npy" => labels.write_npy(out, force, progress),
        _ => Err(Error::new(
            format!("labels are not written as {format:?}; use set, cxi, png or npy"),
            out,
        )),
    }
}

impl Labels<'_> {
    fn sheet(&mut self, index: usize) -> Result<Sheet, Error> {
        let at = self.frames[index];
        self.project
            .load_sheet(at.run, at.frame)
            .map_err(Error::from)
    }

    /// Refuses to write over the project or a file of its runs.
    fn refuse_to_replace(&self, out: &Path) -> Result<(), Error> {
        if fs::is_same_file(self.project.path(), out) {
            return Err(Error::new(
                "this is the project itself; choose another name for the output",
                out,
            ));
        }
        for (key, stored) in &self.runs {
            match self.open(*key) {
                Ok(run) => run.refuse_to_replace(out)?,
                // Some of its files have gone; those that are named may be there.
                Err(_) if stored.paths.iter().any(|path| fs::is_same_file(path, out)) => {
                    return Err(Error::new(
                        "this is a file of a run of the project; choose another name for the output",
                        out,
                    ));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The one size of all frames.
    fn size(&self, out: &Path) -> Result<(usize, usize), Error> {
        let mut sizes = self.frames.iter().filter_map(|at| {
            let run = self.runs.get(&at.run)?;
            Some((run.width, run.height))
        });
        let first = sizes.next().unwrap_or((0, 0));
        match sizes.find(|size| *size != first) {
            None => Ok(first),
            Some((width, height)) => Err(Error::new(
                format!(
                    "the project has frames of {} x {} and of {width} x {height}, but one file holds one size; keep \
                     them in two projects",
                    first.0, first.1
                ),
                out,
            )),
        }
    }

    fn write_set(
        &mut self,
        out: &Path,
        force: bool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Exported, Error> {
        self.size(out)?;
        let numbers: Vec<i32> = self.frames.iter().map(|at| at.run.0 as i32).collect();
        let (splits, notice) = set::split_by_run(&numbers);
        let header = SetHeader {
            description: format!("labels of {}", self.project.path().display()),
        };
        let all = self.frames.len();
        let mut open: Option<(RunKey, Run)> = None;
        let mut changed = Vec::new();
        let items = (0..all).map(|index| {
            progress(index, all);
            let at = self.frames[index];
            if open.as_ref().is_none_or(|(key, _)| *key != at.run) {
                open = Some((at.run, self.open(at.run)?));
            }
            let Some((_, run)) = &open else {
                return Err(Error::new("the run is not open", out));
            };
            let facts = self.project.label_facts(at.run, at.frame);
            let facts = facts.map_err(Error::from)?;
            let metadata = serde_json::json!({
                "source": run.info.source,
                "dataset": run.info.dataset,
                "frame": at.frame,
                "event": run.event(at.frame),
                "review": at.review.name(),
                "curator": facts.reviewer.as_ref().or(facts.curators.last()),
                "curators": facts.curators,
                "net": facts.nets.last(),
                "edited": facts.edited,
                "reviewed": facts.reviewed,
                "project": self.project.path(),
            });
            let frame = run.read_frame(at.frame)?;
            let known = self.project.pixels_of(at.run, at.frame);
            if let Some(known) = known.map_err(Error::from)?
                && known.digest != digest_of_pixels(&frame.pixels)
            {
                changed.push(at.frame + 1);
            }
            Ok(SetFrame {
                frame,
                sheet: self.sheet(index)?,
                run: numbers[index],
                split: splits[index],
                metadata: metadata.to_string(),
            })
        });
        let summary = set::write_set(out, &header, items, force)?;
        Ok(Exported {
            frames: summary.frames,
            notices: notice.into_iter().chain(said_of(&changed)).collect(),
            set: Some(summary),
        })
    }

    fn open(&self, key: RunKey) -> Result<Run, Error> {
        let Some(run) = self.runs.get(&key) else {
            return Err(Error::new(
                "the project has labels of a run that it does not know; import the run again",
                self.project.path(),
            ));
        };
        let options = OpenOptions {
            dataset: run.dataset.clone(),
            ..OpenOptions::default()
        };
        open_run(&run.paths, &options)
    }

    fn write_cxi(
        &mut self,
        out: &Path,
        force: bool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Exported, Error> {
        let (width, height) = self.size(out)?;
        let pending = Pending::new(out, force)?;
        let writer = Writer::create(pending.path(), out)?;
        writer.scalar("/cxi_version", 160_i32)?;
        let mut map = writer.chunks::<u8>(SEGMASK, &Creation::frames(height, width, 4))?;
        let all = self.frames.len();
        let (mut numbers, mut events) = (Vec::new(), Vec::new());
        for index in 0..all {
            progress(index, all);
            map.grow(&[index + 1, height, width])?;
            map.write(&[index, 0, 0], self.sheet(index)?.cells())?;
            let at = self.frames[index];
            numbers.push(at.frame as i64);
            events.push(
                self.runs
                    .get(&at.run)
                    .map_or_else(String::new, |run| run.name.clone()),
            );
        }
        drop(map);
        writer.attribute(SEGMASK, "classes", &CodeMap::own().text())?;
        writer.array("/entry_1/data_1/frame", &[numbers.len()], &numbers)?;
        writer.texts("/entry_1/data_1/run", &events)?;
        writer.close()?;
        pending.commit()?;
        Ok(done(all))
    }

    fn write_npy(
        &mut self,
        out: &Path,
        force: bool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Exported, Error> {
        let (width, height) = self.size(out)?;
        let all = self.frames.len();
        let pending = Pending::new(out, force)?;
        let failed = |error: std::io::Error| {
            Error::new(
                format!("the array cannot be written ({error}); check the space left on the disk"),
                out,
            )
        };
        let file = std::fs::File::options().write(true).open(pending.path());
        let mut file = file.map_err(failed)?;
        file.write_all(&npy_header(&[all, height, width]))
            .map_err(failed)?;
        for index in 0..all {
            progress(index, all);
            file.write_all(self.sheet(index)?.cells()).map_err(failed)?;
        }
        drop(file);
        pending.commit()?;
        Ok(done(all))
    }

    fn write_png(
        &mut self,
        out: &Path,
        force: bool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Exported, Error> {
        let failed = |error: &std::io::Error| {
            Error::new(
                format!("the folder cannot be made ({error}); choose another place"),
                out,
            )
        };
        std::fs::create_dir_all(out).map_err(|e| failed(&e))?;
        let all = self.frames.len();
        for index in 0..all {
            progress(index, all);
            let at = self.frames[index];
            let sheet = self.sheet(index)?;
            let name = format!("run{}_frame{:06}.png", at.run.0, at.frame);
            let run = self.runs.get(&at.run).map_or("", |run| run.name.as_str());
            let bytes = indexed_png(&sheet, run, at.frame).map_err(|why| Error::new(why, out))?;
            fs::write_whole(&out.join(name), &bytes, force)?;
        }
        Ok(done(all))
    }
}

/// The format that a name's ending stands for, and what to write: `png` is a folder of the name without its ending, and
/// whatever is none of `cxi`, `npy` and `png` is a training set.
pub fn form_of(out: &Path) -> (&'static str, PathBuf) {
    let ending = out.extension().map(|ending| ending.to_ascii_lowercase());
    match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("cxi") => ("cxi", out.to_owned()),
        Some("npy") => ("npy", out.to_owned()),
        Some("png") => ("png", out.with_extension("")),
        _ => ("set", out.to_owned()),
    }
}

/// What the user should know of frames, counted from 1, whose labels were made on other pixels.
fn said_of(changed: &[usize]) -> Option<String> {
    const NAMED: usize = 10;
    if changed.is_empty() {
        return None;
    }
    let mut names: Vec<String> = changed.iter().take(NAMED).map(usize::to_string).collect();
    if changed.len() > NAMED {
        names.push(format!("{} more", changed.len() - NAMED));
    }
    Some(format!(
        "these frames have other pixels than when they were labelled (counted from 1: {}); check that their labels \
         still fit and confirm them",
        names.join(", ")
    ))
}

fn done(frames: usize) -> Exported {
    Exported {
        frames,
        ..Exported::default()
    }
}

/// The head of a .npy file of bytes (NEP 1, version 1.0).
fn npy_header(shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let dict = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}",
        sizes.join(", ")
    );
    let length = (10 + dict.len() + 1).div_ceil(64) * 64 - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(dict.as_bytes());
    bytes.resize(10 + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// A PNG whose palette index is the class code; the colours are those of the window, its texts say which frame it is of.
fn indexed_png(sheet: &Sheet, run: &str, frame: usize) -> Result<Vec<u8>, String> {
    let mut palette = vec![0_u8; 256 * 3];
    palette[3..6].copy_from_slice(&[0xD5, 0x5E, 0x00]);
    palette[6..9].copy_from_slice(&[0x56, 0xB4, 0xE9]);
    palette[255 * 3..].copy_from_slice(&[0x80, 0x80, 0x80]);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, sheet.width() as u32, sheet.height() as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    for (keyword, text) in [(PNG_RUN, run), (PNG_FRAME, &frame.to_string())] {
        encoder
            .add_itxt_chunk(keyword.to_owned(), text.to_owned())
            .map_err(|e| e.to_string())?;
    }
    let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
    writer
        .write_image_data(sheet.cells())
        .map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        let form = |name: &str| {
            let (format, out) = form_of(Path::new(name));
            (format, out.display().to_string())
        };
        for (name, format, out) in [
            ("/d/set.h5", "set", "/d/set.h5"),
            ("/d/set", "set", "/d/set"),
            ("/d/a.CXI", "cxi", "/d/a.CXI"),
            ("/d/a.npy", "npy", "/d/a.npy"),
            ("/d/a.b.png", "png", "/d/a.b"),
        ] {
            assert_eq!(form(name), (format, out.to_owned()));
        }
    }
}
