//! CrystFEL geometry files: what is parsed and kept of them. Format: crystfel_geometry(5) of CrystFEL 0.12, and the older
//! names that it still understands.
//!
//! Positions count from the outer corner of a pixel, as everywhere in this program: no half pixel is added.

mod keys;
mod place;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;

pub use place::Rules;
pub use text::{GeomLines, write_geom};

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
        match value.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Self::Number(number, unit)),
            Err(_) if value.starts_with('/') => Some(Self::Path(value.to_owned(), unit)),
            _ => None,
        }
    }

    fn resolve(&self, lookup: &impl Fn(&str) -> Option<f64>) -> Option<(f64, &str)> {
        match self {
            Self::Number(value, unit) => Some((*value, unit)),
            Self::Path(path, unit) => Some((lookup(path)?, unit)),
        }
    }
}

/// What an axis of the data block counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Frames,
    Slow,
    Fast,
    /// Only this index belongs to the panel.
    Fixed(usize),
}

/// Where a mask of bad pixels is, and which of its bits must be set or clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskLine {
    pub data: String,
    /// Another file than that of the frames.
    pub file: Option<String>,
    pub good_bits: u32,
    pub bad_bits: u32,
}

/// A rule about values: pixels strictly below, strictly above or equal are bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flag {
    LessThan(f64),
    MoreThan(f64),
    Equal(f64),
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
    /// The path of the frames as written, perhaps with `%`.
    pub data: Option<String>,
    /// By the number of the axis; empty means slow and fast.
    pub axes: BTreeMap<usize, Axis>,
    pub masks: BTreeMap<usize, MaskLine>,
    pub flags: Vec<Flag>,
    /// Counts above are saturated.
    pub max_adu: Option<f64>,
    /// So many pixels at each edge are bad.
    pub mask_edge_pixels: usize,
    /// The panel is not to be used at all.
    pub no_index: bool,
    /// What this program keeps and writes again without a use for it.
    pub other: BTreeMap<String, String>,
}

/// A bad region: of cells (fs, ss) of one panel or all, or of lab positions in pixels; limits inclusive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BadRegion {
    pub name: String,
    pub panel: Option<String>,
    /// Least and greatest fs, least and greatest ss.
    pub fs_ss: [Option<f64>; 4],
    /// Least and greatest x, least and greatest y.
    pub x_y: [Option<f64>; 4],
}

/// A parsed geometry file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geom {
    pub panels: Vec<GeomPanel>,
    pub photon_energy: Option<Quantity>,
    pub wavelength: Option<Quantity>,
    pub electron_voltage: Option<Quantity>,
    /// Of the whole detector along x and y.
    pub detector_shift: [Option<Quantity>; 2],
    pub peak_list: Option<String>,
    pub regions: Vec<BadRegion>,
    /// Groups of panels and what else is written again as it stands, in order.
    pub kept: Vec<(String, String)>,
    /// Keys that CrystFEL does not know either.
    pub unknown: Vec<String>,
    /// Keys for panels that stand behind all of them, where they say nothing.
    pub late: Vec<String>,
}

