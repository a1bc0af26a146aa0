//! EDF (ESRF): a text block in braces, then plain numbers. Only the first frame of a file is read, which `images::head` says where there are more.

use super::super::number::{Codes, Kind, Number};
use super::Head;
use super::text::{dectris, latin, number, value};

/// The header and where the pixels begin.
pub fn head(first: &[u8]) -> Result<(Head, usize), String> {
    let end = first
        .windows(2)
        .position(|pair| pair == b"}\n")
        .ok_or("the EDF header has no end; copy the file again from where it came")?;
    let text = latin(first.get(..end).unwrap_or(first));
    let size = |key| number(&text, key).filter(|n| *n >= 1.0).map(|n| n as usize);
    let (Some(width), Some(height)) = (size("Dim_1"), size("Dim_2")) else {
        return Err(
            "the EDF header does not say how large the frame is; write the file again".to_owned(),
        );
    };
    let kind = value(&text, "DataType").unwrap_or("UnsignedShort");
    let mut stored = match kind.to_lowercase().as_str() {
        "unsignedbyte" => Number::U8,
        "signedbyte" => Number::new(Kind::Signed, 1),
        "unsignedshort" => Number::new(Kind::Unsigned, 2),
        "signedshort" => Number::new(Kind::Signed, 2),
        "unsignedinteger" | "unsignedlong" => Number::new(Kind::Unsigned, 4),
        "signedinteger" | "signedlong" => Number::new(Kind::Signed, 4),
        "unsigned64" => Number::new(Kind::Unsigned, 8),
        "signed64" => Number::new(Kind::Signed, 8),
        "float" | "floatvalue" | "real" => Number::F32,
        "double" | "doublevalue" => Number::new(Kind::Float, 8),
        other => {
            return Err(format!(
                "the EDF file holds {other:?}, which is not readable here; convert it"
            ));
        }
    };
    if value(&text, "Compression")
        .is_some_and(|how| !how.eq_ignore_ascii_case("none") && !how.is_empty())
    {
        return Err(
            "the EDF file is compressed inside, which is not readable here; write it uncompressed"
                .to_owned(),
        );
    }
    stored.big_endian = value(&text, "ByteOrder") == Some("HighByteFirst");
    let mut head = Head::new("EDF", width, height, stored);
    head.codes = match (stored.kind, stored.bytes) {
        (Kind::Signed, 4) if text.contains("Pixel_size") => Codes::Counting, // a Pilatus frame, converted
        (Kind::Unsigned, _) => Codes::Integrating,
        _ => Codes::None,
    };
    let positive = |key| number(&text, key).filter(|n| *n > 0.0);
    // SAXS keywords of the ESRF, in metres and pixels: Boesecke, J. Appl. Cryst. 40 (2007) s423; the
    // lower left corner of the first pixel is 0.
    head.geometry.wavelength_angstrom = positive("WaveLength").map(|metres| metres * 1e10);
    head.geometry.detector_distance_m = positive("SampleDistance");
    head.geometry.pixel_size_m = positive("PSize_1")
        .zip(positive("PSize_2"))
        .map(|(x, y)| [x, y]);
    head.geometry.beam_center_px = positive("Center_1")
        .zip(positive("Center_2"))
        .map(|(x, y)| [x, y]);
    if let Some(title) = value(&text, "title") {
        head.geometry.fill_from(&dectris(title).geometry);
    }
    Ok((head, end + 2))
}
