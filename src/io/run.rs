//! A run: frames of one detector from one or many files, opened by facts, read frame by frame.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::crystfel::{self, Flags, Geom};
use super::h5::{self, Facts, Source};
use super::images::raw::RawLayout;
use super::layouts::{self, MaskMeaning};
use super::lists::Lists;
use super::number::{self, Codes};
use super::paths::{self, Item};
use super::{Error, images, poni};
use crate::domain::frame::{Frame, RunInfo, SourceRange, bad};
use crate::domain::geometry::Geometry;
use crate::domain::grid::Grid;
use crate::domain::listed::Listed;

/// What the user says about a run that its files do not, or say wrongly.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// A .geom or .poni file.
    pub geometry: Option<PathBuf>,
    /// What another program found: a CXI file with a peak list, or a CrystFEL stream.
    pub peaks: Option<PathBuf>,
    /// The HDF5 path of the frames.
    pub dataset: Option<String>,
    /// Of pixels without a header: (height, width) or (frames, height, width), and NumPy's name of their type.
    pub shape: Vec<usize>,
    pub dtype: Option<String>,
    pub wavelength_angstrom: Option<f64>,
    pub detector_distance_m: Option<f64>,
    pub pixel_size_m: Option<f64>,
    /// As the user gives it: the centre of the first pixel is 0.0.
    pub beam_center_px: Option<[f64; 2]>,
}

/// An opened run. Reading is possible from any thread; no file stays open between readings.
#[derive(Debug)]
pub struct Run {
    pub info: RunInfo,
    /// Every file that was given or found to be read.
    inputs: Vec<PathBuf>,
    /// The file that each part was opened from.
    opened: Vec<PathBuf>,
    parts: Vec<Part>,
    /// The part of each frame and its place there.
    frames: Vec<(usize, usize)>,
    /// Bits that the geometry file adds to every frame, and its rules about values.
    regions: Option<Grid<u16>>,
    flags: Flags,
    lists: Option<Lists>,
}

#[derive(Debug)]
enum Part {
    Stack(Box<StackPart>),
    Image {
        file: PathBuf,
        frames: usize,
        raw: Option<RawLayout>,
    },
}

/// Frames of one opened HDF5 file.
#[derive(Debug)]
struct StackPart {
    sources: Vec<Arc<Source>>,
    /// All files behind virtual data sets.
    behind: Vec<PathBuf>,
    rows: Vec<Option<(usize, usize)>>,
    mask: Option<Mask>,
    codes: Codes,
    saturation: Option<f32>,
}

#[derive(Debug)]
struct Mask {
    source: Source,
    meaning: MaskMeaning,
    /// A mask that holds for all frames, read with the first of them.
    shared: OnceLock<Vec<u16>>,
}

/// What is known of a file before its frames join the run.
struct Opened {
    part: Part,
    frames: usize,
    info: RunInfo,
    facts: Option<Facts>,
}

/// Opens files, folders, globs and event lists as one run. No pixels are read.
///
/// Errors: one sentence with its cure for a path that is missing, empty, truncated, not what its name
/// says, without frames, without permission, with an unknown filter, or of another frame size.
pub fn open_run(paths: &[PathBuf], options: &OpenOptions) -> Result<Run, Error> {
    let items = paths::expand(paths)?;
    let geom = match &options.geometry {
        Some(path) if is_poni(path) => None,
        Some(path) => Some(crystfel::read_geom(path)?),
        None => None,
    };
    let mut options = options.clone();
    let opened = open_files(&items, &mut options, geom.as_ref())?;
    join(paths, &items, opened, &options, geom.as_ref())
}

fn is_poni(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("poni"))
}

/// Opens each file once, images side by side.
fn open_files(
    items: &[Item],
    options: &mut OpenOptions,
    geom: Option<&Geom>,
) -> Result<Vec<(PathBuf, Opened)>, Error> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for item in items {
        if seen.insert(&item.file) {
            files.push(item.file.clone());
        }
    }
    // The geometry's data path only counts where the file has it.
    let from_geom = geom
        .and_then(Geom::data_path)
        .filter(|_| options.dataset.is_none());
    let path = items.first().map_or(Path::new("."), |item| &item.file);
    let raw = RawLayout::new(&options.shape, options.dtype.as_deref())
        .map_err(|what| Error::new(what, path))?;
    files
        .into_par_iter()
        .map(|file| {
            let opened = match raw {
                Some(raw) => open_image(&file, Some(raw))?,
                None => open_file(&file, options.dataset.as_deref(), from_geom.as_deref())?,
            };
            Ok((file, opened))
        })
        .collect()
}

