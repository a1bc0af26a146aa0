//! Damaged files: whatever bits flip and wherever a file is cut, opening and reading gives frames or a sentence, never a panic.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::{Path, PathBuf};

use peaknet_studio::io::{OpenOptions, open_run};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const FILES: [&str; 18] = [
    "special.cbf",
    "packed.cbf",
    "folder/frame_10.cbf.gz",
    "folder/frame_011.cbf.bz2",
    "u2.tif",
    "f8.tif",
    "stack.npy",
    "stored.npz",
    "two.npz",
    "cache.npz",
    "tiny.img",
    "tiny.edf",
    "plate.mar1200",
    "tiny_oxford.img",
    "tiny_bruker.0001",
    "tiny_bruker100.sfrm",
    "part_000001.h5",
    "lcls.cxi",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/io")
        .join(name)
}

/// Flips some bits, most of them in the header, or cuts the file, or overwrites a number with an extreme one.
fn damage(bytes: &mut Vec<u8>, rng: &mut Pcg64) {
    let reach = if rng.random_bool(0.6) {
        bytes.len().min(700)
    } else {
        bytes.len()
    };
    match rng.random_range(0..8) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => {
            let at = rng.random_range(0..reach);
            let extreme = [0x00, 0xff, 0x7f, 0x80][rng.random_range(0..4)];
            for byte in bytes.iter_mut().skip(at).take(4) {
                *byte = extreme;
            }
        }
        2 => {
            // A digit of a text header becomes another one, or many.
            let digits: Vec<usize> = (0..reach).filter(|i| bytes[*i].is_ascii_digit()).collect();
            if let Some(at) = digits.get(rng.random_range(0..digits.len().max(1))) {
                bytes[*at] = b'0' + rng.random_range(0..10);
            }
        }
        _ => {
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..reach);
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    // More, with another seed, for those who look for trouble: PEAKNET_DAMAGE=ROUNDS.
    let wanted = std::env::var("PEAKNET_DAMAGE").ok();
    let rounds: u64 = wanted.and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut rng = Pcg64::seed_from_u64(rounds);
    let (mut read, mut refused) = (0, 0);
    for name in FILES {
        let whole = std::fs::read(fixture(name)).unwrap();
        let path = folder.path().join(Path::new(name).file_name().unwrap());
        for _ in 0..rounds {
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut rng);
            std::fs::write(&path, bytes).unwrap();
            let outcome =
                open_run(std::slice::from_ref(&path), &OpenOptions::default()).and_then(|run| {
                    (0..run.info.frames.min(3)).try_for_each(|i| run.read_frame(i).map(|_| ()))
                });
            match outcome {
                Ok(()) => read += 1,
                Err(error) => {
                    refused += 1;
                    let sentence = error.to_string();
                    assert!(
                        sentence.lines().count() == 1 && sentence.len() > 15,
                        "{sentence}"
                    );
                }
            }
        }
    }
    assert!(
        read > 500 && refused > 500,
        "{read} read, {refused} refused"
    );
}
