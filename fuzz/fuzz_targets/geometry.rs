//! CrystFEL and pyFAI geometry: parsed, placed, written and parsed again without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peaknet_studio::io::{crystfel, poni};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(geom) = crystfel::parse_geom(&text) {
        let (geometry, _) = geom.geometry(|_| Some(1.0), &[40, 50]);
        let _ = geom.rules(50, 40, &[40, 50]);
        let lines = crystfel::GeomLines {
            data: "/data",
            mask: None,
            peak_list: None,
            from: Some(&geom),
        };
        let _ = crystfel::write_geom(&geometry, 50, 40, &lines);
        let _ = poni::write_poni(&geometry);
    }
    if let Ok(poni) = poni::parse_poni(&text) {
        let _ = poni::write_poni(&poni.geometry(50, 40));
    }
});