fn open_file(file: &Path, dataset: Option<&str>, hint: Option<&str>) -> Result<Opened, Error> {
    let first = images::prefix(file, 1 << 16)?;
    let is_hdf5 = [0usize, 512, 1024, 2048, 4096, 8192].into_iter().any(|at| {
        first
            .get(at..)
            .is_some_and(|rest| rest.starts_with(&h5::MAGIC))
    });
    if is_hdf5 {
        let raw = std::fs::File::open(file).and_then(|mut raw| {
            let mut start = [0; 8];
            std::io::Read::read_exact(&mut raw, &mut start).map(|()| start)
        });
        if raw.is_ok_and(|start| images::whole_file_compression(&start).is_some()) {
            return Err(Error::new(
                "this HDF5 file is compressed as a whole; unpack it first",
                file,
            ));
        }
        return open_hdf5(file, dataset, hint);
    }
    if images::is_image(file)? {
        return open_image(file, None);
    }
    Err(images::unknown(&first, file))
}

fn open_hdf5(file: &Path, dataset: Option<&str>, hint: Option<&str>) -> Result<Opened, Error> {
    let facts = h5::walk(file)?;
    let hint = hint.filter(|path| facts.sets.contains_key(*path));
    let mut plan = layouts::plan(&facts, dataset)?;
    if let Some(hint) = hint.filter(|hint| !plan.data.iter().any(|data| data == hint)) {
        plan = layouts::plan(&facts, Some(hint))?;
    }
    let mut part = StackPart {
        sources: Vec::new(),
        behind: Vec::new(),
        rows: Vec::new(),
        mask: None,
        codes: plan.codes,
        saturation: plan.saturation,
    };
    let mut info = RunInfo {
        format: plan.format.to_owned(),
        dataset: plan.data.first().cloned(),
        detector: plan.detector,
        geometry: plan.geometry,
        notices: plan.notices,
        ..RunInfo::default()
    };
    for path in &plan.data {
        let Some(set) = facts.sets.get(path) else {
            continue;
        };
        let stack = h5::stack(set, file, path)?;
        if part.rows.is_empty() {
            (info.width, info.height) = (stack.width, stack.height);
            if let Some(source) = stack.sources.first() {
                info.dtype = source.number.name();
                info.filters = source.filters.iter().map(|filter| filter.name()).collect();
            }
        } else if (info.width, info.height) != (stack.width, stack.height) {
            return Err(Error::new(
                format!(
                    "the data set {path:?} has frames of {} x {} pixels, those before {} x {}; open them apart with --dataset",
                    stack.width, stack.height, info.width, info.height
                ),
                file,
            ));
        }
        let before = part.sources.len();
        part.behind.extend(stack.files);
        part.sources.extend(stack.sources);
        part.rows.extend(
            stack
                .rows
                .into_iter()
                .map(|row| row.map(|(source, row)| (source + before, row))),
        );
        info.notices.extend(stack.notices);
    }
    let frames = part.rows.len();
    if frames == 0 {
        return Err(Error::new(
            "the data set of frames is empty; the run may not have been written yet",
            file,
        ));
    }
    if let Some((path, meaning)) = plan.mask
        && let Some(set) = facts.sets.get(&path)
    {
        match Source::from_facts(set, file, &path) {
            Ok(source) if source.rows == 1 || source.rows == frames => {
                part.mask = Some(Mask {
                    source,
                    meaning,
                    shared: OnceLock::new(),
                });
            }
            Ok(_) => info.notices.push(format!(
                "the mask {path} has another number of frames and is left out"
            )),
            Err(error) => info
                .notices
                .push(format!("the mask {path} is left out: {error}")),
        }
    }
    Ok(Opened {
        part: Part::Stack(Box::new(part)),
        frames,
        info,
        facts: Some(facts),
    })
}

fn open_image(file: &Path, raw: Option<RawLayout>) -> Result<Opened, Error> {
    let head = images::head(file, raw.as_ref())?;
    let compressed = images::whole_file_compression(&raw_start(file));
    let info = RunInfo {
        width: head.width,
        height: head.height,
        dtype: head.number.name(),
        format: head.format.to_owned(),
        filters: head
            .compression
            .into_iter()
            .chain(compressed)
            .map(str::to_owned)
            .collect(),
        detector: head.detector,
        geometry: head.geometry,
        notices: head.notices,
        ..RunInfo::default()
    };
    Ok(Opened {
        part: Part::Image {
            file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            frames: head.frames,
            raw,
        },
        frames: head.frames,
        info,
        facts: None,
    })
}

