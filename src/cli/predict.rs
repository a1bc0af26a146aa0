//! `peaknet predict`: peaks and artifact masks of every frame, as CrystFEL reads them.
//!
//! Three stages work at the same time: threads that read ahead, the net (this thread), and one thread that
//! measures peaks, writes and reports.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;

use super::arguments::{FrameRange, NetArguments, RunArguments, fraction, frames};
use super::finder::{FinderArguments, FinderName, Source};
use super::output::{line, milliseconds, progress, rounded, speak};
use super::reading::{ReadFrame, read_ahead};
use super::{Failure, Outcome};
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::{Class, Sheet};
use crate::domain::peaks::recheck::{Radii, Recheck};
use crate::domain::peaks::{self, Peak, PeakOptions};
use crate::io::crystfel::Geom;
use crate::io::cxi_out::{CxiOptions, CxiOut};
use crate::io::run::Run;

#[derive(Args, Debug)]
pub struct PredictArguments {
    #[command(flatten)]
    run: RunArguments,
    /// The CXI file to write; OUT.geom and OUT.lst appear beside it
    #[arg(long, value_name = "OUT.cxi")]
    out: PathBuf,
    /// What finds the peaks: the net, or a classical finder (peaks only, no artifact)
    #[arg(long, value_enum, default_value = "net")]
    finder: FinderName,
    #[command(flatten)]
    classical: FinderArguments,
    #[command(flatten)]
    net: NetArguments,
    /// Only these frames, as A..B (half open)
    #[arg(long, value_name = "A..B", value_parser = frames)]
    frames: Option<FrameRange>,
    /// Frames that the net takes at once [default: 1 on a CPU, 4 on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    batch: Option<u16>,
    /// A frame with at least so many peaks is a hit
    #[arg(long, value_name = "N", default_value_t = 15)]
    min_peaks: usize,
    /// Probability from which a pixel is a peak, whatever the card asks and rings say [default: where peak is the most probable class]
    #[arg(long, value_name = "P", value_parser = fraction)]
    threshold: Option<f64>,
    /// Least number of valid pixels of a peak
    #[arg(long, value_name = "N", default_value_t = PeakOptions::default().min_pixels)]
    min_pixels: usize,
    /// Least SNR of a peak against its own surroundings, where the net finds them
    #[arg(long, value_name = "SNR", default_value_t = peaks::LEAST_SNR)]
    min_snr: f32,
    /// The frame's units (ADU) of one photon, for the photon noise in peakSNR [default: adu_per_photon of a .geom, else 1]
    #[arg(long, value_name = "ADU", value_parser = super::arguments::positive)]
    units_per_photon: Option<f64>,
    /// Peaks that CrystFEL's re-check drops, because a bad pixel or the edge of a panel is too near: marked in peakNearBad, or left out
    #[arg(long, value_enum, default_value = "mark")]
    near_bad: NearBad,
    /// Inner, middle and outer radius of that re-check, as given to indexamajig [default: 4,5,7]
    #[arg(long, value_name = "PX,PX,PX", value_parser = radii)]
    peak_radius: Option<Radii>,
    /// What the mask marks besides the detector's bad pixels
    #[arg(long, value_enum, default_value = "artifact")]
    mask: MaskKind,
    /// Pixels around every found peak that stay free of the artifact bit
    #[arg(long, value_name = "PX", default_value_t = 4)]
    peak_margin: usize,
    /// Also write the class of every pixel
    #[arg(long)]
    classes: bool,
    /// One JSON line a frame, then a summary
    #[arg(long)]
    json: bool,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MaskKind {
    Artifact,
    None,
}

fn radii(text: &str) -> Result<Radii, String> {
    let numbers: Vec<f32> = text
        .split(',')
        .filter_map(|word| word.trim().parse().ok())
        .collect();
    match numbers[..] {
        [inner, middle, outer]
            if (0.0..=middle).contains(&inner) && (middle..=100.0).contains(&outer) =>
        {
            Ok(Radii([inner, middle, outer]))
        }
        _ => Err("write three ascending radii in pixels up to 100, as 4,5,7".to_owned()),
    }
}

/// What becomes of peaks that CrystFEL will drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NearBad {
    Mark,
    Drop,
}

impl PredictArguments {
    /// As `peaknet predict RUN --out OUT --force` reads it.
    pub fn plain(run: &std::path::Path, out: &std::path::Path, net: NetArguments) -> Self {
        Self {
            run: RunArguments {
                paths: vec![run.to_owned()],
                open: super::arguments::OpenArguments::default(),
            },
            out: out.to_owned(),
            finder: FinderName::Net,
            classical: FinderArguments::default(),
            net,
            frames: None,
            batch: None,
            min_peaks: 15,
            threshold: None,
            min_pixels: PeakOptions::default().min_pixels,
            min_snr: peaks::LEAST_SNR,
            units_per_photon: None,
            near_bad: NearBad::Mark,
            peak_radius: None,
            mask: MaskKind::Artifact,
            peak_margin: 4,
            classes: false,
            json: false,
            force: true,
        }
    }
}

