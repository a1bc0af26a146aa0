//! `peaknet mask`: the mask of one frame, made again on demand; and masks for all frames, from the detector or from statistics.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::arguments::{FrameRange, NetArguments, RunArguments, fraction, frames};
use super::finder::circles;
use super::output::{line, speak};
use super::{Failure, Outcome, nets};
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::Grid;
use crate::domain::{peaks, suspects};
use crate::io::Run;
use crate::io::cxi_out::{self, CxiOptions, CxiOut};
use crate::io::masks::written::{self, MaskFormat};
use crate::net::predict::Asked;

/// What speaks against a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MaskSource {
    /// The detector's bad pixels and the net's artifact class of one frame
    Net,
    /// Only what the detector, the geometry and given masks say
    Detector,
    /// Dead, hot and noisy pixels by their values over many frames, beside what the detector says: a suggestion
    Statistics,
}

#[derive(Args, Debug)]
pub struct MaskArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Which frame, from 0; may be left out where there is only one
    #[arg(long, value_name = "N")]
    frame: Option<usize>,
    /// Where the mask comes from
    #[arg(long, value_enum, default_value = "net")]
    from: MaskSource,
    /// Of statistics: only these frames, as A..B (half open)
    #[arg(long, value_name = "A..B", value_parser = frames)]
    frames: Option<FrameRange>,
    /// By its ending: .npy or .h5 (u16, bits of the CXI standard, 0x8000 = artifact), .edf, .tif, .msk (1 = bad), .png (white =
    /// bad), .cxi
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    net: NetArguments,
    /// Probability from which a pixel is a peak, whatever the card asks and rings say [default: where peak is the most probable class]
    #[arg(long, value_name = "P", value_parser = fraction)]
    threshold: Option<f64>,
    /// Pixels around every found peak that stay free of the artifact bit
    #[arg(long, value_name = "PX", default_value_t = 4)]
    peak_margin: usize,
    /// One JSON value
    #[arg(long)]
    json: bool,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &MaskArguments) -> Outcome {
    let extension = arguments
        .out
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let format = MaskFormat::of(&arguments.out);
    if format.is_none() && extension != "cxi" {
        return Err(Failure::could_not(format!(
            "a mask is written as .npy, .h5, .edf, .tif, .msk, .png or .cxi; name the file so: {}",
            arguments.out.display()
        )));
    }
    let run = arguments.run.open()?;
    run.refuse_to_replace(&arguments.out)?;
    for notice in run.info.said() {
        speak(notice);
    }
    if arguments.from == MaskSource::Statistics {
        return from_statistics(arguments, &run, format);
    }
    let number = match (arguments.frame, run.info.frames) {
        (Some(number), _) => number,
        (None, 1) => 0,
        // What the detector says of one frame it mostly says of all.
        (None, _) if arguments.from == MaskSource::Detector => 0,
        (None, frames) => {
            return Err(Failure::could_not(format!(
                "the run has {frames} frames; say with --frame which one, from 0"
            )));
        }
    };
    if number >= run.info.frames {
        return Err(Failure::no_frame(number, run.info.frames));
    }
    if arguments.from == MaskSource::Detector {
        let frame = run.read_frame(number)?;
        return tell(arguments, format, &frame.bad, &format!("frame {number}"));
    }
    let net = nets::load(&arguments.net)?;
    let frame = run.read_frame(number)?;
    if let Some(warning) = run.warning(&frame) {
        speak(&warning);
    }
    let circles = circles(&run.info);
    let asked = Asked {
        threshold: arguments.threshold.map(|p| p as f32),
        circles: circles.as_ref(),
    };
    let mut prediction = net
        .predict(&[&frame], asked)?
        .pop()
        .ok_or_else(|| Failure::could_not("the net gave no answer; try another net"))?;
    let found = peaks::settle_peaks(&frame, &mut prediction.classes);
    let mask = cxi_out::mask(
        &frame,
        Some(&prediction.classes),
        &found,
        arguments.peak_margin,
    );
    // What is written, which leaves a margin around peaks free.
    let written = {
        let valid = mask
            .cells()
            .iter()
            .filter(|bits| **bits & bad::NOT_VALID == 0);
        let (all, marked) = valid.fold((0_u64, 0_u64), |(all, marked), bits| {
            (all + 1, marked + u64::from(bits & bad::ARTIFACT != 0))
        });
        marked as f64 / all.max(1) as f64
    };
    match format {
        Some(format) => {
            let meant = bad::NOT_VALID | bad::ARTIFACT;
            written::write(&arguments.out, format, &mask, meant, arguments.force)?;
        }
        None => {
            let options = CxiOptions {
                classes: true,
                artifact_mask: true,
                peak_margin: arguments.peak_margin,
                net_name: Some(net.name().to_owned()),
                net_digest: Some(net.digest().to_owned()),
                force: arguments.force,
            };
            let mut out = CxiOut::create(&arguments.out, &run, number..number + 1, &options)?;
            out.push(&frame, Some(&prediction.classes), &found)?;
            out.finish()?;
        }
    }
    if arguments.json {
        return line(serde_json::json!({
            "frame": number,
            "n_peaks": found.len(),
            "artifact_fraction": written,
            "out": arguments.out,
        }));
    }
    line(format_args!(
        "frame {number}: {} peaks, {:.2}% artifact: {}",
        found.len(),
        100.0 * written,
        arguments.out.display()
    ))
}

