//! Labels made elsewhere, into a project: sets, CXI class maps, NumPy arrays, indexed PNG, CrystFEL streams.

use std::path::{Path, PathBuf};

use super::project::{Project, Provenance, RunKey};
use super::stream::Stream;
use super::{Error, OpenOptions, Run, export, h5, open_run};
use crate::domain::grid::{Grid, Pixel};
use crate::domain::grow;
use crate::domain::labels::{Class, Sheet};

/// Brings the labels of `labels` in for the frames of a run, frame i for frame i. Returns how many.
///
/// What the file is decides: an HDF5 file with `/labels` (a set, a simulated run) or a class map, a .npy of bytes
/// (N, H, W), a PNG or a folder of them in natural order, a .stream whose found peaks are grown to pixels.
/// The code 3 of older label tools (bad pixel) becomes ignore, their 2 ("do not predict") is artifact.
/// Errors: another number of frames or another size than the run's.
pub fn import_labels(
    project: &mut Project,
    key: RunKey,
    run: &Run,
    labels: &Path,
    reviewed: bool,
    who: &str,
) -> Result<usize, Error> {
    let provenance = Provenance {
        who: who.to_owned(),
        net: None,
    };
    let extension = labels
        .extension()
        .map(|e| e.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let name = labels
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let tool = format!("import {name}");
    let mut bring = |sheets: &mut dyn Iterator<Item = Result<(usize, Sheet), Error>>| {
        project.import_sheets(key, sheets, &tool, reviewed, &provenance)
    };
    if extension == "stream" {
        return bring(&mut from_stream(run, labels)?);
    }
    if extension == "png" || labels.is_dir() {
        let files = png_files(labels)?;
        same_count(files.len(), run, labels)?;
        return bring(
            &mut files
                .iter()
                .enumerate()
                .map(|(i, file)| Ok((i, fitting(read_png(file)?, run, file)?))),
        );
    }
    let source = open_run(&[labels.to_owned()], &options_for(labels, &extension)?)?;
    same_count(source.info.frames, run, labels)?;
    bring(&mut (0..source.info.frames).map(|i| {
        let codes = source.read_frame(i)?.pixels.map(|code| code_of(*code));
        Ok((i, fitting(codes, run, labels)?))
    }))
}

/// Which data set of an HDF5 file holds classes.
fn options_for(labels: &Path, extension: &str) -> Result<OpenOptions, Error> {
    if extension == "npy" {
        return Ok(OpenOptions::default());
    }
    let facts = h5::walk(labels)?;
    let known = ["/labels", export::SEGMASK, "/entry_1/result_1/classes"];
    let dataset = known.iter().find(|path| facts.sets.contains_key(**path));
    match dataset {
        Some(path) => Ok(OpenOptions {
            dataset: Some((*path).to_owned()),
            ..OpenOptions::default()
        }),
        None => Err(Error::new(
            format!(
                "no labels in this file; it should have one of {}",
                known.join(", ")
            ),
            labels,
        )),
    }
}

fn code_of(value: f32) -> u8 {
    match value as i64 {
        0 => Class::Background.code(),
        1 => Class::Peak.code(),
        2 => Class::Artifact.code(),
        _ => Class::Ignore.code(),
    }
}

fn same_count(count: usize, run: &Run, labels: &Path) -> Result<(), Error> {
    if count == run.info.frames {
        return Ok(());
    }
    Err(Error::new(
        format!(
            "the labels are of {count} frames but the run has {}; import the run they belong to",
            run.info.frames
        ),
        labels,
    ))
}

fn fitting(sheet: Sheet, run: &Run, labels: &Path) -> Result<Sheet, Error> {
    if (sheet.width(), sheet.height()) == (run.info.width, run.info.height) {
        return Ok(sheet);
    }
    Err(Error::new(
        format!(
            "the labels are {} x {} but the frames {} x {}; import the run they belong to",
            sheet.width(),
            sheet.height(),
            run.info.width,
            run.info.height
        ),
        labels,
    ))
}

fn png_files(labels: &Path) -> Result<Vec<PathBuf>, Error> {
    if !labels.is_dir() {
        return Ok(vec![labels.to_owned()]);
    }
    let entries = std::fs::read_dir(labels).map_err(|e| Error::reading(&e, labels))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("png"))
        })
        .collect();
    files.sort();
    Ok(files)
}

fn read_png(path: &Path) -> Result<Sheet, Error> {
    let damaged = |why: String| {
        Error::new(
            format!("not a readable label image ({why}); write 8-bit indexed or grey PNG"),
            path,
        )
    };
    let file = std::fs::File::open(path).map_err(|e| Error::reading(&e, path))?;
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| damaged(e.to_string()))?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let is_plain = matches!(
        info.color_type,
        png::ColorType::Indexed | png::ColorType::Grayscale
    );
    if !is_plain || info.bit_depth != png::BitDepth::Eight || width.saturating_mul(height) > 1 << 28
    {
        return Err(damaged("it has colours or another depth".to_owned()));
    }
    let mut cells = vec![0; width * height];
    reader
        .next_frame(&mut cells)
        .map_err(|e| damaged(e.to_string()))?;
    let cells = cells
        .into_iter()
        .map(|code| code_of(f32::from(code)))
        .collect();
    Grid::from_cells(width, height, cells).ok_or_else(|| damaged("it is cut short".to_owned()))
}

/// The peaks that a CrystFEL stream found, grown to pixels on the run's frames by the labelling rule.
///
/// A chunk belongs to the frame of its `Event: //N` (0 where there is none).
fn from_stream<'a>(
    run: &'a Run,
    path: &Path,
) -> Result<impl Iterator<Item = Result<(usize, Sheet), Error>> + 'a, Error> {
    let stream = Stream::open(path)?;
    let outside = stream
        .chunks
        .iter()
        .find(|chunk| chunk.row >= run.info.frames);
    if let Some(chunk) = outside {
        return Err(Error::new(
            format!(
                "the stream tells of frame {} but the run has {}; import the run it belongs to",
                chunk.row, run.info.frames
            ),
            path,
        ));
    }
    Ok((0..stream.chunks.len()).map(move |index| {
        let number = stream.chunks.get(index).map_or(0, |chunk| chunk.row);
        let frame = run.read_frame(number)?;
        let mut sheet = Sheet::filled(frame.width(), frame.height(), 0);
        for (x, y) in stream.read(index)?.found {
            if x < 0.0 || y < 0.0 {
                continue;
            }
            let at = Pixel {
                x: x as usize,
                y: y as usize,
            };
            if let Some(grown) = grow::grow_peak(&frame, at) {
                grown.paint(&mut sheet, false);
            }
        }
        Ok((number, sheet))
    }))
}
