//! Small files of every kind that `io` opens, made by tests/fixtures/io/make.py.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::{Path, PathBuf};

use peaknet_studio::domain::frame::{Frame, bad};
use peaknet_studio::io::peak_list::read_peaks;
use peaknet_studio::io::{OpenOptions, Run, open_run};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/io")
        .join(name)
}

fn open(name: &str) -> Run {
    open_run(&[fixture(name)], &OpenOptions::default()).unwrap()
}

fn open_set(name: &str, dataset: &str) -> Run {
    let options = OpenOptions {
        dataset: Some(dataset.to_owned()),
        ..OpenOptions::default()
    };
    open_run(&[fixture(name)], &options).unwrap()
}

/// The formula of make.py.
fn value(frame: usize, y: usize, x: usize) -> f32 {
    ((7919 * frame + 131 * y + 17 * x) % 251) as f32
}

#[track_caller]
fn check(frame: &Frame, number: usize, (width, height): (usize, usize), what: &str) {
    assert_eq!((frame.width(), frame.height()), (width, height), "{what}");
    for y in 0..height {
        for x in 0..width {
            assert_eq!(
                frame.pixels.get(x, y),
                Some(&value(number, y, x)),
                "{what} at {x} {y}"
            );
        }
    }
}

#[test]
fn every_type_and_filter() {
    let cases = [
        ("bslz4_u16", "uint16", "bitshuffle-lz4"),
        ("bslz4_u32", "uint32", "bitshuffle-lz4"),
        ("bslz4_f64", "float64", "bitshuffle-lz4"),
        ("bszstd_i32", "int32", "bitshuffle-zstd"),
        ("bszstd_u8", "uint8", "bitshuffle-zstd"),
        ("bsnone_u16", "uint16", "bitshuffle"),
        ("gzip_f32", "float32", "shuffle,gzip"),
        ("gzip_be_i16", "int16", "shuffle,gzip"),
        ("gzip_plain_u64", "uint64", "gzip"),
        ("zstd_i64", "int64", "zstd"),
        ("lz4_u16", "uint16", "lz4"),
        ("blosc_u16", "uint16", "blosc"),
        ("blosc_bits_u32", "uint32", "blosc"),
        ("blosc_lz_f64", "float64", "blosc"),
        ("lzf_plain_i32", "int32", "lzf"),
        ("blosc2_lz_u16", "uint16", "blosc2"),
        ("blosc2_lz4_u32", "uint32", "blosc2"),
        ("blosc2_zstd_f32", "float32", "blosc2"),
        ("blosc2_zlib_f64", "float64", "blosc2"),
        ("lzf_f32", "float32", "shuffle,lzf"),
        ("fletcher_u16", "uint16", "fletcher32,gzip"),
        ("raw_chunk_u32", "uint32", ""),
        ("tiles_u16", "uint16", "bitshuffle-lz4"),
        ("tiles_be_f32", "float32", "gzip"),
        ("contiguous_be_f64", "float64", ""),
    ];
    for (dataset, dtype, filters) in cases {
        let run = open_set("codecs.h5", dataset);
        assert_eq!(run.info.dtype, dtype, "{dataset}");
        let mut found = run.info.filters.clone();
        found.sort_by_key(|name| !filters.starts_with(name.as_str()));
        assert_eq!(found.join(","), filters, "{dataset}");
        assert_eq!(run.info.frames, 3, "{dataset}");
        for number in [2, 0, 1] {
            check(&run.read_frame(number).unwrap(), number, (29, 37), dataset);
        }
        assert!(
            run.read_frame(3)
                .unwrap_err()
                .to_string()
                .contains("no frame 3")
        );
    }
    check(
        &open_set("codecs.h5", "four_axes_u16")
            .read_frame(2)
            .unwrap(),
        2,
        (29, 36),
        "four axes",
    );
    let skipped = open_set("codecs.h5", "mask_of_filters_u16");
    check(&skipped.read_frame(0).unwrap(), 0, (29, 37), "all filters");
    check(
        &skipped.read_frame(1).unwrap(),
        1,
        (29, 37),
        "one filter left out",
    );
    // Several blocks along both axes, and a chunk of zeros that the index alone tells of.
    let big = open_set("codecs.h5", "blosc2_big_u16");
    assert!(
        big.read_frame(0)
            .unwrap()
            .pixels
            .cells()
            .iter()
            .all(|v| *v == 0.0)
    );
    check(&big.read_frame(1).unwrap(), 1, (500, 300), "blocks");
    let flat = open_set("codecs.h5", "flat_i8").read_frame(0).unwrap();
    assert_eq!(flat.pixels.get(28, 36), Some(&(value(0, 36, 28) % 100.0)));
    let hole = open_set("codecs.h5", "hole_u16");
    assert!(
        hole.read_frame(1)
            .unwrap()
            .bad
            .cells()
            .iter()
            .all(|bits| bits & bad::MISSING != 0)
    );
    check(&hole.read_frame(2).unwrap(), 2, (29, 37), "beside a hole");
    assert!(
        hole.read_frame(2)
            .unwrap()
            .bad
            .cells()
            .iter()
            .all(|bits| *bits == 0)
    );
}

