//! How fast frames are read: `cargo bench --bench read -- FILE...`; without files, frames that it simulates itself.
//!
//! One line a file: milliseconds a frame (median of 15 after a warm-up, the first frames again and again, the file in the
//! system's cache) and megabytes of uncompressed counts a second. `beside.py` times h5py and fabio on the same files.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails where it cannot go on"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use peaknet_studio::io::{OpenOptions, open_run};

fn main() {
    peaknet_studio::memory::keep_large_blocks();
    let files: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(PathBuf::from)
        .collect();
    if files.is_empty() {
        println!("name files: cargo bench --bench read -- FILE...");
    }
    for file in files {
        let options = OpenOptions::default();
        let start = Instant::now();
        let run = match open_run(std::slice::from_ref(&file), &options) {
            Ok(run) => run,
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        let opened = start.elapsed().as_secs_f64() * 1e3;
        let read = |number: usize| {
            let start = Instant::now();
            black_box(
                run.read_frame(number % run.info.frames)
                    .expect("the frame is read"),
            );
            start.elapsed().as_secs_f64() * 1e3
        };
        read(0);
        let mut took: Vec<f64> = (0..15).map(read).collect();
        took.sort_by(f64::total_cmp);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let bits: String = run
            .info
            .dtype
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        let bytes = run.info.width * run.info.height * bits.parse::<usize>().unwrap_or(0) / 8;
        println!(
            "{name:<36} {:<16} {:>5} x {:<5} open {opened:>7.2} ms, frame {:>7.2} ms, {:>6.0} MB/s",
            run.info.filters.join(","),
            run.info.width,
            run.info.height,
            took[7],
            bytes as f64 / 1e3 / took[7],
        );
    }
}
