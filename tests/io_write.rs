//! What `io` writes, read back by itself and, where python3 has h5py, by plain h5py.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use peaknet_studio::domain::frame::{Frame, bad};
use peaknet_studio::domain::geometry::Geometry;
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::domain::labels::Sheet;
use peaknet_studio::domain::peaks::Peak;
use peaknet_studio::io::cxi_out::{CxiOptions, CxiOut};
use peaknet_studio::io::peak_list::read_peaks;
use peaknet_studio::io::set::{SetFrame, SetHeader, Split, open_set, write_set};
use peaknet_studio::io::simulated::{LabelledFrame, LabelledHeader, write_labelled_run};
use peaknet_studio::io::{OpenOptions, Run, open_run};

const W: usize = 29;
const H: usize = 37;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/io")
        .join(name)
}

fn open(path: &Path) -> Run {
    open_run(&[path.to_owned()], &OpenOptions::default()).unwrap()
}

fn frame(number: usize) -> Frame {
    let pixels = Grid::from_fn(W, H, |x, y| (number * 1000 + y * 31 + x) as f32 * 0.5 - 3.0);
    let bits = Grid::from_fn(W, H, |x, y| match (x, y) {
        (0, 0) => bad::MISSING,
        (5, 5) => bad::SATURATED,
        _ => 0,
    });
    Frame::new(number, pixels, bits).unwrap()
}

fn sheet(number: usize) -> Sheet {
    Grid::from_fn(W, H, |x, y| [0, 1, 2, 255][(x + y + number) / 3 % 4])
}

fn peak(x: f32, y: f32) -> Peak {
    Peak {
        x,
        y,
        total: 100.0 + x,
        maximum: 50.0 + y,
        snr: 7.5,
        pixels: 9,
        radius: 1.5,
        saturated: true,
        near_bad: false,
    }
}

/// Runs a python program with h5py; false (with a message) where there is none.
fn python(program: &str, argument: &Path) -> bool {
    let has_h5py = Command::new("python3")
        .args(["-c", "import h5py, numpy"])
        .output();
    if !has_h5py.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no python3 with h5py");
        return false;
    }
    // Without the plugins that our decoders stand for.
    let output = Command::new("python3")
        .args(["-c", program])
        .arg(argument)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

#[test]
fn a_set_reads_back_here_and_in_plain_h5py() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let item = |n: usize| SetFrame {
        frame: frame(n),
        sheet: sheet(n),
        run: n as i32 / 2,
        split: [Split::Train, Split::Validation, Split::HeldOut][n % 3],
        metadata: format!("{{\"frame\": {n}, \"who\": \"\u{e9}\"}}"),
    };
    let frames = || (0..5).map(|n| Ok(item(n)));
    let summary = write_set(&path, &SetHeader::default(), frames(), false).unwrap();
    assert_eq!((summary.frames, summary.splits), (5, [2, 2, 1]));
    assert!(
        write_set(&path, &SetHeader::default(), frames(), false)
            .unwrap_err()
            .to_string()
            .contains("--force")
    );
    let again = write_set(&path, &SetHeader::default(), frames(), true).unwrap();
    assert_eq!(again.digest, summary.digest);
    let set = open_set(&path).unwrap();
    assert_eq!(
        (set.len(), set.width(), set.height(), set.digest()),
        (5, W, H, summary.digest.as_str())
    );
    assert!(set.is_unchanged().unwrap());
    for n in [4, 0] {
        let read = set.read(n).unwrap();
        let wanted = item(n);
        assert_eq!(read.frame.pixels, wanted.frame.pixels);
        assert_eq!(
            (read.sheet, read.run, read.split, read.metadata),
            (wanted.sheet, wanted.run, wanted.split, wanted.metadata)
        );
        assert!(
            !read.frame.is_valid(0, 0) && read.frame.is_valid(5, 5) && read.frame.is_valid(1, 0)
        );
    }
    // A set is also a run that can be looked at.
    let run = open(&path);
    assert_eq!(run.info.dataset.as_deref(), Some("/images"));
    assert_eq!(run.read_frame(3).unwrap().pixels, frame(3).pixels);
    let none = write_set(
        &folder.path().join("none.h5"),
        &SetHeader::default(),
        std::iter::empty(),
        false,
    );
    assert!(none.is_err() && std::fs::read_dir(folder.path()).unwrap().count() == 1);
    python(
        "import sys, json, h5py, numpy as np\n\
         f = h5py.File(sys.argv[1])\n\
         x, y = np.meshgrid(np.arange(29), np.arange(37))\n\
         assert f['images'].shape == f['labels'].shape == f['valid'].shape == (5, 37, 29)\n\
         assert f['images'].chunks == (1, 37, 29) and f['images'].dtype == np.float32\n\
         for n in range(5):\n\
         \x20   assert (f['images'][n] == (n * 1000 + y * 31 + x) * .5 - 3).all()\n\
         \x20   assert (f['labels'][n] == np.array([0, 1, 2, 255])[(x + y + n) // 3 % 4]).all()\n\
         \x20   assert f['valid'][n].sum() == 37 * 29 - 1 and f['valid'][n, 0, 0] == 0\n\
         assert f['run'][:].tolist() == [0, 0, 1, 1, 2] and f['split'][:].tolist() == [0, 1, 2, 0, 1]\n\
         assert f['run'].dtype == np.int32 and f['split'].dtype == np.uint8 and f['labels'].dtype == np.uint8\n\
         assert json.loads(f['metadata'][3])['frame'] == 3 and f.attrs['format'] == 'peaknet-set'\n\
         assert len(f.attrs['digest']) == 64 and f.attrs['version'] == 1 and 'peak' in f.attrs['classes']\n",
        &path,
    );
}

