//! Arguments of the window; `main` hands them to it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Failure;
use super::arguments::{NetArguments, OpenArguments, calibrant, size};
use super::finder::{FinderArguments, FinderName};
use crate::domain::calibrant::Calibrant;
use crate::io;

#[derive(Args, Debug)]
pub struct ViewArguments {
    /// Files, folders, glob patterns or event lists (.lst): together one run
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub open: OpenArguments,
    /// The frame to show first, from 0 (the window itself counts from 1)
    #[arg(long, value_name = "N")]
    pub frame: Option<usize>,
    /// The project that keeps the labels [default: the run's own in the user's data folder]
    #[arg(long, value_name = "FILE")]
    pub project: Option<PathBuf>,
    #[command(flatten)]
    pub net: NetArguments,
    /// What finds the peaks: the net, or a classical finder
    #[arg(long, value_enum, default_value = "net")]
    pub finder: FinderName,
    #[command(flatten)]
    pub classical: FinderArguments,
    /// Predict at once
    #[arg(long)]
    pub predict: bool,
    /// How counts become colours
    #[arg(long, value_enum)]
    pub tone: Option<ToneName>,
    /// Show the expected rings of a calibrant: silver-behenate, lab6 or ceo2
    #[arg(long, value_name = "NAME", value_parser = calibrant)]
    pub calibrant: Option<Calibrant>,
    /// Show rings of round resolutions, the beam centre and the names of panels
    #[arg(long)]
    pub resolution: bool,
    /// Colours of the window [default: the desktop's]
    #[arg(long, value_enum)]
    pub theme: Option<Theme>,
    /// Draw the window into a PNG file without a display, then exit
    #[arg(long, value_name = "OUT.png")]
    pub screenshot: Option<PathBuf>,
    /// Keys to press before the picture is taken: o, Shift+U, Ctrl+Z and so on
    #[arg(
        long,
        value_name = "KEY,...",
        value_delimiter = ',',
        requires = "screenshot"
    )]
    pub press: Vec<String>,
    /// Size of the screenshot
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<[u32; 2]>,
    /// Replace an existing screenshot
    #[arg(long)]
    pub force: bool,
}

impl ViewArguments {
    /// What can be said before a window opens: paths that are not there, a picture that could show nothing.
    pub fn check(&self) -> Result<(), Failure> {
        let is_pattern = |path: &PathBuf| path.to_string_lossy().contains(['*', '?', '[']);
        if let Some(path) = self
            .paths
            .iter()
            .find(|path| !path.exists() && !is_pattern(path))
        {
            return Err(Failure::could_not(format!(
                "no such file, folder or command; check the name or see peaknet --help: {}",
                path.display()
            )));
        }
        let Some(out) = &self.screenshot else {
            if self.frame.is_some() && !self.paths.is_empty() {
                // A run that cannot be opened is said in the window.
                if let Ok(run) = io::open_run(&self.paths, &self.open.options()) {
                    self.check_frame(run.info.frames)?;
                }
            }
            return Ok(());
        };
        if out.exists() && !self.force {
            return Err(Failure::could_not(format!(
                "the file exists; give --force to replace it: {}",
                out.display()
            )));
        }
        if !self.paths.is_empty() {
            let run = io::open_run(&self.paths, &self.open.options())?;
            run.refuse_to_replace(out)?;
            self.check_frame(run.info.frames)?;
        }
        Ok(())
    }
}

impl ViewArguments {
    fn check_frame(&self, frames: usize) -> Result<(), Failure> {
        match self.frame {
            Some(frame) if frame >= frames => Err(Failure::no_frame(frame, frames)),
            _ => Ok(()),
        }
    }
}

#[derive(Args, Debug)]
pub struct DemoArguments {
    #[command(flatten)]
    pub net: NetArguments,
    /// Draw the window into a PNG file without a display, then exit
    #[arg(long, value_name = "OUT.png")]
    pub screenshot: Option<PathBuf>,
    /// Size of the screenshot
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<[u32; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ToneName {
    Linear,
    Log,
    Sqrt,
    Asinh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Theme {
    Dark,
    Light,
}