#[test]
fn an_eiger_master_with_a_dangling_link() {
    let run = open("eiger_master.h5");
    assert_eq!((run.info.frames, run.info.format.as_str()), (6, "NXmx"));
    assert_eq!(run.info.notices.len(), 1);
    assert!(
        run.info.notices[0].contains("data_000003")
            && run.info.notices[0].contains("part_000003.h5")
    );
    for number in 0..6 {
        check(&run.read_frame(number).unwrap(), number, (29, 37), "master");
    }
    let frame = run.read_frame(0).unwrap();
    let bits = |x, y| *frame.bad.get(x, y).unwrap();
    assert_eq!(
        [bits(0, 0), bits(2, 1), bits(3, 2), bits(4, 3), bits(5, 4)],
        [bad::MISSING, bad::DEAD, bad::HOT, bad::SHADOWED, 0]
    );
    let over = frame
        .pixels
        .cells()
        .iter()
        .zip(frame.bad.cells())
        .filter(|(v, _)| **v > 240.0);
    assert!(over.clone().count() > 10 && over.clone().all(|(_, bits)| bits & bad::SATURATED != 0));
    let geometry = &run.info.geometry;
    assert_eq!(geometry.wavelength_angstrom, Some(0.9));
    assert_eq!(geometry.detector_distance_m, Some(0.15));
    assert_eq!(geometry.pixel_size_m, Some([75e-6; 2]));
    assert_eq!(geometry.beam_center_px, Some([14.25, 20.5]));
    assert_eq!(run.info.detector.as_deref(), Some("Eiger, so to say"));
    let sources = run.sources();
    assert_eq!(
        sources
            .iter()
            .map(|range| (range.frames.clone(), range.first_row))
            .collect::<Vec<_>>(),
        [(0..4, 0), (4..6, 0)]
    );
    assert!(
        run.event(5).ends_with("part_000002.h5 //1"),
        "{}",
        run.event(5)
    );
}

#[test]
fn virtual_data_sets_lead_to_their_sources() {
    let run = open("virtual.h5");
    assert_eq!(run.info.frames, 8);
    for (number, shown) in [0, 4, 1, 5, 2, 3].into_iter().enumerate() {
        check(&run.read_frame(number).unwrap(), shown, (29, 37), "virtual");
    }
    assert!(
        run.read_frame(6)
            .unwrap()
            .bad
            .cells()
            .iter()
            .all(|bits| *bits == bad::MISSING)
    );
    assert!(
        run.info
            .notices
            .iter()
            .any(|notice| notice.contains("part_000009.h5")),
        "{:?}",
        run.info.notices
    );
    assert_eq!(run.info.filters, ["bitshuffle-lz4"]);
    assert!(run.event(3).ends_with("part_000002.h5 //1"));
    let modules = open("modules.h5");
    check(
        &modules.read_frame(1).unwrap(),
        1,
        (29, 37),
        "two modules a frame",
    );
}