fn raw_start(file: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut start = Vec::new();
    if let Ok(file) = std::fs::File::open(file) {
        let _ = file.take(8).read_to_end(&mut start);
    }
    start
}

/// Makes one run of the opened files.
fn join(
    paths: &[PathBuf],
    items: &[Item],
    opened: Vec<(PathBuf, Opened)>,
    options: &OpenOptions,
    geom: Option<&Geom>,
) -> Result<Run, Error> {
    let mut info = RunInfo::default();
    let mut parts = Vec::new();
    let mut files = Vec::new();
    let mut facts = None;
    let mut numbers: HashMap<PathBuf, (usize, usize)> = HashMap::new();
    for (index, (file, opened)) in opened.into_iter().enumerate() {
        if index == 0 {
            info = opened.info;
            facts = opened.facts;
        } else {
            if (opened.info.width, opened.info.height) != (info.width, info.height) {
                return Err(Error::new(
                    format!(
                        "the frames here are {} x {} pixels, those of the first file {} x {}; open them apart",
                        opened.info.width, opened.info.height, info.width, info.height
                    ),
                    file,
                ));
            }
            for notice in opened.info.notices {
                if !info.notices.contains(&notice) {
                    info.notices.push(notice);
                }
            }
        }
        files.push(file.clone());
        numbers.insert(file, (index, opened.frames));
        parts.push(opened.part);
    }
    let mut frames = Vec::new();
    for item in items {
        let Some((part, count)) = numbers.get(&item.file).copied() else {
            continue;
        };
        match item.row {
            None => frames.extend((0..count).map(|row| (part, row))),
            Some(row) if row < count => frames.push((part, row)),
            Some(row) => {
                return Err(Error::new(
                    format!(
                        "the event list asks for frame {row}, but there are only {count}; correct the list"
                    ),
                    &item.file,
                ));
            }
        }
    }
    info.frames = frames.len();
    info.name = match paths {
        [only] => only.file_name().map_or_else(
            || only.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        ),
        _ => {
            let first = items.first().and_then(|item| item.file.file_name());
            let first = first
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            format!("{first} and {} more", paths.len().saturating_sub(1))
        }
    };
    info.source = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" ");
    let mut inputs: Vec<PathBuf> = paths.to_vec();
    inputs.extend(options.geometry.clone());
    for part in &parts {
        match part {
            Part::Image { file, .. } => inputs.push(file.clone()),
            Part::Stack(stack) => {
                let masks = stack.mask.iter().map(|mask| &mask.source.file);
                let sources = stack.sources.iter().map(|source| &source.file);
                inputs.extend(sources.chain(masks).chain(&stack.behind).cloned());
            }
        }
    }
    inputs.extend(items.iter().map(|item| item.file.clone()));
    inputs.sort_unstable();
    inputs.dedup();
    let lists = match (&options.peaks, parts.as_slice()) {
        (Some(path), _) => Some(Lists::open(path)?),
        (None, [Part::Stack(_)]) => facts.as_ref().and_then(Lists::own),
        _ => None,
    };
    inputs.extend(options.peaks.clone());
    let mut run = Run {
        lists,
        opened: files,
        info,
        inputs,
        parts,
        frames,
        regions: None,
        flags: Flags::default(),
    };
    run.place(options, geom, facts.as_ref())?;
    Ok(run)
}

impl Run {
    /// Takes geometry files and the user's numbers over what the files say.
    fn place(
        &mut self,
        options: &OpenOptions,
        geom: Option<&Geom>,
        facts: Option<&Facts>,
    ) -> Result<(), Error> {
        let (width, height) = (self.info.width, self.info.height);
        let given = match (&options.geometry, geom) {
            (_, Some(geom)) => {
                let lookup = |path: &str| facts?.value(path)?.number();
                let (geometry, notices) = geom.geometry(lookup);
                self.info.notices.extend(notices);
                let outside = geometry
                    .panels
                    .iter()
                    .any(|panel| panel.rect.x1 > width || panel.rect.y1 > height);
                if outside {
                    self.info.notices.push(format!(
                        "panels of the geometry reach beyond the frame of {width} x {height} pixels; is it for another detector?"
                    ));
                }
                self.regions = geom.bad_bits(width, height, &geometry);
                self.flags = geom.flags;
                Some(geometry)
            }
            (Some(path), None) => Some(poni::read_poni(path)?.geometry(width, height)),
            (None, None) => None,
        };
        let geometry = &mut self.info.geometry;
        if let Some(mut given) = given {
            given.fill_from(geometry);
            *geometry = given;
        }
        override_geometry(geometry, options, &mut self.info.notices);
        Ok(())
    }