/// A frame on its way from the net to the file.
struct Predicted {
    frame: Frame,
    /// `None` where the frame could not be read.
    classes: Option<Sheet>,
    hit_probability: Option<f32>,
    read: Duration,
    net: Duration,
}

#[derive(Default)]
struct Totals {
    frames: usize,
    hits: usize,
    peaks: usize,
    unreadable: usize,
}

pub fn run(arguments: &PredictArguments) -> Outcome {
    let run = arguments.run.open()?;
    let range = FrameRange::within(arguments.frames, run.info.frames)?;
    let source = Source::load(
        arguments.finder,
        &arguments.classical,
        &arguments.net,
        &run.info,
    )?;
    let options = CxiOptions {
        classes: arguments.classes,
        artifact_mask: arguments.mask == MaskKind::Artifact,
        peak_margin: arguments.peak_margin,
        net_name: Some(source.name().to_owned()),
        net_digest: source.digest().map(str::to_owned),
        force: arguments.force,
    };
    let out = CxiOut::create(&arguments.out, &run, range.clone(), &options)?;
    for notice in run.info.said() {
        speak(notice);
    }
    let last = LastWord::of(arguments, &run);
    let device = source.device();
    let on_cpu = device.to_lowercase().contains("cpu");
    let batch = arguments
        .batch
        .map_or(if on_cpu { 1 } else { 4 }, usize::from);
    let start = Instant::now();
    let bar = progress(range.len(), "predicting");
    let totals = std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(2 * batch);
        let writer = scope.spawn(|| write(receiver, out, arguments, &last, &bar));
        let mut waiting: Vec<(usize, ReadFrame)> = Vec::new();
        let last = range.end;
        let fed = read_ahead(&run, range.clone(), 2, |number, read| {
            waiting.push((number, read));
            if waiting.len() < batch && number + 1 < last {
                return Ok(());
            }
            let threshold = arguments.threshold.map(|p| p as f32);
            for predicted in predict(&source, threshold, std::mem::take(&mut waiting), &run.info)? {
                // The writer hangs up only when it failed; its own error says why.
                sender.send(predicted).map_err(|_| Failure::PipeClosed)?;
            }
            Ok(())
        });
        drop(sender);
        let written = writer.join().unwrap_or_else(|_| {
            Err(Failure::could_not(
                "the writing thread stopped; please report this",
            ))
        });
        let (out, totals) = written?;
        fed?;
        out.finish()?;
        Ok::<_, Failure>(totals)
    })?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        line(json!({ "summary": {
            "frames": totals.frames,
            "hits": totals.hits,
            "hit_rate": rounded(totals.hits as f64 / totals.frames.max(1) as f64, 4),
            "peaks": totals.peaks,
            "unreadable": totals.unreadable,
            "seconds": rounded(seconds, 4),
            "device": device,
            "net": source.name(),
            "net_digest": source.digest(),
            "out": arguments.out,
        }}))?;
    } else {
        line(format_args!(
            "{} frames, {} hits with at least {} peaks, {} peaks in all, {:.2} s a frame: {}",
            totals.frames,
            totals.hits,
            arguments.min_peaks,
            totals.peaks,
            seconds / totals.frames.max(1) as f64,
            arguments.out.display()
        ))?;
    }
    match totals.unreadable {
        0 => Ok(()),
        n => Err(Failure::Problems(Some(format!(
            "{n} of {} frames could not be read and have no peaks in the output",
            totals.frames
        )))),
    }
}

/// Puts one batch through the net; frames that could not be read stay in their place.
fn predict(
    source: &Source,
    threshold: Option<f32>,
    batch: Vec<(usize, ReadFrame)>,
    info: &crate::domain::frame::RunInfo,
) -> Result<Vec<Predicted>, Failure> {
    let start = Instant::now();
    let readable: Vec<&Frame> = batch
        .iter()
        .filter_map(|(_, read)| read.result.as_ref().ok())
        .collect();
    let predictions = if readable.is_empty() {
        Vec::new()
    } else {
        source.classes(&readable, threshold)?
    };
    let took = start.elapsed() / readable.len().max(1) as u32;
    let mut predictions = predictions.into_iter();
    let done = batch.into_iter().map(|(number, read)| match read.result {
        Ok(frame) => {
            let (classes, hit_probability) = predictions.next().unzip();
            Predicted {
                frame,
                classes,
                hit_probability: hit_probability.flatten(),
                read: read.took,
                net: took,
            }
        }
        Err(error) => {
            speak(&format!("frame {number}: {error}"));
            Predicted {
                frame: blank(number, info),
                classes: None,
                hit_probability: None,
                read: read.took,
                net: Duration::ZERO,
            }
        }
    });
    Ok(done.collect())
}