#[test]
fn cxi_as_lcls_writes_it() {
    let run = open("lcls.cxi");
    assert_eq!((run.info.frames, run.info.format.as_str()), (3, "CXI"));
    let frame = run.read_frame(1).unwrap();
    assert_eq!(frame.pixels.get(3, 2), Some(&(value(1, 2, 3) - 5.0)));
    assert_eq!(
        frame.bad.cells().iter().filter(|bits| **bits != 0).count(),
        1
    );
    assert!(!frame.is_valid(6, 5));
    let geometry = &run.info.geometry;
    assert!((geometry.wavelength_angstrom.unwrap() - 12_398.419_843 / 9500.0).abs() < 1e-9);
    assert_eq!(geometry.detector_distance_m, Some(0.25));
    let peaks = read_peaks(&fixture("lcls.cxi")).unwrap();
    assert_eq!(peaks.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 1]);
    let first = peaks[0][0];
    assert_eq!(
        (first.x, first.y, first.total, first.maximum),
        (3.75, 4.75, 325.0, 32.5)
    );
}

#[test]
fn folders_and_single_images() {
    let run = open("folder");
    assert_eq!((run.info.frames, run.info.format.as_str()), (3, "miniCBF"));
    for number in 0..3 {
        check(&run.read_frame(number).unwrap(), number, (29, 37), "folder");
    }
    assert_eq!(run.info.geometry.beam_center_px, Some([14.5, 18.0]));
    assert_eq!(run.info.geometry.pixel_size_m, Some([172e-6; 2]));
    assert_eq!(run.info.detector.as_deref(), Some("PILATUS3 tiny, S/N 0"));
    let special = open("special.cbf").read_frame(0).unwrap();
    let row = |n: usize| (special.pixels.row(0)[n], special.bad.row(0)[n]);
    assert_eq!(
        [row(0), row(1), row(2), row(3), row(4)],
        [
            (-1.0, bad::MISSING),
            (-2.0, bad::DEAD),
            (1e6, bad::SATURATED),
            (-3.0, bad::INVALID),
            (70000.0, bad::SATURATED)
        ]
    );
    assert_eq!(special.pixels.get(28, 36), Some(&value(0, 36, 28)));
    for name in ["u1", "u2", "u4", "i2", "i4", "f4", "f8"] {
        let run = open(&format!("{name}.tif"));
        assert_eq!(run.info.format, "TIFF");
        check(&run.read_frame(0).unwrap(), 0, (29, 37), name);
    }
    check(
        &open("stack.npy").read_frame(2).unwrap(),
        2,
        (29, 37),
        "npy",
    );
    let edf = open("tiny.edf");
    check(&edf.read_frame(0).unwrap(), 0, (29, 37), "edf");
    // Of a file with two frames the first is read, and that is said.
    let folder = tempfile::tempdir().unwrap();
    let twice = folder.path().join("twice.edf");
    std::fs::write(
        &twice,
        std::fs::read(fixture("tiny.edf")).unwrap().repeat(2),
    )
    .unwrap();
    let two = open_run(&[twice], &OpenOptions::default()).unwrap();
    check(&two.read_frame(0).unwrap(), 0, (29, 37), "edf twice");
    let says = |run: &Run| run.info.said().any(|said| said.contains("only the first"));
    assert_eq!((says(&edf), says(&two)), (false, true));
    for (name, dtype) in [
        ("stored.npz", "float32"),
        ("two.npz", "uint16"),
        ("cache.npz", "uint16"),
    ] {
        let run = open(name);
        assert_eq!((run.info.frames, run.info.dtype.as_str()), (3, dtype));
        check(&run.read_frame(2).unwrap(), 2, (29, 37), name);
    }
    for name in ["tiny_oxford.img", "tiny_bruker.0001", "tiny_bruker100.sfrm"] {
        let frame = open(name).read_frame(0).unwrap();
        for (y, x) in (0..32).flat_map(|y| (0..32).map(move |x| (y, x))) {
            let wanted = match (y, x) {
                (5, 0..4) => [300.0, 40e3, 70e3, 255.0][x],
                (6, 3) => 65535.0,
                _ => value(0, y, x),
            };
            assert_eq!(frame.pixels.get(x, y), Some(&wanted), "{name} at {x} {y}");
        }
    }
    // Two arrays of two sections each, stacked along the slow axis; both versions of the packing.
    let packed = open("packed.cbf").read_frame(0).unwrap();
    for (row, x) in (0..4 * 37).flat_map(|row| (0..29).map(move |x| (row, x))) {
        let wanted = match (row % 74, x) {
            (40, 0..4) => [-5.0, 1e5, -1e5, (1 << 30) as f32][x],
            _ => value(row / 37, row % 37, x),
        };
        let found = packed.pixels.get(x, row);
        assert_eq!(found, Some(&wanted), "packed CBF at {x} {row}");
    }
    let plate = open("plate.mar1200");
    assert_eq!(plate.info.geometry.pixel_size_m, Some([150e-6, 150e-6]));
    let plate = plate.read_frame(0).unwrap();
    for y in 0..40 {
        for x in 0..40 {
            let wanted = match (y, x) {
                (3, 0..7) => [40e3, 65535.0, 32768.0, 0.0, 131_072.0, 5.0, 70e3][x],
                (20, _) => value(0, y, x) * 200.0,
                _ => value(0, y, x),
            };
            assert_eq!(plate.pixels.get(x, y), Some(&wanted), "mar345 at {x} {y}");
        }
    }
    let smv = open("tiny.img");
    check(&smv.read_frame(0).unwrap(), 0, (29, 37), "smv");
    assert_eq!(smv.info.geometry.detector_distance_m, Some(0.1));
    assert_eq!(smv.info.geometry.beam_center_px, Some([15.0, 20.0]));
}