/// Suspects of the run's own statistics, together with what the detector says of the first frame.
fn from_statistics(arguments: &MaskArguments, run: &Run, format: Option<MaskFormat>) -> Outcome {
    let range = FrameRange::within(arguments.frames, run.info.frames)?;
    let wanted = suspects::frames_wanted(run.info.width, run.info.height).min(range.len());
    // Spread over the run: neighbours in time look alike.
    let numbers = (0..wanted).map(|n| range.start + n * range.len() / wanted);
    let mut looked_at: Vec<Frame> = Vec::with_capacity(wanted);
    let mut warned = false;
    for number in numbers {
        match run.read_frame(number) {
            Ok(frame) if frame.emptiness().is_some() => {}
            Ok(frame) => {
                if !warned && let Some(warning) = run.warning(&frame) {
                    speak(&warning);
                    warned = true;
                }
                looked_at.push(frame);
            }
            Err(error) => speak(&format!("frame {number} is left out: {error}")),
        }
    }
    let Some((mut bits, found)) = suspects::suspects(&looked_at) else {
        return Err(Failure::could_not(format!(
            "statistics take at least {} frames with data, there are {}; give more of the run",
            suspects::LEAST_FRAMES,
            looked_at.len()
        )));
    };
    if let Some(first) = looked_at.first() {
        for (bits, own) in bits.cells_mut().iter_mut().zip(first.bad.cells()) {
            *bits |= own & bad::NOT_VALID;
        }
    }
    if looked_at.len() < suspects::ENOUGH_FRAMES {
        speak(&format!(
            "{} frames are few: reflections that stay from frame to frame may look like defects; look at the mask before you use it",
            looked_at.len()
        ));
    }
    let what = format!(
        "{} frames: {} dead, {} hot, {} noisy pixels",
        looked_at.len(),
        found.dead,
        found.hot,
        found.noisy
    );
    if arguments.json {
        write(arguments, format, &bits)?;
        return line(serde_json::json!({
            "frames": looked_at.len(), "dead": found.dead, "hot": found.hot, "noisy": found.noisy, "out": arguments.out,
        }));
    }
    tell(arguments, format, &bits, &what)
}

fn write(arguments: &MaskArguments, format: Option<MaskFormat>, bits: &Grid<u16>) -> Outcome {
    let format = format.ok_or_else(|| {
        Failure::could_not(
            "a mask of the detector or of statistics is written as .npy, .h5, .edf, .tif, .msk or .png",
        )
    })?;
    Ok(written::write(
        &arguments.out,
        format,
        bits,
        bad::NOT_VALID,
        arguments.force,
    )?)
}

fn tell(
    arguments: &MaskArguments,
    format: Option<MaskFormat>,
    bits: &Grid<u16>,
    what: &str,
) -> Outcome {
    write(arguments, format, bits)?;
    let count = bits
        .cells()
        .iter()
        .filter(|bits| **bits & bad::NOT_VALID != 0)
        .count();
    let share = count as f64 / bits.len().max(1) as f64;
    if arguments.json {
        return line(serde_json::json!({ "bad_fraction": share, "out": arguments.out }));
    }
    line(format_args!(
        "{what}; {:.3}% bad in all: {}",
        100.0 * share,
        arguments.out.display()
    ))
}