impl Geom {
    /// Stored units of one photon, where all panels say the same (`adu_per_photon`).
    pub fn units_per_photon(&self) -> Option<f32> {
        let said = |panel: &GeomPanel| {
            panel
                .other
                .get("adu_per_photon")?
                .trim()
                .parse::<f32>()
                .ok()
        };
        let first = said(self.panels.first()?)?;
        let agree = self.panels.iter().all(|panel| said(panel) == Some(first));
        (agree && first > 0.0 && first.is_finite()).then_some(first)
    }
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
        // Every panel has to say where it is.
        corner_x: f64::NAN,
        corner_y: f64::NAN,
        ..GeomPanel::default()
    };
    let mut has_panel_values = false;
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(';').next().unwrap_or("").trim();
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let wrong = || {
            format!(
                "line {} of the geometry, {key:?}, has a value that cannot be read; correct it",
                number + 1
            )
        };
        if key.starts_with("group") || key.starts_with("rigid_group") {
            geom.kept.push((key.to_owned(), value.to_owned()));
            continue;
        }
        let known = match key.split_once('/') {
            Some((name, key)) if name.starts_with("bad") => {
                let place = geom.regions.iter().position(|region| region.name == name);
                let place = place.unwrap_or(geom.regions.len());
                if place == geom.regions.len() {
                    geom.regions.push(BadRegion {
                        name: name.to_owned(),
                        ..BadRegion::default()
                    });
                }
                match geom.regions.get_mut(place) {
                    Some(region) => region.set(key, value).ok_or_else(wrong)?,
                    None => true,
                }
            }
            Some((name, key)) => {
                let place = *index.entry(name.to_owned()).or_insert_with(|| {
                    geom.late.clear();
                    geom.panels.push(GeomPanel {
                        name: name.to_owned(),
                        ..defaults.clone()
                    });
                    geom.panels.len() - 1
                });
                match geom.panels.get_mut(place) {
                    Some(panel) => panel.set(key, value).ok_or_else(wrong)?,
                    None => true,
                }
            }
            None => {
                has_panel_values |= key.starts_with("min_") || key.starts_with("max_fs");
                geom.set(key, value).ok_or_else(wrong)? || {
                    geom.late.push(key.to_owned());
                    defaults.set(key, value).ok_or_else(wrong)?
                }
            }
        };
        let name = key.rsplit('/').next().unwrap_or(key);
        if !known && !geom.unknown.iter().any(|other| other == name) {
            geom.unknown.push(name.to_owned());
        }
    }
    if geom.panels.is_empty() {
        if !has_panel_values {
            return Err("no panel in this geometry; is it a CrystFEL .geom?".to_owned());
        }
        defaults.name = "p0".to_owned();
        geom.panels.push(defaults);
        geom.late.clear();
    }
    for panel in &geom.panels {
        for (corner, key) in [(panel.corner_x, "corner_x"), (panel.corner_y, "corner_y")] {
            if corner.is_nan() {
                return Err(format!(
                    "panel {} of the geometry has no {key}; add it",
                    panel.name
                ));
            }
        }
        let [(a, b), (c, d), (e, f)] = [0, 1, 2].map(|axis| (panel.fs[axis], panel.ss[axis]));
        let area = [a * d - c * b, c * f - e * d, e * b - a * f];
        if area.iter().all(|part| part.abs() < 1e-6) {
            return Err(format!(
                "fs and ss of panel {} of the geometry run in one direction; correct them",
                panel.name
            ));
        }
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

impl Geom {
    /// What is probably not meant, one sentence each.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if !self.late.is_empty() {
            doubts.push(format!(
                "these lines of the geometry stand behind all panels and hold for none: {}; move them above the panels",
                self.late.join(", ")
            ));
        }
        for region in &self.regions {
            let cells = region.fs_ss.iter().filter(|limit| limit.is_some()).count();
            let lab = region.x_y.iter().filter(|limit| limit.is_some()).count();
            if (cells, lab) != (4, 0) && (cells, lab) != (0, 4) {
                doubts.push(format!(
                    "the bad region {} of the geometry does not have all four limits, so it reaches to the edges",
                    region.name
                ));
            }
            let is_known = |name: &String| self.panels.iter().any(|panel| panel.name == *name);
            if let Some(name) = region.panel.as_ref().filter(|name| !is_known(name)) {
                doubts.push(format!(
                    "the bad region {} of the geometry is about the panel {name}, which is not there",
                    region.name
                ));
            }
        }
        doubts
    }

    /// The path of the frames as written, of the first panel that has one.
    pub fn data(&self) -> Option<&str> {
        self.panels.iter().find_map(|panel| panel.data.as_deref())
    }

    /// The data path, where it is a plain one.
    pub fn data_path(&self) -> Option<String> {
        self.data()
            .filter(|path| !path.contains('%'))
            .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geometry::Geometry;
    use crate::domain::grid::PixelRect;

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
        let (geometry, notices) = geom.geometry(
            |path| (path == "/LCLS/e").then_some(12_398.419_843_320_026),
            &[5, 20],
        );
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
        let bits = geom.rules(20, 5, &[5, 20]).bits.unwrap();
        let hit: Vec<_> = (0..5)
            .flat_map(|y| (0..20).map(move |x| (x, y)))
            .filter(|(x, y)| bits.get(*x, *y) != Some(&0))
            .collect();
        // Lab x of cell centre 5.5 is -0.5 px, of 4.5 is +0.5; y of 2.5 is 0, of 1.5 is 1.
        assert_eq!(hit, [(2, 1), (3, 1), (5, 2)]);
        assert_eq!(geom.panels[0].flags, [Flag::MoreThan(50.0)]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let geom = parse_geom(TWO).unwrap();
        let lines = GeomLines {
            data: "/entry_1/data_1/data",
            mask: Some(("/entry_1/data_1/mask", 0xeffd)),
            peak_list: Some("/entry_1/result_1"),
            from: Some(&geom),
        };
        let flat = Geometry {
            wavelength_angstrom: Some(1.3),
            detector_distance_m: Some(0.2),
            pixel_size_m: Some([75e-6, 80e-6]),
            beam_center_px: Some([33.3, -4.0]),
            panels: Vec::new(),
        };
        for before in [geom.geometry(|_| Some(9000.0), &[]).0, flat] {
            let text = write_geom(&before, 20, 5, &lines);
            let (after, notices) = parse_geom(&text).unwrap().geometry(|_| None, &[]);
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

    proptest::proptest! {
        #[test]
        fn whole_files_come_back(seed in 0u64..u64::MAX) {
            use rand::{Rng, SeedableRng};
            let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
            let mut geom = Geom {
                photon_energy: Some(Quantity::Path("/LCLS/energy".to_owned(), "eV".to_owned())),
                peak_list: rng.random_bool(0.5).then(|| "/result".to_owned()),
                ..Geom::default()
            };
            geom.detector_shift[1] = rng.random_bool(0.5).then(|| Quantity::Number(1.5, "mm".to_owned()));
            let round = |value: f64| (value * 1e5).round() / 1e5;
            for n in 0..rng.random_range(1..5usize) {
                let mut number = |most: f64| round(rng.random_range(-most..most));
                let mut panel = GeomPanel {
                    name: format!("q{n}a{n}"),
                    min_fs: 10 * n, max_fs: 10 * n + 9, min_ss: 3, max_ss: 12,
                    corner_x: number(900.0), corner_y: number(900.0),
                    fs: [number(1.0), number(1.0), 0.25], ss: [number(1.0), -0.5, number(0.1)],
                    res: 9097.52, coffset_m: number(0.01),
                    clen: Some(Quantity::Number(0.13, "m".to_owned())),
                    data: Some("/entry_1/%/data".to_owned()),
                    ..GeomPanel::default()
                };
                panel.axes = [(0, Axis::Frames), (1, Axis::Fixed(n)), (2, Axis::Slow), (3, Axis::Fast)].into();
                for place in 0..rng.random_range(0..3) {
                    let line = MaskLine {
                        data: "/mask".to_owned(),
                        file: rng.random_bool(0.5).then(|| "m.h5".to_owned()),
                        good_bits: rng.random_range(0..9),
                        bad_bits: rng.random(),
                    };
                    panel.masks.insert(place, line);
                }
                if rng.random_bool(0.5) {
                    panel.flags = vec![Flag::LessThan(-5.5), Flag::Equal(65535.0), Flag::MoreThan(1e9)];
                }
                panel.max_adu = rng.random_bool(0.5).then_some(14000.0);
                panel.mask_edge_pixels = rng.random_range(0..3);
                panel.no_index = rng.random_bool(0.2);
                panel.other.insert("adu_per_photon".to_owned(), "25".to_owned());
                geom.panels.push(panel);
            }
            geom.kept = vec![("rigid_group_q0".to_owned(), "q0a0,q1a1".to_owned()), ("group_all".to_owned(), "q0".to_owned())];
            geom.regions.push(BadRegion { name: "bad1".to_owned(), panel: Some("q0a0".to_owned()), fs_ss: [Some(1.0), Some(4.0), None, None], ..BadRegion::default() });
            geom.regions.push(BadRegion { name: "bad2".to_owned(), x_y: [Some(-1.5), None, Some(0.0), Some(7.0)], ..BadRegion::default() });
            let text = geom.text(&[]);
            proptest::prop_assert_eq!(parse_geom(&text).unwrap(), geom, "{}", text);
        }
    }

    #[test]
    fn nonsense_is_a_sentence() {
        assert!(parse_geom("hello").unwrap_err().contains("no panel"));
        assert!(parse_geom("p/min_fs = a\n").unwrap_err().contains("line 1"));
        assert!(parse_geom("p/fs = 2\np/max_fs = 3\n").is_err());
    }
}