#[test]
fn several_files_globs_and_event_lists() {
    let two = [fixture("part_000002.h5"), fixture("part_000001.h5")];
    let run = open_run(&two, &OpenOptions::default()).unwrap();
    assert_eq!(run.info.frames, 6);
    check(&run.read_frame(0).unwrap(), 4, (29, 37), "the order given");
    let glob = open_run(&[fixture("part_*.h5")], &OpenOptions::default()).unwrap();
    check(&glob.read_frame(5).unwrap(), 5, (29, 37), "glob");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("some.lst");
    let text: String = [5, 0, 3]
        .iter()
        .map(|n| format!("{}\n", glob.event(*n)))
        .collect();
    std::fs::write(&list, text).unwrap();
    let listed = open_run(std::slice::from_ref(&list), &OpenOptions::default()).unwrap();
    for (number, shown) in [5, 0, 3].into_iter().enumerate() {
        check(
            &listed.read_frame(number).unwrap(),
            shown,
            (29, 37),
            "event list",
        );
    }
    std::fs::write(
        &list,
        format!("{} //9\n", fixture("part_000001.h5").display()),
    )
    .unwrap();
    assert!(
        open_run(&[list], &OpenOptions::default())
            .unwrap_err()
            .to_string()
            .contains("frame 9")
    );
}

#[test]
fn the_user_wins_over_the_file() {
    let options = OpenOptions {
        wavelength_angstrom: Some(2.0),
        detector_distance_m: Some(0.7),
        beam_center_px: Some([3.0, 4.0]),
        ..OpenOptions::default()
    };
    let run = open_run(&[fixture("eiger_master.h5")], &options).unwrap();
    let geometry = &run.info.geometry;
    assert_eq!(geometry.wavelength_angstrom, Some(2.0));
    assert_eq!(geometry.detector_distance_m, Some(0.7));
    assert_eq!(geometry.beam_center_px, Some([3.5, 4.5]));
    assert_eq!(geometry.pixel_size_m, Some([75e-6; 2]));
}

