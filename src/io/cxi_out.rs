//! OUT.cxi, OUT.geom and OUT.lst: peaks and masks of a run for CrystFEL, frame by frame.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Error;
use super::crystfel::{Geom, GeomLines, write_geom};
use super::h5::{Cell, Chunks, Creation, VirtualPiece, Writer};
use super::number::{Kind, Number};
use super::peak_list::{GROUP, PeakWriter};
use super::run::Run;
use crate::domain::frame::{Frame, bad};
use crate::domain::geometry::Geometry;
use crate::domain::grid::Grid;
use crate::domain::labels::{Class, Sheet};
use crate::domain::peaks::Peak;
use crate::fs::Pending;

const DATA: &str = "/entry_1/data_1/data";
const MASK: &str = "/entry_1/data_1/mask";
const DETECTOR: &str = "/entry_1/instrument_1/detector_1";
/// Bits that make a pixel bad for CrystFEL: all but saturated (0x2) and signal (0x1000).
const BAD_BITS: u16 = !(bad::SATURATED | bad::SIGNAL);

/// What goes into the file besides peaks and the detector's own mask.
#[derive(Clone, Debug)]
pub struct CxiOptions {
    /// Adds the class map of every frame.
    pub classes: bool,
    /// Sets the artifact bit in the mask.
    pub artifact_mask: bool,
    /// Pixels around every found peak that stay free of the artifact bit.
    pub peak_margin: usize,
    pub net_name: Option<String>,
    pub net_digest: Option<String>,
    pub force: bool,
}

impl Default for CxiOptions {
    fn default() -> Self {
        Self {
            classes: false,
            artifact_mask: true,
            peak_margin: 4,
            net_name: None,
            net_digest: None,
            force: false,
        }
    }
}

/// The three files while they are written; dropped before [`CxiOut::finish`] they leave nothing.
#[derive(Debug)]
pub struct CxiOut {
    writer: Writer,
    cxi: Pending,
    geom: Pending,
    list: Pending,
    frames: Range<usize>,
    width: usize,
    height: usize,
    geometry: Geometry,
    from: Option<Geom>,
    options: CxiOptions,
    peaks: PeakWriter,
    mask: Chunks,
    classes: Option<Chunks>,
    /// Where pixels must be copied.
    pixels: Option<Chunks>,
}

/// How the file gets at the pixels.
#[derive(Debug, PartialEq)]
enum Pixels {
    External {
        file: String,
        dataset: String,
    },
    Virtual {
        number: Number,
        pieces: Vec<VirtualPiece>,
    },
    Copied,
}

impl CxiOut {
    /// Starts the files for a range of frames of a run; row i of the file is frame `frames.start + i`.
    ///
    /// Errors: an output exists without `force`; the folder cannot be written.
    pub fn create(
        out: &Path,
        run: &Run,
        frames: Range<usize>,
        options: &CxiOptions,
    ) -> Result<Self, Error> {
        let frames = frames.start.min(run.info.frames)..frames.end.min(run.info.frames);
        let (n, width, height) = (frames.len(), run.info.width, run.info.height);
        let pending = |out: &Path| {
            run.refuse_to_replace(out)?;
            Ok::<_, Error>(Pending::new(out, options.force)?)
        };
        let cxi = pending(out)?;
        let geom = pending(&out.with_extension("geom"))?;
        let list = pending(&out.with_extension("lst"))?;
        let writer = Writer::create(cxi.path(), out)?;
        writer.scalar("/cxi_version", 160i32)?;
        write_beam(&writer, &run.info.geometry)?;
        if let Some(name) = &run.info.detector {
            writer.text(&format!("{DETECTOR}/description"), name)?;
        }
        let creation = |gzip_level| Creation {
            shape: vec![n, height, width],
            chunk: vec![1, height, width],
            grows: vec![false; 3],
            gzip_level,
        };
        let pixels = match pixels_of(run, frames.clone()) {
            Pixels::External { file, dataset } => {
                writer.external_link(DATA, &file, &dataset)?;
                None
            }
            Pixels::Virtual { number, pieces } => {
                write_virtual(&writer, number, [n, height, width], &pieces)?;
                None
            }
            Pixels::Copied => Some(writer.chunks::<f32>(DATA, &creation(1))?),
        };
        let mask = writer.chunks::<u16>(MASK, &creation(1))?;
        writer.soft_link(&format!("{DETECTOR}/data"), DATA)?;
        writer.soft_link(&format!("{DETECTOR}/mask"), MASK)?;
        let events: Vec<String> = frames.clone().map(|number| run.event(number)).collect();
        writer.texts("/entry_1/experiment_identifier", &events)?;
        let classes = if options.classes {
            Some(writer.chunks::<u8>(&format!("{GROUP}/classes"), &creation(1))?)
        } else {
            None
        };
        Ok(Self {
            peaks: PeakWriter::create(&writer, n)?,
            writer,
            cxi,
            geom,
            list,
            frames,
            width,
            height,
            geometry: run.info.geometry.clone(),
            from: run.geom().cloned(),
            options: options.clone(),
            mask,
            classes,
            pixels,
        })
    }

