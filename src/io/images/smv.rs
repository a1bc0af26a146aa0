//! SMV (.img of ADSC, Rigaku, Timepix ...): a text block in braces, then plain integers.

use super::super::number::{Codes, Kind, Number};
use super::Head;
use super::text::{latin, number, value};

/// The header and where the pixels begin.
pub fn head(first: &[u8]) -> Result<(Head, usize), String> {
    let damaged = || "the SMV header is damaged; copy the file again from where it came".to_owned();
    let opening = latin(first.get(..first.len().min(4096)).unwrap_or(first));
    let start = number(&opening, "HEADER_BYTES").ok_or_else(damaged)? as usize;
    let text = latin(first.get(..start.min(first.len())).unwrap_or(first));
    let size = |key| number(&text, key).filter(|n| *n >= 1.0).map(|n| n as usize);
    let (Some(width), Some(height)) = (size("SIZE1"), size("SIZE2")) else {
        return Err(damaged());
    };
    let kind = value(&text, "TYPE").unwrap_or("unsigned_short");
    let mut stored = match kind {
        "unsigned_short" | "short_unsigned" => Number::new(Kind::Unsigned, 2),
        "short" | "signed_short" => Number::new(Kind::Signed, 2),
        "unsigned_long" | "unsigned_int" => Number::new(Kind::Unsigned, 4),
        "long" | "signed_long" | "int" | "signed_int" => Number::new(Kind::Signed, 4),
        "unsigned_char" => Number::U8,
        "float" => Number::F32,
        other => {
            return Err(format!(
                "the SMV file holds {other:?}, which is not readable here; convert it"
            ));
        }
    };
    stored.big_endian = value(&text, "BYTE_ORDER") == Some("big_endian");
    let mut head = Head::new("SMV", width, height, stored);
    head.codes = Codes::Integrating;
    let positive = |key| number(&text, key).filter(|n| *n > 0.0);
    head.saturation = positive("CCD_IMAGE_SATURATION").map(|n| n as f32);
    head.detector = value(&text, "BEAMLINE")
        .map(str::to_owned)
        .filter(|name| !name.is_empty());
    let pixel_mm = positive("PIXEL_SIZE");
    head.geometry.wavelength_angstrom = positive("WAVELENGTH");
    head.geometry.detector_distance_m = positive("DISTANCE").map(|mm| mm / 1e3);
    head.geometry.pixel_size_m = pixel_mm.map(|mm| [mm / 1e3; 2]);
    let center = positive("BEAM_CENTER_X").zip(positive("BEAM_CENTER_Y"));
    if let (Some((x, y)), Some(pixel)) = (center, pixel_mm) {
        // Millimetres by the format's rule; numbers that would lie far outside are pixels.
        let outside = x > pixel * width as f64 * 1.5 || y > pixel * height as f64 * 1.5;
        let scale = if outside { 1.0 } else { 1.0 / pixel };
        head.geometry.beam_center_px = Some([x * scale, y * scale]);
        head.notices
            .push("SMV files differ in how they count the beam centre; check it".to_owned());
    }
    Ok((head, start))
}