#[test]
fn bad_input_is_one_sentence_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let part = std::fs::read(fixture("part_000001.h5")).unwrap();
    let cbf = std::fs::read(fixture("special.cbf")).unwrap();
    let tif = std::fs::read(fixture("u4.tif")).unwrap();
    let bz2 = std::fs::read(fixture("folder/frame_011.cbf.bz2")).unwrap();
    let empty_folder = folder.path().join("nothing");
    std::fs::create_dir(&empty_folder).unwrap();
    let mixed = folder.path().join("mixed");
    std::fs::create_dir(&mixed).unwrap();
    std::fs::copy(fixture("u4.tif"), mixed.join("a.tif")).unwrap();
    std::fs::copy(fixture("u2.tif"), mixed.join("b.tif")).unwrap();
    let mut smaller = tiff_of(5, 4);
    smaller.truncate(smaller.len());
    std::fs::write(mixed.join("c.tif"), smaller).unwrap();
    let cases = [
        (PathBuf::from("/no/such/file.h5"), "no such file"),
        (make("empty.h5", b""), "empty"),
        (make("cut.h5", &part[..part.len() / 2]), "truncated"),
        (
            make("text.h5", b"hello, this is text\n"),
            "not what its name says",
        ),
        (make("readme.md", b"# hello"), "no known format"),
        (make("cut.cbf", &cbf[..cbf.len() / 2]), "truncated"),
        (make("cut.tif", &tif[..tif.len() / 2]), "truncated"),
        (
            make("cut.cbf.bz2", &bz2[..bz2.len() / 2]),
            "truncated or damaged",
        ),
        (fixture("unknown_filter.h5"), "filter 32099"),
        (fixture("circle.h5"), "leads back to itself"),
        (empty_folder, "no detector frames in this folder"),
        (mixed, "c.tif"),
        (folder.path().join("x*.h5"), "no file fits"),
    ];
    for (path, words) in cases {
        let error = open_run(std::slice::from_ref(&path), &OpenOptions::default())
            .and_then(|run| run.read_frame(0))
            .expect_err(&path.display().to_string());
        let sentence = error.to_string();
        assert!(sentence.contains(words), "{sentence}");
        assert!(
            !sentence.contains('\n') && sentence.ends_with(&error.path.display().to_string()),
            "{sentence}"
        );
    }
    let asked = OpenOptions {
        dataset: Some("/nowhere".to_owned()),
        ..OpenOptions::default()
    };
    let sentence = open_run(&[fixture("part_000001.h5")], &asked)
        .unwrap_err()
        .to_string();
    assert!(
        sentence.contains("/nowhere") && sentence.contains("/entry/data/data"),
        "{sentence}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = make("secret.h5", &part);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        match open_run(&[path], &OpenOptions::default()) {
            Err(error) => assert!(error.to_string().contains("no permission"), "{error}"),
            Ok(_) => eprintln!("skipped: this user may read everything"),
        }
    }
}

/// An uncompressed little-endian u8 TIFF.
fn tiff_of(width: u16, height: u16) -> Vec<u8> {
    let mut out = b"II*\0\x08\0\0\0".to_vec();
    let size = u32::from(width) * u32::from(height);
    let entries: [(u16, u32); 8] = [
        (256, width.into()),
        (257, height.into()),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 8 * 12 + 4),
        (278, height.into()),
        (279, size),
    ];
    out.extend(8u16.to_le_bytes());
    for (tag, value) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(4u16.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out.extend([0; 4]);
    out.extend(vec![1; size as usize]);
    out
}