    /// Adds one frame, in any order; `classes` are the predicted ones.
    ///
    /// Errors: a frame outside the range or of another size; the disk is full.
    pub fn push(
        &mut self,
        frame: &Frame,
        classes: Option<&Sheet>,
        peaks: &[Peak],
    ) -> Result<(), Error> {
        let fits = |w, h| (w, h) == (self.width, self.height);
        if !self.frames.contains(&frame.number)
            || !fits(frame.width(), frame.height())
            || classes.is_some_and(|sheet| !fits(sheet.width(), sheet.height()))
        {
            return Err(Error::new(
                format!("frame {} does not belong into this file", frame.number),
                self.cxi.target(),
            ));
        }
        let row = frame.number - self.frames.start;
        let artifacts = classes.filter(|_| self.options.artifact_mask);
        let bits = mask(frame, artifacts, peaks, self.options.peak_margin);
        self.mask.write(&[row, 0, 0], bits.cells())?;
        if let (Some(chunks), Some(sheet)) = (&self.classes, classes) {
            chunks.write(&[row, 0, 0], sheet.cells())?;
        }
        if let Some(chunks) = &self.pixels {
            chunks.write(&[row, 0, 0], frame.pixels.cells())?;
        }
        self.peaks.write(row, peaks)
    }

    /// Writes what is left; then all three files appear.
    pub fn finish(self) -> Result<(), Error> {
        self.peaks.finish(&self.writer)?;
        let attribute = |name: &str, text: &Option<String>| match text {
            Some(text) => self.writer.attribute(GROUP, name, text),
            None => Ok(()),
        };
        attribute("net", &self.options.net_name)?;
        attribute("net_digest", &self.options.net_digest)?;
        self.writer.attribute(GROUP, "program", &program())?;
        self.writer.close()?;
        let lines = GeomLines {
            data: DATA,
            mask: Some((MASK, BAD_BITS)),
            peak_list: Some(GROUP),
            from: self.from.as_ref(),
        };
        let text = write_geom(&self.geometry, self.width, self.height, &lines);
        fill(&self.geom, &text)?;
        let target = absolute(self.cxi.target());
        let events: String = (0..self.frames.len())
            .map(|row| format!("{} //{row}\n", target.display()))
            .collect();
        fill(&self.list, &events)?;
        // The CXI file comes last: where it is, the others are.
        self.geom.commit()?;
        self.list.commit()?;
        Ok(self.cxi.commit()?)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

pub(super) fn program() -> String {
    format!("PeakNet Studio {}", env!("CARGO_PKG_VERSION"))
}

pub(super) fn fill(pending: &Pending, text: &str) -> Result<(), Error> {
    use std::io::Write;
    std::fs::File::options()
        .write(true)
        .open(pending.path())
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| {
            Error::new(
                format!("cannot write the file ({error}); check the space left"),
                pending.target(),
            )
        })
}

/// Beam and detector in the fields of CXI that the `cxi` layout reads back; what is unknown is left out.
pub(super) fn write_beam(writer: &Writer, geometry: &Geometry) -> Result<(), Error> {
    let length = |name: &str, value: f64| {
        let path = format!("{DETECTOR}/{name}");
        writer.scalar(&path, value)?;
        writer.attribute(&path, "units", "m")
    };
    if let Some(distance) = geometry.detector_distance_m {
        length("distance", distance)?;
    }
    if let Some([x, y]) = geometry.pixel_size_m {
        length("x_pixel_size", x)?;
        length("y_pixel_size", y)?;
    }
    if let Some([x, y]) = geometry.beam_center_px {
        for (name, value) in [("beam_center_x", x), ("beam_center_y", y)] {
            let path = format!("{DETECTOR}/{name}");
            writer.scalar(&path, value)?;
            // As in NXmx: counted from the outer corner of the first pixel.
            writer.attribute(&path, "units", "pixel")?;
        }
    }
    if let Some(wavelength) = geometry.wavelength_angstrom {
        let path = "/entry_1/instrument_1/source_1/wavelength";
        writer.scalar(path, wavelength)?;
        writer.attribute(path, "units", "angstrom")?;
        // The CXI standard: joule.
        let joule = crate::domain::geometry::wavelength_from_energy(wavelength) * 1.602_176_634e-19;
        writer.scalar("/entry_1/instrument_1/source_1/energy", joule)?;
    }
    Ok(())
}

/// The mask of one frame: the detector's bits, and the artifact bit but for `margin` pixels around peaks.
pub fn mask(frame: &Frame, classes: Option<&Sheet>, peaks: &[Peak], margin: usize) -> Grid<u16> {
    let mut mask = frame.bad.map(|bits| bits & !bad::ARTIFACT);
    let Some(classes) = classes else {
        return mask;
    };
    for (bits, class) in mask.cells_mut().iter_mut().zip(classes.cells()) {
        if *class == Class::Artifact.code() {
            *bits |= bad::ARTIFACT;
        }
    }
    for peak in peaks {
        let reach = peak.radius + margin as f32;
        let low = |center: f32| (center - reach - 1.0).max(0.0) as usize;
        let high = |center: f32| (center + reach + 1.0).max(0.0) as usize;
        for y in low(peak.y)..high(peak.y).min(mask.height()) {
            for x in low(peak.x)..high(peak.x).min(mask.width()) {
                let away = (x as f32 + 0.5 - peak.x).hypot(y as f32 + 0.5 - peak.y);
                if away <= reach
                    && let Some(bits) = mask.get_mut(x, y)
                {
                    *bits &= !bad::ARTIFACT;
                }
            }
        }
    }
    mask
}

/// Decides between a link, a virtual data set and a copy.
fn pixels_of(run: &Run, frames: Range<usize>) -> Pixels {
    let mut pieces: Vec<VirtualPiece> = Vec::new();
    let mut number = None;
    if !run.is_linkable() {
        return Pixels::Copied;
    }
    for (row, frame) in frames.clone().enumerate() {
        let Some((source, source_row)) = run.hdf5_row(frame) else {
            continue; // a missing frame stays unmapped
        };
        let plain = Number {
            big_endian: false,
            ..source.number
        };
        if !source.is_slab() || *number.get_or_insert(plain) != plain {
            return Pixels::Copied;
        }
        let file = source.file.display().to_string();
        if let Some(last) = pieces.last_mut()
            && last.file == file
            && last.dataset == source.dataset
            && last.first_row + last.count == source_row
            && last.first_frame + last.count == row
        {
            last.count += 1;
        } else {
            pieces.push(VirtualPiece {
                file,
                dataset: source.dataset.clone(),
                source_rows: source.rows,
                first_row: source_row,
                first_frame: row,
                count: 1,
            });
        }
    }
    match (pieces.as_slice(), number) {
        ([piece], _) if piece.count == frames.len() && piece.count == piece.source_rows => {
            Pixels::External {
                file: piece.file.clone(),
                dataset: piece.dataset.clone(),
            }
        }
        (_, Some(number)) => Pixels::Virtual { number, pieces },
        _ => Pixels::Copied,
    }
}

fn write_virtual(
    writer: &Writer,
    number: Number,
    shape: [usize; 3],
    pieces: &[VirtualPiece],
) -> Result<(), Error> {
    fn make<T: Cell>(
        writer: &Writer,
        shape: [usize; 3],
        pieces: &[VirtualPiece],
    ) -> Result<(), Error> {
        writer.virtual_frames::<T>(DATA, shape, pieces)
    }
    let make = match (number.kind, number.bytes) {
        (Kind::Unsigned, 1) => make::<u8>,
        (Kind::Unsigned, 2) => make::<u16>,
        (Kind::Unsigned, 4) => make::<u32>,
        (Kind::Unsigned, _) => make::<u64>,
        (Kind::Signed, 1) => make::<i8>,
        (Kind::Signed, 2) => make::<i16>,
        (Kind::Signed, 4) => make::<i32>,
        (Kind::Signed, _) => make::<i64>,
        (Kind::Float, 8) => make::<f64>,
        (Kind::Float, _) => make::<f32>,
    };
    make(writer, shape, pieces)
}
