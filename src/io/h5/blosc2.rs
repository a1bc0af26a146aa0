//! Blosc2 chunks (HDF5 filter 32026): a contiguous frame with one chunk, whose blocks may tile several axes. Also bare chunks
//! of Blosc 1 (filter 32001), which are the same but for a rest of elements that are not eight.
//!
//! Formats: README_CFRAME_FORMAT, README_CHUNK_FORMAT and README_B2ND_METALAYER of C-Blosc2 2.x; BloscLZ as FastLZ level 2 with
//! distances beyond 8191. The delta filter, dictionaries and codecs of plugins are not read.

use std::io::Read;

use rayon::prelude::*;

use super::Threads;
use super::bitshuffle::{unshuffle_bits, unshuffle_bytes};

const TRUNCATED: &str = "is truncated";
const DAMAGED: &str = "is not valid Blosc2 data";

/// The decoded chunk, which has at most `limit` bytes.
pub fn decode(data: &[u8], limit: usize, threads: Threads) -> Result<Vec<u8>, String> {
    if data.get(2..10) != Some(b"b2frame\0") {
        return Ok(chunk(data, limit, threads)?);
    }
    let header = be(data, 11, 4).ok_or(TRUNCATED)? as usize;
    let compressed = be(data, 0x27, 8).ok_or(TRUNCATED)?;
    let uncompressed = be(data, 0x1e, 8).ok_or(TRUNCATED)?;
    let layout = data.get(..header).and_then(Layout::find);
    // Blocks that reach over the edge of the chunk are whole in it.
    let padded = layout
        .as_ref()
        .map_or(Some(limit), |layout| layout.padded(limit));
    let padded = padded.ok_or(DAMAGED)?;
    let plain = if compressed == 0 {
        // Only the index says what all of the chunk is.
        let index = chunk(data.get(header..).ok_or(TRUNCATED)?, 8, threads)?;
        let element = be(data, 0x30, 4).ok_or(TRUNCATED)? as u8;
        if uncompressed as usize > padded {
            return Err(DAMAGED.to_owned());
        }
        match index.get(7).map(|special| special & 0x7f) {
            Some(2) => repeated(&f32::NAN.to_le_bytes(), element, padded),
            _ => vec![0; padded],
        }
    } else {
        chunk(data.get(header..).ok_or(TRUNCATED)?, padded, threads)?
    };
    if plain.len() != padded {
        return Err(DAMAGED.to_owned());
    }
    match layout {
        Some(layout) => layout.flat(&plain, limit).ok_or_else(|| DAMAGED.to_owned()),
        None => Ok(plain),
    }
}

/// A big-endian number of msgpack.
fn be(data: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(bytes)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |all, byte| all << 8 | u64::from(*byte)),
    )
}

fn le_u32(data: &[u8], at: usize) -> Option<usize> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes) as usize)
}

/// How the blocks of a chunk tile its axes.
struct Layout {
    chunk: Vec<usize>,
    block: Vec<usize>,
}

impl Layout {
    /// The metalayer `b2nd` of a frame's header; `None` where it has none.
    fn find(header: &[u8]) -> Option<Self> {
        const KEY: &[u8] = b"\xa4b2nd\xd2";
        let key = header.windows(KEY.len()).position(|bytes| bytes == KEY)?;
        // Behind a bin32's mark and length: format, version, number of axes, and three lists.
        let start = be(header, key + KEY.len(), 4)? as usize;
        let content = header.get(start.checked_add(5)?..)?;
        let axes = usize::from(*content.get(2)?);
        let list = |at: usize, bytes: usize| -> Option<Vec<usize>> {
            let each = |axis| be(content, at + 1 + axis * (bytes + 1) + 1, bytes);
            (0..axes).map(|axis| Some(each(axis)? as usize)).collect()
        };
        let chunks = 3 + 1 + axes * 9;
        let blocks = chunks + 1 + axes * 5;
        let layout = Self {
            chunk: list(chunks, 4)?,
            block: list(blocks, 4)?,
        };
        let is_sound = (1..=16).contains(&axes)
            && layout.block.iter().all(|n| *n > 0)
            && layout.chunk.iter().all(|n| *n > 0);
        is_sound.then_some(layout)
    }

