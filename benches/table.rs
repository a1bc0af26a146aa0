//! What the frame table costs: `cargo bench --bench table`. Sorting and filtering 100,000 rows, and one changed row; medians and
//! 99th percentiles in milliseconds of processor time.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::sync::Arc;

#[path = "clock/mod.rs"]
mod clock;

use clock::thread_time;
use peaknet_studio::domain::columns::{Column, Note};
use peaknet_studio::domain::frame::RunInfo;
use peaknet_studio::session::Session;
use peaknet_studio::session::command::{Command, RunRequest};
use peaknet_studio::session::job::{FrameKey, ProjectState, Report};

const FRAMES: usize = 100_000;

fn timed(name: &str, times: usize, mut act: impl FnMut(usize)) {
    let mut took: Vec<f64> = (0..times)
        .map(|i| {
            let start = thread_time();
            act(i);
            (thread_time() - start).as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |q: f64| took[((times - 1) as f64 * q).round() as usize];
    println!("{name:<52} {:>8.3} ms {:>8.3} ms", at(0.5), at(0.99));
}

/// A session on a long run of which everything is known.
fn session() -> Session {
    let mut session = Session::new();
    session.apply(Command::Open(Box::new(RunRequest {
        paths: vec!["run.cxi".into()],
        ..RunRequest::default()
    })));
    let info = RunInfo {
        frames: FRAMES,
        width: 8,
        height: 8,
        ..RunInfo::default()
    };
    let result = Ok(Arc::new(info));
    session.absorb(Report::RunOpened { run: 1, result });
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let notes = (0..FRAMES / 10).map(|i| {
        let note = Note {
            tags: vec![["ice", "weak", "strong"][i % 3].to_owned()],
            comment: format!("frame of {}", random() % 1000),
            is_marked: i % 7 == 0,
        };
        (i * 10, note)
    });
    let result = Ok(ProjectState {
        notes: notes.collect(),
        ..ProjectState::default()
    });
    session.absorb(Report::ProjectOpened { run: 1, result });
    for number in 0..FRAMES {
        if let Some(row) = session.rows.get_mut(number) {
            row.peaks = Some((random() % 300) as u32);
            row.doubt = Some((random() % 10_000) as f32 / 15_000.0);
            row.mean = Some((random() % 100_000) as f32 / 1000.0);
        }
    }
    session.apply(Command::FilterFrames(String::new()));
    session
}

fn main() {
    peaknet_studio::memory::keep_large_blocks();
    let mut session = session();
    println!("{:<52} {:>11} {:>11}", "100,000 rows", "median", "99 %");
    for column in [
        Column::Peaks,
        Column::Doubt,
        Column::Frame,
        Column::Tags,
        Column::Comment,
    ] {
        timed(&format!("sort by {}", column.name()), 40, |_| {
            session.apply(Command::SortFrames(column));
        });
    }
    session.apply(Command::SortFrames(Column::Doubt));
    let filters = [
        "peaks > 20 and doubt > 0.3 and review = untouched",
        "tag ~ ice",
        "hit",
    ];
    for filter in filters {
        timed(&format!("filter {filter}"), 40, |_| {
            session.apply(Command::FilterFrames(filter.to_owned()));
        });
    }
    session.apply(Command::FilterFrames("doubt > 0.1".to_owned()));
    timed(
        "one row changes (sorted and filtered by doubt)",
        2000,
        |i| {
            if let Some(row) = session.rows.get_mut(i * 37 % FRAMES) {
                row.doubt = Some((i % 600) as f32 / 1000.0);
            }
            session.absorb(Report::Measured {
                key: FrameKey { run: 1, number: i },
                mean: 1.0,
                maximum: 2.0,
            });
        },
    );
}
