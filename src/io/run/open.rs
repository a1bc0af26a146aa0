//! From paths to a run: what each file is, and how their frames join.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::crystfel::{self, Geom, MaskLine};
use super::super::h5::{self, Facts, Source};
use super::super::images::raw::RawLayout;
use super::super::layouts::{self, MaskMeaning, Plan};
use super::super::paths::{self, Item};
use super::super::{Error, images};
use super::join::join;
use super::modules::{ModuleFile, ModulesPart};
use super::stack::{Mask, StackPart};
use super::{OpenOptions, Part, Run};
use crate::domain::frame::RunInfo;
use crate::domain::grid::PixelRect;

/// What is known of a file before its frames join the run.
pub(super) struct Opened {
    pub part: Part,
    pub frames: usize,
    pub info: RunInfo,
    pub facts: Option<Facts>,
    /// The shape of one frame in the file, slow axes first.
    pub block: Vec<usize>,
    /// The words for `%` in the path of each frame and its row there, where the geometry names frames so.
    pub events: Vec<(String, usize)>,
    pub module: Option<ModuleFile>,
}

/// Opens files, folders, globs and event lists as one run. No pixels are read.
///
/// Errors: one sentence with its cure for a path that is missing, empty, truncated, not what its name
/// says, without frames, without permission, with an unknown filter, or of another frame size.
pub fn open_run(paths: &[PathBuf], options: &OpenOptions) -> Result<Run, Error> {
    let begun = std::time::SystemTime::now();
    let items = paths::expand(paths)?;
    let geom = match &options.geometry {
        Some(path) if is_poni(path) => None,
        Some(path) => Some(crystfel::read_geom(path)?),
        None => None,
    };
    let mut options = options.clone();
    let opened = open_files(&items, &mut options, geom.as_ref())?;
    let opened = together(&items, opened);
    let mut run = join(paths, &items, opened, &options, geom.as_ref())?;
    run.opened_at = run.trace();
    // What was written while it was opened may not have been seen: it counts as written since.
    for (_, time) in &mut run.opened_at {
        *time = time.filter(|time| *time < begun);
    }
    if options.peaks.is_some() {
        // A list of another run would show nothing, and not say so.
        let known = (0..run.info.frames.min(500))
            .any(|number| run.listed(number).is_ok_and(|listed| listed.is_some()));
        if !known {
            run.info.notices.push(
                "the peak list or stream knows none of the run's frames; give the one that was made of this run".to_owned(),
            );
        }
    }
    Ok(run)
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
    let path = items.first().map_or(Path::new("."), |item| &item.file);
    let raw = RawLayout::new(&options.shape, options.dtype.as_deref())
        .map_err(|what| Error::new(what, path))?;
    files
        .into_par_iter()
        .map(|file| {
            let opened = match raw {
                Some(raw) => open_image(&file, Some(raw))?,
                None => open_file(&file, options.dataset.as_deref(), geom)?,
            };
            Ok((file, opened))
        })
        .collect()
}

fn open_file(file: &Path, dataset: Option<&str>, geom: Option<&Geom>) -> Result<Opened, Error> {
    let first = images::prefix(file, 1 << 16)?;
    let is_hdf5 = [0usize, 512, 1024, 2048, 4096, 8192].into_iter().any(|at| {
        first
            .get(at..)
            .is_some_and(|rest| rest.starts_with(&h5::MAGIC))
    });
    if is_hdf5 {
        if images::whole_file_compression(&images::magic(file)).is_some() {
            return Err(Error::new(
                "this HDF5 file is compressed as a whole; unpack it first",
                file,
            ));
        }
        return open_hdf5(file, dataset, geom);
    }
    if images::is_image(file)? {
        return open_image(file, None);
    }
    Err(images::unknown(&first, file))
}

/// The plan of a file: what the user asks for, then what the geometry says where the file has it, then the layout.
fn plan_of(facts: &Facts, dataset: Option<&str>, geom: Option<&Geom>) -> Result<Plan, Error> {
    let from_geom = geom.and_then(Geom::data).filter(|_| dataset.is_none());
    if let Some(pattern) = from_geom.filter(|path| path.contains('%'))
        && let Some(plan) = layouts::matching(facts, pattern)
    {
        return Ok(plan);
    }
    let plan = layouts::plan(facts, dataset);
    match from_geom.filter(|path| facts.sets.contains_key(*path)) {
        Some(path)
            if !plan
                .as_ref()
                .is_ok_and(|plan| plan.data.iter().any(|data| data == path)) =>
        {
            layouts::plan(facts, Some(path))
        }
        _ => plan,
    }
}

