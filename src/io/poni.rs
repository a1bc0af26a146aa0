//! pyFAI calibrations (.poni), versions 1 to 2.1.
//!
//! Point of normal incidence and three rotations: Kieffer & Karkoulis, J. Phys.: Conf. Ser. 425 (2013)
//! 202012; the formula is pyFAI's `Geometry.calc_pos_zyx`. Poni1 and Rot1 belong to the slow axis and its
//! rotation about it, Poni2 to the fast axis; lengths in metres from the outer corner of the first pixel.

use std::path::Path;

use super::Error;
use crate::domain::geometry::{Geometry, Panel};
use crate::domain::grid::PixelRect;

/// The numbers of a .poni file, in metres and radians.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poni {
    pub distance_m: f64,
    pub poni1_m: f64,
    pub poni2_m: f64,
    pub rot: [f64; 3],
    /// Size along the slow and the fast axis.
    pub pixel_m: [f64; 2],
    /// Which axes run backwards: the slow one, the fast one (orientations 1 to 4 of version 2.1; 3 = none).
    pub reversed: [bool; 2],
    pub wavelength_m: Option<f64>,
}

/// Pixel sizes of detectors that version 2 files only name.
const DETECTORS: [(&str, f64); 9] = [
    ("pilatus", 172e-6),
    ("eiger", 75e-6),
    ("mythen", 50e-6),
    ("jungfrau", 75e-6),
    ("maxipix", 55e-6),
    ("rayonix", 39e-6),
    ("perkin", 200e-6),
    ("mar345", 100e-6),
    ("cspad", 109.92e-6),
];

/// Reads a .poni file; of several calibrations in it the last one counts, as in pyFAI.
///
/// Errors: not readable; no distance; no pixel size.
pub fn read_poni(path: &Path) -> Result<Poni, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::new(
            "this is no .poni file, which is plain text; give another",
            path,
        ),
        _ => Error::reading(&error, path),
    })?;
    parse_poni(&text).map_err(|sentence| Error::new(sentence, path))
}

/// Parses the text of a .poni file; errors are sentences without the path.
pub fn parse_poni(text: &str) -> Result<Poni, &'static str> {
    let mut poni = Poni::default();
    let mut detector = String::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        let number = value
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        match (key.trim().to_lowercase().as_str(), number) {
            ("distance", Some(n)) => poni.distance_m = n,
            ("poni1", Some(n)) => poni.poni1_m = n,
            ("poni2", Some(n)) => poni.poni2_m = n,
            ("rot1", Some(n)) => poni.rot[0] = n,
            ("rot2", Some(n)) => poni.rot[1] = n,
            ("rot3", Some(n)) => poni.rot[2] = n,
            ("pixelsize1", Some(n)) => poni.pixel_m[0] = n,
            ("pixelsize2", Some(n)) => poni.pixel_m[1] = n,
            ("wavelength", Some(n)) => poni.wavelength_m = Some(n),
            ("detector", _) => detector = value.to_lowercase(),
            ("detector_config", _) => {
                if let Ok(config) = serde_json::from_str::<serde_json::Value>(value) {
                    for (place, key) in ["pixel1", "pixel2"].into_iter().enumerate() {
                        if let Some(size) = config.get(key).and_then(serde_json::Value::as_f64) {
                            poni.pixel_m[place] = size;
                        }
                    }
                    let orientation = config.get("orientation");
                    poni.reversed = match orientation.and_then(serde_json::Value::as_u64) {
                        Some(1) => [true, true],
                        Some(2) => [true, false],
                        Some(4) => [false, true],
                        _ => [false, false],
                    };
                }
            }
            _ => {}
        }
    }
    if poni.pixel_m == [0.0; 2]
        && let Some((_, size)) = DETECTORS.iter().find(|(name, _)| detector.contains(name))
    {
        poni.pixel_m = [*size; 2];
    }
    if poni.distance_m <= 0.0 {
        return Err("no distance in this .poni file; write it again with pyFAI");
    }
    if poni.pixel_m.iter().any(|size| *size <= 0.0) {
        return Err("no pixel size in this .poni file; write it with pixel1 and pixel2");
    }
    Ok(poni)
}

