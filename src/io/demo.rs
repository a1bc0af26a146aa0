//! The demo run: a small simulated one with known truth, made once in the user's cache folder.

use std::path::PathBuf;

use super::Error;
use super::simulated::{LabelledHeader, write_labelled_run};
use crate::domain::simulate::{Recipe, simulate};

const FRAMES: usize = 12;
/// The first seed from 20,231 on whose first frame shows a crystal, so that the demo opens on one.
const SEED: u64 = 20_232;

/// The demo run's path; simulated first where it is not there yet.
pub fn ensure_demo() -> Result<PathBuf, Error> {
    let folder = match std::env::var_os("PEAKNET_CONFIG") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => directories::ProjectDirs::from("", "", "peaknet-studio").map_or_else(
            || std::env::temp_dir().join("peaknet-studio"),
            |dirs| dirs.cache_dir().to_owned(),
        ),
    };
    // A new version of the simulator makes a new demo.
    let path = folder.join(concat!("demo-", env!("CARGO_PKG_VERSION"), ".cxi"));
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::new(
            format!("the demo's folder cannot be made ({error}); set PEAKNET_CONFIG to another"),
            &folder,
        )
    })?;
    let Some(recipe) = Recipe::named("jungfrau") else {
        return Err(Error::new(
            "the demo's detector is unknown to this program; build it again",
            &path,
        ));
    };
    let first = simulate(&recipe, SEED, 0);
    let header = LabelledHeader {
        geometry: first.geometry.clone(),
        detector: "simulated JUNGFRAU module".to_owned(),
        recipe: format!("{{\"detector\": \"jungfrau\", \"seed\": {SEED}}}"),
    };
    let frames = (0..FRAMES).map(|number| Ok(simulate(&recipe, SEED, number).into()));
    write_labelled_run(&path, &header, frames, true)?;
    Ok(path)
}
