//! From what a walk found to what a run is: which data sets hold frames, masks, geometry. Pure functions.

mod cxi;
mod euxfel;
mod modules;
mod nexus;
mod stack;

pub use euxfel::Module;

use super::Error;
use super::h5::{Facts, SetFacts};
use super::number::{Codes, Kind};
use crate::domain::frame::bad;
use crate::domain::geometry::Geometry;

/// What the integers of a mask data set mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskMeaning {
    /// Bits of the CXI standard; 0 = good.
    Cxi,
    /// Bits of NXmx; 0 = good.
    Nexus,
    /// Bits of the European XFEL's calibration; 0 = good.
    EuXfel,
    /// 1 = valid, 0 = not.
    Valid,
    /// CrystFEL's: bad unless all of the good bits and none of the bad bits are set.
    Bits { good: u32, bad: u32 },
}

impl MaskMeaning {
    /// A mask value as CXI bits.
    pub const fn to_bad(self, value: u32) -> u16 {
        match self {
            Self::Cxi => {
                // The bits of the standard and our artifact bit; Cheetah's "ignore" means untrusted.
                let known = value as u16 & 0x969f;
                if value & 0x40 != 0 {
                    known | bad::UNTRUSTED
                } else {
                    known
                }
            }
            // NXdetector, pixel_mask: <https://manual.nexusformat.org/classes/base_classes/NXdetector.html>.
            Self::Nexus => {
                let mut bits = 0;
                let mut bit = 0;
                while bit < 16 {
                    if value >> bit & 1 == 1 {
                        bits |= match bit {
                            0 => bad::MISSING,
                            1 => bad::DEAD,
                            2 | 6 => bad::UNTRUSTED,
                            3 => bad::HOT,
                            4 => bad::NOISY,
                            8 => bad::SHADOWED,
                            _ => bad::INVALID,
                        };
                    }
                    bit += 1;
                }
                bits
            }
            // Bits 16 (interpolated) and 22 (non-standard size) only inform (European-XFEL/EXtra).
            Self::EuXfel => {
                if value & !(1 << 16 | 1 << 22) == 0 {
                    0
                } else {
                    bad::INVALID
                }
            }
            Self::Bits {
                good,
                bad: forbidden,
            } => {
                if value & good == good && value & forbidden == 0 {
                    0
                } else {
                    bad::INVALID
                }
            }
            Self::Valid => {
                if value == 0 {
                    bad::INVALID
                } else {
                    0
                }
            }
        }
    }
}

/// How to read a run out of one HDF5 file.
#[derive(Clone, Debug)]
pub struct Plan {
    pub format: &'static str,
    /// Data sets of frames, in order.
    pub data: Vec<String>,
    /// Data set of bad pixels: (height, width), or one a frame in the order of `data`.
    pub mask: Option<(String, MaskMeaning)>,
    pub codes: Codes,
    /// Counts from here on are overloads, where the file says so.
    pub saturation: Option<f32>,
    pub geometry: Geometry,
    pub detector: Option<String>,
    /// Frames lie so many to a row of the data set, one above the other; of these every how many-th is one.
    pub slices: usize,
    pub every: usize,
    /// The words for `%` in the path of each data set, where the geometry names frames so.
    pub events: Vec<String>,
    /// Which module of a detector of several files this is.
    pub module: Option<Module>,
    pub notices: Vec<String>,
}

impl Plan {
    fn new(format: &'static str, data: Vec<String>) -> Self {
        Self {
            format,
            data,
            mask: None,
            codes: Codes::None,
            saturation: None,
            geometry: Geometry::default(),
            detector: None,
            slices: 1,
            every: 1,
            events: Vec::new(),
            module: None,
            notices: Vec::new(),
        }
    }
}

