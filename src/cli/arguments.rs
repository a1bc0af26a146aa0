//! Arguments that several commands share, and how their values are read.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::domain::calibrant::Calibrant;
use crate::domain::frame::MaskPolarity;
use crate::io::{self, OpenOptions, Run};
use crate::net::{DeviceChoice, Wishes};

/// What the user knows better than the file.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "How to open the run")]
pub struct OpenArguments {
    /// Detector geometry: a CrystFEL .geom or a pyFAI .poni file
    #[arg(long, value_name = "FILE")]
    pub geometry: Option<PathBuf>,
    /// What another program found, shown in the window: a CXI peak list or a CrystFEL .stream
    #[arg(long, value_name = "FILE")]
    pub peaks: Option<PathBuf>,
    /// A mask of bad pixels: HDF5 (FILE:/h5/path), NPY, EDF, TIFF, PNG, CBF, Fit2D .msk or text; may be given again
    #[arg(long, value_name = "FILE")]
    pub bad_pixels: Vec<PathBuf>,
    /// Which values of that mask are bad: zero or nonzero; found out where it is not said
    #[arg(long, value_name = "WHICH", value_parser = polarity, default_value = "detected")]
    pub bad_pixels_are: MaskPolarity,
    /// The HDF5 path of the frames, where the program cannot tell
    #[arg(long, value_name = "/H5/PATH")]
    pub dataset: Option<String>,
    /// Of files without a header: how many pixels, slow axis first
    #[arg(long, value_name = "[N,]H,W", value_delimiter = ',')]
    pub shape: Vec<usize>,
    /// Of files without a header: NumPy's name of a pixel's type, uint16 or float32 and so on
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<String>,
    /// Wavelength in angstrom
    #[arg(long, value_name = "A", value_parser = positive, allow_negative_numbers = true)]
    pub wavelength_angstrom: Option<f64>,
    /// Distance from sample to detector in metres
    #[arg(long = "distance-m", value_name = "M", value_parser = positive, allow_negative_numbers = true)]
    pub distance_m: Option<f64>,
    /// Size of a pixel in metres
    #[arg(long, value_name = "M", value_parser = positive, allow_negative_numbers = true)]
    pub pixel_size_m: Option<f64>,
    /// Where the direct beam meets the detector, in pixels; the first pixel's centre is 0,0
    #[arg(long, value_name = "X,Y", value_parser = pair, allow_hyphen_values = true)]
    pub beam_center_px: Option<[f64; 2]>,
}

impl OpenArguments {
    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            geometry: self.geometry.clone(),
            peaks: self.peaks.clone(),
            bad_pixels: self.bad_pixels.clone(),
            bad_pixels_are: self.bad_pixels_are,
            dataset: self.dataset.clone(),
            shape: self.shape.clone(),
            dtype: self.dtype.clone(),
            wavelength_angstrom: self.wavelength_angstrom,
            detector_distance_m: self.distance_m,
            pixel_size_m: self.pixel_size_m,
            beam_center_px: self.beam_center_px,
        }
    }
}

/// A run to open.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Files, folders, glob patterns or event lists (.lst): together one run
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub open: OpenArguments,
}

impl RunArguments {
    /// Opens the run; no pixels are read.
    pub fn open(&self) -> Result<Run, Failure> {
        Ok(io::open_run(&self.paths, &self.open.options())?)
    }
}

/// Which net, and where it computes.
#[derive(Args, Clone, Debug)]
pub struct NetArguments {
    /// The folder of the net [default: the one shipped with the program]
    #[arg(long, value_name = "DIR")]
    pub net: Option<PathBuf>,
    /// Probability that the surest pixel of a peak must reach [default: the net's own]
    #[arg(long, value_name = "P", value_parser = fraction)]
    pub confidence: Option<f64>,
    /// The same for peaks with artifacts around them [default: the net's own]
    #[arg(long, value_name = "P", value_parser = fraction)]
    pub confidence_amid_artifact: Option<f64>,
    /// Keep peaks that crowd on one circle about the beam: reflections of very small cells; else they are grains of a ring
    #[arg(long)]
    pub ring_peaks: bool,
    #[command(flatten)]
    pub device: DeviceArgument,
}

impl NetArguments {
    /// What is asked of peaks otherwise than the net's card does.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            confidence: self.confidence.map(|p| p as f32),
            confidence_amid_artifact: self.confidence_amid_artifact.map(|p| p as f32),
            keeps_ring_peaks: self.ring_peaks,
        }
    }
}