    /// Bytes of the chunk with whole blocks, where without it has `limit`.
    fn padded(&self, limit: usize) -> Option<usize> {
        let (mut cells, mut whole) = (1_usize, 1_usize);
        for (chunk, block) in self.chunk.iter().zip(&self.block) {
            cells = cells.checked_mul(*chunk)?;
            whole = whole.checked_mul(chunk.checked_next_multiple_of(*block)?)?;
        }
        let element = limit
            .checked_div(cells)
            .filter(|element| element * cells == limit)?;
        // At most twice as long along each axis.
        let padded = whole.checked_mul(element)?;
        (element > 0
            && padded
                <= limit
                    .checked_mul(1 << self.chunk.len().min(8))?
                    .max(1 << 16))
        .then_some(padded)
    }

    /// The cells in the order of the axes, out of those in the order of blocks.
    fn flat(&self, blocks: &[u8], limit: usize) -> Option<Vec<u8>> {
        let axes = self.chunk.len();
        let element = limit / self.chunk.iter().product::<usize>();
        let grid: Vec<usize> = (self.chunk.iter().zip(&self.block))
            .map(|(chunk, block)| chunk.div_ceil(*block))
            .collect();
        let cells: usize = self.block.iter().product();
        let mut out = vec![0; limit];
        for (number, block) in blocks.chunks(cells * element).enumerate() {
            let mut left = number;
            let mut start = vec![0; axes];
            for axis in (0..axes).rev() {
                start[axis] = left % grid[axis] * self.block[axis];
                left /= grid[axis];
            }
            // Lines along the last axis, as far as they lie inside.
            let (width, last) = (self.block[axes - 1], axes - 1);
            let inside = width.min(self.chunk[last].saturating_sub(start[last]));
            for (line, from) in block.chunks_exact(width * element).enumerate() {
                let mut left = line;
                let (mut to, mut step, mut is_inside) = (0, 1, true);
                for axis in (0..axes).rev() {
                    let at = if axis == last {
                        start[axis]
                    } else {
                        let at = start[axis] + left % self.block[axis];
                        left /= self.block[axis];
                        at
                    };
                    is_inside &= at < self.chunk[axis];
                    to += at * step;
                    step *= self.chunk[axis];
                }
                if is_inside {
                    let to = out.get_mut(to * element..(to + inside) * element)?;
                    to.copy_from_slice(from.get(..inside * element)?);
                }
            }
        }
        Some(out)
    }
}

/// The header of a chunk, as far as decoding takes it.
struct Chunk {
    codec: u8,
    /// Every block in as many streams as an element has bytes.
    is_split: bool,
    element: usize,
    block: usize,
    /// Blosc 1 leaves a block alone whose elements are not a multiple of eight, Blosc 2 only the rest.
    is_first: bool,
    /// Filters and what they are told, in the order in which they were applied.
    filters: Vec<(u8, u8)>,
}

