//! `peaknet demo` on a machine without a display: the same run, predicted into files.

use std::path::{Path, PathBuf};

use super::arguments::NetArguments;
use super::predict::{self, PredictArguments};
use super::{Failure, output};
use crate::io;

/// Makes the demo run where it is not there yet and predicts it; the run and the CXI file beside it.
pub fn predict_headless(net: &NetArguments) -> Result<(PathBuf, PathBuf), Failure> {
    let run = io::demo::ensure_demo()?;
    let found = run.with_file_name("demo-found.cxi");
    predict::run(&PredictArguments::plain(&run, &found, net.clone()))?;
    Ok((run, found))
}

/// Tells where the results of a demo without a window are.
pub fn say_where(found: &Path, picture: &Path) -> Result<(), Failure> {
    output::line(format_args!(
        "peaks, masks and geometry: {}",
        found.display()
    ))?;
    output::line(format_args!(
        "a picture of the window: {}",
        picture.display()
    ))
}