/// The plan for a file; `dataset` is what the user asked for.
///
/// Errors: the asked data set does not exist; no data set looks like frames.
pub fn plan(facts: &Facts, dataset: Option<&str>) -> Result<Plan, Error> {
    let mut plan = match dataset {
        Some(asked) => stack::asked(facts, asked)?,
        None => match cxi::plan(facts)
            .or_else(|| euxfel::plan(facts))
            .or_else(|| nexus::plan(facts))
        {
            Some(plan) => plan,
            None => match lost_frames(facts) {
                Some(error) => return Err(error),
                None => stack::largest(facts)?,
            },
        },
    };
    if dataset.is_some() {
        // The file's own words about beam and detector hold for another of its data sets as well.
        plan.geometry = geometry(facts);
        plan.detector = detector(facts);
    }
    plan.notices
        .extend(facts.unreadable.first().map(unreadable));
    let links = facts
        .dangling
        .iter()
        .filter(|(path, _)| plan.format == "NXmx" && path.starts_with("/entry/data/"));
    let missing: Vec<_> = links.collect();
    if let Some((path, target)) = missing.first() {
        plan.notices.push(match missing.len() {
            1 => format!("the link {path} leads to {target}, which is missing; its frames are left out"),
            n => format!("{n} links lead to missing files, the first is {path} to {target}; their frames are left out"),
        });
    }
    Ok(plan)
}

/// The plan for frames in data sets of many paths, `%` standing for any name; `None` where there are none.
pub fn matching(facts: &Facts, pattern: &str) -> Option<Plan> {
    let wanted: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    let fits = |path: &str| {
        let mut words = path.trim_start_matches('/').split('/');
        wanted.iter().all(|wanted| {
            words
                .next()
                .is_some_and(|word| *wanted == "%" || *wanted == word)
        }) && words.next().is_none()
    };
    let mut paths: Vec<String> = facts
        .sets
        .iter()
        .filter(|(path, set)| fits(path) && is_frames(set))
        .map(|(path, _)| path.clone())
        .collect();
    paths.sort_by(|a, b| super::paths::natural(a, b));
    let first = facts.sets.get(paths.first()?)?;
    let mut plan = Plan::new("HDF5 events", Vec::new());
    plan.codes = codes_of(first);
    // The words in the places of `%`, as CrystFEL names the event.
    plan.events = paths
        .iter()
        .map(|path| {
            let words = path.trim_start_matches('/').split('/').zip(&wanted);
            let words: Vec<&str> = words
                .filter(|(_, w)| **w == "%")
                .map(|(word, _)| word)
                .collect();
            words.join("/")
        })
        .collect();
    plan.data = paths;
    plan.geometry = geometry(facts);
    plan.detector = detector(facts);
    Some(plan)
}

/// The sentence for a data set that HDF5 does not open.
fn unreadable((path, why): &(String, String)) -> String {
    // HDF5's words for a format of a later version than its own.
    let cure = if why.contains("version") {
        "it was written for HDF5 2 or later only; write it again with libver=(\"earliest\", \"v114\"), or copy it with h5repack"
    } else {
        "it is damaged; copy the file again from where it came"
    };
    format!("the data set {path} cannot be opened ({why}); {cure}")
}

/// The sentence for a file whose frames are a link to a file that is missing.
fn lost_frames(facts: &Facts) -> Option<Error> {
    let is_place = |path: &str| cxi::DATA.contains(&path) || path == "/entry/data/data";
    let (path, target) = facts.dangling.iter().find(|(path, _)| is_place(path))?;
    Some(Error::new(
        format!(
            "its frames {path} are a link to {target}, which is missing; put that file back, or name other frames with --dataset"
        ),
        &facts.path,
    ))
}

/// Whether a data set's name says that it holds something about pixels, not their counts.
fn is_about_pixels(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    name.contains("mask") || matches!(name.as_str(), "valid" | "labels" | "classes" | "gain")
}

/// Which codes a counting detector's numbers have, by the type alone.
fn codes_of(set: &SetFacts) -> Codes {
    match set.number.map(|number| (number.kind, number.bytes)) {
        Some((Kind::Unsigned, 2 | 4 | 8)) => Codes::Counting,
        _ => Codes::None,
    }
}

/// Metres from a length and its unit.
fn metres(set: &SetFacts, fallback: f64) -> Option<f64> {
    let value = set.value.number()?;
    let unit = set
        .attributes
        .get("units")
        .and_then(|unit| unit.text())
        .unwrap_or("");
    let scale = match unit {
        "m" | "metre" | "meter" | "metres" | "meters" => 1.0,
        "cm" => 1e-2,
        "mm" | "millimetre" | "millimeter" | "millimetres" | "millimeters" => 1e-3,
        "um" | "micron" | "microns" | "\u{b5}m" => 1e-6,
        _ => fallback,
    };
    Some(value * scale)
}

