//! The command line: one file per command; data on stdout, speech on stderr, exit codes 0, 1 and 2.

use std::error::Error;
use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;

pub mod arguments;
mod bench;
mod calibrate;
mod check;
pub mod demo;
mod export;
mod finder;
mod import;
mod info;
mod judge;
mod mask;
mod merge;
mod nets;
mod output;
mod predict;
mod rank;
mod reading;
mod recover;
mod score;
mod simulate;
mod train;
mod training;
pub mod view;

/// Find Bragg peaks in detector frames with a small network, correct its labels by painting, retrain.
///
/// Without a command the PATHs are opened in the window.
#[derive(Debug, Parser)]
#[command(name = "peaknet", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub view: view::ViewArguments,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Open a run in the window
    View(view::ViewArguments),
    /// Simulate a small labelled run, predict it and open the window on it
    Demo(view::DemoArguments),
    /// Say what a run is, without reading its pixels
    Info(info::InfoArguments),
    /// List everything that is wrong with a run, one problem a line (exit code 1 when there are any)
    Check(check::CheckArguments),
    /// Find peaks and artifacts in every frame; writes OUT.cxi, OUT.geom and OUT.lst for CrystFEL
    Predict(predict::PredictArguments),
    /// Write the mask of one frame
    Mask(mask::MaskArguments),
    /// Train a net on sets or on simulated frames
    Train(train::TrainArguments),
    /// Compare a net with labelled frames, or one peak list with another
    Score(score::ScoreArguments),
    /// Make or open a project, add a run, bring labels in
    Import(import::ImportArguments),
    /// Write a project's labels as a training set, CXI, PNG or NumPy file
    Export(export::ExportArguments),
    /// Compare two curators' projects of the same runs, and make them one
    Merge(merge::MergeArguments),
    /// Make a sound project of what a damaged one and its copy still hold
    Recover(recover::RecoverArguments),
    /// List the frames of a project or run, those first that need a look most
    Rank(rank::RankArguments),
    /// Make labelled frames with known truth
    Simulate(simulate::SimulateArguments),
    /// Compare the rings of a calibrant frame with those expected
    Calibrate(calibrate::CalibrateArguments),
    /// Time reading, net and peaks on this machine
    Bench(bench::BenchArguments),
}

/// Why a command did not end with exit code 0.
#[derive(Debug)]
pub enum Failure {
    /// It did its work and found problems (exit code 1); the sentence, if any, goes to stderr.
    Problems(Option<String>),
    /// It could not do its work (exit code 2): one sentence with the cure.
    CouldNot(String),
    /// Whoever read our output has seen enough, which is no failure.
    PipeClosed,
}

pub type Outcome = Result<(), Failure>;

impl Failure {
    pub fn could_not(sentence: impl Into<String>) -> Self {
        Self::CouldNot(sentence.into())
    }

    /// A frame number that the run does not have; numbers begin at 0.
    pub fn no_frame(frame: usize, frames: usize) -> Self {
        let has = match frames {
            1 => "the run has the frame 0 alone".to_owned(),
            _ => format!("the run has the frames 0 to {}", frames - 1),
        };
        Self::CouldNot(format!(
            "there is no frame {frame}, {has}; give another --frame"
        ))
    }

    /// Says what is to be said on stderr and gives the exit code.
    pub fn report(self) -> u8 {
        match self {
            Self::PipeClosed => 0,
            Self::Problems(sentence) => {
                if let Some(sentence) = sentence {
                    output::speak(&sentence);
                }
                1
            }
            Self::CouldNot(sentence) => {
                output::speak(&sentence);
                2
            }
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &(dyn Error + 'static) = &error;
        match any.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::CouldNot(error.to_string()),
        }
    }
}

/// The arguments, or the exit code where they ask for help or cannot be understood (one line says why).
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, u8> {
    Arguments::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is no failure.
            let _ = error.print();
            0
        }
        _ => Failure::could_not(one_line(&error.to_string())).report(),
    })
}

/// Clap's complaint as one line: its first paragraph and its tips, without the usage.
fn one_line(text: &str) -> String {
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    let said = said.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}; see peaknet --help")
}

/// Does a command other than `view` and `demo`, which need the window and are `main`'s to join.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Info(arguments) => info::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Mask(arguments) => mask::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Recover(arguments) => recover::run(&arguments),
        Command::Rank(arguments) => rank::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::View(_) | Command::Demo(_) => Err(Failure::could_not(
            "the window is opened by the program itself, not from here",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn complaints_of_the_parser_are_one_line() {
        for arguments in [
            vec!["peaknet", "predict"],
            vec!["peaknet", "info", "--nonsense", "x"],
            vec![
                "peaknet", "predict", "a.h5", "--out", "o.cxi", "--frames", "b..a",
            ],
        ] {
            let error = Arguments::try_parse_from(arguments).unwrap_err();
            let line = one_line(&error.to_string());
            assert!(!line.contains('\n') && line.len() > 30, "{line}");
        }
    }
}
