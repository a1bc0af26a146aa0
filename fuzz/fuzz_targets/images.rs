//! Every single-frame format, recognised by its first bytes: frames or a sentence, within bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peaknet_studio::io::images;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = images::from_bytes(bytes, 0) {
        assert_eq!(frame.pixels.len(), frame.width * frame.height);
        assert_eq!(frame.bad.len(), frame.pixels.len());
    }
});
