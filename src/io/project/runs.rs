//! The runs of a project: found again by where they lie, or by what they hold when they have moved.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, named_params};
use sha2::{Digest, Sha256};

use super::{Doing, Error, Mode, Project, now};
use crate::domain::frame::RunInfo;

/// A run within one project file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunKey(pub i64);

/// What a project remembers of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    pub key: RunKey,
    pub name: String,
    /// Absolute paths to open it with.
    pub paths: Vec<PathBuf>,
    pub dataset: Option<String>,
    pub frames: usize,
    pub width: usize,
    pub height: usize,
}

/// Where the labels of a run are kept when nobody names a project: in the user's own data folder, never beside the
/// data. `PEAKNET_CONFIG` moves it, as it does the settings.
pub fn default_path(info: &RunInfo) -> PathBuf {
    let folder = match std::env::var_os("PEAKNET_CONFIG") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => directories::ProjectDirs::from("", "", "peaknet-studio").map_or_else(
            || PathBuf::from(".peaknet-studio"),
            |dirs| dirs.data_dir().to_owned(),
        ),
    };
    let place = Place::of(info);
    let stem = Path::new(&info.name).file_stem().map_or_else(
        || "run".to_owned(),
        |stem| stem.to_string_lossy().replace(['/', '\\'], "_"),
    );
    let mut digest = Sha256::new();
    digest.update(place.paths.as_bytes());
    digest.update(info.dataset.as_deref().unwrap_or("").as_bytes());
    let digest = digest.finalize();
    let tag: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    folder
        .join("projects")
        .join(format!("{stem}-{tag}.peaknet"))
}

/// The paths of a project's runs, in the order they were added.
pub fn runs_of(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let project = Project::open(path, Mode::Read)?;
    Ok(project
        .runs()?
        .into_iter()
        .flat_map(|run| run.paths)
        .collect())
}

