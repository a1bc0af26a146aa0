//! Where nets lie: the folders that are searched, and the one that is used when none is named.

use std::path::{Path, PathBuf};

use super::card::Card;

/// The name of the net that is shipped with the program.
pub const SHIPPED: &str = "peaknet";

/// The folders that may hold nets, in the order of their right.
///
/// `PEAKNET_MODELS`, `models` in the working folder, `models` beside the program or above it, and the folder of
/// nets that the user trained.
pub fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(named) = std::env::var_os("PEAKNET_MODELS") {
        folders.push(PathBuf::from(named));
    }
    folders.push(PathBuf::from("models"));
    if let Ok(program) = std::env::current_exe() {
        let above = program.ancestors().skip(1).take(4);
        folders.extend(above.map(|folder| folder.join("models")));
    }
    folders.push(own_folder());
    folders
}

/// Where nets go that are trained from the window.
pub fn own_folder() -> PathBuf {
    directories::ProjectDirs::from("", "", "peaknet-studio").map_or_else(
        || PathBuf::from("models"),
        |dirs| dirs.data_dir().join("models"),
    )
}

/// Every readable net of those folders with its card, the shipped one first, then by name.
pub fn installed() -> Vec<(PathBuf, Card)> {
    let mut nets: Vec<(PathBuf, Card)> = Vec::new();
    for folder in folders() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let same = |other: &Path| {
                std::fs::canonicalize(other).ok() == std::fs::canonicalize(&path).ok()
            };
            if nets.iter().any(|(known, _)| same(known)) {
                continue;
            }
            if let Ok(card) = Card::load(&path) {
                nets.push((path, card));
            }
        }
    }
    nets.sort_by(|(_, a), (_, b)| (a.name != SHIPPED, &a.name).cmp(&(b.name != SHIPPED, &b.name)));
    nets
}

/// The folder of the shipped net; `None` where the program was moved away from it.
pub fn shipped() -> Option<PathBuf> {
    folders()
        .into_iter()
        .map(|folder| folder.join(SHIPPED))
        .find(|folder| folder.join("card.toml").exists())
}
