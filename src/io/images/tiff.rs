//! TIFF frames of one channel, MarCCD included, with the headers of Dectris and SAXSLAB.

use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::super::number::{Codes, Kind, Number};
use super::text::{dectris, saxslab};
use super::{Decoded, Head, TRUNCATED};

fn sentence(error: &TiffError) -> String {
    match error {
        TiffError::IoError(_) => TRUNCATED.to_owned(),
        TiffError::UnsupportedError(what) => {
            format!(
                "this kind of TIFF is not readable here ({what}); convert it to plain grey values"
            )
        }
        other => format!("the TIFF file is damaged ({other}); copy it again from where it came"),
    }
}

fn open(bytes: &[u8]) -> Result<Decoder<Cursor<&[u8]>>, String> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = super::MOST_BYTES as usize;
    limits.ifd_value_size = 1 << 26;
    Ok(Decoder::new(Cursor::new(bytes))
        .map_err(|error| sentence(&error))?
        .with_limits(limits))
}

/// The header.
pub fn head(bytes: &[u8]) -> Result<Head, String> {
    head_of(&mut open(bytes)?, bytes)
}

fn head_of(decoder: &mut Decoder<Cursor<&[u8]>>, bytes: &[u8]) -> Result<Head, String> {
    let (width, height) = decoder.dimensions().map_err(|error| sentence(&error))?;
    let bits = match decoder.colortype().map_err(|error| sentence(&error))? {
        ColorType::Gray(bits) => bits,
        other => {
            return Err(format!(
                "the TIFF file is a colour picture ({other:?}); give detector frames of one channel"
            ));
        }
    };
    let format = decoder
        .find_tag_unsigned::<u16>(Tag::SampleFormat)
        .ok()
        .flatten()
        .unwrap_or(1);
    let number = match (format, bits) {
        (1 | 4, 8 | 16 | 32 | 64) => Number::new(Kind::Unsigned, usize::from(bits) / 8),
        (2, 8 | 16 | 32 | 64) => Number::new(Kind::Signed, usize::from(bits) / 8),
        (3, 32 | 64) => Number::new(Kind::Float, usize::from(bits) / 8),
        _ => {
            return Err(format!(
                "the TIFF file holds {bits} bits a pixel, which is not readable here; convert it"
            ));
        }
    };
    let mut head = Head::new("TIFF", width as usize, height as usize, number);
    let mut text = |tag| decoder.get_tag_ascii_string(tag).unwrap_or_default();
    let description = text(Tag::ImageDescription);
    let model = text(Tag::Model);
    let artist = text(Tag::Artist);
    let header = dectris(&description);
    head.geometry = header.geometry;
    head.notices = header.notices;
    head.detector = header
        .detector
        .or_else(|| (!model.trim().is_empty()).then(|| model.trim().to_owned()));
    for xml in [&artist, &description] {
        if xml.contains("<SAXSLABparameters") {
            head.geometry.fill_from(&saxslab(xml));
        }
    }
    let is_counting =
        model.to_uppercase().contains("PILATUS") || description.contains("Count_cutoff");
    if is_counting {
        head.saturation = header.count_cutoff;
    }
    head.codes = match number.kind {
        Kind::Signed if is_counting => Codes::Counting,
        Kind::Unsigned => Codes::Integrating,
        _ => Codes::None,
    };
    marccd(bytes, &mut head);
    Ok(head)
}

/// MarCCD and Rayonix files keep a header of their own behind the first kilobyte.
///
/// Offsets: cctbx/dxtbx FormatTIFFRayonix.py; lengths are stored as integers of 1e-3 mm, 1e-6 mm, 1e-5 A.
fn marccd(bytes: &[u8], head: &mut Head) {
    let little = bytes.starts_with(b"II");
    let at = |offset: usize| {
        let cell = *bytes.get(1024 + offset..)?.first_chunk::<4>()?;
        let value = if little {
            i32::from_le_bytes(cell)
        } else {
            i32::from_be_bytes(cell)
        };
        (value > 0).then_some(f64::from(value))
    };
    if bytes.get(1028..1031) != Some(b"MMX".as_slice()) {
        return;
    }
    head.format = "MarCCD";
    head.saturation = at(104).map(|counts| counts as f32);
    head.geometry.wavelength_angstrom = at(908)
        .map(|value| value * 1e-5)
        .filter(|value| (0.01..30.0).contains(value));
    head.geometry.pixel_size_m = at(772).zip(at(776)).map(|(x, y)| [x * 1e-9, y * 1e-9]);
    head.geometry.detector_distance_m = at(696).or_else(|| at(640)).map(|value| value * 1e-6);
    head.geometry.beam_center_px = at(644).zip(at(648)).map(|(x, y)| [x * 1e-3, y * 1e-3]);
}

/// The pixels, in the machine's byte order.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let mut decoder = open(bytes)?;
    let mut head = head_of(&mut decoder, bytes)?;
    let image = decoder.read_image().map_err(|error| sentence(&error))?;
    head.number = head.number.native();
    let bytes = match image {
        DecodingResult::U8(cells) => cells,
        DecodingResult::U16(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::U32(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::U64(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::I8(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::I16(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::I32(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::I64(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::F32(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::F64(cells) => bytemuck::cast_slice(&cells).to_vec(),
        DecodingResult::F16(_) => {
            return Err(
                "the TIFF file holds half precision numbers; convert it to float32".to_owned(),
            );
        }
    };
    Ok(Decoded { head, bytes })
}