impl Poni {
    /// Lab position (x, y, z of this program) of a place on the detector, metres from its corner.
    fn lab(&self, along_slow: f64, along_fast: f64) -> [f64; 3] {
        let [(s1, c1), (s2, c2), (s3, c3)] = self.rot.map(f64::sin_cos);
        let (p1, p2, l) = (
            along_slow - self.poni1_m,
            along_fast - self.poni2_m,
            self.distance_m,
        );
        let t1 = p1 * c2 * c3 + p2 * (c3 * s1 * s2 - c1 * s3) - l * (c1 * c3 * s2 + s1 * s3);
        let t2 = p1 * c2 * s3 + p2 * (c1 * c3 + s1 * s2 * s3) - l * (-(c3 * s1) + c1 * s2 * s3);
        let t3 = p1 * s2 - p2 * c2 * s1 + l * c1 * c2;
        // pyFAI's axes 1 and 2 run along slow and fast; here y is up and x to the left seen along the beam.
        [-t2, -t1, t3]
    }

    /// One panel that covers the frame.
    pub fn geometry(&self, width: usize, height: usize) -> Geometry {
        let cells = [height as f64, width as f64];
        // Where the outer corner of the cell (slow, fast) is on the detector, whose axes may run backwards.
        let at = |steps: [f64; 2]| {
            let [slow, fast] = std::array::from_fn(|axis| {
                let along = if self.reversed[axis] {
                    cells[axis] - steps[axis]
                } else {
                    steps[axis]
                };
                along * self.pixel_m[axis]
            });
            self.lab(slow, fast)
        };
        let corner = at([0.0, 0.0]);
        let step = |to: [f64; 3]| std::array::from_fn(|axis| to[axis] - corner[axis]);
        let mut geometry = Geometry {
            wavelength_angstrom: self
                .wavelength_m
                .filter(|value| *value > 0.0)
                .map(|metres| metres * 1e10),
            panels: vec![Panel {
                name: "p0".to_owned(),
                rect: PixelRect::new(0, 0, width, height),
                corner_m: corner,
                fast_m: step(at([0.0, 1.0])),
                slow_m: step(at([1.0, 0.0])),
            }],
            ..Geometry::default()
        };
        geometry.summarise();
        geometry
    }
}

/// The text of a .poni file (version 2.1) for a flat, untilted or one-panel geometry; `None` where the
/// geometry has several panels or does not know enough.
pub fn write_poni(geometry: &Geometry) -> Option<String> {
    let (distance, size, center, rot) = match geometry.panels.as_slice() {
        [] => (
            geometry.detector_distance_m?,
            geometry.pixel_size_m?,
            geometry.beam_center_px?,
            [0.0; 3],
        ),
        [panel] => return one_panel(panel, geometry.wavelength_angstrom),
        _ => return None,
    };
    Some(text(
        distance,
        center[1] * size[1],
        center[0] * size[0],
        rot,
        size,
        geometry.wavelength_angstrom,
        3,
    ))
}

fn one_panel(panel: &Panel, wavelength: Option<f64>) -> Option<String> {
    upright_panel(panel, wavelength, 3).or_else(|| {
        // Mirrored against pyFAI's axes: the same panel with its slow axis backwards.
        let rows = panel.rect.height() as f64;
        let turned = Panel {
            corner_m: panel.lab_m(0.0, rows),
            slow_m: panel.slow_m.map(|n| -n),
            ..panel.clone()
        };
        upright_panel(&turned, wavelength, 2)
    })
}

fn upright_panel(panel: &Panel, wavelength: Option<f64>, orientation: u8) -> Option<String> {
    let length = |v: [f64; 3]| v.iter().map(|n| n * n).sum::<f64>().sqrt();
    let unit = |v: [f64; 3]| v.map(|n| n / length(v));
    let (fast, slow) = (unit(panel.fast_m), unit(panel.slow_m));
    // Back to pyFAI's axes (t1, t2, t3) = (-y, -x, z): columns of the rotation for axes 1 and 2.
    let (e1, e2) = ([-slow[1], -slow[0], slow[2]], [-fast[1], -fast[0], fast[2]]);
    let e3 = [
        e1[1] * e2[2] - e1[2] * e2[1],
        e1[2] * e2[0] - e1[0] * e2[2],
        e1[0] * e2[1] - e1[1] * e2[0],
    ];
    let corner = [-panel.corner_m[1], -panel.corner_m[0], panel.corner_m[2]];
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let distance = dot(corner, e3);
    if distance <= 0.0 {
        return None;
    }
    // From t3: e1 has sin(rot2), e2 has -cos(rot2) sin(rot1).
    let rot2 = e1[2].asin();
    let rot1 = (-e2[2]).atan2(e3[2]);
    let rot3 = e1[1].atan2(e1[0]);
    let size = [length(panel.fast_m), length(panel.slow_m)];
    // The panel's corner need not be the slab's: pyFAI counts from the slab's.
    let poni1 = -dot(corner, e1) + panel.rect.y0 as f64 * size[1];
    let poni2 = -dot(corner, e2) + panel.rect.x0 as f64 * size[0];
    Some(text(
        distance,
        poni1,
        poni2,
        [rot1, rot2, rot3],
        size,
        wavelength,
        orientation,
    ))
}

