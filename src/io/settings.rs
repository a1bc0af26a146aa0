//! The user's settings: recent runs, how the window is arranged. One file in the configuration folder, written whole or not at all.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs;

const VERSION: u32 = 1;
const FILE: &str = "settings.toml";
/// How many runs the start page remembers.
const RECENT: usize = 20;

/// Why the settings could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no configuration folder for this user; set PEAKNET_CONFIG to a folder")]
    NoFolder,
    #[error("the settings could not be written ({source}); free space or set PEAKNET_CONFIG to another folder: {}", path.display())]
    Folder {
        source: std::io::Error,
        path: PathBuf,
    },
    #[error("the settings were not kept: {0}")]
    Write(#[from] fs::Error),
    #[error(
        "the settings could not be put into words ({0}); this is a mistake of the program, please report it"
    )]
    Form(#[from] toml::ser::Error),
}

/// What the program remembers between two starts. This is the form on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    version: u32,
    pub window: WindowSettings,
    /// Newest first.
    pub recent: Vec<RecentRun>,
}

/// How the user has arranged the window; `None` = as the program has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSettings {
    /// `dark` or `light`; `None` = what the desktop prefers.
    pub theme: Option<String>,
    /// Widths of the frame table and of the inspector, points.
    pub table_width: Option<f32>,
    pub inspector_width: Option<f32>,
    /// Columns of the frame table by name.
    pub columns: Option<Vec<String>>,
    pub thumbnails: bool,
    /// Column that the frame table is sorted by, and whether the largest comes first.
    pub sort: Option<String>,
    pub descending: bool,
}

/// A run that was opened before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecentRun {
    pub path: PathBuf,
    /// The project it was opened with, where the user named one.
    pub project: Option<PathBuf>,
    pub last_frame: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: VERSION,
            window: WindowSettings::default(),
            recent: Vec::new(),
        }
    }
}

impl Settings {
    /// Puts a run at the head of the recent ones. Its last frame is kept.
    pub fn remember_run(&mut self, path: &Path, project: Option<&Path>) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let old = self
            .recent
            .iter()
            .position(|run| run.path == path)
            .map(|at| self.recent.remove(at));
        let run = RecentRun {
            path,
            project: project
                .map(|project| std::path::absolute(project).unwrap_or_else(|_| project.to_owned()))
                .or_else(|| old.as_ref().and_then(|run| run.project.clone())),
            last_frame: old.and_then(|run| run.last_frame),
        };
        self.recent.insert(0, run);
        self.recent.truncate(RECENT);
    }

    /// The recent runs that still exist, newest first, each with the project that was opened with it.
    pub fn recent_runs(&self) -> Vec<(PathBuf, Option<PathBuf>)> {
        let found = self.recent.iter().filter(|run| run.path.exists());
        let project = |run: &RecentRun| run.project.clone().filter(|path| path.exists());
        found.map(|run| (run.path.clone(), project(run))).collect()
    }
}

/// The folder of the settings: `PEAKNET_CONFIG`, or the desktop's own place for them.
pub fn folder() -> Option<PathBuf> {
    match std::env::var_os("PEAKNET_CONFIG") {
        Some(folder) if !folder.is_empty() => Some(PathBuf::from(folder)),
        _ => directories::ProjectDirs::from("", "", "peaknet-studio")
            .map(|dirs| dirs.config_dir().to_owned()),
    }
}

/// The settings, and a sentence when they could not be read and defaults stand in for them.
pub fn load() -> (Settings, Option<String>) {
    folder().map_or_else(
        || (Settings::default(), None),
        |folder| load_from(&folder.join(FILE)),
    )
}

/// Whether there is a file of settings.
pub fn exist() -> bool {
    folder().is_some_and(|folder| folder.join(FILE).exists())
}

/// Writes the settings whole or not at all.
pub fn store(settings: &Settings) -> Result<(), Error> {
    let folder = folder().ok_or(Error::NoFolder)?;
    store_to(settings, &folder.join(FILE))
}

/// As [`load`], from a file of that name. A damaged file is put aside, not lost.
pub fn load_from(path: &Path) -> (Settings, Option<String>) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return (Settings::default(), None);
        }
        Err(error) => {
            let notice = format!(
                "The settings could not be read ({error}); defaults are used: {}",
                path.display()
            );
            return (Settings::default(), Some(notice));
        }
    };
    let reason = match toml::from_str::<Settings>(&text) {
        Ok(settings) if settings.version == VERSION => return (settings, None),
        Ok(settings) => format!("are of version {}, not {VERSION}", settings.version),
        Err(error) => format!("are damaged ({})", error.message()),
    };
    let aside = path.with_extension("old.toml");
    let kept = if std::fs::rename(path, &aside).is_ok() {
        aside.display().to_string()
    } else {
        path.display().to_string()
    };
    let notice = format!("The settings {reason}; defaults are used, the old ones are kept: {kept}");
    (Settings::default(), Some(notice))
}

/// As [`store`], to a file of that name; its folder is made.
pub fn store_to(settings: &Settings, path: &Path) -> Result<(), Error> {
    let text = toml::to_string_pretty(settings)?;
    let unwritten = |source| Error::Folder {
        source,
        path: path.to_owned(),
    };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(unwritten)?;
    Ok(fs::write_whole(path, text.as_bytes(), true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn come_back_as_stored_and_damage_is_said() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/settings.toml");
        assert_eq!(load_from(&path), (Settings::default(), None));
        let mut settings = Settings::default();
        for i in 0..30 {
            settings.remember_run(Path::new(&format!("/runs/{i}.h5")), None);
        }
        settings.remember_run(Path::new("/runs/12.h5"), Some(Path::new("/p.peaknet")));
        settings.remember_run(Path::new("/runs/12.h5"), None);
        assert_eq!(settings.recent.len(), RECENT);
        assert_eq!(settings.recent[0].path, Path::new("/runs/12.h5"));
        assert_eq!(
            settings.recent[0].project.as_deref(),
            Some(Path::new("/p.peaknet"))
        );
        // Whatever folder the program is started in next: the project is where it was.
        settings.remember_run(Path::new("/runs/12.h5"), Some(Path::new("p.peaknet")));
        let here = std::env::current_dir()?.join("p.peaknet");
        assert_eq!(settings.recent[0].project.as_deref(), Some(here.as_path()));
        store_to(&settings, &path)?;
        assert_eq!(load_from(&path), (settings, None));

        for damage in ["recent = 7", "version = 99", "\u{0}[["] {
            #[expect(clippy::disallowed_methods, reason = "the damage is the point")]
            std::fs::write(&path, damage)?;
            let (settings, notice) = load_from(&path);
            assert_eq!(settings, Settings::default());
            assert!(
                notice.is_some_and(|notice| notice.contains("old.toml")),
                "{damage}"
            );
            assert!(!path.exists());
        }
        Ok(())
    }
}