/// Files whose writers are at hand here: raw numbers in either byte order, PNG, and whole files packed by zstd.
#[test]
fn raw_pixels_pictures_and_packed_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let cells =
        |n: usize| (0..n * 37 * 29).map(|i| value(i / (37 * 29), i / 29 % 37, i % 29) as u16);
    let big: Vec<u8> = cells(3).flat_map(u16::to_be_bytes).collect();
    std::fs::write(path("three.bin"), &big).unwrap();
    let raw = |shape: &[usize], dtype: &str| OpenOptions {
        shape: shape.to_vec(),
        dtype: Some(dtype.to_owned()),
        ..OpenOptions::default()
    };
    for (shape, frames) in [(&[37, 29][..], 3), (&[2, 37, 29][..], 2)] {
        let run = open_run(&[path("three.bin")], &raw(shape, ">u2")).unwrap();
        assert_eq!(
            (run.info.frames, run.info.dtype.as_str()),
            (frames, "uint16")
        );
        check(&run.read_frame(1).unwrap(), 1, (29, 37), "raw");
    }
    for (shape, dtype, word) in [
        (&[37, 30][..], "uint16", "has 6438 bytes"),
        (&[4, 37, 29][..], "uint16", "correct --shape"),
        (&[37, 29][..], "colour", "--dtype is not known"),
        (&[37][..], "uint16", "HEIGHT,WIDTH"),
        (&[0, 29][..], "uint16", "describes no frame"),
        (&[][..], "uint16", "needs --shape"),
    ] {
        let error = open_run(&[path("three.bin")], &raw(shape, dtype)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 29, 37);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&big[..37 * 29 * 2]).unwrap();
    writer.finish().unwrap();
    std::fs::write(path("one.png"), bytes).unwrap();
    let run = open_run(&[path("one.png")], &OpenOptions::default()).unwrap();
    check(&run.read_frame(0).unwrap(), 0, (29, 37), "png");

    let stack = std::fs::read(fixture("stack.npy")).unwrap();
    let packed = zstd::encode_all(stack.as_slice(), 3).unwrap();
    std::fs::write(path("stack.npy.zst"), &packed).unwrap();
    let run = open_run(&[path("stack.npy.zst")], &OpenOptions::default()).unwrap();
    assert_eq!(run.info.filters, ["zstd file"]);
    check(&run.read_frame(2).unwrap(), 2, (29, 37), "zstd");
    std::fs::write(path("short.npy.zst"), &packed[..packed.len() / 2]).unwrap();
    let error = open_run(&[path("short.npy.zst")], &OpenOptions::default())
        .and_then(|run| run.read_frame(2))
        .unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
}

const STREAM: &str = "CrystFEL stream format 2.3
Generated by hand
----- Begin chunk -----
Image filename: /elsewhere/part_000001.h5
Event: //1
Image serial number: 2
hit = 1
indexed_by = xgandalf-latt-cell
num_peaks = 2
Peaks from peak search
  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel
   12.50   30.25       1.00      420.00   p0
    3.00    4.00       2.00       99.00   p0
End of peak list
--- Begin crystal
Reflections measured after indexing
   h    k    l          I   sigma(i)       peak background  fs/px  ss/px panel
   1   -2    3     120.50      10.25     300.00      12.00   12.6   30.1 p0
End of reflections
--- End crystal
----- End chunk -----
----- Begin chunk -----
Image filename: /elsewhere/part_000001.h5
Event: //0
indexed_by = none
Peaks from peak search
  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel
End of peak list
----- End chunk -----
----- Begin chunk -----
Image filename: cut off
";

#[test]
fn a_stream_tells_of_frames_by_file_and_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found.stream");
    std::fs::write(&path, STREAM).unwrap();
    let options = |peaks: &Path| OpenOptions {
        peaks: Some(peaks.to_owned()),
        ..OpenOptions::default()
    };
    // The master leads to the file that the stream names; part 2 is not in it.
    for (file, known) in [("part_000001.h5", 0..2), ("eiger_master.h5", 0..2)] {
        let run = open_run(&[fixture(file)], &options(&path)).unwrap();
        let first = run.listed(0).unwrap().unwrap();
        assert_eq!(
            (first.found.len(), first.is_indexed),
            (0, Some(false)),
            "{file}"
        );
        let second = run.listed(1).unwrap().unwrap();
        assert_eq!(second.found, [(12.5, 30.25), (3.0, 4.0)]);
        let [reflection] = second.predicted[..] else {
            panic!("{second:?}")
        };
        assert_eq!(
            (reflection.x, reflection.y, reflection.hkl),
            (12.6, 30.1, [1, -2, 3])
        );
        assert_eq!((reflection.intensity, reflection.sigma), (120.5, 10.25));
        for number in known.end..run.info.frames {
            assert_eq!(run.listed(number).unwrap(), None, "{file} {number}");
        }
    }
    std::fs::write(&path, "no stream at all\n").unwrap();
    let error = open_run(&[fixture("stack.npy")], &options(&path)).unwrap_err();
    assert!(error.to_string().contains("no chunks in this stream"));
}