fn text(
    distance: f64,
    poni1: f64,
    poni2: f64,
    rot: [f64; 3],
    size: [f64; 2],
    wavelength: Option<f64>,
    orientation: u8,
) -> String {
    let [rot1, rot2, rot3] = rot;
    let [pixel2, pixel1] = size;
    let mut out = format!(
        "# Written by PeakNet Studio. C order: 1 is the slow axis, 2 the fast axis.\nponi_version: 2.1\nDetector: Detector\n\
         Detector_config: {{\"pixel1\": {pixel1:e}, \"pixel2\": {pixel2:e}, \"max_shape\": null, \"orientation\": {orientation}}}\n\
         Distance: {distance}\nPoni1: {poni1}\nPoni2: {poni2}\nRot1: {rot1}\nRot2: {rot2}\nRot3: {rot3}\n"
    );
    if let Some(wavelength) = wavelength {
        out.push_str(&format!("Wavelength: {:e}\n", wavelength * 1e-10));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // The calibration of the Pilatus frame whose two-theta tests/io_data.rs compares with pyFAI's.
    const TILTED: &str = "PixelSize1: 0.000172\nPixelSize2: 0.000172\nDistance: 0.208651380603\nPoni1: 0.0872948482846\n\
        Poni2: 0.0799601126306\nRot1: -0.0184422457059\nRot2: 0.00413760084465\nRot3: -2.77645988275e-08\nWavelength: 4.066e-11\n";

    #[test]
    fn reads_versions_and_writes_back() {
        let poni = parse_poni(TILTED).unwrap();
        let geometry = poni.geometry(981, 1043);
        assert!((geometry.wavelength_angstrom.unwrap() - 0.4066).abs() < 1e-12);
        let again = parse_poni(&write_poni(&geometry).unwrap()).unwrap();
        for (a, b) in [
            (poni.distance_m, again.distance_m),
            (poni.poni1_m, again.poni1_m),
            (poni.poni2_m, again.poni2_m),
            (poni.rot[0], again.rot[0]),
            (poni.rot[1], again.rot[1]),
            (poni.rot[2], again.rot[2]),
        ] {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        let two = parse_poni("poni_version: 2.1\nDetector: Eiger4M\nDetector_config: {\"orientation\": 3}\nDistance: 0.1\n").unwrap();
        assert_eq!(two.pixel_m, [75e-6; 2]);
        assert!(parse_poni("Distance: 1\n").unwrap_err().contains("pixel"));
    }

    /// The reference is pyFAI's own; tests/fixtures/io/make_pyfai.py made it.
    #[test]
    fn positions_and_angles_are_pyfais() {
        let cases: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/fixtures/io/pyfai.json")).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            let list = value.as_array().unwrap();
            list.iter().map(|number| number.as_f64().unwrap()).collect()
        };
        assert_eq!(cases.len(), 6);
        for case in &cases {
            let size = |key: &str| case[key].as_u64().unwrap() as usize;
            let read = parse_poni(case["text"].as_str().unwrap()).unwrap();
            let placed = read.geometry(size("width"), size("height"));
            // What is written for it places the pixels in the same way.
            let mut again = parse_poni(&write_poni(&placed).unwrap()).unwrap();
            again.wavelength_m = read.wavelength_m;
            for geometry in [&placed, &again.geometry(size("width"), size("height"))] {
                let points = numbers(&case["x"]).into_iter().zip(numbers(&case["y"]));
                for (n, (x, y)) in points.enumerate() {
                    // pyFAI gives the first pixel's centre the place 0.
                    let (x, y) = (x + 0.5, y + 0.5);
                    let [lx, ly, lz] = geometry.lab_from_pixel(x, y).unwrap();
                    let found = [-ly, -lx, lz];
                    let wanted = numbers(&case["pos"][n]);
                    let pixel = geometry.pixel_size_m.unwrap()[0];
                    for (found, wanted) in found.iter().zip(&wanted) {
                        assert!(
                            (found - wanted).abs() < 1e-4 * pixel,
                            "{} {n}: {found} {wanted}",
                            case["name"]
                        );
                    }
                    let close = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < 1e-7;
                    assert!(close(
                        geometry.two_theta(x, y).unwrap(),
                        numbers(&case["two_theta"])[n]
                    ));
                    let q = geometry.q_inverse_angstrom(x, y).unwrap();
                    assert!(
                        close(q, numbers(&case["q_inverse_angstrom"])[n]),
                        "{}",
                        case["name"]
                    );
                }
            }
        }
    }
}
