//! Class maps: sets, CXI files, NumPy arrays, PNG.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::h5::{self, Facts, Source, Value};
use super::super::{Error, OpenOptions, Run, export, number, open_run};
use super::frames::Named;
use crate::domain::grid::Grid;
use crate::domain::incoming::CodeMap;
use crate::domain::labels::{Class, Sheet};

/// Where class maps stand that this program writes.
const KNOWN: [&str; 3] = ["/labels", export::SEGMASK, "/entry_1/result_1/classes"];

/// Class maps, one a row.
pub struct Maps {
    source: Maker,
    path: PathBuf,
    pub rows: usize,
    /// Which frames the file says that the rows are of.
    pub names: Option<Vec<Named>>,
    /// The file says itself what its codes mean, as this program writes them.
    is_own: bool,
    /// It is one of the forms that older label tools write, with codes of their own.
    is_segmask: bool,
}

enum Maker {
    Hdf5(Box<Source>),
    Array(Box<Run>),
    Png(Vec<PathBuf>),
}

impl Maps {
    /// The class maps of an HDF5 file; `None` where it has none.
    ///
    /// Errors: the named data set is not there; not frames of numbers.
    pub fn in_hdf5(path: &Path, facts: &Facts, asked: Option<&str>) -> Result<Option<Self>, Error> {
        let known = || {
            KNOWN
                .into_iter()
                .find(|name| facts.sets.contains_key(*name))
        };
        let other = || {
            let mut names = facts.sets.keys();
            names.find(|name| name.ends_with("/segmask"))
        };
        let Some(name) = asked.or_else(known).or_else(|| other().map(String::as_str)) else {
            return Ok(None);
        };
        let Some(set) = facts.sets.get(name) else {
            return Err(Error::new(
                format!("no data set {name:?} in this file; name one that it has"),
                path,
            ));
        };
        let source = Source::from_facts(set, path, name)?;
        let is_segmask = name.ends_with("segmask");
        let says_own = set.attributes.get("classes").and_then(Value::text)
            == Some(CodeMap::own().text().as_str());
        let is_set = facts.attribute("/", "format").and_then(Value::text) == Some("peaknet-set");
        Ok(Some(Self {
            path: path.to_owned(),
            rows: source.rows,
            names: names(path, facts, name)?,
            // Exports of this program before they said so named their runs.
            is_own: says_own
                || (is_set && name == "/labels")
                || (is_segmask && facts.sets.contains_key("/entry_1/data_1/run")),
            is_segmask,
            source: Maker::Hdf5(Box::new(source)),
        }))
    }

    /// A NumPy array (N, H, W) or (H, W).
    pub fn in_array(path: &Path) -> Result<Self, Error> {
        let run = open_run(&[path.to_owned()], &OpenOptions::default())?;
        Ok(Self {
            path: path.to_owned(),
            rows: run.info.frames,
            names: None,
            is_own: false,
            is_segmask: false,
            source: Maker::Array(Box::new(run)),
        })
    }

    /// A PNG or a folder of them in natural order.
    pub fn in_png(path: &Path) -> Result<Self, Error> {
        let files = png_files(path)?;
        let names: Result<Vec<Option<Named>>, Error> =
            files.iter().map(|file| png_name(file)).collect();
        Ok(Self {
            path: path.to_owned(),
            rows: files.len(),
            names: names?.into_iter().collect(),
            is_own: false,
            is_segmask: false,
            source: Maker::Png(files),
        })
    }

    /// The codes of one row.
    fn codes(&self, row: usize) -> Result<Grid<u8>, Error> {
        let (width, height, codes) = match &self.source {
            Maker::Hdf5(source) => {
                let raw = source.read(row)?;
                let values = number::decode_mask(raw.number, &raw.bytes);
                let values = values.ok_or_else(|| {
                    Error::new("the class map holds no numbers; write it as u8", &self.path)
                })?;
                (source.width, source.height, values)
            }
            Maker::Array(run) => {
                let frame = run.read_frame(row)?;
                let values = frame.pixels.cells().iter();
                let values = values.map(|value| number::mask_value(f64::from(*value)));
                (frame.width(), frame.height(), values.collect())
            }
            Maker::Png(files) => {
                let file = files.get(row).unwrap_or(&self.path);
                return read_png(file);
            }
        };
        let codes: Result<Vec<u8>, u32> = codes
            .into_iter()
            .map(|code| u8::try_from(code).map_err(|_| code))
            .collect();
        let codes = codes.map_err(|code| {
            Error::new(
                format!("the class code {code} is no code (0 to 255); these are no labels"),
                &self.path,
            )
        })?;
        let grid = Grid::from_cells(width, height, codes);
        grid.ok_or_else(|| Error::new("the class map is cut short; copy it again", &self.path))
    }