fn positive(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

fn wavelength(facts: &Facts) -> Option<f64> {
    let unit_of = |set: &SetFacts| {
        set.attributes
            .get("units")
            .and_then(|unit| unit.text())
            .unwrap_or("")
            .to_lowercase()
    };
    for ending in [
        "/incident_wavelength",
        "beam/wavelength",
        "monochromator/wavelength",
        "source_1/wavelength",
    ] {
        if let Some(set) = facts.find(ending) {
            let scale = match unit_of(set).as_str() {
                "nm" => 10.0,
                "m" => 1e10,
                "pm" => 0.01,
                _ => 1.0,
            };
            if let Some(value) = set.value.number().and_then(positive) {
                return Some(value * scale);
            }
        }
    }
    if let Some(value) = facts
        .value("/LCLS/photon_wavelength_A")
        .or_else(|| facts.value("/LCLS/photon_wavelength_angstrom"))
        .and_then(|value| value.number())
        .and_then(positive)
    {
        return Some(value);
    }
    let endings = [
        "/photon_energy_eV",
        "/incident_energy",
        "beam/photon_energy",
        "detectorSpecific/photon_energy",
        "monochromator/energy",
        "instrument_1/source_1/energy",
    ];
    for ending in endings {
        if let Some(set) = facts.find(ending)
            && let Some(value) = set.value.number().and_then(positive)
        {
            let electronvolt = match unit_of(set).as_str() {
                "kev" => value * 1e3,
                "j" => value / 1.602_176_634e-19,
                // The CXI standard says joule; some writers put electronvolts there.
                _ if value < 1e-10 => value / 1.602_176_634e-19,
                _ => value,
            };
            return Some(crate::domain::geometry::wavelength_from_energy(
                electronvolt,
            ));
        }
    }
    None
}

/// Beam and detector as far as the usual fields of NeXus and CXI tell.
///
/// Beam centres of NXmx files count from the outer corner of the first pixel (as dxtbx reads them,
/// cctbx/dxtbx FormatNXmx and FormatHDF5EigerNearlyNexus), which is this program's own convention.
fn geometry(facts: &Facts) -> Geometry {
    let length = |endings: &[&str], fallback| {
        endings
            .iter()
            .find_map(|ending| facts.find(ending))
            .and_then(|set| metres(set, fallback))
            .and_then(positive)
    };
    let pixel_size_m =
        length(&["/x_pixel_size"], 1.0).map(|x| [x, length(&["/y_pixel_size"], 1.0).unwrap_or(x)]);
    let center = |name: &str, size: Option<f64>| {
        let set = facts.find(name)?;
        let value = set.value.number().filter(|value| value.is_finite())?;
        match set.attributes.get("units").and_then(|unit| unit.text()) {
            Some("m" | "mm" | "cm" | "um") => Some(metres(set, 1.0)? / size?),
            _ => Some(value),
        }
    };
    let beam_center_px = center("/beam_center_x", pixel_size_m.map(|size| size[0]))
        .zip(center("/beam_center_y", pixel_size_m.map(|size| size[1])))
        // Writers that know nothing put zeros.
        .filter(|center| *center != (0.0, 0.0))
        .map(|(x, y)| [x, y]);
    Geometry {
        wavelength_angstrom: wavelength(facts),
        detector_distance_m: length(
            &[
                "/detector_distance",
                "detector/distance",
                "detector_1/distance",
            ],
            1.0,
        ),
        pixel_size_m,
        beam_center_px,
        panels: Vec::new(),
    }
}

fn detector(facts: &Facts) -> Option<String> {
    [
        "detector/description",
        "detector_1/description",
        "detector/type",
        "detector/local_name",
    ]
    .iter()
    .find_map(|ending| facts.find(ending))
    .and_then(|set| set.value.text())
    .filter(|text| !text.is_empty())
    .map(str::to_owned)
}

fn saturation(facts: &Facts) -> Option<f32> {
    [
        "detector/saturation_value",
        "detectorSpecific/countrate_correction_count_cutoff",
    ]
    .iter()
    .find_map(|ending| facts.find(ending))
    .and_then(|set| set.value.number())
    .and_then(positive)
    .map(|value| value as f32)
}

/// Whether a data set can be frames.
fn is_frames(set: &SetFacts) -> bool {
    set.number.is_some()
        && set
            .frame_shape()
            .is_some_and(|(frames, height, width)| frames > 0 && height > 1 && width > 1)
}
