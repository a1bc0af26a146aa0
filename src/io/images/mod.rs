//! Single frames in files of their own; whole-file .gz and .bz2 are looked through.

mod bits;
mod bruker;
mod cbf;
mod edf;
mod gaps;
mod imgcif;
mod mar345;
mod npy;
mod npz;
mod oxford;
mod png;
pub mod raw;
mod smv;
mod text;
mod tiff;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use self::raw::RawLayout;
use super::Error;
use super::number::{self, Codes, Kind, Number};
use crate::domain::geometry::Geometry;

/// A format, recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Cbf,
    Tiff,
    Smv,
    Edf,
    Npy,
    Npz,
    Mar345,
    Bruker,
    Oxford,
    Png,
}

/// What a file says before its pixels.
#[derive(Clone, Debug)]
pub struct Head {
    pub format: &'static str,
    pub frames: usize,
    pub width: usize,
    pub height: usize,
    pub number: Number,
    pub codes: Codes,
    /// Counts from here on are overloads.
    pub saturation: Option<f32>,
    pub compression: Option<&'static str>,
    pub detector: Option<String>,
    pub geometry: Geometry,
    pub notices: Vec<String>,
}

impl Head {
    fn new(format: &'static str, width: usize, height: usize, number: Number) -> Self {
        Self {
            format,
            frames: 1,
            width,
            height,
            number,
            codes: Codes::None,
            saturation: None,
            compression: None,
            detector: None,
            geometry: Geometry::default(),
            notices: Vec::new(),
        }
    }
}

/// The pixels of one frame with the bits that its own numbers tell.
#[derive(Debug)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<f32>,
    pub bad: Vec<u16>,
}

/// A header and the bytes of all pixels, as decoders give them back.
struct Decoded {
    head: Head,
    bytes: Vec<u8>,
}

/// No header of a format is longer; TIFF and NPZ files are read whole.
const HEAD_BYTES: u64 = 128 * 1024;
const MOST_BYTES: u64 = 2 << 30;
const MOST_PIXELS: usize = 1 << 28;

/// Whether the file is, behind whole-file compression, one of the formats of this module.
pub fn is_image(path: &Path) -> Result<bool, Error> {
    let first = prefix(path, 4096)?;
    Ok(recognise(&first).is_some())
}

/// Whether the whole file is compressed; the name of it.
pub fn whole_file_compression(first: &[u8]) -> Option<&'static str> {
    if first.starts_with(&[0x1f, 0x8b]) {
        Some("gzip file")
    } else if first.starts_with(b"BZh") {
        Some("bzip2 file")
    } else if first.starts_with(&ZSTD) {
        Some("zstd file")
    } else {
        None
    }
}

/// How a zstd frame begins (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads the header only (of TIFF and NPZ files the whole file); `raw` says what a file without a header holds.
pub fn head(path: &Path, raw: Option<&RawLayout>) -> Result<Head, Error> {
    if let Some(raw) = raw {
        return raw.head(path);
    }
    let first = prefix(path, HEAD_BYTES)?;
    let format = recognise(&first).ok_or_else(|| unknown(&first, path))?;
    let head = match format {
        Format::Cbf => match cbf::head(&first) {
            Ok(Some(head)) => Ok(head),
            // More than one array, or a long header: it takes the whole file to know.
            Ok(None) => cbf::decode(&load(path)?).map(|decoded| decoded.head),
            Err(what) => Err(what),
        },
        Format::Tiff => tiff::head(&load(path)?),
        Format::Smv => smv::head(&first).map(|(head, _)| head),
        Format::Edf => edf::head(&first).map(|(mut head, start)| {
            if room_for(&head, start, path).is_some_and(|room| room > 1) {
                head.notices.push(
                    "only the first frame of the EDF file is read; write further ones as files of their own"
                        .to_owned(),
                );
            }
            head
        }),
        Format::Npy => npy::head(&first).map(|(mut head, start)| {
            // A file that is being written, or was cut, has fewer frames than its header says.
            if let Some(there) = room_for(&head, start, path)
                && there < head.frames as u64
            {
                head.notices.push(format!(
                    "the file is truncated: {there} of {} frames are there",
                    head.frames
                ));
                head.frames = (there as usize).max(1);
            }
            head
        }),
        Format::Npz => npz::head(&load(path)?),
        Format::Mar345 => mar345::head(&first),
        Format::Bruker => bruker::head(&first),
        Format::Oxford => oxford::head(&first),
        Format::Png => png::head(&first),
    };
    let head = head.map_err(|what| Error::new(what, path))?;
    if !is_plausible(&head) {
        return Err(Error::new(
            format!(
                "the header claims {} frames of {} x {} pixels, which cannot be",
                head.frames, head.width, head.height
            ),
            path,
        ));
    }
    Ok(head)
}