/// One chunk of the format of Blosc 1 or 2, of at most `limit` bytes.
fn chunk(data: &[u8], limit: usize, threads: Threads) -> Result<Vec<u8>, &'static str> {
    let header = data.first_chunk::<16>().ok_or(TRUNCATED)?;
    let [version, _, flags, element, ..] = *header;
    let (size, block, stored) = (
        le_u32(header, 4).ok_or(TRUNCATED)?,
        le_u32(header, 8).ok_or(TRUNCATED)?,
        le_u32(header, 12).ok_or(TRUNCATED)?,
    );
    let data = data.get(..stored).ok_or(TRUNCATED)?;
    if size > limit {
        return Err("claims more than the chunk can hold");
    }
    let is_extended = flags & 0x05 == 0x05;
    let start = if is_extended { 32 } else { 16 };
    let mut filters = Vec::new();
    if is_extended {
        let extension = data.get(16..32).ok_or(TRUNCATED)?;
        let special = extension.get(15).copied().unwrap_or(0);
        if special & 0x01 != 0 {
            return Err("was compressed with a dictionary, which is not read here");
        }
        match special >> 4 & 7 {
            0 => {}
            1 | 4 => return Ok(vec![0; size]),
            2 => return Ok(repeated(&f32::NAN.to_le_bytes(), element, size)),
            3 => {
                let value = data.get(32..32 + usize::from(element)).ok_or(TRUNCATED)?;
                return Ok(repeated(value, element, size));
            }
            _ => return Err(DAMAGED),
        }
        let codes = extension.iter().zip(extension.get(8..).unwrap_or_default());
        filters = codes.take(6).map(|(code, meta)| (*code, *meta)).collect();
    } else if flags & 0x01 != 0 {
        filters.push((1, 0));
    } else if flags & 0x04 != 0 {
        filters.push((2, 0));
    }
    if flags & 0x02 != 0 {
        return Ok(data.get(start..start + size).ok_or(TRUNCATED)?.to_vec());
    }
    if block == 0 || block > size.max(1) {
        return Err(DAMAGED);
    }
    let chunk = Chunk {
        codec: flags >> 5,
        is_split: flags & 0x10 == 0,
        element: usize::from(element).max(1),
        block,
        is_first: version <= 2,
        filters,
    };
    let starts = data
        .get(start..start + size.div_ceil(block) * 4)
        .ok_or(TRUNCATED)?;
    let mut out = vec![0; size];
    let unpack = |scratch: &mut Vec<u8>, target: &mut [u8], at: &[u8]| {
        let at = le_u32(at, 0).ok_or(TRUNCATED)?;
        chunk.block(data.get(at..).ok_or(TRUNCATED)?, target, scratch)
    };
    match threads {
        Threads::One => {
            let mut scratch = vec![0; block];
            for (target, at) in out.chunks_mut(block).zip(starts.chunks_exact(4)) {
                unpack(&mut scratch, target, at)?;
            }
        }
        Threads::Many => out
            .par_chunks_mut(block)
            .zip(starts.par_chunks_exact(4))
            .with_min_len(4)
            .try_for_each_init(
                || vec![0; block],
                |scratch, (target, at)| unpack(scratch, target, at),
            )?,
    }
    Ok(out)
}

fn repeated(value: &[u8], element: u8, size: usize) -> Vec<u8> {
    let value = if usize::from(element) == 8 && value.len() == 4 {
        f64::NAN.to_le_bytes().to_vec()
    } else {
        value.to_vec()
    };
    value
        .iter()
        .copied()
        .cycle()
        .take(if value.is_empty() { 0 } else { size })
        .collect()
}

