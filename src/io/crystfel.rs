//! CrystFEL geometry files: panels, beam, bad regions. Format: crystfel_geometry(5).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::Error;
use crate::domain::frame::bad;
use crate::domain::geometry::{Geometry, Panel, wavelength_from_energy};
use crate::domain::grid::{Grid, PixelRect};

/// A number in the file, or the HDF5 path where it stands, with the unit as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    Number(f64, String),
    Path(String, String),
}

impl Quantity {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (value, unit) = (words.next()?, words.next().unwrap_or("").to_owned());
        match value.parse() {
            Ok(number) => Some(Self::Number(number, unit)),
            Err(_) if value.starts_with('/') => Some(Self::Path(value.to_owned(), unit)),
            Err(_) => None,
        }
    }

    fn resolve(&self, lookup: &impl Fn(&str) -> Option<f64>) -> Option<(f64, &str)> {
        match self {
            Self::Number(value, unit) => Some((*value, unit)),
            Self::Path(path, unit) => Some((lookup(path)?, unit)),
        }
    }
}

/// One panel as written; sizes inclusive, lengths in pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeomPanel {
    pub name: String,
    pub min_fs: usize,
    pub max_fs: usize,
    pub min_ss: usize,
    pub max_ss: usize,
    pub corner_x: f64,
    pub corner_y: f64,
    pub fs: [f64; 3],
    pub ss: [f64; 3],
    pub res: f64,
    pub coffset_m: f64,
    pub clen: Option<Quantity>,
    /// Fixed numbers among the data's axes: the module of multi-module files.
    pub module: Option<usize>,
}

/// A bad region: of cells (fs, ss) of one panel or all, or of lab positions in pixels.
#[derive(Clone, Debug, Default, PartialEq)]
struct BadRegion {
    panel: Option<String>,
    fs_ss: [Option<f64>; 4],
    x_y: [Option<f64>; 4],
}

/// Rules about values: pixels below, above or equal are bad.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flags {
    pub less_than: Option<f32>,
    pub more_than: Option<f32>,
    pub equal: Option<f32>,
}

impl Flags {
    pub fn apply(&self, pixels: &[f32], bits: &mut [u16]) {
        if *self == Self::default() {
            return;
        }
        let low = self.less_than.unwrap_or(f32::NEG_INFINITY);
        let high = self.more_than.unwrap_or(f32::INFINITY);
        for (value, bits) in pixels.iter().zip(bits) {
            if *value < low || *value > high || self.equal == Some(*value) {
                *bits |= bad::INVALID;
            }
        }
    }
}

/// A parsed geometry file.
#[derive(Clone, Debug, Default)]
pub struct Geom {
    pub panels: Vec<GeomPanel>,
    pub photon_energy: Option<Quantity>,
    pub wavelength: Option<Quantity>,
    pub electron_voltage: Option<Quantity>,
    /// The path of the frames as written, perhaps with `%`.
    pub data: Option<String>,
    /// Mask paths as written.
    pub masks: Vec<String>,
    pub flags: Flags,
    regions: Vec<BadRegion>,
}

/// Reads a geometry file.
///
/// Errors: not readable; no panel; a value that is no number, with its line.
pub fn read_geom(path: &Path) -> Result<Geom, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::reading(&error, path))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::new(
            "this is no CrystFEL geometry, which is plain text; give a .geom or .poni",
            path,
        )
    })?;
    parse_geom(&text).map_err(|sentence| Error::new(sentence, path))
}

