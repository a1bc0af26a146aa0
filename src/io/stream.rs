//! CrystFEL streams: which part of the file is about which frame, and what it says.
//!
//! Format: CrystFEL's stream.c and reflist-utils.c, versions 2.1 to 2.3. Positions are slab coordinates in the corner
//! convention (the first pixel covers 0 to 1), which is this program's own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Error;
use crate::domain::listed::{Listed, Reflection};

const BEGIN: &str = "----- Begin chunk -----";
const END: &str = "----- End chunk -----";

/// An indexed stream; chunks are read when they are asked for.
#[derive(Debug)]
pub struct Stream {
    path: PathBuf,
    /// In the order of the file: the image's file name without folders, the number of its event, and the bytes.
    pub chunks: Vec<Chunk>,
    /// By file, words and row; `None` where files of one name in several folders have the same event.
    by_event: HashMap<(String, String, usize), Option<usize>>,
}

/// Where a chunk lies, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The image's file name without folders.
    pub image: String,
    /// What stands before `//` in its event: the words for `%`.
    pub words: String,
    /// The last number of its event, 0 where it has none.
    pub row: usize,
    bytes: Range<u64>,
}

impl Stream {
    /// Goes through the file once for its chunks.
    ///
    /// Errors: not readable; no chunks, so that it is no stream.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = std::fs::File::open(path).map_err(|error| Error::reading(&error, path))?;
        let chunks = chunks(BufReader::with_capacity(1 << 20, file))
            .map_err(|error| Error::reading(&error, path))?;
        if chunks.is_empty() {
            return Err(Error::new(
                "no chunks in this stream; give one written by indexamajig",
                path,
            ));
        }
        let mut by_event = HashMap::new();
        for (index, chunk) in chunks.iter().enumerate() {
            by_event
                .entry((chunk.image.clone(), chunk.words.clone(), chunk.row))
                .and_modify(|found| *found = None)
                .or_insert(Some(index));
        }
        Ok(Self {
            by_event,
            path: path.to_owned(),
            chunks,
        })
    }

    /// The chunk about a row of a file, by the file's name without folders; `None` where several could be meant.
    ///
    /// `words` stand for `%` in the path of the frame; most runs have none.
    pub fn find(&self, image: &str, words: &str, row: usize) -> Option<usize> {
        let key = (base_name(image).to_owned(), words.to_owned(), row);
        if let Some(found) = self.by_event.get(&key) {
            return *found;
        }
        // Words in the stream, but none here: the run was opened without the geometry that has the `%`.
        let (image, _, row) = key;
        let is_meant = |(_, chunk): &(usize, &Chunk)| {
            words.is_empty() && chunk.row == row && chunk.image == image
        };
        let mut meant = self.chunks.iter().enumerate().filter(is_meant);
        let first = meant.next().map(|(index, _)| index);
        first.filter(|_| meant.next().is_none())
    }

    /// What a chunk says.
    ///
    /// Errors: the file has gone or has become shorter.
    pub fn read(&self, index: usize) -> Result<Listed, Error> {
        let Some(chunk) = self.chunks.get(index) else {
            return Ok(Listed::default());
        };
        let failed = |error: std::io::Error| Error::reading(&error, &self.path);
        let mut file = std::fs::File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(chunk.bytes.start))
            .map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(chunk.bytes.end - chunk.bytes.start)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(parse(&String::from_utf8_lossy(&bytes)))
    }
}

