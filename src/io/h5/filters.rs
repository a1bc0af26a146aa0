//! Chunk decoders of our own, so that chunks are decompressed outside the HDF5 lock.

use std::io::Read;

use rayon::prelude::*;

use super::Threads;
use super::bitshuffle::{unshuffle_bits, unshuffle_bytes};

pub const DEFLATE: i32 = 1;
pub const SHUFFLE: i32 = 2;
pub const LZF: i32 = 32000;
pub const BLOSC: i32 = 32001;
pub const LZ4: i32 = 32004;
pub const BITSHUFFLE: i32 = 32008;
pub const ZSTD: i32 = 32015;
pub const BLOSC2: i32 = 32026;

/// One step of a data set's filter pipeline: its registered number and its client data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub id: i32,
    pub values: Vec<u32>,
}

impl Filter {
    /// The usual name; unknown ones are called by their number.
    ///
    /// Numbers: <https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md>.
    pub fn name(&self) -> String {
        let name = match self.id {
            DEFLATE => "gzip",
            SHUFFLE => "shuffle",
            3 => "fletcher32",
            4 => "szip",
            5 => "nbit",
            6 => "scaleoffset",
            305 => "lzo",
            307 => "bzip2",
            LZF => "lzf",
            BLOSC => "blosc",
            32002 => "mafisc",
            32003 => "snappy",
            LZ4 => "lz4",
            BITSHUFFLE => match self.values.get(4) {
                Some(2) => "bitshuffle-lz4",
                Some(3) => "bitshuffle-zstd",
                _ => "bitshuffle",
            },
            32013 => "zfp",
            32014 => "fpzip",
            ZSTD => "zstd",
            32017 => "sz",
            32018 => "fcidecomp",
            32019 => "jpeg",
            32024 => "sz3",
            BLOSC2 => "blosc2",
            32028 => "h5j2k",
            other => return format!("filter {other}"),
        };
        name.to_owned()
    }

    const fn is_ours(&self) -> bool {
        /// The number of snappy in the client data of Blosc, the only codec of it that is left to HDF5.
        const SNAPPY: u32 = 3;
        if self.id == BLOSC && matches!(self.values.as_slice(), [_, _, _, _, _, _, SNAPPY, ..]) {
            return false;
        }
        matches!(
            self.id,
            DEFLATE | LZF | BLOSC | SHUFFLE | LZ4 | BITSHUFFLE | ZSTD | BLOSC2
        )
    }
}

/// Whether every step can be decoded here, without HDF5.
pub fn all_ours(filters: &[Filter]) -> bool {
    filters.iter().all(Filter::is_ours)
}

/// Undoes the pipeline of one chunk of `size` bytes with elements of `element` bytes.
///
/// `skipped` is the chunk's filter mask: a set bit means that the filter of this position was not applied.
/// Errors: half a sentence that says what is wrong with the chunk.
pub fn decode(
    filters: &[Filter],
    skipped: u32,
    raw: Vec<u8>,
    element: usize,
    size: usize,
) -> Result<Vec<u8>, String> {
    let mut data = raw;
    for (position, filter) in filters.iter().enumerate().rev() {
        if skipped.checked_shr(position as u32).unwrap_or(0) & 1 == 0 {
            data = undo(filter, &data, element, size, Threads::Many)?;
        }
    }
    if data.len() == size {
        Ok(data)
    } else {
        Err(format!("holds {} bytes instead of {size}", data.len()))
    }
}

/// Undoes one filter; no output is longer than `limit` bytes.
pub fn undo(
    filter: &Filter,
    data: &[u8],
    element: usize,
    limit: usize,
    threads: Threads,
) -> Result<Vec<u8>, String> {
    match filter.id {
        DEFLATE => {
            let mut out = Vec::with_capacity(limit);
            flate2::read::ZlibDecoder::new(data)
                .take(limit as u64 + 1)
                .read_to_end(&mut out)
                .map_err(|error| format!("is not valid gzip data ({error})"))?;
            Ok(out)
        }
        SHUFFLE => {
            let mut out = vec![0; data.len()];
            unshuffle_bytes(data, element, &mut out);
            Ok(out)
        }
        ZSTD => zstd::bulk::decompress(data, limit)
            .map_err(|error| format!("is not valid zstd data ({error})")),
        LZ4 => lz4_blocks(data, limit),
        BLOSC | BLOSC2 => super::blosc2::decode(data, limit, threads),
        LZF => lzf(data, limit).ok_or_else(|| "is not valid LZF data".to_owned()),
        BITSHUFFLE => bitshuffle(&filter.values, data, element, limit, threads),
        other => Err(format!("needs filter {other}")),
    }
}

fn be_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

fn be_u64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

const TRUNCATED: &str = "is truncated";

/// The size that a chunk's header claims, which must not be more than the chunk can hold.
fn claimed(data: &[u8], limit: usize) -> Result<usize, String> {
    let size = be_u64(data, 0).ok_or(TRUNCATED)?;
    usize::try_from(size)
        .ok()
        .filter(|size| *size <= limit)
        .ok_or_else(|| format!("claims {size} bytes instead of {limit}"))
}

/// Filter 32004: u64 size, u32 block size, then blocks of u32 length and data, all big-endian; a block
/// that did not shrink is stored as it is.
fn lz4_blocks(data: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let size = claimed(data, limit)?;
    let block = be_u32(data, 8).ok_or(TRUNCATED)? as usize;
    if block == 0 && size > 0 {
        return Err("has an LZ4 block size of 0".to_owned());
    }
    let mut out = vec![0; size];
    let mut at = 12;
    for target in out.chunks_mut(block.max(1)) {
        let length = be_u32(data, at).ok_or(TRUNCATED)? as usize;
        let source = data.get(at + 4..at + 4 + length).ok_or(TRUNCATED)?;
        at += 4 + length;
        if length == target.len() {
            target.copy_from_slice(source);
        } else if lz4_flex::block::decompress_into(source, target).ok() != Some(target.len()) {
            return Err("is not valid LZ4 data".to_owned());
        }
    }
    Ok(out)
}