/// Parses the text of a geometry file; errors are sentences without the path.
pub fn parse_geom(text: &str) -> Result<Geom, String> {
    let mut geom = Geom::default();
    let mut defaults = GeomPanel {
        fs: [1.0, 0.0, 0.0],
        ss: [0.0, 1.0, 0.0],
        ..GeomPanel::default()
    };
    let mut has_panel_values = false;
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    let mut regions: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(';').next().unwrap_or("").trim();
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let wrong = || {
            format!(
                "line {} of the geometry, {key:?}, has no number that can be read; correct it",
                number + 1
            )
        };
        if key.starts_with("group") || key.starts_with("rigid_group") {
            continue;
        }
        match key.split_once('/') {
            Some((name, key)) if name.starts_with("bad") => {
                let place = *regions.entry(name.to_owned()).or_insert_with(|| {
                    geom.regions.push(BadRegion::default());
                    geom.regions.len() - 1
                });
                if let Some(region) = geom.regions.get_mut(place) {
                    region.set(key, value).ok_or_else(wrong)?;
                }
            }
            Some((name, key)) => {
                let place = *index.entry(name.to_owned()).or_insert_with(|| {
                    geom.panels.push(GeomPanel {
                        name: name.to_owned(),
                        ..defaults.clone()
                    });
                    geom.panels.len() - 1
                });
                if let Some(panel) = geom.panels.get_mut(place) {
                    panel.set(key, value).ok_or_else(wrong)?;
                }
                if key == "data" && geom.data.is_none() {
                    geom.data = Some(value.to_owned());
                }
            }
            None => {
                has_panel_values |= key.starts_with("min_") || key.starts_with("max_");
                match key {
                    "photon_energy" => {
                        geom.photon_energy = Some(Quantity::parse(value).ok_or_else(wrong)?)
                    }
                    "wavelength" => {
                        geom.wavelength = Some(Quantity::parse(value).ok_or_else(wrong)?)
                    }
                    "electron_voltage" => {
                        geom.electron_voltage = Some(Quantity::parse(value).ok_or_else(wrong)?)
                    }
                    "data" => geom.data = Some(value.to_owned()),
                    "mask" | "mask0_data" | "mask1_data" | "mask2_data" => {
                        geom.masks.push(value.to_owned())
                    }
                    "flag_lessthan" => {
                        geom.flags.less_than = Some(value.parse().map_err(|_| wrong())?)
                    }
                    "flag_morethan" => {
                        geom.flags.more_than = Some(value.parse().map_err(|_| wrong())?)
                    }
                    "flag_equal" => geom.flags.equal = Some(value.parse().map_err(|_| wrong())?),
                    _ => {}
                }
                defaults.set(key, value).ok_or_else(wrong)?;
            }
        }
    }
    if geom.panels.is_empty() {
        if !has_panel_values {
            return Err("no panel in this geometry; is it a CrystFEL .geom?".to_owned());
        }
        defaults.name = "p0".to_owned();
        geom.panels.push(defaults);
    }
    if let Some(panel) = geom
        .panels
        .iter()
        .find(|panel| panel.max_fs < panel.min_fs || panel.max_ss < panel.min_ss)
    {
        return Err(format!(
            "panel {} of the geometry ends before it begins; correct min and max",
            panel.name
        ));
    }
    Ok(geom)
}

impl GeomPanel {
    /// Takes a value over; keys that do not matter here are passed by. `None`: not a number.
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let first = value.split_whitespace().next().unwrap_or("");
        let number = || {
            first
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
        };
        let cell = || {
            number()
                .filter(|number| *number >= 0.0)
                .map(|number| number as usize)
        };
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
            _ if key.starts_with("dim") => {
                if let Ok(module) = value.parse() {
                    self.module = Some(module);
                }
            }
            _ => {}
        }
        Some(())
    }
}

impl BadRegion {
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let names = ["min_fs", "max_fs", "min_ss", "max_ss"];
        let lab = ["min_x", "max_x", "min_y", "max_y"];
        if key == "panel" {
            self.panel = Some(value.to_owned());
        } else if let Some(place) = names.iter().position(|name| *name == key) {
            self.fs_ss[place] = Some(value.parse().ok()?);
        } else if let Some(place) = lab.iter().position(|name| *name == key) {
            self.x_y[place] = Some(value.parse().ok()?);
        }
        Some(())
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
            text => text.parse().ok()?,
        };
        *out.get_mut(axis)? += factor;
        number.clear();
    }
    (number.is_empty() && out != [0.0; 3]).then_some(out)
}

impl Geom {
    /// The data path, where it is a plain one.
    pub fn data_path(&self) -> Option<String> {
        self.data.clone().filter(|path| !path.contains('%'))
    }

    /// The cells of a panel in the slab in which modules are stacked along the slow axis.
    fn rect(&self, panel: &GeomPanel) -> PixelRect {
        let rows = self
            .panels
            .iter()
            .map(|panel| panel.max_ss + 1)
            .max()
            .unwrap_or(0);
        let shift = panel.module.unwrap_or(0) * rows;
        PixelRect::new(
            panel.min_fs,
            panel.min_ss + shift,
            panel.max_fs + 1,
            panel.max_ss + 1 + shift,
        )
    }

