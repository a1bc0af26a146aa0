//! Text headers: Dectris comment lines, key = value blocks, SAXSLAB parameters.

use crate::domain::geometry::Geometry;

/// Bytes as text; every byte is a character, so this never fails.
pub fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What the comment lines of a Dectris header say (`# Wavelength 0.9686 A`).
#[derive(Debug, Default)]
pub struct Dectris {
    pub geometry: Geometry,
    pub detector: Option<String>,
    pub count_cutoff: Option<f32>,
    pub notices: Vec<String>,
}

/// Reads Dectris comment lines, as miniCBF and Pilatus TIFF files have them.
///
/// `Beam_xy` counts from the outer corner of the first pixel, as dxtbx reads it
/// (cctbx/dxtbx FormatCBFMiniPilatus: beam = Beam_xy x pixel size).
pub fn dectris(text: &str) -> Dectris {
    let mut found = Dectris::default();
    for line in text.lines() {
        let Some(line) = line.trim().strip_prefix('#') else {
            continue;
        };
        let line = line.trim();
        let Some((key, rest)) = line.split_once([' ', ':', '=']) else {
            continue;
        };
        let numbers = numbers(rest);
        let first = numbers.first().copied();
        let positive = first.filter(|value| *value > 0.0);
        match key {
            "Detector" => {
                let name = rest.trim_start_matches([':', ' ', '=']).trim();
                found.detector = (!name.is_empty()).then(|| name.to_owned());
            }
            "Wavelength" => found.geometry.wavelength_angstrom = positive,
            "Detector_distance" => found.geometry.detector_distance_m = positive,
            "Pixel_size" => {
                if let [x, y, ..] = numbers.as_slice()
                    && *x > 0.0
                    && *y > 0.0
                {
                    found.geometry.pixel_size_m = Some([*x, *y]);
                }
            }
            "Beam_xy" => {
                if let [x, y, ..] = numbers.as_slice()
                    && (*x, *y) != (0.0, 0.0)
                {
                    found.geometry.beam_center_px = Some([*x, *y]);
                }
            }
            "Count_cutoff" => found.count_cutoff = positive.map(|value| value as f32),
            "Detector_2theta" => {
                if let Some(angle) = first.filter(|angle| angle.abs() > 1e-3) {
                    found.notices.push(format!(
                        "the detector is swung out by {angle} degrees, which the geometry here leaves out; give a .geom or .poni"
                    ));
                }
            }
            _ => {}
        }
    }
    found
}

/// All numbers of a text, in order.
pub fn numbers(text: &str) -> Vec<f64> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '=' | ':'))
        .filter_map(|word| word.parse().ok())
        .filter(|value: &f64| value.is_finite())
        .collect()
}

/// The value of `key = value;` in a header block.
pub fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    header.split([';', '\n']).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim().trim_start_matches('{').trim() == key).then_some(value.trim())
    })
}

pub fn number(header: &str, key: &str) -> Option<f64> {
    value(header, key)?.split_whitespace().next()?.parse().ok()
}

/// One parameter of a SAXSLAB header, `<param name="KEY">VALUE</param>`.
fn parameter<'a>(xml: &'a str, key: &str) -> Option<&'a str> {
    let start = format!("<param name=\"{key}\">");
    let rest = &xml[xml.find(&start)? + start.len()..];
    Some(rest.get(..rest.find('<')?)?.trim())
}

/// Geometry of SAXSLAB instruments: distance in millimetres, pixel size in millimetres, the beam as "y x"
/// counted from the centre of the first pixel.
pub fn saxslab(xml: &str) -> Geometry {
    let positive = |key| {
        numbers(parameter(xml, key)?)
            .first()
            .copied()
            .filter(|value| *value > 0.0)
    };
    let pair = |key| match numbers(parameter(xml, key)?).as_slice() {
        [a, b, ..] => Some([*a, *b]),
        _ => None,
    };
    Geometry {
        wavelength_angstrom: positive("wavelength"),
        detector_distance_m: positive("detector_dist").map(|value| value / 1e3),
        pixel_size_m: pair("pixelsize").map(|[x, y]| [x / 1e3, y / 1e3]),
        beam_center_px: pair("beamcenter_actual")
            .or_else(|| pair("beamcenter_nominal"))
            .map(|[y, x]| [x + 0.5, y + 0.5]),
        panels: Vec::new(),
    }
}