#[test]
fn the_own_list_of_a_cxi_file_is_told_row_by_row() {
    let file = fixture("lcls.cxi");
    let run = open_run(std::slice::from_ref(&file), &OpenOptions::default()).unwrap();
    let rows = [vec![(3.75, 4.75), (8.5, 9.5)], vec![], vec![(5.5, 6.5)]];
    // The same list, named by the user, says the same.
    let named = OpenOptions {
        peaks: Some(file.clone()),
        ..OpenOptions::default()
    };
    let named = open_run(&[file], &named).unwrap();
    for (number, found) in rows.iter().enumerate() {
        for run in [&run, &named] {
            assert_eq!(run.listed(number).unwrap().unwrap().found, *found);
        }
    }
    assert_eq!(run.info.frames, rows.len());
}

#[test]
fn modules_of_the_european_xfel_become_frames() {
    let run = open("euxfel");
    assert_eq!(
        (run.info.frames, run.info.width, run.info.height),
        (4, 4, 128)
    );
    assert_eq!(run.info.format, "EuXFEL modules");
    let notices = run.info.notices.join("\n");
    assert!(notices.contains("2, 4, 5, 6"), "{notices}");
    assert!(notices.contains("1 of 4 frames"), "{notices}");
    for number in 0..4 {
        let frame = run.read_frame(number).unwrap();
        for (x, y) in [(0, 1), (3, 6), (1, 11), (2, 29)] {
            if number == 2 && y >= 24 {
                continue;
            }
            assert_eq!(
                frame.pixels.get(x, y),
                Some(&value(number, y, x)),
                "{number} {x} {y}"
            );
            assert_eq!(frame.bad.get(x, y), Some(&0));
        }
        let bits = |x, y| *frame.bad.get(x, y).unwrap();
        // Offset is bad, interpolated only informs; module 2 has no file.
        assert_eq!(
            (bits(1, 8), bits(2, 8), bits(0, 20)),
            (bad::INVALID, 0, bad::MISSING)
        );
        assert_eq!(bits(0, 27), if number == 2 { bad::MISSING } else { 0 });
        let missing = if number == 2 { "2, 3, 4" } else { "2, 4" };
        let problems = run.problems(&frame).join(" ");
        assert!(
            problems.contains(&format!("the modules {missing}")),
            "{problems}"
        );
    }
    assert!(!run.read_frame(0).unwrap().is_valid(3, 7));
    let raw = open("euxfel_raw.h5");
    assert_eq!((raw.info.frames, raw.info.height), (3, 8));
    assert!(raw.info.notices.join(" ").contains("raw readings"));
    for number in [2, 0] {
        check(
            &raw.read_frame(number).unwrap(),
            number,
            (4, 8),
            "analog part",
        );
    }
    let cells = open("jungfrau_cells.h5");
    assert_eq!((cells.info.frames, cells.info.height), (6, 8));
    for number in [5, 0, 3] {
        check(
            &cells.read_frame(number).unwrap(),
            number,
            (4, 8),
            "a memory cell",
        );
    }
}