#[derive(Args, Clone, Copy, Debug)]
pub struct DeviceArgument {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
}

/// Half-open, as `--frames 10..20`; either end may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    pub first: Option<usize>,
    pub end: Option<usize>,
}

impl FrameRange {
    /// The frames of a run that are meant; an error where the run has none of them.
    pub fn within(range: Option<Self>, frames: usize) -> Result<Range<usize>, Failure> {
        let first = range.and_then(|range| range.first).unwrap_or(0);
        let end = range.and_then(|range| range.end).unwrap_or(frames);
        if first < end && end <= frames {
            Ok(first..end)
        } else {
            Err(Failure::could_not(format!(
                "--frames {first}..{end} does not lie within the run's 0..{frames}; give a part of that"
            )))
        }
    }
}

pub fn frames(text: &str) -> Result<FrameRange, String> {
    let wrong = || "write A..B with whole numbers, A below B".to_owned();
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| {
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse().map(Some).map_err(|_| wrong())
        }
    };
    let range = FrameRange {
        first: number(first)?,
        end: number(end)?,
    };
    match (range.first, range.end) {
        (Some(first), Some(end)) if first >= end => Err(wrong()),
        _ => Ok(range),
    }
}

pub fn device(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(0)),
        _ => text
            .strip_prefix("cuda:")
            .and_then(|number| number.parse().ok())
            .map(DeviceChoice::Cuda)
            .ok_or_else(|| "write auto, cpu, cuda or cuda:N".to_owned()),
    }
}

pub fn polarity(text: &str) -> Result<MaskPolarity, String> {
    match text {
        "detected" => Ok(MaskPolarity::Detected),
        "zero" => Ok(MaskPolarity::Zero),
        "nonzero" => Ok(MaskPolarity::NonZero),
        _ => Err("write zero, nonzero or detected".to_owned()),
    }
}

pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("write a number above 0".to_owned()),
    }
}

/// A number within 0..=1.
pub fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("write a number from 0 to 1".to_owned()),
    }
}

pub fn pair(text: &str) -> Result<[f64; 2], String> {
    let number = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
    };
    text.split_once(',')
        .and_then(|(x, y)| Some([number(x)?, number(y)?]))
        .ok_or_else(|| "write X,Y".to_owned())
}

pub fn calibrant(text: &str) -> Result<Calibrant, String> {
    Calibrant::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Calibrant::ALL
            .iter()
            .map(|calibrant| calibrant.name())
            .collect();
        format!("write one of {}", names.join(", "))
    })
}

/// A size as `WIDTHxHEIGHT`.
pub fn size(text: &str) -> Result<[u32; 2], String> {
    let number = |text: &str| {
        text.parse()
            .ok()
            .filter(|value| (1..=16384).contains(value))
    };
    text.split_once('x')
        .and_then(|(width, height)| Some([number(width)?, number(height)?]))
        .ok_or_else(|| "write WIDTHxHEIGHT in pixels".to_owned())
}

/// Who is at work, for the provenance of labels.
pub fn who() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|who| !who.is_empty()))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The name of the account that the program runs under, where the system keeps a list of them.
fn account() -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let user = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
        let mine = accounts
            .lines()
            .find(|line| line.split(':').nth(2) == Some(&user))?;
        mine.split(':').next().map(str::to_owned)
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused() {
        let range = |first, end| Ok(FrameRange { first, end });
        assert_eq!(frames("3..7"), range(Some(3), Some(7)));
        assert_eq!(frames("3.."), range(Some(3), None));
        assert_eq!(frames(".."), range(None, None));
        for wrong in ["7..3", "3..3", "a..b", "4", "-1..2"] {
            assert!(frames(wrong).is_err(), "{wrong}");
        }
        assert_eq!(pair("3,-4.5"), Ok([3.0, -4.5]));
        assert!(pair("3").is_err() && pair("nan,1").is_err());
        assert_eq!(size("1600x1000"), Ok([1600, 1000]));
        assert!(size("0x5").is_err() && positive("-1").is_err() && positive("inf").is_err());
        assert!(matches!(device("cuda:2"), Ok(DeviceChoice::Cuda(2))) && device("gpu").is_err());
        assert!(
            FrameRange::within(
                Some(FrameRange {
                    first: Some(2),
                    end: Some(9)
                }),
                5
            )
            .is_err()
        );
    }
}