impl Project {
    /// The run with these facts, added when it is new.
    ///
    /// A run that moved or grew is found again; one whose frames have another shape is another run.
    pub fn add_run(&mut self, info: &RunInfo) -> Result<RunKey, Error> {
        let place = Place::of(info);
        self.write("add the run", |transaction, path| {
            let found = find(transaction, info, &place).doing("add the run", path)?;
            let statement = if found.is_some() {
                "UPDATE runs SET name = :name, source = :source, paths = :paths, frames = :frames,
                 dtype = :dtype, format = :format, detector = :detector, bytes = :bytes, content = :content,
                 dataset = :dataset, width = :width, height = :height, added = min(added, :added)
                 WHERE run = :run"
            } else {
                "INSERT INTO runs (run, name, source, paths, dataset, frames, width, height, dtype, format,
                 detector, bytes, content, added)
                 VALUES (:run, :name, :source, :paths, :dataset, :frames, :width, :height, :dtype, :format,
                 :detector, :bytes, :content, :added)"
            };
            transaction
                .execute(
                    statement,
                    named_params! {
                        ":run": found, ":name": info.name, ":source": info.source, ":paths": place.paths,
                        ":dataset": info.dataset, ":frames": info.frames, ":width": info.width,
                        ":height": info.height, ":dtype": info.dtype, ":format": info.format,
                        ":detector": info.detector, ":bytes": place.bytes, ":content": place.content,
                        ":added": now(),
                    },
                )
                .doing("add the run", path)?;
            Ok(RunKey(found.unwrap_or_else(|| transaction.last_insert_rowid())))
        })
    }

    /// The run with these facts; `None` when the project does not have it.
    pub fn find_run(&self, info: &RunInfo) -> Result<Option<RunKey>, Error> {
        let place = Place::of(info);
        let found = find(&self.database, info, &place).doing("be read", &self.path)?;
        Ok(found.map(RunKey))
    }

    /// Every run, in the order they were added.
    pub fn runs(&self) -> Result<Vec<StoredRun>, Error> {
        let list = || {
            let mut statement = self.database.prepare(
                "SELECT run, name, paths, dataset, frames, width, height FROM runs ORDER BY run",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(StoredRun {
                    key: RunKey(row.get(0)?),
                    name: row.get(1)?,
                    paths: row
                        .get::<_, String>(2)?
                        .lines()
                        .map(PathBuf::from)
                        .collect(),
                    dataset: row.get(3)?,
                    frames: row.get(4)?,
                    width: row.get(5)?,
                    height: row.get(6)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("be read", &self.path)
    }
}

/// Width and height of a run's frames.
pub(super) fn shape(
    database: &Connection,
    run: RunKey,
    path: &Path,
) -> Result<(usize, usize), Error> {
    let found: Option<(usize, usize)> = database
        .query_row(
            "SELECT width, height FROM runs WHERE run = ?1",
            [run.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .doing("be read", path)?;
    let Some((width, height)) = found else {
        return Err(Error::NoRun {
            path: path.to_owned(),
        });
    };
    // Labels are held in memory: a damaged number must not become a huge allocation.
    match width.checked_mul(height) {
        Some(cells) if cells <= 1 << 32 => Ok((width, height)),
        _ => Err(Error::Unfit {
            what: format!("frames of {width} x {height} pixels are too large"),
            path: path.to_owned(),
        }),
    }
}

/// Where a run lies and what tells it from another of the same shape.
struct Place {
    /// Absolute, one a line.
    paths: String,
    /// Size of the file; `None` for a folder or several files.
    bytes: Option<i64>,
    /// SHA-256 over samples of the file.
    content: Option<[u8; 32]>,
}

impl Place {
    fn of(info: &RunInfo) -> Self {
        let paths = split(&info.source);
        let sampled = match paths.as_slice() {
            [path] => sample(path),
            _ => None,
        };
        let paths: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Self {
            paths: paths.join("\n"),
            bytes: sampled.map(|(bytes, _)| bytes),
            content: sampled.map(|(_, content)| content),
        }
    }
}

/// The paths of a source as the user gave them: one, or several by lines or commas.
fn split(source: &str) -> Vec<PathBuf> {
    let absolute = |path: &str| std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    if Path::new(source).exists() {
        return vec![absolute(source)];
    }
    for separator in ["\n", ", "] {
        let parts: Vec<PathBuf> = source
            .split(separator)
            .filter(|part| !part.is_empty())
            .map(absolute)
            .collect();
        if parts.len() > 1 && parts.iter().all(|part| part.exists()) {
            return parts;
        }
    }
    vec![absolute(source)]
}

/// Size and digest of samples of a file: both ends and blocks between, so that it costs the same for any size.
fn sample(path: &Path) -> Option<(i64, [u8; 32])> {
    const BLOCK: u64 = 16 * 1024;
    let mut file = std::fs::File::open(path).ok()?;
    let facts = file.metadata().ok()?;
    if !facts.is_file() {
        return None;
    }
    let bytes = facts.len();
    let mut digest = Sha256::new();
    digest.update(bytes.to_le_bytes());
    for i in 0..16 {
        file.seek(SeekFrom::Start(bytes.saturating_sub(BLOCK) / 15 * i))
            .ok()?;
        let mut block = Vec::new();
        file.by_ref().take(BLOCK).read_to_end(&mut block).ok()?;
        digest.update(&block);
    }
    Some((i64::try_from(bytes).ok()?, digest.finalize().into()))
}

fn find(database: &Connection, info: &RunInfo, place: &Place) -> rusqlite::Result<Option<i64>> {
    // In its place: the same shape, and no fewer frames than were labelled (a run still being written grows).
    let in_place = database
        .query_row(
            "SELECT run FROM runs WHERE paths = :paths AND dataset IS :dataset
             AND width = :width AND height = :height
             AND :frames > (SELECT coalesce(max(frame), -1) FROM frames WHERE frames.run = runs.run)
             ORDER BY run DESC LIMIT 1",
            named_params! {
                ":paths": place.paths, ":dataset": info.dataset, ":width": info.width,
                ":height": info.height, ":frames": info.frames,
            },
            |row| row.get(0),
        )
        .optional()?;
    if in_place.is_some() {
        return Ok(in_place);
    }
    // Moved: the same facts and content (for folders the same name), and nothing lies at the old place any more.
    let mut statement = database.prepare(
        "SELECT run, paths FROM runs WHERE name = :name AND dataset IS :dataset AND frames = :frames
         AND width = :width AND height = :height AND dtype = :dtype
         AND bytes IS :bytes AND content IS :content ORDER BY run",
    )?;
    let candidates = statement.query_map(
        named_params! {
            ":name": info.name, ":dataset": info.dataset, ":frames": info.frames, ":width": info.width,
            ":height": info.height, ":dtype": info.dtype, ":bytes": place.bytes, ":content": place.content,
        },
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
    )?;
    for candidate in candidates {
        let (run, paths) = candidate?;
        if paths.lines().all(|path| !Path::new(path).exists()) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}