/// What a stream says of each row of a run whose files it does not name: by the rows of its events where they are all
/// different, else by the order of its chunks.
///
/// Errors: not readable; rows that the run does not have, or another number of chunks.
pub fn listed_by_row(path: &Path, rows: usize) -> Result<Vec<Option<Listed>>, Error> {
    let stream = Stream::open(path)?;
    let mut chunk_of = vec![None; rows];
    let mut is_one_run = true;
    for (index, chunk) in stream.chunks.iter().enumerate() {
        match chunk_of.get_mut(chunk.row) {
            Some(place @ None) => *place = Some(index),
            _ => is_one_run = false,
        }
    }
    if !is_one_run {
        if stream.chunks.len() != rows {
            return Err(Error::new(
                format!(
                    "the stream tells of {} frames and names none of the {rows} of the peak list; give lists of the same run",
                    stream.chunks.len()
                ),
                path,
            ));
        }
        chunk_of = (0..rows).map(Some).collect();
    }
    let read = |index: Option<usize>| index.map(|index| stream.read(index)).transpose();
    chunk_of.into_iter().map(read).collect()
}

/// Where the chunks of a stream lie, in the order of the file.
pub fn chunks(mut reader: impl BufRead) -> std::io::Result<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut current: Option<Chunk> = None;
    let (mut at, mut line) = (0_u64, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let text = line.trim_ascii_end();
        if text == BEGIN.as_bytes() {
            current = Some(Chunk {
                image: String::new(),
                words: String::new(),
                row: 0,
                bytes: at..at,
            });
        } else if let Some(chunk) = &mut current {
            if let Some(name) = text.strip_prefix(b"Image filename: ") {
                let name = String::from_utf8_lossy(name);
                chunk.image = base_name(&name).to_owned();
            } else if let Some(event) = text.strip_prefix(b"Event: ") {
                let event = String::from_utf8_lossy(event);
                let last = event.rsplit('/').next().and_then(|n| n.trim().parse().ok());
                chunk.row = last.unwrap_or(0);
                let words = event.split_once("//").map_or("", |(words, _)| words);
                words.trim().clone_into(&mut chunk.words);
            } else if text == END.as_bytes() {
                chunk.bytes.end = at;
                chunks.extend(current.take());
            }
        }
        at += read as u64;
    }
    Ok(chunks)
}

fn base_name(path: &str) -> &str {
    path.trim().rsplit('/').next().unwrap_or(path)
}

/// Which table of a chunk a line is in.
#[derive(Clone, Copy, PartialEq)]
enum Table {
    None,
    Peaks,
    /// The columns of intensity, sigma, fs and ss.
    Reflections([usize; 4]),
}

/// What the text of a chunk says.
pub fn parse(chunk: &str) -> Listed {
    let mut listed = Listed {
        is_indexed: Some(false),
        ..Listed::default()
    };
    let mut table = Table::None;
    for line in chunk.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), table) {
            (["fs/px", "ss/px", ..], _) => table = Table::Peaks,
            (["h", "k", "l", ..], _) => {
                let column = |names: &[&str], usual| {
                    let place = words.iter().position(|word| names.contains(word));
                    place.unwrap_or(usual)
                };
                table = Table::Reflections([
                    column(&["I"], 3),
                    column(&["sigma(I)", "sigma(i)"], 4),
                    column(&["fs/px"], 7),
                    column(&["ss/px"], 8),
                ]);
            }
            (["End", "of", ..], _) => table = Table::None,
            (["indexed_by", "=", how], _) => listed.is_indexed = Some(*how != "none"),
            ([x, y, ..], Table::Peaks) => {
                if let (Ok(x), Ok(y)) = (x.parse(), y.parse()) {
                    listed.found.push((x, y));
                }
            }
            ([h, k, l, ..], Table::Reflections(columns)) => {
                let number = |column: usize| words.get(column)?.parse::<f32>().ok();
                let hkl = [h, k, l].map(|n| n.parse::<i32>());
                let [intensity, sigma, x, y] = columns.map(number);
                if let ([Ok(h), Ok(k), Ok(l)], Some(x), Some(y)) = (hkl, x, y) {
                    listed.predicted.push(Reflection {
                        x,
                        y,
                        hkl: [h, k, l],
                        intensity: intensity.unwrap_or(0.0),
                        sigma: sigma.unwrap_or(0.0),
                    });
                }
            }
            _ => {}
        }
    }
    listed
}