    /// The codes whose meaning somebody has to say; empty where `map` or the file itself says it.
    ///
    /// In a bare CXI segmask 2 can be artifact or, in the lab's own labeller, "do not predict": only 0 and 1 speak for
    /// themselves there, unless 255 shows that the codes are this program's. Elsewhere its codes are taken as said.
    pub fn unclear(&self, map: Option<&CodeMap>) -> Result<Vec<u8>, Error> {
        let (own, mut seen) = (CodeMap::own(), BTreeSet::new());
        if map.is_none() && self.is_own {
            return Ok(Vec::new());
        }
        for row in 0..self.rows {
            let mut is_there = [false; 256];
            for code in self.codes(row)?.cells() {
                if let Some(there) = is_there.get_mut(usize::from(*code)) {
                    *there = true;
                }
            }
            let codes = (0..=u8::MAX).zip(is_there);
            seen.extend(codes.filter(|(_, is)| *is).map(|(code, _)| code));
        }
        let is_vague = self.is_segmask
            && map.is_none()
            && seen.contains(&Class::Artifact.code())
            && !seen.contains(&Class::Ignore.code());
        let map = map.unwrap_or(&own);
        let unclear = seen.iter().any(|code| map.class_of(*code).is_none()) || is_vague;
        Ok(if unclear {
            seen.into_iter().collect()
        } else {
            Vec::new()
        })
    }

    /// The classes of one row.
    ///
    /// Errors: not readable; a code without a class.
    pub fn read(&self, row: usize, map: &CodeMap) -> Result<Arc<Sheet>, Error> {
        let mut sheet = self.codes(row)?;
        for cell in sheet.cells_mut() {
            let Some(class) = map.class_of(*cell) else {
                return Err(Error::new(
                    format!(
                        "nothing says what the code {cell} means; give --segmask-map with a class for it"
                    ),
                    &self.path,
                ));
            };
            *cell = class.code();
        }
        Ok(Arc::new(sheet))
    }
}

/// Which frames the rows of a data set are of, where sets and exported CXI files say so.
fn names(path: &Path, facts: &Facts, name: &str) -> Result<Option<Vec<Named>>, Error> {
    let has = |name: &str| facts.sets.contains_key(name);
    if name == "/labels" && has("/metadata") {
        let texts = h5::read_texts(path, "/metadata")?;
        return Ok(texts.iter().map(|text| named(text)).collect());
    }
    let (frame, run) = ("/entry_1/data_1/frame", "/entry_1/data_1/run");
    if name == export::SEGMASK && has(frame) && has(run) {
        let (runs, (_, frames)) = (h5::read_texts(path, run)?, h5::read_all(path, frame)?);
        let names = runs.into_iter().zip(frames).map(|(run, frame)| Named {
            run,
            dataset: None,
            frame: frame as usize,
        });
        return Ok(Some(names.collect()));
    }
    Ok(None)
}

/// What the metadata of a set's frame say of where it is from.
fn named(text: &str) -> Option<Named> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(Named {
        run: value.get("source")?.as_str()?.to_owned(),
        dataset: (value.get("dataset").and_then(|set| set.as_str())).map(str::to_owned),
        frame: value.get("frame")?.as_u64()?.try_into().ok()?,
    })
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
    if files.is_empty() {
        return Err(Error::new(
            "no PNG in this folder; give one with an indexed PNG a frame",
            labels,
        ));
    }
    Ok(files)
}

type Decoder = png::Reader<std::io::BufReader<std::fs::File>>;

fn open_png(path: &Path) -> Result<Decoder, Error> {
    let file = std::fs::File::open(path).map_err(|e| Error::reading(&e, path))?;
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    decoder
        .read_info()
        .map_err(|error| damaged(&error.to_string(), path))
}

fn damaged(why: &str, path: &Path) -> Error {
    Error::new(
        format!("not a readable label image ({why}); write 8-bit indexed or grey PNG"),
        path,
    )
}

/// The run and frame that an exported PNG names in its texts.
fn png_name(path: &Path) -> Result<Option<Named>, Error> {
    let reader = open_png(path)?;
    let texts = &reader.info().utf8_text;
    let of = |keyword: &str| {
        let text = texts.iter().find(|text| text.keyword == keyword);
        text.and_then(|text| text.get_text().ok())
    };
    let frame = of(export::PNG_FRAME).and_then(|frame| frame.parse().ok());
    Ok(of(export::PNG_RUN).zip(frame).map(|(run, frame)| Named {
        run,
        dataset: None,
        frame,
    }))
}

fn read_png(path: &Path) -> Result<Grid<u8>, Error> {
    let mut reader = open_png(path)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let is_plain = matches!(
        info.color_type,
        png::ColorType::Indexed | png::ColorType::Grayscale
    );
    if !is_plain || info.bit_depth != png::BitDepth::Eight || width.saturating_mul(height) > 1 << 28
    {
        return Err(damaged("it has colours or another depth", path));
    }
    let mut cells = vec![0; width * height];
    reader
        .next_frame(&mut cells)
        .map_err(|error| damaged(&error.to_string(), path))?;
    Grid::from_cells(width, height, cells).ok_or_else(|| damaged("it is cut short", path))
}