/// What stands in the output for a frame that could not be read: no pixel is valid.
fn blank(number: usize, info: &crate::domain::frame::RunInfo) -> Frame {
    Frame {
        number,
        pixels: Grid::filled(info.width, info.height, 0.0),
        bad: Grid::filled(info.width, info.height, bad::INVALID),
    }
}

/// What counts as a peak of a class map, hits and files included.
struct LastWord {
    options: PeakOptions,
    /// A classical finder has had its own word about noise.
    is_net: bool,
    panels: Vec<PixelRect>,
    radii: Radii,
    /// Of the artifact mask around peaks; `None` where none is written.
    margin: Option<usize>,
    drops: bool,
}

impl LastWord {
    fn of(arguments: &PredictArguments, run: &Run) -> Self {
        let given = arguments.units_per_photon.map(|units| units as f32);
        Self {
            options: PeakOptions {
                min_pixels: arguments.min_pixels,
                min_snr: arguments.min_snr,
                // A classical finder has parted its peaks itself.
                split: arguments.finder == FinderName::Net,
                units_per_photon: given.or_else(|| run.geom().and_then(Geom::units_per_photon)),
            },
            is_net: arguments.finder == FinderName::Net,
            panels: run
                .info
                .geometry
                .panels
                .iter()
                .map(|panel| panel.rect)
                .collect(),
            radii: arguments.peak_radius.unwrap_or_default(),
            margin: (arguments.mask == MaskKind::Artifact).then_some(arguments.peak_margin),
            drops: arguments.near_bad == NearBad::Drop,
        }
    }

    fn peaks(&self, frame: &Frame, classes: &mut Sheet) -> Vec<Peak> {
        let mut found = if self.is_net {
            peaks::settle_peaks_with(frame, classes, &self.options)
        } else {
            peaks::measure_peaks_with(frame, classes, &self.options)
        };
        let recheck = Recheck {
            frame,
            artifacts: self.margin.map(|margin| (&*classes, margin)),
            panels: &self.panels,
            radii: self.radii,
        };
        recheck.mark(&mut found);
        if self.drops {
            found.retain(|peak| !peak.near_bad);
        }
        found
    }
}

/// Measures, writes and reports frame by frame until the sender is gone.
fn write(
    frames: Receiver<Predicted>,
    mut out: CxiOut,
    arguments: &PredictArguments,
    last: &LastWord,
    bar: &ProgressBar,
) -> Result<(CxiOut, Totals), Failure> {
    let mut totals = Totals::default();
    for mut done in frames {
        let start = Instant::now();
        let found = done
            .classes
            .as_mut()
            .map(|classes| last.peaks(&done.frame, classes))
            .unwrap_or_default();
        let took = start.elapsed();
        out.push(&done.frame, done.classes.as_ref(), &found)?;
        let hit = found.len() >= arguments.min_peaks;
        totals.frames += 1;
        totals.hits += usize::from(hit);
        totals.peaks += found.len();
        totals.unreadable += usize::from(done.classes.is_none());
        if arguments.json {
            let artifact = done
                .classes
                .as_ref()
                .map(|classes| artifact_fraction(&done.frame, classes));
            let mut said = json!({
                "frame": done.frame.number,
                "n_peaks": found.len(),
                "hit": hit,
                "n_saturated": found.iter().filter(|peak| peak.saturated).count(),
                "n_near_bad": found.iter().filter(|peak| peak.near_bad).count(),
                "artifact_fraction": artifact.map(|fraction| rounded(fraction, 5)),
                "read_ms": milliseconds(done.read),
                "net_ms": milliseconds(done.net),
                "peaks_ms": milliseconds(took),
            });
            // Only nets with a hit head say so.
            if let Some(probability) = done.hit_probability {
                said["hit_probability"] = json!(rounded(f64::from(probability), 4));
            }
            line(said)?;
        }
        bar.set_message(format!("{} hits", totals.hits));
        bar.inc(1);
    }
    Ok((out, totals))
}

/// The share of the valid pixels that are artifact.
pub fn artifact_fraction(frame: &Frame, classes: &Sheet) -> f64 {
    let (mut valid, mut artifact) = (0_usize, 0_usize);
    for (bits, class) in frame.bad.cells().iter().zip(classes.cells()) {
        if bits & bad::NOT_VALID == 0 {
            valid += 1;
            artifact += usize::from(*class == Class::Artifact.code());
        }
    }
    artifact as f64 / valid.max(1) as f64
}
