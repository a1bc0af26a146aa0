//! A labelled run with known truth as one CXI file: what `peaknet simulate` writes.

use std::path::Path;

use super::Error;
use super::crystfel::{GeomLines, write_geom};
use super::cxi_out::{fill, program, write_beam};
use super::h5::{Creation, Writer};
use super::peak_list::{GROUP, PeakWriter};
use crate::domain::frame::{Frame, bad};
use crate::domain::geometry::Geometry;
use crate::domain::labels::Sheet;
use crate::domain::peaks::Peak;
use crate::domain::simulate::Simulated;
use crate::fs::Pending;

/// One simulated frame with its truth.
#[derive(Clone, Debug)]
pub struct LabelledFrame {
    pub frame: Frame,
    pub sheet: Sheet,
    pub peaks: Vec<Peak>,
}

impl From<Simulated> for LabelledFrame {
    /// The truth as files know it; what was not measured (maximum, radius) is 0.
    fn from(simulated: Simulated) -> Self {
        let peaks = simulated.peaks.iter().map(|peak| Peak {
            x: peak.x,
            y: peak.y,
            total: peak.total,
            snr: peak.snr,
            ..Peak::default()
        });
        Self {
            peaks: peaks.collect(),
            frame: simulated.frame,
            sheet: simulated.sheet,
        }
    }
}

/// What holds for the whole run.
#[derive(Clone, Debug, Default)]
pub struct LabelledHeader {
    pub geometry: Geometry,
    pub detector: String,
    /// How it was made, as JSON: recipe, seed.
    pub recipe: String,
}

/// Writes RUN.cxi and RUN.geom beside it; frames are taken one at a time. Returns how many.
///
/// Errors: no frame; frames of different sizes; a file exists without `force`; what the iterator says.
pub fn write_labelled_run(
    path: &Path,
    header: &LabelledHeader,
    frames: impl Iterator<Item = Result<LabelledFrame, Error>>,
    force: bool,
) -> Result<usize, Error> {
    const DATA: &str = "/entry_1/instrument_1/detector_1/data";
    const MASK: &str = "/entry_1/data_1/mask";
    let cxi = Pending::new(path, force)?;
    let geom = Pending::new(&path.with_extension("geom"), force)?;
    let writer = Writer::create(cxi.path(), path)?;
    writer.scalar("/cxi_version", 160i32)?;
    write_beam(&writer, &header.geometry)?;
    writer.text(
        "/entry_1/instrument_1/detector_1/description",
        &header.detector,
    )?;
    writer.text("/recipe", &header.recipe)?;
    let mut peaks = PeakWriter::create(&writer, 0)?;
    let mut open = None;
    let mut count = 0;
    for item in frames {
        let LabelledFrame {
            frame,
            sheet,
            peaks: truth,
        } = item?;
        let (width, height) = (frame.width(), frame.height());
        if open.is_none() {
            let creation = Creation::frames(height, width, 1);
            let sets = (
                writer.chunks::<f32>(DATA, &creation)?,
                writer.chunks::<u16>(MASK, &creation)?,
                writer.chunks::<u8>("/labels", &creation)?,
                writer.chunks::<u8>("/valid", &creation)?,
            );
            open = Some((sets, width, height));
        }
        let Some(((pixels, mask, labels, valid), w, h)) = &mut open else {
            continue;
        };
        if (width, height) != (*w, *h) || (sheet.width(), sheet.height()) != (*w, *h) {
            return Err(Error::new(
                format!("a frame of {width} x {height} pixels among frames of {w} x {h}"),
                path,
            ));
        }
        for chunks in [&mut *pixels, &mut *mask, &mut *labels, &mut *valid] {
            chunks.grow(&[count + 1, height, width])?;
        }
        let at = [count, 0, 0];
        let good: Vec<u8> = frame
            .bad
            .cells()
            .iter()
            .map(|bits| u8::from(bits & bad::NOT_VALID == 0))
            .collect();
        pixels.write(&at, frame.pixels.cells())?;
        mask.write(&at, frame.bad.cells())?;
        labels.write(&at, sheet.cells())?;
        valid.write(&at, &good)?;
        peaks.write(count, &truth)?;
        count += 1;
    }
    let Some((_, width, height)) = open else {
        return Err(Error::new("no frame to write; ask for one or more", path));
    };
    peaks.finish(&writer)?;
    writer.soft_link("/entry_1/data_1/data", DATA)?;
    // With `/labels` and `/valid` it can also be read as a training set.
    writer.soft_link("/images", DATA)?;
    writer.attribute(GROUP, "program", &program())?;
    writer.close()?;
    let lines = GeomLines {
        data: "/entry_1/data_1/data",
        mask: Some((MASK, !(bad::SATURATED | bad::SIGNAL))),
        peak_list: Some(GROUP),
        from: None,
    };
    fill(&geom, &write_geom(&header.geometry, width, height, &lines))?;
    geom.commit()?;
    cxi.commit()?;
    Ok(count)
}