/// For how many frames the file has bytes behind its header; `None` where it is compressed as a whole.
fn room_for(head: &Head, start: usize, path: &Path) -> Option<u64> {
    if whole_file_compression(&magic(path)).is_some() {
        return None;
    }
    let length = std::fs::metadata(path).map_or(0, |facts| facts.len());
    let size = (head.width as u64)
        .saturating_mul(head.height as u64)
        .saturating_mul(head.number.bytes as u64);
    let pixels = length.saturating_sub(start as u64);
    Some(pixels.checked_div(size).unwrap_or(0))
}

/// How the file itself begins, not what is in it where it is compressed as a whole; nothing where it cannot be read.
pub fn magic(path: &Path) -> Vec<u8> {
    let mut first = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(8).read_to_end(&mut first);
    }
    first
}

/// Reads one frame; most files have only frame 0.
///
/// Errors: as [`head`], and the file is truncated or damaged.
pub fn read(path: &Path, frame: usize, raw: Option<&RawLayout>) -> Result<Pixels, Error> {
    let said = |what: String| Error::new(what, path);
    if let Some(raw) = raw {
        return counts(plain(path, raw.head(path)?, 0, frame, false)?).map_err(said);
    }
    let first = prefix(path, HEAD_BYTES)?;
    let format = recognise(&first).ok_or_else(|| unknown(&first, path))?;
    match uncompressed(format, &first) {
        Some(head) => {
            let (head, start) = head.map_err(said)?;
            counts(plain(path, head, start, frame, true)?).map_err(said)
        }
        None => decoded(format, &load(path)?, frame)
            .and_then(counts)
            .map_err(said),
    }
}

/// Reads one frame out of the whole content of a file, which is not compressed as a whole.
///
/// Errors: sentences without the path, for content of no known format and for what is truncated or damaged.
pub fn from_bytes(bytes: &[u8], frame: usize) -> Result<Pixels, String> {
    let first = bytes
        .get(..bytes.len().min(HEAD_BYTES as usize))
        .unwrap_or(bytes);
    let format = recognise(first).ok_or("this is no known format of detector frames")?;
    let decoded = match uncompressed(format, first) {
        Some(head) => {
            let (head, start) = head?;
            if !is_plausible(&head) {
                return Err("the header claims a size that cannot be".to_owned());
            }
            cut(bytes, head, start, frame)?
        }
        None => decoded(format, bytes, frame)?,
    };
    counts(decoded)
}

/// The header of a format that stores plain pixels behind it, and where they begin.
fn uncompressed(format: Format, first: &[u8]) -> Option<Result<(Head, usize), String>> {
    match format {
        Format::Smv => Some(smv::head(first)),
        Format::Edf => Some(edf::head(first)),
        Format::Npy => Some(npy::head(first)),
        _ => None,
    }
}

/// Header and pixels of a format that takes more than cutting.
fn decoded(format: Format, bytes: &[u8], frame: usize) -> Result<Decoded, String> {
    match format {
        Format::Cbf => cbf::decode(bytes),
        Format::Tiff => tiff::decode(bytes),
        Format::Npz => npz::decode(bytes, frame),
        Format::Mar345 => mar345::decode(bytes),
        Format::Bruker => bruker::decode(bytes),
        Format::Oxford => oxford::decode(bytes),
        Format::Png => png::decode(bytes),
        Format::Smv | Format::Edf | Format::Npy => Err(TRUNCATED.to_owned()),
    }
}