    /// Panels and beam; `lookup` gives the number at an HDF5 path. Also what the user should know.
    pub fn geometry(&self, lookup: impl Fn(&str) -> Option<f64>) -> (Geometry, Vec<String>) {
        let mut notices = Vec::new();
        let mut geometry = Geometry {
            wavelength_angstrom: self.wavelength_angstrom(&lookup),
            ..Geometry::default()
        };
        if geometry.wavelength_angstrom.is_none() {
            notices.push(
                "the geometry file gives no wavelength that can be read from the run".to_owned(),
            );
        }
        for panel in &self.panels {
            let clen = panel.clen.as_ref().and_then(|clen| {
                let (value, unit) = clen.resolve(&lookup)?;
                // A number is in metres unless it says otherwise, a path in millimetres.
                let is_path = matches!(clen, Quantity::Path(..));
                Some(match unit {
                    "mm" => value / 1e3,
                    "m" => value,
                    _ if is_path => value / 1e3,
                    _ => value,
                })
            });
            let (Some(clen), true) = (clen, panel.res > 0.0) else {
                let sentence =
                    "the geometry file has a panel without clen or res; its panels are left out";
                notices.push(sentence.to_owned());
                geometry.panels.clear();
                return (geometry, notices);
            };
            let size = 1.0 / panel.res;
            geometry.panels.push(Panel {
                name: panel.name.clone(),
                rect: self.rect(panel),
                corner_m: [
                    panel.corner_x * size,
                    panel.corner_y * size,
                    clen + panel.coffset_m,
                ],
                fast_m: panel.fs.map(|n| n * size),
                slow_m: panel.ss.map(|n| n * size),
            });
        }
        geometry.summarise();
        (geometry, notices)
    }

    fn wavelength_angstrom(&self, lookup: &impl Fn(&str) -> Option<f64>) -> Option<f64> {
        if let Some((value, unit)) = self
            .photon_energy
            .as_ref()
            .and_then(|energy| energy.resolve(lookup))
        {
            let electronvolt = match unit {
                "keV" => value * 1e3,
                "MeV" => value * 1e6,
                _ => value,
            };
            return (electronvolt > 0.0).then(|| wavelength_from_energy(electronvolt));
        }
        if let Some((value, unit)) = self
            .wavelength
            .as_ref()
            .and_then(|wavelength| wavelength.resolve(lookup))
        {
            return Some(if unit == "A" { value } else { value * 1e10 })
                .filter(|value| *value > 0.0);
        }
        let (value, unit) = self.electron_voltage.as_ref()?.resolve(lookup)?;
        let volt = if unit == "kV" { value * 1e3 } else { value };
        // De Broglie with the relativistic correction, angstrom (CODATA 2018).
        (volt > 0.0).then(|| 12.264_259_7 / (volt * (1.0 + 0.978_475_6e-6 * volt)).sqrt())
    }

    /// The bits of the bad regions and of cells outside all panels' sizes; `None` when there are none.
    pub fn bad_bits(&self, width: usize, height: usize, geometry: &Geometry) -> Option<Grid<u16>> {
        if self.regions.is_empty() {
            return None;
        }
        let mut bits = Grid::filled(width, height, 0u16);
        let inside = |value: f64, min: Option<f64>, max: Option<f64>| {
            min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
        };
        for region in &self.regions {
            let [min_fs, max_fs, min_ss, max_ss] = region.fs_ss;
            let [min_x, max_x, min_y, max_y] = region.x_y;
            let by_cells = region.fs_ss.iter().any(Option::is_some);
            for panel in &self.panels {
                if region
                    .panel
                    .as_ref()
                    .is_some_and(|name| *name != panel.name)
                {
                    continue;
                }
                let rect = self.rect(panel).intersect(&bits.rect());
                let shift = self.rect(panel).y0.saturating_sub(panel.min_ss);
                for y in rect.y0..rect.y1 {
                    for x in rect.x0..rect.x1 {
                        let hit = if by_cells {
                            inside(x as f64, min_fs, max_fs)
                                && inside((y - shift) as f64, min_ss, max_ss)
                        } else {
                            geometry
                                .lab_from_pixel(x as f64 + 0.5, y as f64 + 0.5)
                                .is_some_and(|[lx, ly, _]| {
                                    inside(lx * panel.res, min_x, max_x)
                                        && inside(ly * panel.res, min_y, max_y)
                                })
                        };
                        if hit && let Some(cell) = bits.get_mut(x, y) {
                            *cell |= bad::UNTRUSTED;
                        }
                    }
                }
            }
        }
        Some(bits)
    }
}