fn predict(run: &Run, out: &Path, frames: std::ops::Range<usize>) {
    let options = CxiOptions {
        classes: true,
        net_name: Some("tiny".to_owned()),
        net_digest: Some("abc".to_owned()),
        ..CxiOptions::default()
    };
    let mut cxi = CxiOut::create(out, run, frames.clone(), &options).unwrap();
    for number in frames {
        let frame = run.read_frame(number).unwrap();
        let classes = Grid::from_fn(W, H, |x, _| if x >= 10 { 2 } else { 0 });
        let peaks: Vec<Peak> = (0..number * 150)
            .map(|k| peak(15.25, 0.5 + (k % 20) as f32))
            .collect();
        cxi.push(&frame, Some(&classes), &peaks).unwrap();
    }
    assert!(
        !out.exists(),
        "the file must not be seen before it is whole"
    );
    cxi.finish().unwrap();
}

#[test]
fn peaks_and_masks_for_crystfel() {
    let folder = tempfile::tempdir().unwrap();
    // One source with the same rows: a link; a master: a virtual data set; images: copies.
    for (name, kind) in [
        ("part_000001.h5", "link"),
        ("eiger_master.h5", "virtual"),
        ("virtual.h5", "virtual"),
        ("folder", "copy"),
    ] {
        let run = open(&fixture(name));
        let out = folder.path().join(format!("{kind}_{name}.cxi"));
        let n = run.info.frames.min(6);
        predict(&run, &out, 0..n);
        let lists = read_peaks(&out).unwrap();
        assert_eq!(
            lists.iter().map(Vec::len).collect::<Vec<_>>(),
            (0..n).map(|k| k * 150).collect::<Vec<_>>()
        );
        let (first, last) = (lists[1][0], lists[n - 1].last().unwrap());
        assert_eq!((first.x, first.y, first.pixels), (15.25, 0.5, 9));
        assert_eq!(*last, peak(15.25, 0.5 + (((n - 1) * 150 - 1) % 20) as f32));
        let back = open(&out);
        assert_eq!(
            (back.info.frames, back.info.format.as_str()),
            (n, "CXI"),
            "{name}"
        );
        let before = &run.info.geometry;
        assert_eq!(
            back.info.geometry.beam_center_px, before.beam_center_px,
            "{name}"
        );
        assert_eq!(
            back.info.geometry.detector_distance_m, before.detector_distance_m,
            "{name}"
        );
        for number in 0..n {
            let (a, b) = (
                run.read_frame(number).unwrap(),
                back.read_frame(number).unwrap(),
            );
            assert_eq!(a.pixels, b.pixels, "{name} {number}");
            let bits = b.bad.map(|bits| bits & !bad::ARTIFACT);
            assert_eq!(a.bad, bits, "{name} {number}");
            // Reach of a peak: radius 1.5 and 4 px of margin about x = 15.25.
            let artifact = |x, y| b.bad.get(x, y).unwrap() & bad::ARTIFACT != 0;
            assert!(artifact(28, 36) && !artifact(9, 3));
            assert_eq!(artifact(15, 0), number == 0);
            assert!(artifact(21, 0) && artifact(15, 30));
        }
        let geom = std::fs::read_to_string(out.with_extension("geom")).unwrap();
        for words in [
            "data = /entry_1/data_1/data",
            "mask0_data = /entry_1/data_1/mask",
            "mask0_badbits = 0xeffd",
            "p0/max_fs = 28",
        ] {
            assert!(geom.contains(words), "{geom}");
        }
        let list = std::fs::read_to_string(out.with_extension("lst")).unwrap();
        assert_eq!(list.lines().count(), n);
        assert!(list.lines().next().unwrap().ends_with(".cxi //0"));
        let listed = open(&out.with_extension("lst"));
        assert_eq!(listed.info.frames, n);
        python(
            "import sys, h5py, numpy as np\n\
             f = h5py.File(sys.argv[1]); r = f['entry_1/result_1']; n = len(r['nPeaks'])\n\
             assert r['nPeaks'].dtype == np.int32 and r['nPeaks'][:].tolist() == [150 * k for k in range(n)]\n\
             for k in 'peakXPosRaw peakYPosRaw peakTotalIntensity peakMaxIntensity peakMaximumValue peakSNR peakNPixels peakRadius'.split():\n\
             \x20   assert r[k].shape == (n, 150 * (n - 1)) and r[k].dtype == np.float32, (k, r[k].shape)\n\
             assert r['peakSaturated'].dtype == np.uint8 and r['peakSaturated'][1, :150].all() and not r['peakSaturated'][0].any()\n\
             assert r['peakNearBad'].shape == r['peakSaturated'].shape == r['peakSNR'].shape and not r['peakNearBad'][:].any()\n\
             assert r['peakXPosRaw'][1, 0] == 14.75 and (r['peakXPosRaw'][0] == 0).all() and (r['peakXPosRaw'][1, 150:] == 0).all()\n\
             assert r['classes'].shape == f['entry_1/data_1/mask'].shape == (n, 37, 29)\n\
             assert f['entry_1/data_1/mask'].dtype == np.uint16 and r['classes'].dtype == np.uint8\n\
             assert r.attrs['net'] == 'tiny' and r.attrs['net_digest'] == 'abc' and 'PeakNet' in r.attrs['program']\n\
             link = f['entry_1/data_1'].get('data', getlink=True)\n\
             d = None\n\
             if 'link_' in sys.argv[1]: assert isinstance(link, h5py.ExternalLink) and link.filename.startswith('/')\n\
             else:\n\
             \x20   d = f['entry_1/data_1/data']\n\
             \x20   assert d.is_virtual == ('virtual_' in sys.argv[1]) and d.shape == (n, 37, 29)\n\
             if 'virtual_' in sys.argv[1]: assert all(s.file_name.startswith('/') for s in d.virtual_sources())\n",
            &out,
        );
    }
    // Part of a run, and a writer that gives up.
    let run = open(&fixture("eiger_master.h5"));
    let out = folder.path().join("part.cxi");
    predict(&run, &out, 3..6);
    assert_eq!(
        open(&out).read_frame(0).unwrap().pixels,
        run.read_frame(3).unwrap().pixels
    );
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let given_up = CxiOut::create(
        &folder.path().join("up.cxi"),
        &run,
        0..6,
        &CxiOptions::default(),
    )
    .unwrap();
    drop(given_up);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
    assert!(
        CxiOut::create(&out, &run, 0..6, &CxiOptions::default())
            .unwrap_err()
            .to_string()
            .contains("--force")
    );
}

