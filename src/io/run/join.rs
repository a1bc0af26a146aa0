//! One run of the opened files: their frames in order, where the panels are, and what speaks against pixels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::crystfel::{Geom, Rules};
use super::super::h5::Facts;
use super::super::layouts::MaskMeaning;
use super::super::lists::Lists;
use super::super::masks;
use super::super::paths::Item;
use super::super::{Error, poni};
use super::open::Opened;
use super::stack::StackPart;
use super::{OpenOptions, Part, Run};
use crate::domain::frame::RunInfo;
use crate::domain::geometry::Geometry;
use crate::domain::grid::{Grid, PixelRect};

/// Going through a stream of so many bytes for its chunks takes about a tenth of a second.
const MOST_BESIDE: u64 = 32 << 20;

/// Makes one run of the opened files.
pub(super) fn join(
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
    let mut block = Vec::new();
    let mut events: HashMap<PathBuf, Vec<(String, usize)>> = HashMap::new();
    let mut numbers: HashMap<PathBuf, (usize, usize)> = HashMap::new();
    for (index, (file, opened)) in opened.into_iter().enumerate() {
        if index == 0 {
            info = opened.info;
            facts = opened.facts;
            block = opened.block;
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
        events.insert(file.clone(), opened.events);
        numbers.insert(file, (index, opened.frames));
        parts.push(opened.part);
    }
    let mut frames = Vec::new();
    for item in items {
        let Some((part, count)) = numbers.get(&item.file).copied() else {
            continue;
        };
        let named = item.event.as_ref().zip(events.get(&item.file));
        if let Some((event, events)) = named.filter(|(_, events)| !events.is_empty()) {
            let is_meant = |(words, row): &(String, usize)| {
                words == event && item.row.is_none_or(|wanted| wanted == *row)
            };
            let Some(row) = events.iter().position(is_meant) else {
                return Err(Error::new(
                    format!(
                        "the event list asks for {event}, which is not there; correct the list"
                    ),
                    &item.file,
                ));
            };
            frames.push((part, row));
            continue;
        }
        if let (Some(event), None) = (&item.event, item.row) {
            return Err(Error::new(
                format!(
                    "the event list names {event}, but where events lie is not known; give --geometry with its data = /%/..."
                ),
                &item.file,
            ));
        }
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
            Part::Stack(stack) => inputs.extend(stack.files().cloned()),
            Part::Modules(modules) => {
                inputs.extend(modules.files.iter().flat_map(StackPart::files).cloned());
            }
        }
    }
    inputs.extend(items.iter().map(|item| item.file.clone()));
    inputs.sort_unstable();
    inputs.dedup();
    let beside = paths.first().map(|path| path.with_extension("stream"));
    if let Some(stream) = beside.clone().filter(|path| path.is_file()) {
        inputs.push(stream);
    }
    // Files that links lead to may appear later.
    if let Some(facts) = &facts {
        let folder = facts.path.parent().unwrap_or(Path::new("."));
        let targets = facts
            .dangling
            .iter()
            .filter_map(|(_, target)| target.split_once(':'));
        inputs.extend(targets.map(|(file, _)| folder.join(file)));
    }
    let lists = match (&options.peaks, parts.as_slice()) {
        (Some(path), _) => Some(Lists::open(path)?),
        (None, [Part::Stack(_)]) => facts.as_ref().and_then(Lists::own),
        _ => None,
    };
    // A stream of the same name lies beside the run because it is about it; one that is damaged is not asked for, and a long
    // one would keep the run from opening.
    let lists = match beside.filter(|path| lists.is_none() && paths.len() == 1 && path.is_file()) {
        Some(stream)
            if std::fs::metadata(&stream).is_ok_and(|facts| facts.len() <= MOST_BESIDE) =>
        {
            Lists::open(&stream).ok()
        }
        Some(stream) => {
            info.remarks.push(format!(
                "the long stream beside the run is not shown by itself; give it with --peaks {}",
                stream.display()
            ));
            None
        }
        None => lists,
    };
    inputs.extend(options.peaks.clone());
    let mut run = Run {
        lists,
        opened: files,
        info,
        inputs,
        parts,
        frames,
        geom: geom.cloned(),
        rules: Rules::default(),
        masked: None,
        paths: paths.to_vec(),
        options: options.clone(),
        opened_at: Vec::new(),
    };
    run.place(options, facts.as_ref(), &block)?;
    run.add_masks(options, &block)?;
    Ok(run)
}

