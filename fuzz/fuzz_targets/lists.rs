//! Streams and event lists.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peaknet_studio::io::{paths, stream};

fuzz_target!(|bytes: &[u8]| {
    let _ = stream::chunks(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = stream::parse(&text);
    let _ = paths::parse_events(&text);
});