impl Chunk {
    /// Unpacks one block; `scratch` is as long as the longest.
    fn block(
        &self,
        data: &[u8],
        target: &mut [u8],
        scratch: &mut [u8],
    ) -> Result<(), &'static str> {
        let scratch = scratch.get_mut(..target.len()).ok_or(DAMAGED)?;
        let mut filters = self.filters.iter().rev();
        // 0 does nothing, and 4 cut the precision before.
        let mut next = || filters.find(|(filter, _)| !matches!(filter, 0 | 4));
        let Some(first) = next() else {
            return self.streams(data, target);
        };
        self.streams(data, scratch)?;
        self.undo(*first, scratch, target)?;
        while let Some(filter) = next() {
            scratch.copy_from_slice(target);
            target.fill(0);
            self.undo(*filter, scratch, target)?;
        }
        Ok(())
    }

    fn undo(
        &self,
        (filter, told): (u8, u8),
        from: &[u8],
        to: &mut [u8],
    ) -> Result<(), &'static str> {
        let element = if told == 0 {
            self.element
        } else {
            usize::from(told)
        };
        match filter {
            1 => unshuffle_bytes(from, element, to),
            2 => {
                let whole = from.len() / (8 * element) * (8 * element);
                if self.is_first && whole < from.len() / element * element {
                    to.copy_from_slice(from);
                    return Ok(());
                }
                let (planes, rest) = from.split_at(whole);
                let (to, left) = to.split_at_mut(whole);
                unshuffle_bits(planes, element, to);
                left.copy_from_slice(rest);
            }
            _ => return Err("was written with a Blosc2 filter that is not read here"),
        }
        Ok(())
    }

    /// Unpacks the streams of a block one behind the other.
    fn streams(&self, mut data: &[u8], target: &mut [u8]) -> Result<(), &'static str> {
        let is_whole = target.len() == self.block;
        let streams = if self.is_split && is_whole && target.len().is_multiple_of(self.element) {
            self.element
        } else {
            1
        };
        let part = target.len() / streams;
        for target in target.chunks_mut(part.max(1)) {
            let size = le_u32(data, 0).ok_or(TRUNCATED)? as i32;
            data = data.get(4..).ok_or(TRUNCATED)?;
            if size < 0 {
                let (token, rest) = data.split_first().ok_or(TRUNCATED)?;
                if token & 1 == 0 {
                    return Err(DAMAGED);
                }
                target.fill((size.unsigned_abs() & 0xff) as u8);
                data = rest;
                continue;
            }
            let (stream, rest) = data.split_at_checked(size as usize).ok_or(TRUNCATED)?;
            data = rest;
            if stream.is_empty() {
                target.fill(0);
            } else if stream.len() == target.len() {
                target.copy_from_slice(stream); // it did not shrink
            } else {
                self.stream(stream, target)?;
            }
        }
        Ok(())
    }

    fn stream(&self, stream: &[u8], target: &mut [u8]) -> Result<(), &'static str> {
        let written = match self.codec {
            0 => blosclz(stream, target),
            1 => lz4_flex::block::decompress_into(stream, target).ok(),
            3 => flate2::read::ZlibDecoder::new(stream)
                .read_exact(target)
                .ok()
                .map(|()| target.len()),
            4 => zstd::bulk::decompress_to_buffer(stream, target).ok(),
            _ => return Err("was written with a Blosc2 codec that is not read here"),
        };
        if written == Some(target.len()) {
            Ok(())
        } else {
            Err(DAMAGED)
        }
    }
}

/// Bytes written, `None` where the stream is damaged.
///
/// Instructions of one byte: below 32 so many literals and one more follow; else a match, its length in the upper three bits
/// (7 and more in bytes of 255 that follow), its distance in the lower five and the next byte, or in two more.
fn blosclz(stream: &[u8], target: &mut [u8]) -> Option<usize> {
    const FARTHEST: usize = 8191;
    let (first, mut rest) = stream.split_first()?;
    let next = |rest: &mut &[u8]| -> Option<usize> {
        let (byte, others) = rest.split_first()?;
        *rest = others;
        Some(usize::from(*byte))
    };
    let mut at = 0;
    // The first instruction is always literals.
    let mut instruction = usize::from(first & 31);
    loop {
        if instruction < 32 {
            let (literals, others) = rest.split_at_checked(instruction + 1)?;
            target
                .get_mut(at..at + literals.len())?
                .copy_from_slice(literals);
            at += literals.len();
            rest = others;
        } else {
            let mut length = (instruction >> 5) - 1;
            let mut distance = (instruction & 31) << 8;
            if length == 6 {
                loop {
                    let more = next(&mut rest)?;
                    length += more;
                    if more != 255 {
                        break;
                    }
                }
            }
            let low = next(&mut rest)?;
            distance += low;
            if low == 255 && distance == (31 << 8) + 255 {
                distance = next(&mut rest)? << 8;
                distance += next(&mut rest)? + FARTHEST;
            }
            length += 3;
            let from = at.checked_sub(distance + 1)?;
            let end = at.checked_add(length).filter(|end| *end <= target.len())?;
            if distance + 1 >= length {
                target.copy_within(from..from + length, at);
            } else {
                // The match repeats what it writes itself.
                for step in 0..length {
                    target[at + step] = target[from + step];
                }
            }
            at = end;
        }
        match next(&mut rest) {
            Some(byte) => instruction = byte,
            None => return Some(at),
        }
    }
}
