//! Silver behenate on a real Pilatus 300K frame: rings where data/README.md says that they are.

use std::fs::File;

use peaknet_studio::domain::calibrant::{Calibrant, ring_table};
use peaknet_studio::domain::frame::{Frame, bad};
use peaknet_studio::domain::geometry::Geometry;
use peaknet_studio::domain::grid::Grid;
use tiff::decoder::{Decoder, DecodingResult};

#[test]
fn silver_behenate_on_a_pilatus_300k() {
    let Some(folder) = std::env::var_os("PEAKNET_DATA").map(std::path::PathBuf::from) else {
        eprintln!("PEAKNET_DATA is unset: the real frame is not looked at");
        return;
    };
    let file = File::open(folder.join("silver_behenate/saxslab_image.tiff")).unwrap();
    let mut decoder = Decoder::new(std::io::BufReader::new(file)).unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    let values: Vec<f32> = match decoder.read_image().unwrap() {
        DecodingResult::I32(values) => values.iter().map(|v| *v as f32).collect(),
        DecodingResult::U32(values) => values.iter().map(|v| *v as i32 as f32).collect(),
        other => panic!("{other:?}"),
    };
    let pixels = Grid::from_cells(width as usize, height as usize, values).unwrap();
    let bad = pixels.map(|v| if *v < 0.0 { bad::MISSING } else { 0 });
    let frame = Frame::new(0, pixels, bad).unwrap();
    // From the file's header; the first pixel's centre is 0.5 inside the program.
    let geometry = Geometry {
        wavelength_angstrom: Some(1.5418),
        detector_distance_m: Some(0.48756),
        pixel_size_m: Some([172e-6, 172e-6]),
        beam_center_px: Some([267.3 + 0.5, 359.1 + 0.5]),
        panels: Vec::new(),
    };
    let rows = ring_table(&frame, &geometry, Calibrant::SilverBehenate, None);
    for row in &rows {
        eprintln!("{row:?}");
    }
    // The centre is a little off and smears the fourth ring over 6 px.
    for (row, (expected, found)) in
        rows.iter()
            .zip([(74.9, 73.5), (149.9, 147.5), (225.1, 221.5), (300.7, 297.5)])
    {
        assert!((row.expected_radius_px - expected).abs() < 0.1, "{row:?}");
        assert!(
            row.found_radius_px.is_some_and(|r| (r - found).abs() < 0.8),
            "{row:?} {found}"
        );
        assert!(row.visible_fraction > 0.4, "{row:?}");
    }
}