fn open_hdf5(file: &Path, dataset: Option<&str>, geom: Option<&Geom>) -> Result<Opened, Error> {
    let facts = h5::walk(file)?;
    let plan = plan_of(&facts, dataset, geom)?;
    let mut part = StackPart {
        sources: Vec::new(),
        behind: Vec::new(),
        rows: Vec::new(),
        masks: Vec::new(),
        events: Vec::new(),
        codes: plan.codes,
        saturation: plan.saturation,
    };
    let mut info = RunInfo {
        format: plan.format.to_owned(),
        dataset: plan.data.first().cloned(),
        detector: plan.detector.clone(),
        geometry: plan.geometry.clone(),
        notices: plan.notices.clone(),
        ..RunInfo::default()
    };
    let mut events: Vec<(String, usize)> = Vec::new();
    for (index, path) in plan.data.iter().enumerate() {
        let Some(set) = facts.sets.get(path) else {
            continue;
        };
        let stack = if plan.slices > 1 {
            let source = Source::from_facts(set, file, path)?.sliced(plan.slices);
            h5::Stack::of(source, plan.every)
        } else {
            h5::stack(set, file, path)?
        };
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
        if let Some(words) = plan.events.get(index) {
            events.extend((0..stack.rows.len()).map(|row| (words.clone(), row)));
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
    let block = part
        .sources
        .first()
        .map_or_else(Vec::new, |source| source.block().to_vec());
    let mut add = |path: &str, meaning: MaskMeaning, only: Vec<PixelRect>| {
        let Some(set) = facts.sets.get(path) else {
            return;
        };
        match Source::from_facts(set, file, path).map(|source| source.sliced(plan.slices)) {
            Ok(source) if (source.width, source.height) != (info.width, info.height) => {
                info.notices.push(format!(
                    "the mask {path} has frames of another size and is left out"
                ));
            }
            Ok(source) if source.rows == 1 || source.rows == frames => {
                part.masks.push(Mask::new(source, meaning, only));
            }
            Ok(_) => info.notices.push(format!(
                "the mask {path} has another number of frames and is left out"
            )),
            Err(error) => info
                .notices
                .push(format!("the mask {path} is left out: {error}")),
        }
    };
    // What the geometry says about masks in this file counts more than what the layout makes of them.
    let lines = geom.map(|geom| geom.masks(&block)).unwrap_or_default();
    let is_here = |(line, _): &&(MaskLine, Vec<PixelRect>)| {
        line.file.is_none() && facts.sets.contains_key(&line.data)
    };
    for (line, only) in lines.iter().filter(is_here) {
        let meaning = MaskMeaning::Bits {
            good: line.good_bits,
            bad: line.bad_bits,
        };
        add(&line.data, meaning, only.clone());
    }
    if let Some((path, meaning)) = &plan.mask
        && !lines.iter().any(|line| is_here(&line))
    {
        add(path, *meaning, Vec::new());
    }
    for (line, _) in &lines {
        if line.file.is_none() && !facts.sets.contains_key(&line.data) {
            info.notices.push(format!(
                "the geometry's mask {} is not in the run; its bad pixels are not known",
                line.data
            ));
        }
    }
    let module = plan
        .module
        .as_ref()
        .map(|module| module_of(module, file, frames))
        .transpose()?;
    part.events.clone_from(&events);
    Ok(Opened {
        part: Part::Stack(Box::new(part)),
        frames,
        info,
        facts: Some(facts),
        block,
        events,
        module,
    })
}

/// The numbers of the frames of a module's file.
fn module_of(module: &layouts::Module, file: &Path, frames: usize) -> Result<ModuleFile, Error> {
    let (_, trains) = h5::read_all(file, &module.trains)?;
    let pulses = match &module.pulses {
        Some(path) => h5::read_all(file, path)?.1,
        None => Vec::new(),
    };
    // Trains may stand once for all their cells.
    let cells = frames.checked_div(trains.len()).unwrap_or(1).max(1);
    let id = |frame: usize| {
        let train = trains.get(frame / cells).copied().unwrap_or_default();
        let pulse = match pulses.get(frame) {
            Some(pulse) => *pulse,
            None => (frame % cells) as f64,
        };
        (train as u64, pulse as u64)
    };
    Ok(ModuleFile {
        detector: module.detector.clone(),
        index: module.index,
        ids: (0..frames).map(id).collect(),
    })
}

/// Joins the files of the modules of one detector, if that is what was opened.
fn together(items: &[Item], mut opened: Vec<(PathBuf, Opened)>) -> Vec<(PathBuf, Opened)> {
    let first = opened.first().and_then(|(_, first)| first.module.clone());
    let Some(first) = first else { return opened };
    let is_one_detector = opened.iter().all(|(_, file)| {
        let module = file.module.as_ref();
        module.is_some_and(|module| module.detector == first.detector)
            && matches!(file.part, Part::Stack(_))
    });
    let is_several = opened.iter().any(|(_, file)| {
        file.module
            .as_ref()
            .is_some_and(|module| module.index != first.index)
    });
    let one_size = opened.iter().all(|(_, file)| {
        let size = opened
            .first()
            .map(|(_, first)| (first.info.width, first.info.height));
        Some((file.info.width, file.info.height)) == size
    });
    let is_whole = items.iter().all(|item| item.row.is_none());
    if !(is_one_detector && is_several && is_whole && one_size) {
        return opened;
    }
    let mut files = Vec::new();
    let mut whole: Option<(PathBuf, RunInfo, Option<Facts>, Vec<usize>)> = None;
    let mut notices: Vec<String> = Vec::new();
    for (path, file) in opened.drain(..) {
        for notice in &file.info.notices {
            if !notices.contains(notice) {
                notices.push(notice.clone());
            }
        }
        if let (Part::Stack(stack), Some(module)) = (file.part, file.module) {
            files.push((*stack, module));
        }
        whole.get_or_insert((path, file.info, file.facts, file.block));
    }
    let Some((path, mut info, facts, mut block)) = whole else {
        return opened;
    };
    let (part, said) = ModulesPart::new(files, info.width * info.height);
    info.format = "EuXFEL modules".to_owned();
    info.height *= part.modules();
    block.insert(0, part.modules());
    info.notices = notices;
    info.notices.extend(said);
    let frames = part.frames();
    vec![(
        path,
        Opened {
            part: Part::Modules(Box::new(part)),
            frames,
            info,
            facts,
            block,
            events: Vec::new(),
            module: None,
        },
    )]
}

fn open_image(file: &Path, raw: Option<RawLayout>) -> Result<Opened, Error> {
    let head = images::head(file, raw.as_ref())?;
    let compressed = images::whole_file_compression(&images::magic(file));
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
        block: vec![info.height, info.width],
        info,
        facts: None,
        events: Vec::new(),
        module: None,
    })
}
