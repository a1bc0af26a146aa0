//! Our decoders inside HDF5 itself, for readings that do not take the fast path.

use std::ffi::{c_char, c_uint, c_void};
use std::sync::OnceLock;

use hdf5_sys::h5::{H5allocate_memory, H5free_memory};
use hdf5_sys::h5z::{H5Z_CLASS_T_VERS, H5Z_FLAG_REVERSE, H5Z_class2_t, H5Zregister};

use super::Threads;
use super::filters::{self, BITSHUFFLE, BLOSC2, Filter, LZ4, ZSTD};

/// Registers bitshuffle, LZ4, zstd and Blosc2 once in this process.
#[expect(unsafe_code, reason = "H5Zregister is not in the safe crate")]
pub fn register_filters() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        for (id, name, filter) in [
            (BITSHUFFLE, c"bitshuffle", bitshuffle as Callback),
            (LZ4, c"lz4", lz4 as Callback),
            (ZSTD, c"zstd", zstd as Callback),
            (BLOSC2, c"blosc2", blosc2 as Callback),
        ] {
            let class = H5Z_class2_t {
                version: H5Z_CLASS_T_VERS as i32,
                id,
                encoder_present: 0,
                decoder_present: 1,
                name: name.as_ptr().cast::<c_char>(),
                can_apply: None,
                set_local: None,
                filter: Some(filter),
            };
            // SAFETY: HDF5 copies the struct; the name is a static C string and the callback a static
            // function of the type that H5Zregister expects. `sync` initialises and locks the library.
            hdf5::sync::sync(|| unsafe { H5Zregister((&raw const class).cast::<c_void>()) });
        }
    });
}

type Callback = unsafe extern "C" fn(
    c_uint,
    usize,
    *const c_uint,
    usize,
    *mut usize,
    *mut *mut c_void,
) -> usize;

macro_rules! callback {
    ($name:ident, $id:expr) => {
        #[expect(unsafe_code, reason = "the interface of H5Z_func_t")]
        unsafe extern "C" fn $name(
            flags: c_uint,
            count: usize,
            values: *const c_uint,
            length: usize,
            capacity: *mut usize,
            buffer: *mut *mut c_void,
        ) -> usize {
            // SAFETY: the arguments are passed on as HDF5 gave them.
            unsafe { run($id, flags, count, values, length, capacity, buffer) }
        }
    };
}
callback!(bitshuffle, BITSHUFFLE);
callback!(lz4, LZ4);
callback!(zstd, ZSTD);
callback!(blosc2, BLOSC2);

/// Decodes `*buffer` and replaces it; 0 tells HDF5 that it failed.
#[expect(unsafe_code, reason = "HDF5 hands over raw buffers")]
unsafe fn run(
    id: i32,
    flags: c_uint,
    count: usize,
    values: *const c_uint,
    length: usize,
    capacity: *mut usize,
    buffer: *mut *mut c_void,
) -> usize {
    if flags & H5Z_FLAG_REVERSE == 0 || values.is_null() && count > 0 {
        return 0; // these are decoders only
    }
    // SAFETY: HDF5 guarantees `count` client values and `length` readable bytes at `*buffer`.
    let (values, data) = unsafe {
        let values = if count == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(values, count)
        };
        (
            values,
            std::slice::from_raw_parts((*buffer).cast::<u8>(), length),
        )
    };
    let filter = Filter {
        id,
        values: values.to_vec(),
    };
    let element = filter.values.get(2).copied().unwrap_or(1) as usize;
    // No chunk of HDF5 is larger than 4 GiB; the header of the data says how large this one is.
    let limit = match id {
        // The filter's client data: revision, bytes of a block, of an element and of the chunk (hdf5-blosc2).
        BLOSC2 => filter.values.get(3).map_or(0, |size| *size as usize),
        ZSTD => usize::try_from(zstd_size(data)).unwrap_or(usize::MAX),
        BITSHUFFLE if filter.values.get(4).copied().unwrap_or(0) == 0 => length,
        _ => data
            .first_chunk()
            .map_or(0, |size| u64::from_be_bytes(*size) as usize),
    };
    if limit == 0 || limit > u32::MAX as usize {
        return 0;
    }
    let decoded =
        std::panic::catch_unwind(|| filters::undo(&filter, data, element, limit, Threads::One));
    let Ok(Ok(out)) = decoded else {
        return 0;
    };
    // SAFETY: the new buffer comes from HDF5's own allocator and has `out.len()` bytes; the old one was
    // allocated by HDF5 and is not used again.
    unsafe {
        let fresh = H5allocate_memory(out.len(), 0);
        if fresh.is_null() {
            return 0;
        }
        std::ptr::copy_nonoverlapping(out.as_ptr(), fresh.cast::<u8>(), out.len());
        H5free_memory(*buffer);
        *buffer = fresh;
        *capacity = out.len();
    }
    out.len()
}

fn zstd_size(data: &[u8]) -> u64 {
    match zstd::zstd_safe::get_frame_content_size(data) {
        Ok(Some(size)) => size,
        _ => 0,
    }
}