/// Whether a header's numbers can be meant.
fn is_plausible(head: &Head) -> bool {
    let pixels = head.width.checked_mul(head.height);
    pixels.is_some_and(|n| n > 0 && n <= MOST_PIXELS) && head.frames > 0
}

/// Stored numbers to pixels and what their own values say.
fn counts(Decoded { head, bytes }: Decoded) -> Result<Pixels, String> {
    if head.width.checked_mul(head.height) != bytes.len().checked_div(head.number.bytes) {
        return Err(WRONG_SIZE.to_owned());
    }
    let (pixels, mut bad) = number::decoded(head.number, &bytes, head.codes).ok_or(WRONG_SIZE)?;
    if matches!(head.format, "NPY" | "NPZ") && head.number.kind == Kind::Float {
        gaps::mark_gaps(head.width, &pixels, &mut bad);
    }
    if let Some(saturation) = head.saturation {
        number::mark_saturated(saturation, &pixels, &mut bad);
    }
    Ok(Pixels {
        width: head.width,
        height: head.height,
        pixels,
        bad,
    })
}

/// Uncompressed pixels behind a header of `start` bytes; of a large file only the frame's own bytes are read.
///
/// The whole file may be compressed, unless it has no header: its first pixels could look like anything.
fn plain(
    path: &Path,
    head: Head,
    start: usize,
    frame: usize,
    may_be_compressed: bool,
) -> Result<Decoded, Error> {
    let truncated = || Error::new(TRUNCATED, path);
    let mut file = std::fs::File::open(path).map_err(|error| Error::reading(&error, path))?;
    let mut magic = [0; 4];
    let is_compressed = may_be_compressed
        && file.read_exact(&mut magic).is_ok()
        && whole_file_compression(&magic).is_some();
    if is_compressed {
        return cut(&load(path)?, head, start, frame).map_err(|what| Error::new(what, path));
    }
    let (from, size) = place(&head, start, frame).ok_or_else(truncated)?;
    let length = file.metadata().map_or(0, |facts| facts.len());
    if from as u64 + size as u64 > length {
        return Err(truncated());
    }
    let mut bytes = vec![0; size];
    file.seek(SeekFrom::Start(from as u64))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|error| Error::reading(&error, path))?;
    Ok(Decoded { head, bytes })
}

/// Where a frame's bytes begin, and how many they are.
fn place(head: &Head, start: usize, frame: usize) -> Option<(usize, usize)> {
    let size = head
        .width
        .checked_mul(head.height)?
        .checked_mul(head.number.bytes)?;
    Some((frame.checked_mul(size)?.checked_add(start)?, size))
}

/// The bytes of one frame out of those of all.
fn cut(bytes: &[u8], head: Head, start: usize, frame: usize) -> Result<Decoded, String> {
    let (from, size) = place(&head, start, frame).ok_or(TRUNCATED)?;
    let bytes = bytes
        .get(from..from.checked_add(size).ok_or(TRUNCATED)?)
        .ok_or(TRUNCATED)?;
    Ok(Decoded {
        head,
        bytes: bytes.to_vec(),
    })
}

const WRONG_SIZE: &str =
    "the file has the wrong number of pixels; copy it again from where it came";
const TRUNCATED: &str = "the file is truncated; copy it again from where it came";

fn recognise(first: &[u8]) -> Option<Format> {
    if first.starts_with(b"###CBF") {
        Some(Format::Cbf)
    } else if first.starts_with(b"II*\0")
        || first.starts_with(b"MM\0*")
        || first.starts_with(b"II+\0")
    {
        Some(Format::Tiff)
    } else if first.starts_with(b"\x93NUMPY") {
        Some(Format::Npy)
    } else if first.starts_with(b"PK\x03\x04") && zip_of_arrays(first) {
        Some(Format::Npz)
    } else if mar345::is_mar345(first) {
        Some(Format::Mar345)
    } else if bruker::is_bruker(first) {
        Some(Format::Bruker)
    } else if oxford::is_oxford(first) {
        Some(Format::Oxford)
    } else if first.starts_with(png::MAGIC) {
        Some(Format::Png)
    } else {
        let text = text::latin(first.get(..first.len().min(1024)).unwrap_or(first));
        let trimmed = text.trim_start();
        if !trimmed.starts_with('{') {
            None
        } else if text.contains("HEADER_BYTES") {
            Some(Format::Smv)
        } else if text.contains("Dim_1") || text.contains("HeaderID") || text.contains("EDF_") {
            Some(Format::Edf)
        } else {
            None
        }
    }
}