    /// Refuses an output that is one of the files that are read: no switch may destroy a source.
    ///
    /// Errors: the sentence that says so.
    pub fn refuse_to_replace(&self, out: &Path) -> Result<(), Error> {
        if out.exists()
            && self
                .inputs
                .iter()
                .any(|input| crate::fs::is_same_file(input, out))
        {
            return Err(Error::new(
                "this is one of the files of the run itself; choose another name for the output",
                out,
            ));
        }
        Ok(())
    }

    /// The sentence for frames that are a detector's uncalibrated readings, which no net or finder can make sense of.
    pub fn warning(&self, frame: &Frame) -> Option<String> {
        (self.info.dtype == "uint16" && frame.looks_uncalibrated()).then(|| {
            format!(
                "the frames look like uncalibrated readings (pedestals, gain bits), in which nothing can be found; give the calibrated run: {}",
                self.info.name
            )
        })
    }

    /// What another program's list says of a frame; `None` where there is no list or it does not know the frame.
    ///
    /// Errors: the list has gone or is damaged.
    pub fn listed(&self, number: usize) -> Result<Option<Listed>, Error> {
        let Some((part, local)) = self.frames.get(number).copied() else {
            return Ok(None);
        };
        let Some(lists) = &self.lists else {
            return Ok(None);
        };
        let behind = || self.origin(number).map(|(file, _, row)| (file, row));
        let opened = self.opened.get(part).map(|file| (file.as_path(), local));
        lists.of(number, opened, behind)
    }

    /// Reads one frame, with the detector's own bad pixels; any thread.
    ///
    /// Errors: no such frame; its file has gone, is truncated or damaged.
    pub fn read_frame(&self, number: usize) -> Result<Frame, Error> {
        let Some((part, local)) = self.frames.get(number).copied() else {
            return Err(Error::new(
                format!("no frame {number}; the run has {}", self.info.frames),
                &self.info.source,
            ));
        };
        let (width, height) = (self.info.width, self.info.height);
        let (pixels, mut bits) = match self.parts.get(part) {
            Some(Part::Stack(stack)) => stack.read(local, width * height)?,
            Some(Part::Image { file, raw, .. }) => {
                let image = images::read(file, local, raw.as_ref())?;
                if (image.width, image.height) != (width, height) {
                    return Err(Error::new(
                        "the frame has another size than the run; open it apart",
                        file,
                    ));
                }
                (image.pixels, image.bad)
            }
            None => return Err(Error::new(format!("no frame {number}"), &self.info.source)),
        };
        if let Some(regions) = &self.regions {
            for (bits, region) in bits.iter_mut().zip(regions.cells()) {
                *bits |= region;
            }
        }
        self.flags.apply(&pixels, &mut bits);
        let wrong = || {
            Error::new(
                format!("frame {number} has the wrong size"),
                &self.info.source,
            )
        };
        let pixels = Grid::from_cells(width, height, pixels).ok_or_else(wrong)?;
        let bits = Grid::from_cells(width, height, bits).ok_or_else(wrong)?;
        Frame::from_reader(number, pixels, bits).ok_or_else(wrong)
    }

    /// The HDF5 source and row of a frame; `None` for images and for frames whose source is missing.
    pub fn hdf5_row(&self, number: usize) -> Option<(&Source, usize)> {
        let (part, local) = *self.frames.get(number)?;
        let Part::Stack(stack) = self.parts.get(part)? else {
            return None;
        };
        let (source, row) = (*stack.rows.get(local)?)?;
        Some((stack.sources.get(source)?, row))
    }

    /// Where a frame really lies: file, data set and row.
    fn origin(&self, number: usize) -> Option<(String, Option<String>, usize)> {
        let (part, local) = *self.frames.get(number)?;
        match self.parts.get(part)? {
            Part::Stack(stack) => {
                let (source, row) = (*stack.rows.get(local)?)?;
                let source = stack.sources.get(source)?;
                Some((
                    source.file.display().to_string(),
                    Some(source.dataset.clone()),
                    row,
                ))
            }
            Part::Image { file, .. } => Some((file.display().to_string(), None, local)),
        }
    }

