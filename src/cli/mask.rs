//! `peaknet mask`: the mask of one frame, made again on demand.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{NetArguments, RunArguments, fraction};
use super::output::line;
use super::predict::artifact_fraction;
use super::{Failure, Outcome, nets};
use crate::domain::frame::bad;
use crate::domain::peaks;
use crate::fs::write_whole;
use crate::io::cxi_out::{self, CxiOptions, CxiOut};

#[derive(Args, Debug)]
pub struct MaskArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Which frame, from 0; may be left out where there is only one
    #[arg(long, value_name = "N")]
    frame: Option<usize>,
    /// .npy (u16, CXI bits and 0x8000 = artifact), .png (white = bad or artifact) or .cxi
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    net: NetArguments,
    /// Probability from which a pixel is a peak [default: the net's own]
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
    if !["npy", "png", "cxi", "h5"].contains(&extension) {
        return Err(Failure::could_not(format!(
            "a mask is written as .npy, .png or .cxi; name the file so: {}",
            arguments.out.display()
        )));
    }
    let run = arguments.run.open()?;
    run.refuse_to_replace(&arguments.out)?;
    let number = match (arguments.frame, run.info.frames) {
        (Some(number), _) => number,
        (None, 1) => 0,
        (None, frames) => {
            return Err(Failure::could_not(format!(
                "the run has {frames} frames; say with --frame which one, from 0"
            )));
        }
    };
    if number >= run.info.frames {
        return Err(Failure::no_frame(number, run.info.frames));
    }
    let net = nets::load(&arguments.net)?;
    let frame = run.read_frame(number)?;
    if let Some(warning) = run.warning(&frame) {
        super::output::speak(&warning);
    }
    let mut prediction = net
        .predict(&[&frame], arguments.threshold.map(|p| p as f32))?
        .pop()
        .ok_or_else(|| Failure::could_not("the net gave no answer; try another net"))?;
    let found = peaks::settle_peaks(&frame, &mut prediction.classes);
    let mask = cxi_out::mask(
        &frame,
        Some(&prediction.classes),
        &found,
        arguments.peak_margin,
    );
    match extension {
        "npy" => write_whole(
            &arguments.out,
            &npy_u16(mask.width(), mask.height(), mask.cells()),
            arguments.force,
        )?,
        "png" => {
            let hidden = |bits: &u16| {
                if bits & (bad::NOT_VALID | bad::ARTIFACT) == 0 {
                    0
                } else {
                    255
                }
            };
            let bytes: Vec<u8> = mask.cells().iter().map(hidden).collect();
            let mut png = std::io::Cursor::new(Vec::new());
            image::write_buffer_with_format(
                &mut png,
                &bytes,
                mask.width() as u32,
                mask.height() as u32,
                image::ExtendedColorType::L8,
                image::ImageFormat::Png,
            )?;
            write_whole(&arguments.out, png.get_ref(), arguments.force)?;
        }
        _ => {
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
            "artifact_fraction": artifact_fraction(&frame, &prediction.classes),
            "out": arguments.out,
        }));
    }
    line(format_args!(
        "frame {number}: {} peaks, {:.2}% artifact: {}",
        found.len(),
        100.0 * artifact_fraction(&frame, &prediction.classes),
        arguments.out.display()
    ))
}

/// A NumPy file of one u16 array; format 1.0 of numpy.lib.format.
fn npy_u16(width: usize, height: usize, cells: &[u16]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    // The whole header, ten bytes of preamble and the line end included, is a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(cells.iter().flat_map(|cell| cell.to_le_bytes()));
    bytes
}