#[test]
fn a_simulated_run_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.cxi");
    let header = LabelledHeader {
        geometry: Geometry {
            wavelength_angstrom: Some(1.3),
            detector_distance_m: Some(0.1),
            pixel_size_m: Some([75e-6, 75e-6]),
            beam_center_px: Some([14.0, 18.5]),
            panels: Vec::new(),
        },
        detector: "tiny".to_owned(),
        recipe: "{\"seed\": 3}".to_owned(),
    };
    let frames = (0..3).map(|n| {
        Ok(LabelledFrame {
            frame: frame(n),
            sheet: sheet(n),
            peaks: vec![peak(3.25 + n as f32, 4.5); n + 1],
        })
    });
    assert_eq!(
        write_labelled_run(&path, &header, frames, false).unwrap(),
        3
    );
    let run = open(&path);
    assert_eq!(
        (run.info.frames, run.info.detector.as_deref()),
        (3, Some("tiny"))
    );
    assert_eq!(run.info.geometry, header.geometry);
    for n in 0..3 {
        let read = run.read_frame(n).unwrap();
        assert_eq!((read.pixels, read.bad), (frame(n).pixels, frame(n).bad));
    }
    let labels = OpenOptions {
        dataset: Some("/labels".to_owned()),
        ..OpenOptions::default()
    };
    let labels = open_run(std::slice::from_ref(&path), &labels)
        .unwrap()
        .read_frame(1)
        .unwrap();
    assert_eq!(labels.pixels.map(|v| *v as u8), sheet(1));
    let peaks = read_peaks(&path).unwrap();
    assert_eq!(peaks[2], vec![peak(5.25, 4.5); 3]);
    // The geometry beside it says the same.
    let options = OpenOptions {
        geometry: Some(path.with_extension("geom")),
        ..OpenOptions::default()
    };
    let placed = open_run(&[path], &options).unwrap();
    let (a, b) = (
        placed.info.geometry.lab_from_pixel(20.0, 30.0).unwrap(),
        header.geometry.lab_from_pixel(20.0, 30.0).unwrap(),
    );
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9));
}