/// Whether the first entry of a zip file is a NumPy array.
fn zip_of_arrays(first: &[u8]) -> bool {
    let name = first.get(26..28).and_then(|length| {
        let length = usize::from(u16::from_le_bytes(*length.first_chunk()?));
        first.get(30..30 + length)
    });
    name.is_some_and(|name| name.ends_with(b".npy"))
}

/// Where a pattern stands at or behind a place.
fn find(bytes: &[u8], pattern: &[u8], from: usize) -> Option<usize> {
    let first = *pattern.first()?;
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(pattern) {
            return Some(at);
        }
        at += 1;
    }
}

/// The sentence for content that no format claims.
pub fn unknown(first: &[u8], path: &Path) -> Error {
    let sentence = if first.is_empty() {
        "the file is empty; copy it again from where it came".to_owned()
    } else if super::paths::looks_like_frames(path) {
        "this is not what its name says, no format of detector frames begins so; give another file"
            .to_owned()
    } else {
        "this is no known format of detector frames (HDF5, CBF, TIFF, SMV, EDF, mar345, Bruker, Oxford, NPY, NPZ, PNG); give another file, or tell --shape and --dtype of raw pixels".to_owned()
    };
    Error::new(sentence, path)
}

/// The first bytes of the content, decompressed.
pub fn prefix(path: &Path, bytes: u64) -> Result<Vec<u8>, Error> {
    let mut file = std::fs::File::open(path).map_err(|error| Error::reading(&error, path))?;
    if file.metadata().is_ok_and(|facts| facts.is_dir()) {
        return Err(Error::new(
            "this is a folder, not a file; give a file",
            path,
        ));
    }
    let mut first = Vec::new();
    file.by_ref()
        .take(bytes)
        .read_to_end(&mut first)
        .map_err(|error| Error::reading(&error, path))?;
    if whole_file_compression(&first).is_none() {
        return Ok(first);
    }
    let rest = std::io::Cursor::new(first).chain(file);
    inflate(rest, bytes, path)
}

/// The whole content, decompressed.
fn load(path: &Path) -> Result<Vec<u8>, Error> {
    let size = std::fs::metadata(path)
        .map_err(|error| Error::reading(&error, path))?
        .len();
    if size > MOST_BYTES {
        return Err(Error::new(
            "the file is larger than 2 GiB, which is too much for this format; split it, or write HDF5 or NPY",
            path,
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| Error::reading(&error, path))?;
    if whole_file_compression(&bytes).is_none() {
        return Ok(bytes);
    }
    inflate(bytes.as_slice(), MOST_BYTES, path)
}

fn inflate(mut from: impl Read, limit: u64, path: &Path) -> Result<Vec<u8>, Error> {
    let mut magic = [0; 4];
    from.read_exact(&mut magic)
        .map_err(|error| Error::reading(&error, path))?;
    let from = magic.as_slice().chain(from);
    let mut out = Vec::new();
    let result = match whole_file_compression(&magic) {
        Some("gzip file") => flate2::read::MultiGzDecoder::new(from)
            .take(limit)
            .read_to_end(&mut out),
        Some("zstd file") => zstd::stream::read::Decoder::new(from)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut out)),
        _ => bzip2::read::MultiBzDecoder::new(from)
            .take(limit)
            .read_to_end(&mut out),
    };
    result.map_err(|_| {
        Error::new(
            "the compressed file is truncated or damaged; copy it again from where it came",
            path,
        )
    })?;
    Ok(out)
}