impl Run {
    /// Takes geometry files and the user's numbers over what the files say.
    fn place(
        &mut self,
        options: &OpenOptions,
        facts: Option<&Facts>,
        block: &[usize],
    ) -> Result<(), Error> {
        let (width, height) = (self.info.width, self.info.height);
        let given = match (&options.geometry, &self.geom) {
            (_, Some(geom)) => {
                let lookup = |path: &str| facts?.value(path)?.number();
                let (geometry, notices) = geom.geometry(lookup, block);
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
                let cells: usize = geometry.panels.iter().map(|panel| panel.rect.area()).sum();
                if !outside && cells * 10 < width * height * 7 {
                    self.info.notices.push(format!(
                        "the geometry covers only {:.0} % of the frame, the rest counts as gap; is it for another detector?",
                        100.0 * cells as f64 / (width * height) as f64
                    ));
                }
                self.info.notices.extend(geom.doubts());
                self.rules = geom.rules(width, height, block);
                let mut geometry = geometry;
                // What lies beyond the frame has no pixels.
                for panel in &mut geometry.panels {
                    panel.rect.x1 = panel.rect.x1.min(width).max(panel.rect.x0);
                    panel.rect.y1 = panel.rect.y1.min(height).max(panel.rect.y0);
                }
                geometry.panels.retain(|panel| !panel.rect.is_empty());
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

    /// Takes masks in files of their own: those that the geometry names and those that the user gives.
    fn add_masks(&mut self, options: &OpenOptions, block: &[usize]) -> Result<(), Error> {
        let (width, height) = (self.info.width, self.info.height);
        let mut masked: Option<Grid<u16>> = None;
        let mut add = |bits: Grid<u16>, only: &[PixelRect]| {
            let all = masked.get_or_insert_with(|| Grid::filled(width, height, 0));
            let whole = [PixelRect::new(0, 0, width, height)];
            for rect in if only.is_empty() { &whole } else { only } {
                let rect = rect.intersect(&bits.rect());
                for y in rect.y0..rect.y1 {
                    for x in rect.x0..rect.x1 {
                        if let (Some(all), Some(bits)) = (all.get_mut(x, y), bits.get(x, y)) {
                            *all |= bits;
                        }
                    }
                }
            }
        };
        let folder = options.geometry.as_deref().and_then(Path::parent);
        let lines = self.geom.as_ref().map(|geom| geom.masks(block));
        for (line, only) in lines.unwrap_or_default() {
            let Some(name) = &line.file else { continue };
            // CrystFEL looks from here; who copies a geometry copies its mask beside it.
            let beside = folder
                .map(|folder| folder.join(name))
                .filter(|path| path.exists());
            let file = beside.unwrap_or_else(|| PathBuf::from(name));
            match masks::read_values(&file, Some(&line.data), width, height) {
                Ok((values, _)) => {
                    let meaning = MaskMeaning::Bits {
                        good: line.good_bits,
                        bad: line.bad_bits,
                    };
                    add(values.map(|value| meaning.to_bad(*value)), &only);
                    self.inputs.push(file);
                }
                Err(error) => self.info.notices.push(format!(
                    "the geometry's mask is left out, its bad pixels are not known: {error}"
                )),
            }
        }
        for path in &options.bad_pixels {
            let (bits, notice) = masks::read_bad(path, options.bad_pixels_are, width, height)?;
            add(bits, &[]);
            self.info.remarks.push(notice);
            self.inputs.push(masks::parted(path).0);
        }
        self.masked = masked;
        Ok(())
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