#[test]
fn events_in_groups_with_a_geometry_that_says_all() {
    let options = OpenOptions {
        geometry: Some(fixture("events.geom")),
        ..OpenOptions::default()
    };
    let run = open_run(&[fixture("events.h5")], &options).unwrap();
    assert_eq!(run.info.frames, 3);
    assert!(run.info.notices.is_empty(), "{:?}", run.info.notices);
    for number in 0..3 {
        let frame = run.read_frame(number).unwrap();
        check(&frame, number, (29, 37), "an event");
        for y in 0..37 {
            for x in 0..29 {
                let edge = [0, 13, 15, 28].contains(&x) || [0, 36].contains(&y);
                let is_bad = edge
                    || x == 14
                    || (x, y) == (4, 3)
                    || value(number, y, x) == 77.0
                    || ((2..=3).contains(&x) && (20..=21).contains(&y));
                assert_eq!(!frame.is_valid(x, y), is_bad, "{number}: {x} {y}");
                let is_saturated = frame.bad.get(x, y).unwrap() & bad::SATURATED != 0;
                assert_eq!(is_saturated, x > 14 && value(number, y, x) > 200.0);
            }
        }
    }
    assert!(
        run.event(2).ends_with("events.h5 tag-200//0"),
        "{}",
        run.event(2)
    );
    // A stream names the event by what stands for `%`.
    let folder = tempfile::tempdir().unwrap();
    let stream = folder.path().join("a.stream");
    let chunk = |tag: &str, x: usize| {
        format!(
            "----- Begin chunk -----\nImage filename: /x/events.h5\nEvent: {tag}//\nPeaks from peak search\n\
             fs/px ss/px\n {x}.5 20.5\nEnd of peak list\n----- End chunk -----\n"
        )
    };
    std::fs::write(&stream, chunk("tag-200", 7) + &chunk("tag-9", 3)).unwrap();
    let with_stream = OpenOptions {
        peaks: Some(stream),
        ..options.clone()
    };
    let listed = open_run(&[fixture("events.h5")], &with_stream).unwrap();
    let found = |number| listed.listed(number).unwrap().map(|listed| listed.found);
    assert_eq!(
        (found(0), found(1), found(2)),
        (Some(vec![(3.5, 20.5)]), None, Some(vec![(7.5, 20.5)]))
    );
    let list = open_run(&[fixture("events.lst")], &options).unwrap();
    check(&list.read_frame(0).unwrap(), 2, (29, 37), "tag-200");
    check(&list.read_frame(1).unwrap(), 0, (29, 37), "tag-9");
}

#[test]
fn masks_of_their_own_are_taken_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good_is_one.txt");
    let row = |y: usize| {
        (0..29)
            .map(|x| if (x, y) == (5, 6) { "0 " } else { "1 " })
            .collect::<String>()
    };
    let text: Vec<String> = (0..37).map(row).collect();
    std::fs::write(&path, text.join("\n")).unwrap();
    let options = OpenOptions {
        bad_pixels: vec![path],
        ..OpenOptions::default()
    };
    let run = open_run(&[fixture("u2.tif")], &options).unwrap();
    assert!(
        run.info.notices.is_empty() && run.info.remarks[0].contains("good_is_one.txt is 0"),
        "{:?}",
        run.info.notices
    );
    let frame = run.read_frame(0).unwrap();
    let bad_ones = frame.bad.cells().iter().filter(|bits| **bits != 0).count();
    assert!(bad_ones == 1 && !frame.is_valid(5, 6));
}

/// The reference is the nxmx package's; tests/fixtures/io/make_nxmx.py made both files.
#[test]
fn modules_of_nexus_lie_where_their_transformations_put_them() {
    let run = open("nxmx_modules.h5");
    let text = std::fs::read_to_string(fixture("nxmx_modules.json")).unwrap();
    let wanted: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let panels = &run.info.geometry.panels;
    assert_eq!((panels.len(), wanted.len()), (2, 2));
    let rows: Vec<_> = panels
        .iter()
        .map(|panel| (panel.rect.y0, panel.rect.y1, panel.rect.x1))
        .collect();
    assert_eq!(rows, [(0, 18, 29), (18, 37, 29)]);
    for (panel, wanted) in panels.iter().zip(&wanted) {
        for (found, key) in [
            (panel.corner_m, "corner_m"),
            (panel.fast_m, "fast_m"),
            (panel.slow_m, "slow_m"),
        ] {
            for (axis, found) in found.iter().enumerate() {
                let wanted = wanted[key][axis].as_f64().unwrap();
                assert!((found - wanted).abs() < 1e-12, "{key}: {found} {wanted}");
            }
        }
    }
    check(&run.read_frame(1).unwrap(), 1, (29, 37), "modules");
}
