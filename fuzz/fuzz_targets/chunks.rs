//! Our own decoders of HDF5 chunks. The input: the filter and its client data in four bytes, then the stored chunk.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peaknet_studio::io::h5::filters::{self, Filter};

fuzz_target!(|bytes: &[u8]| {
    let [which, element, codec, block, data @ ..] = bytes else {
        return;
    };
    let ids = [
        filters::DEFLATE,
        filters::SHUFFLE,
        filters::LZ4,
        filters::BITSHUFFLE,
        filters::ZSTD,
        filters::BLOSC2,
        filters::LZF,
    ];
    let element = 1 << (element % 4);
    let filter = Filter {
        id: ids[usize::from(*which) % ids.len()],
        values: vec![
            0,
            0,
            element,
            u32::from(*block) * 8,
            u32::from(*codec) % 4,
        ],
    };
    let size = 1 << 16;
    if let Ok(out) = filters::decode(&[filter], 0, data.to_vec(), element as usize, size) {
        assert_eq!(out.len(), size);
    }
});
