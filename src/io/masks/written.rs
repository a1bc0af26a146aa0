//! Masks of bad pixels as files of other programs.

use std::path::Path;

use crate::domain::grid::Grid;
use crate::fs::{Pending, write_whole};
use crate::io::Error;
use crate::io::h5::{Creation, Writer};

/// How a mask is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskFormat {
    /// u16 with the bits of the CXI standard, 0 = good.
    Npy,
    /// u16 with the bits of the CXI standard at `/mask`, 0 = good.
    Hdf5,
    /// u8, 1 = bad.
    Edf,
    /// u8, 1 = bad.
    Tiff,
    /// White = bad.
    Png,
    /// One bit a pixel, 1 = bad.
    Fit2d,
}

impl MaskFormat {
    /// By the ending of the file's name.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_lowercase();
        Some(match ending.as_str() {
            "npy" => Self::Npy,
            "h5" | "hdf5" => Self::Hdf5,
            "edf" => Self::Edf,
            "tif" | "tiff" => Self::Tiff,
            "png" => Self::Png,
            "msk" => Self::Fit2d,
            _ => return None,
        })
    }
}

/// Writes a mask; pixels with one of the bits in `meant` are bad.
///
/// Errors: the file exists without `force`; the folder cannot be written.
pub fn write(
    path: &Path,
    format: MaskFormat,
    mask: &Grid<u16>,
    meant: u16,
    force: bool,
) -> Result<(), Error> {
    let (width, height) = (mask.width(), mask.height());
    let of = |value: u8| -> Vec<u8> {
        mask.cells()
            .iter()
            .map(|bits| u8::from(bits & meant != 0) * value)
            .collect()
    };
    let bytes = match format {
        MaskFormat::Npy => npy_u16(width, height, mask.cells()),
        MaskFormat::Hdf5 => return write_hdf5(path, mask, force),
        MaskFormat::Edf => edf(width, height, &of(1)),
        MaskFormat::Tiff => tiff(width, height, &of(1)).map_err(|error| failed(&error, path))?,
        MaskFormat::Png => png(width, height, &of(255)).map_err(|error| failed(&error, path))?,
        MaskFormat::Fit2d => fit2d_bytes(width, height, &of(1)),
    };
    Ok(write_whole(path, &bytes, force)?)
}

fn failed(error: &dyn std::fmt::Display, path: &Path) -> Error {
    Error::new(
        format!("the mask cannot be written so ({error}); choose another format"),
        path,
    )
}

fn write_hdf5(path: &Path, mask: &Grid<u16>, force: bool) -> Result<(), Error> {
    let pending = Pending::new(path, force)?;
    let writer = Writer::create(pending.path(), path)?;
    let shape = vec![mask.height(), mask.width()];
    let creation = Creation {
        chunk: shape.clone(),
        grows: vec![false; 2],
        shape,
        gzip_level: 1,
    };
    writer
        .chunks::<u16>("/mask", &creation)?
        .write(&[0, 0], mask.cells())?;
    writer.attribute("/mask", "meaning", "bits of the CXI standard, 0 = good")?;
    writer.close()?;
    Ok(pending.commit()?)
}

/// A NumPy file of one u16 array; format 1.0 of numpy.lib.format.
fn npy_u16(width: usize, height: usize, cells: &[u16]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    // The whole header, ten bytes of preamble and the line end included, is a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(cells.iter().flat_map(|cell| cell.to_le_bytes()));
    bytes
}

/// An EDF file of unsigned bytes; the header is a multiple of 512 bytes.
fn edf(width: usize, height: usize, cells: &[u8]) -> Vec<u8> {
    let text = format!(
        "{{\nHeaderID = EH:000001:000000:000000 ;\nImage = 1 ;\nByteOrder = LowByteFirst ;\nDataType = UnsignedByte ;\n\
         Dim_1 = {width} ;\nDim_2 = {height} ;\nSize = {} ;\n",
        cells.len()
    );
    let length = (text.len() + 2).div_ceil(512) * 512;
    let mut bytes = format!("{text:<0$}}}\n", length - 2).into_bytes();
    bytes.extend_from_slice(cells);
    bytes
}

fn tiff(width: usize, height: usize, cells: &[u8]) -> Result<Vec<u8>, tiff::TiffError> {
    let mut out = std::io::Cursor::new(Vec::new());
    tiff::encoder::TiffEncoder::new(&mut out)?.write_image::<tiff::encoder::colortype::Gray8>(
        width as u32,
        height as u32,
        cells,
    )?;
    Ok(out.into_inner())
}

fn png(width: usize, height: usize, cells: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(cells)?;
    Ok(out)
}

fn fit2d_bytes(width: usize, height: usize, cells: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    for (place, letter) in b"MASK".iter().enumerate() {
        bytes[place * 4] = *letter;
    }
    bytes[16..20].copy_from_slice(&(width as u32).to_le_bytes());
    bytes[20..24].copy_from_slice(&(height as u32).to_le_bytes());
    let stride = width.div_ceil(32) * 4;
    for row in cells.chunks(width.max(1)) {
        let mut packed = vec![0u8; stride];
        for (x, _) in row.iter().enumerate().filter(|(_, cell)| **cell != 0) {
            packed[x / 8] |= 1 << (x % 8);
        }
        bytes.extend(packed);
    }
    bytes
}