    /// Which frames come from which file, in order; frames whose source is missing are in none.
    pub fn sources(&self) -> Vec<SourceRange> {
        let mut ranges: Vec<SourceRange> = Vec::new();
        for number in 0..self.frames.len() {
            let Some((file, dataset, row)) = self.origin(number) else {
                continue;
            };
            if let Some(last) = ranges.last_mut()
                && last.frames.end == number
                && last.first_row + last.frames.len() == row
                && last.file == file
                && last.dataset == dataset
            {
                last.frames.end += 1;
            } else {
                ranges.push(SourceRange {
                    frames: number..number + 1,
                    file,
                    dataset,
                    first_row: row,
                });
            }
        }
        ranges
    }

    /// The frame's name in event lists: its real file, and `//row` where the file has several.
    pub fn event(&self, number: usize) -> String {
        let several = match self
            .frames
            .get(number)
            .and_then(|(part, _)| self.parts.get(*part))
        {
            Some(Part::Image { frames, .. }) => *frames > 1,
            _ => true,
        };
        match self.origin(number) {
            Some((file, _, row)) if several => format!("{file} //{row}"),
            Some((file, ..)) => file,
            None => format!("missing //{number}"),
        }
    }
}

/// What the user says by hand wins.
fn override_geometry(geometry: &mut Geometry, options: &OpenOptions, notices: &mut Vec<String>) {
    if let Some(wavelength) = options.wavelength_angstrom {
        geometry.wavelength_angstrom = Some(wavelength);
    }
    if let Some(distance) = options.detector_distance_m {
        let shift = distance - geometry.detector_distance_m.unwrap_or(distance);
        for panel in &mut geometry.panels {
            panel.corner_m[2] += shift;
        }
        geometry.detector_distance_m = Some(distance);
    }
    let by_hand = options.pixel_size_m.is_some() || options.beam_center_px.is_some();
    if by_hand && !geometry.panels.is_empty() {
        notices.push(
            "pixel size and beam centre given by hand replace the panels of the geometry"
                .to_owned(),
        );
        geometry.panels.clear();
    }
    if let Some(size) = options.pixel_size_m {
        geometry.pixel_size_m = Some([size; 2]);
    }
    if let Some([x, y]) = options.beam_center_px {
        geometry.beam_center_px = Some([x + 0.5, y + 0.5]);
    }
}

impl StackPart {
    fn read(&self, local: usize, cells: usize) -> Result<(Vec<f32>, Vec<u16>), Error> {
        let mut bits = match &self.mask {
            Some(mask) => mask.bits(local)?,
            None => vec![0; cells],
        };
        let mut pixels = vec![0.0; cells];
        let row = self.rows.get(local).copied().flatten();
        let Some((source, row)) =
            row.and_then(|(source, row)| Some((self.sources.get(source)?, row)))
        else {
            bits.fill(bad::MISSING);
            return Ok((pixels, bits));
        };
        let raw = source.read(row)?;
        if !number::decode(raw.number, &raw.bytes, self.codes, &mut pixels, &mut bits) {
            return Err(Error::new(
                format!("frame {row} of {:?} has the wrong size", source.dataset),
                &source.file,
            ));
        }
        if let Some(holes) = raw.holes {
            for (bits, hole) in bits.iter_mut().zip(holes) {
                *bits |= u16::from(hole != 0) * bad::MISSING;
            }
        }
        if let Some(saturation) = self.saturation {
            number::mark_saturated(saturation, &pixels, &mut bits);
        }
        Ok((pixels, bits))
    }
}

impl Mask {
    fn bits(&self, local: usize) -> Result<Vec<u16>, Error> {
        if self.source.rows > 1 {
            return self.load(local);
        }
        if let Some(shared) = self.shared.get() {
            return Ok(shared.clone());
        }
        let bits = self.load(0)?;
        Ok(self.shared.get_or_init(|| bits).clone())
    }

    fn load(&self, row: usize) -> Result<Vec<u16>, Error> {
        let raw = self.source.read(row)?;
        let values = number::decode_mask(raw.number, &raw.bytes).ok_or_else(|| {
            Error::new(
                format!("the mask {:?} is not readable", self.source.dataset),
                &self.source.file,
            )
        })?;
        let mut bits: Vec<u16> = values
            .into_iter()
            .map(|value| self.meaning.to_bad(value))
            .collect();
        if let (Some(holes), MaskMeaning::Valid) = (raw.holes, self.meaning) {
            // A mask that was never written says nothing.
            for (bits, hole) in bits.iter_mut().zip(holes) {
                *bits *= u16::from(hole == 0);
            }
        }
        Ok(bits)
    }
}
