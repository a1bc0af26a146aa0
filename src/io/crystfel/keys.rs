//! The keys of geometry files and what their values mean.

use super::{Axis, BadRegion, Flag, Geom, GeomPanel, MaskLine, Quantity};

/// Keys of panels that are kept for CrystFEL and mean nothing here; some are of old versions.
const OTHER: [&str; 11] = [
    "adu_per_photon",
    "adu_per_eV",
    "saturation_map",
    "saturation_map_file",
    "rail_x",
    "rail_y",
    "rail_z",
    "clen_for_centering",
    "badrow_direction",
    "peak_sep",
    "integr_radius",
];
/// Keys of the whole detector that are kept in the same way.
const KEPT: [&str; 6] = [
    "bandwidth",
    "photon_energy_bandwidth",
    "photon_energy_scale",
    "beam_bandwidth",
    "peak_list_type",
    "peak_info_location",
];

impl Geom {
    /// Takes a value of the whole detector over: `Some(false)` where the key is none of those, `None` where the value is wrong.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<bool> {
        let quantity = || Quantity::parse(value).map(Some);
        match key {
            "photon_energy" => self.photon_energy = quantity()?,
            "wavelength" => self.wavelength = quantity()?,
            "electron_voltage" => self.electron_voltage = quantity()?,
            "detector_shift_x" => self.detector_shift[0] = quantity()?,
            "detector_shift_y" => self.detector_shift[1] = quantity()?,
            "peak_list" => self.peak_list = Some(value.to_owned()),
            _ if KEPT.contains(&key) => self.kept.push((key.to_owned(), value.to_owned())),
            _ => return Some(false),
        }
        Some(true)
    }
}

impl GeomPanel {
    /// Takes a value over: `Some(false)` where the key is not known, `None` where the value is wrong.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<bool> {
        let first = value.split_whitespace().next().unwrap_or("");
        let number = || {
            let number = first.parse::<f64>().ok();
            number.filter(|number| number.is_finite())
        };
        // Cells are written as 7 and as 7.0; no detector has more than this.
        let cell = || {
            let number = number().filter(|number| (0.0..1e7).contains(number))?;
            Some(number as usize)
        };
        let text = || value.to_owned();
        match key {
            "min_fs" => self.min_fs = cell()?,
            "max_fs" => self.max_fs = cell()?,
            "min_ss" => self.min_ss = cell()?,
            "max_ss" => self.max_ss = cell()?,
            "corner_x" => self.corner_x = number()?,
            "corner_y" => self.corner_y = number()?,
            "fs" => self.fs = vector(value)?,
            "ss" => self.ss = vector(value)?,
            "res" => self.res = number()?,
            "coffset" => self.coffset_m = number()?,
            "clen" => self.clen = Some(Quantity::parse(value)?),
            "data" => self.data = Some(text()),
            "flag_lessthan" => self.flags.push(Flag::LessThan(number()?)),
            "flag_morethan" => self.flags.push(Flag::MoreThan(number()?)),
            "flag_equal" => self.flags.push(Flag::Equal(number()?)),
            "max_adu" => self.max_adu = Some(number()?),
            "mask_edge_pixels" => self.mask_edge_pixels = cell()?,
            "no_index" => self.no_index = !matches!(first, "0" | "false"),
            "mask" => self.mask(0).data = text(),
            "mask_file" => self.mask(0).file = Some(text()),
            "mask_good" => self.mask(0).good_bits = bits(first)?,
            "mask_bad" => self.mask(0).bad_bits = bits(first)?,
            _ if OTHER.contains(&key) => {
                self.other.insert(key.to_owned(), text());
            }
            _ => return self.set_numbered(key, value),
        }
        Some(true)
    }

    /// `dimN` and `maskN_...`.
    fn set_numbered(&mut self, key: &str, value: &str) -> Option<bool> {
        let number = |text: &str, most| text.parse().ok().filter(|n: &usize| *n < most);
        if let Some(axis) = key.strip_prefix("dim").and_then(|text| number(text, 16)) {
            let meaning = match value {
                "%" => Axis::Frames,
                "ss" => Axis::Slow,
                "fs" => Axis::Fast,
                _ => Axis::Fixed(number(value, 100_000)?),
            };
            self.axes.insert(axis, meaning);
            return Some(true);
        }
        let numbered = key
            .strip_prefix("mask")
            .and_then(|rest| rest.split_once('_'));
        let Some((Some(place), part)) = numbered.map(|(n, part)| (number(n, 8), part)) else {
            return Some(false);
        };
        match part {
            "data" => self.mask(place).data = value.to_owned(),
            "file" => self.mask(place).file = Some(value.to_owned()),
            "goodbits" => self.mask(place).good_bits = bits(value)?,
            "badbits" => self.mask(place).bad_bits = bits(value)?,
            _ => return Some(false),
        }
        Some(true)
    }

    fn mask(&mut self, place: usize) -> &mut MaskLine {
        self.masks.entry(place).or_default()
    }
}

impl BadRegion {
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<bool> {
        let names = ["min_fs", "max_fs", "min_ss", "max_ss"];
        let lab = ["min_x", "max_x", "min_y", "max_y"];
        let number = || value.parse().ok().filter(|n: &f64| n.is_finite());
        if key == "panel" {
            self.panel = Some(value.to_owned());
        } else if let Some(place) = names.iter().position(|name| *name == key) {
            self.fs_ss[place] = Some(number()?);
        } else if let Some(place) = lab.iter().position(|name| *name == key) {
            self.x_y[place] = Some(number()?);
        } else {
            return Some(false);
        }
        Some(true)
    }
}

/// Bits as CrystFEL writes them: hexadecimal with 0x, or decimal.
fn bits(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A direction like `+0.1x -0.9y`, `-y` or `0.5x+0.5y+0.01z`.
fn vector(text: &str) -> Option<[f64; 3]> {
    let mut out = [0.0; 3];
    let mut number = String::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let axis = match c {
            'x' => 0,
            'y' => 1,
            'z' => 2,
            _ => {
                number.push(c);
                continue;
            }
        };
        let factor = match number.as_str() {
            "" | "+" => 1.0,
            "-" => -1.0,
            text => text.parse().ok().filter(|n: &f64| n.is_finite())?,
        };
        *out.get_mut(axis)? += factor;
        number.clear();
    }
    (number.is_empty() && out != [0.0; 3]).then_some(out)
}
