//! What finds peaks: the net, or a classical finder with its parameters from the command line.

use clap::{Args, ValueEnum};

use super::arguments::NetArguments;
use super::output::speak;
use super::{Failure, nets};
use crate::domain::finders::{Finder, Peakfinder8, Robust, radius_bins};
use crate::domain::frame::{Frame, RunInfo};
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::Sheet;
use crate::domain::peaks::circles::Circles;
use crate::net::Net;
use crate::net::predict::Asked;

/// The classes of a frame, and the probability that it shows a crystal.
pub type Found = (Sheet, Option<f32>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FinderName {
    Net,
    /// A threshold per ring about the beam (Cheetah, CrystFEL)
    Peakfinder8,
    /// Robust Peak Finder: a background per patch by order statistics
    Robust,
}

/// Parameters of the classical finders; what is not given has the finder's own default.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Classical finders")]
pub struct FinderArguments {
    /// Least signal-to-noise ratio by the finder's own measure [default: 5 of peakfinder8, 8 of robust]; peakSNR in the file is
    /// that of the labelling rule, for every finder
    #[arg(long, value_name = "SNR", value_parser = super::arguments::positive, allow_negative_numbers = true)]
    finder_snr: Option<f64>,
    /// Least value of a peak pixel in the frame's units, for peakfinder8 [default: none]
    #[arg(long, value_name = "ADU", allow_negative_numbers = true)]
    finder_threshold: Option<f32>,
    /// Least number of pixels [default: 2]
    #[arg(long, value_name = "N")]
    finder_min_pixels: Option<usize>,
    /// Greatest number of pixels [default: 200 of peakfinder8, 50 of robust]
    #[arg(long, value_name = "N")]
    finder_max_pixels: Option<usize>,
    /// Half the reach of the local background, for peakfinder8, in pixels [default: 3]
    #[arg(long, value_name = "PX")]
    finder_background_radius: Option<usize>,
}

impl FinderArguments {
    fn check(&self) -> Result<(), Failure> {
        let (least, most) = (self.finder_min_pixels, self.finder_max_pixels);
        if least.zip(most).is_some_and(|(least, most)| least > most) {
            return Err(Failure::could_not(
                "--finder-min-pixels is above --finder-max-pixels, so no peak fits; exchange them",
            ));
        }
        Ok(())
    }

    /// The finder with these parameters; `None` for the net.
    pub fn finder(&self, name: FinderName) -> Option<Finder> {
        let snr = self.finder_snr.map(|snr| snr as f32);
        match name {
            FinderName::Net => None,
            FinderName::Peakfinder8 => {
                let usual = Peakfinder8::default();
                Some(Finder::Peakfinder8(Peakfinder8 {
                    threshold: self.finder_threshold.unwrap_or(usual.threshold),
                    min_snr: snr.unwrap_or(usual.min_snr),
                    min_pixels: self.finder_min_pixels.unwrap_or(usual.min_pixels),
                    max_pixels: self.finder_max_pixels.unwrap_or(usual.max_pixels),
                    local_background_radius: self
                        .finder_background_radius
                        .unwrap_or(usual.local_background_radius)
                        .clamp(1, 1000),
                    ..usual
                }))
            }
            FinderName::Robust => {
                let usual = Robust::default();
                Some(Finder::Robust(Robust {
                    min_snr: snr.unwrap_or(usual.min_snr),
                    min_pixels: self.finder_min_pixels.unwrap_or(usual.min_pixels),
                    max_pixels: self.finder_max_pixels.unwrap_or(usual.max_pixels),
                    ..usual
                }))
            }
        }
    }
}

/// The circles about a run's beam, where it is known.
pub fn circles(info: &RunInfo) -> Option<Circles> {
    Circles::of(&info.geometry, info.width, info.height)
}

/// What finds the peaks of a run.
pub enum Source {
    Net {
        net: Box<Net>,
        /// About the beam, where it is known.
        circles: Option<Circles>,
    },
    Finder {
        finder: Finder,
        name: &'static str,
        bins: Grid<u16>,
        panels: Vec<PixelRect>,
    },
}

impl Source {
    /// The net or the finder; says where the middle of the frame stands in for the beam. Errors: parameters that contradict, no net.
    pub fn load(
        name: FinderName,
        classical: &FinderArguments,
        net: &NetArguments,
        info: &RunInfo,
    ) -> Result<Self, Failure> {
        classical.check()?;
        let Some(finder) = classical.finder(name) else {
            return Ok(Self::Net {
                net: Box::new(nets::load(net)?),
                circles: circles(info),
            });
        };
        let geometry = &info.geometry;
        let by_rings = name == FinderName::Peakfinder8;
        if by_rings && geometry.beam_center_px.is_none() && geometry.panels.is_empty() {
            speak(
                "the beam centre is not known, the middle of the frame stands in for it; give --beam-center-px",
            );
        }
        Ok(Self::Finder {
            name: finder.name(),
            bins: radius_bins(geometry, info.width, info.height),
            panels: geometry.panels.iter().map(|panel| panel.rect).collect(),
            finder,
        })
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Net { net, .. } => net.name(),
            Self::Finder { name, .. } => name,
        }
    }

    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Net { net, .. } => Some(net.digest()),
            Self::Finder { .. } => None,
        }
    }

    pub fn device(&self) -> String {
        match self {
            Self::Net { net, .. } => net.device_name(),
            Self::Finder { .. } => "CPU".to_owned(),
        }
    }

    /// The class maps of frames, and where the net has a hit head the probability that each shows a crystal.
    pub fn classes(
        &self,
        frames: &[&Frame],
        threshold: Option<f32>,
    ) -> Result<Vec<Found>, Failure> {
        match self {
            Self::Net { net, circles } => {
                let asked = Asked {
                    threshold,
                    circles: circles.as_ref(),
                };
                let predictions = net.predict(frames, asked)?;
                Ok(predictions
                    .into_iter()
                    .map(|prediction| (prediction.classes, prediction.hit_probability))
                    .collect())
            }
            Self::Finder {
                finder,
                bins,
                panels,
                ..
            } => Ok(frames
                .iter()
                .map(|frame| (finder.find(frame, bins, panels), None))
                .collect()),
        }
    }
}