/// What a written geometry says besides panels and beam.
#[derive(Clone, Debug)]
pub struct GeomLines<'a> {
    pub data: &'a str,
    /// The path of the mask and the bits that make a pixel bad.
    pub mask: Option<(&'a str, u16)>,
    pub peak_list: Option<&'a str>,
}

/// The text of a geometry file for frames of `width` x `height` pixels.
///
/// What is not known gets a stand-in that says so in a comment, because CrystFEL needs a number.
pub fn write_geom(geometry: &Geometry, width: usize, height: usize, lines: &GeomLines) -> String {
    const UNKNOWN: &str = " ; NOT KNOWN: a stand-in, correct it";
    let mut out = String::from("; Written by PeakNet Studio.\n");
    let note = |known: bool| if known { "" } else { UNKNOWN };
    let energy = geometry.wavelength_angstrom.map(wavelength_from_energy);
    let size = geometry.pixel_size_m.unwrap_or([1e-4; 2]);
    let distance = geometry.detector_distance_m.unwrap_or(0.1);
    let res = 1.0 / size[0];
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "photon_energy = {:.4} eV{}",
        energy.unwrap_or(9000.0),
        note(energy.is_some())
    ));
    line(format!(
        "clen = {distance:.7} m{}",
        note(geometry.detector_distance_m.is_some())
    ));
    line(format!(
        "res = {res:.5}{} ; px/m",
        note(geometry.pixel_size_m.is_some())
    ));
    line("adu_per_photon = 1".to_owned());
    line(format!("data = {}", lines.data));
    line("dim0 = %\ndim1 = ss\ndim2 = fs".to_owned());
    if let Some((path, bits)) = lines.mask {
        line(format!(
            "mask0_data = {path}\nmask0_goodbits = 0x0000\nmask0_badbits = 0x{bits:04x}"
        ));
    }
    if let Some(path) = lines.peak_list {
        line(format!("peak_list = {path}"));
    }
    let direction = |v: [f64; 3]| {
        let mut text = String::new();
        for (n, axis) in v.iter().zip(["x", "y", "z"]) {
            if *n != 0.0 {
                let _ = write!(
                    text,
                    "{}{:+.9}{axis}",
                    if text.is_empty() { "" } else { " " },
                    n * res
                );
            }
        }
        text
    };
    if geometry.panels.is_empty() {
        let known = geometry.beam_center_px.is_some();
        let [x, y] = geometry
            .beam_center_px
            .unwrap_or([width as f64 / 2.0, height as f64 / 2.0]);
        line(format!(
            "\np0/min_fs = 0\np0/max_fs = {}\np0/min_ss = 0\np0/max_ss = {}",
            width.saturating_sub(1),
            height.saturating_sub(1)
        ));
        line(format!(
            "p0/fs = {}\np0/ss = {}",
            direction([-size[0], 0.0, 0.0]),
            direction([0.0, -size[1], 0.0])
        ));
        line(format!(
            "p0/corner_x = {x:.6}{}\np0/corner_y = {:.6}{}",
            note(known),
            y * size[1] * res,
            note(known)
        ));
    }
    for panel in &geometry.panels {
        let (name, rect, [x, y, z]) = (&panel.name, &panel.rect, panel.corner_m);
        line(format!(
            "\n{name}/min_fs = {}\n{name}/max_fs = {}\n{name}/min_ss = {}\n{name}/max_ss = {}",
            rect.x0,
            rect.x1.saturating_sub(1),
            rect.y0,
            rect.y1.saturating_sub(1)
        ));
        line(format!(
            "{name}/fs = {}\n{name}/ss = {}",
            direction(panel.fast_m),
            direction(panel.slow_m)
        ));
        line(format!(
            "{name}/corner_x = {:.6}\n{name}/corner_y = {:.6}",
            x * res,
            y * res
        ));
        if (z - distance).abs() > 1e-9 {
            line(format!("{name}/coffset = {:.9}", z - distance));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "photon_energy = /LCLS/e eV ; comment\nclen = 100 mm\nres = 10000\nmask = /m\n\
        data = /entry_1/data_1/data\ndim0 = %\ndim1 = ss\ndim2 = fs\nflag_morethan = 50\n\
        a/min_fs = 0\na/max_fs = 9\na/min_ss = 0\na/max_ss = 4\na/fs = -x\na/ss = -1.0y\na/corner_x = 5\na/corner_y = 2.5\n\
        res = 5000\ncoffset = 0.001\n\
        b/min_fs = 10\nb/max_fs = 19\nb/min_ss = 0\nb/max_ss = 4\nb/fs = +0.6x +0.8y\nb/ss = -0.8x+0.6y\n\
        b/corner_x = -20\nb/corner_y = 7\nbad_a/min_fs = 2\nbad_a/max_fs = 3\nbad_a/min_ss = 1\nbad_a/max_ss = 1\nbad_a/panel = a\n\
        badlab/min_x = -1\nbadlab/max_x = 0.2\nbadlab/min_y = -0.1\nbadlab/max_y = 0.9\ngroup_all = a,b\n";

    #[test]
    fn panels_inherit_what_stands_above_them() {
        let geom = parse_geom(TWO).unwrap();
        let (geometry, notices) =
            geom.geometry(|path| (path == "/LCLS/e").then_some(12_398.419_843_320_026));
        assert!(notices.is_empty(), "{notices:?}");
        assert_eq!(geometry.wavelength_angstrom, Some(1.0));
        assert_eq!(geometry.detector_distance_m, Some(0.1));
        assert_eq!(geometry.pixel_size_m, Some([1e-4, 1e-4]));
        assert_eq!(geometry.beam_center_px, Some([5.0, 2.5]));
        let b = &geometry.panels[1];
        assert_eq!(b.rect, PixelRect::new(10, 0, 20, 5));
        assert!(
            (b.corner_m[0] + 20.0 / 5000.0).abs() < 1e-12 && (b.corner_m[2] - 0.101).abs() < 1e-12
        );
        assert!(
            (b.fast_m[1] - 0.8 / 5000.0).abs() < 1e-12
                && (b.slow_m[0] + 0.8 / 5000.0).abs() < 1e-12
        );
        let bits = geom.bad_bits(20, 5, &geometry).unwrap();
        let hit: Vec<_> = (0..5)
            .flat_map(|y| (0..20).map(move |x| (x, y)))
            .filter(|(x, y)| bits.get(*x, *y) != Some(&0))
            .collect();
        // Lab x of cell centre 5.5 is -0.5 px, of 4.5 is +0.5; y of 2.5 is 0, of 1.5 is 1.
        assert_eq!(hit, [(2, 1), (3, 1), (5, 2)]);
        assert_eq!(geom.flags.more_than, Some(50.0));
    }

    #[test]
    fn what_is_written_reads_back() {
        let geom = parse_geom(TWO).unwrap();
        let lines = GeomLines {
            data: "/entry_1/data_1/data",
            mask: Some(("/entry_1/data_1/mask", 0xeffd)),
            peak_list: Some("/entry_1/result_1"),
        };
        let flat = Geometry {
            wavelength_angstrom: Some(1.3),
            detector_distance_m: Some(0.2),
            pixel_size_m: Some([75e-6, 80e-6]),
            beam_center_px: Some([33.3, -4.0]),
            panels: Vec::new(),
        };
        for before in [geom.geometry(|_| Some(9000.0)).0, flat] {
            let text = write_geom(&before, 20, 5, &lines);
            let (after, notices) = parse_geom(&text).unwrap().geometry(|_| None);
            assert!(notices.is_empty());
            for (x, y) in [(0.5, 0.5), (13.2, 4.4), (9.9, 0.1)] {
                let (a, b) = (
                    before.lab_from_pixel(x, y).unwrap(),
                    after.lab_from_pixel(x, y).unwrap(),
                );
                assert!(
                    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-9),
                    "{a:?} {b:?}\n{text}"
                );
            }
            let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-6;
            assert!(close(before.wavelength_angstrom, after.wavelength_angstrom));
        }
    }

    #[test]
    fn nonsense_is_a_sentence() {
        assert!(parse_geom("hello").unwrap_err().contains("no panel"));
        assert!(parse_geom("p/min_fs = a\n").unwrap_err().contains("line 1"));
        assert!(parse_geom("p/fs = 2\np/max_fs = 3\n").is_err());
    }
}