/// Filter 32000 (LibLZF): below 32 so many literals and one more follow; else a match of the length in the upper three bits
/// (of 7, more in the next byte) and 2, at the distance in the lower five bits and the next byte, and 1.
fn lzf(mut data: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit);
    while let Some((first, rest)) = data.split_first() {
        data = rest;
        let first = usize::from(*first);
        if first < 32 {
            let (literals, rest) = data.split_at_checked(first + 1)?;
            data = rest;
            out.extend_from_slice(literals);
        } else {
            let mut length = first >> 5;
            if length == 7 {
                let (more, rest) = data.split_first()?;
                data = rest;
                length += usize::from(*more);
            }
            let (low, rest) = data.split_first()?;
            data = rest;
            let distance = (first & 31) << 8 | usize::from(*low);
            let from = out.len().checked_sub(distance + 1)?;
            length += 2;
            if distance + 1 >= length {
                out.extend_from_within(from..from + length);
            } else {
                for step in 0..length {
                    let byte = *out.get(from + step)?;
                    out.push(byte);
                }
            }
        }
        if out.len() > limit {
            return None;
        }
    }
    Some(out)
}

/// Filter 32008. Compressed: u64 size and u32 block size in bytes, then blocks of u32 length and data,
/// all big-endian, the last block cut to a multiple of eight elements, the remaining ones raw.
fn bitshuffle(
    values: &[u32],
    data: &[u8],
    element: usize,
    limit: usize,
    threads: Threads,
) -> Result<Vec<u8>, String> {
    let codec = values.get(4).copied().unwrap_or(0);
    let element = element.max(1);
    let (size, block, mut at) = if codec == 0 {
        let elements = match values.get(3).copied().unwrap_or(0) {
            // The library's default: 8 KiB, a multiple of eight elements, at least 128.
            0 => (8192 / element / 8 * 8).max(128),
            given => given as usize,
        };
        (data.len(), elements.saturating_mul(element), 0)
    } else {
        let block = be_u32(data, 8).ok_or(TRUNCATED)? as usize;
        (claimed(data, limit)?, block, 12)
    };
    if block == 0 || !block.is_multiple_of(8 * element) {
        return Err(format!("has a bitshuffle block of {block} bytes"));
    }
    let shuffled = size / (8 * element) * (8 * element);
    let mut out = vec![0; size];
    let (body, rest) = out.split_at_mut(shuffled);
    // Where each block lies is quick to find out; then they are unpacked side by side.
    let mut sources = Vec::with_capacity(shuffled / block + 1);
    for n in body.chunks(block).map(<[u8]>::len) {
        let length = if codec == 0 {
            n
        } else {
            at += 4;
            be_u32(data, at - 4).ok_or(TRUNCATED)? as usize
        };
        sources.push(data.get(at..at + length).ok_or(TRUNCATED)?);
        at += length;
    }
    let kit = || {
        (
            vec![0; block.min(shuffled)],
            zstd::bulk::Decompressor::new(),
        )
    };
    let unpack = |(scratch, unpack): &mut (Vec<u8>, std::io::Result<_>),
                  source: &[u8],
                  target: &mut [u8]| {
        let unpack: &mut std::io::Result<zstd::bulk::Decompressor> = unpack;
        if codec == 0 {
            unshuffle_bits(source, element, target);
            return Ok(());
        }
        let planes = scratch.get_mut(..target.len()).ok_or(TRUNCATED)?;
        let written = match (codec, unpack) {
            (2, _) => lz4_flex::block::decompress_into(source, planes).ok(),
            (3, Ok(unpack)) => unpack.decompress_to_buffer(source, planes).ok(),
            _ => return Err(format!("uses bitshuffle codec {codec}, which is unknown")),
        };
        if written != Some(target.len()) {
            return Err("is not valid bitshuffle data".to_owned());
        }
        unshuffle_bits(planes, element, target);
        Ok(())
    };
    match threads {
        Threads::One => {
            let mut kit = kit();
            for (source, target) in sources.iter().zip(body.chunks_mut(block)) {
                unpack(&mut kit, source, target)?;
            }
        }
        Threads::Many => sources
            .par_iter()
            .zip(body.par_chunks_mut(block))
            .with_min_len(32)
            .try_for_each_init(kit, |kit, (source, target)| unpack(kit, source, target))?,
    }
    let n = rest.len();
    rest.copy_from_slice(data.get(at..at + n).ok_or(TRUNCATED)?);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_chunks_are_errors_not_panics() {
        let good: Vec<u8> = [
            &64u64.to_be_bytes()[..],
            &64u32.to_be_bytes(),
            &[0, 0, 0, 2, 0x0f, 0],
        ]
        .concat();
        for id in [DEFLATE, LZF, BLOSC, LZ4, BITSHUFFLE, ZSTD, BLOSC2] {
            let filter = Filter {
                id,
                values: vec![0, 0, 4, 0, 2],
            };
            for cut in 0..good.len() {
                for flip in 0..cut {
                    let mut data = good[..cut].to_vec();
                    data[flip] ^= 0xff;
                    let _ = decode(std::slice::from_ref(&filter), 0, data, 4, 64);
                }
            }
            assert!(decode(&[filter], 0, good.clone(), 4, 64).is_err());
        }
    }
}
