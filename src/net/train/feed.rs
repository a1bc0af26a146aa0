//! Batches made ahead in other threads; which batch comes when depends on the seed alone, not on the threads.
//!
//! Batches are made in groups: group g has a random generator of its own, so that a training can go on at any step. Each thread
//! holds at most two groups, one finished and one in the making: 2 x threads x [`GROUP`] x batch x patch^2 x 5 bytes in all.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Labelled, Sampler, TrainConfig};
use crate::domain::frame::bad;
use crate::domain::grid::Grid;
use crate::domain::labels::Sheet;
use crate::net::augment::{Patch, augment};
use crate::net::head::CLASSES;
use crate::net::loss::NO_TARGET;
use crate::net::standardise::Standardisation;

/// Batches of a group: patches of a few frames are mixed among them.
const GROUP: usize = 4;

/// A batch of patches, one after another.
pub struct Batch {
    pub input: Vec<f32>,
    pub target: Vec<u8>,
}

type Group = Result<Vec<Batch>, String>;

/// The batches of a training in their order.
pub struct Feed {
    threads: Vec<Receiver<Group>>,
    next_group: usize,
    waiting: std::vec::IntoIter<Batch>,
}

impl Feed {
    /// Starts the threads; the first batch is that of step `from`. Errors: what the sampler could not read.
    pub fn start(sample: Sampler, config: &TrainConfig, from: usize) -> Result<Self, String> {
        let sample = Arc::new(sample);
        let threads = config.threads.max(1);
        let first = from / GROUP;
        let receivers = (0..threads)
            .map(|thread| {
                let (sender, receiver) = sync_channel(1);
                let (sample, config) = (sample.clone(), config.clone());
                std::thread::spawn(move || {
                    for number in (first + thread..).step_by(threads) {
                        let made = group(&sample, &config, number as u64);
                        let failed = made.is_err();
                        if sender.send(made).is_err() || failed {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        let mut feed = Self {
            threads: receivers,
            next_group: 0,
            waiting: Vec::new().into_iter(),
        };
        for _ in 0..from % GROUP {
            feed.next_batch()?;
        }
        Ok(feed)
    }

    /// The next batch; waits until it is made. Errors: what the sampler could not read.
    pub fn next_batch(&mut self) -> Result<Batch, String> {
        loop {
            if let Some(batch) = self.waiting.next() {
                return Ok(batch);
            }
            let count = self.threads.len().max(1);
            let thread = self.threads.get(self.next_group % count);
            let ended = || "the training data ended unexpectedly".to_owned();
            let made = thread.and_then(|t| t.recv().ok()).ok_or_else(ended)??;
            self.next_group += 1;
            self.waiting = made.into_iter();
        }
    }
}

fn group(sample: &Sampler, config: &TrainConfig, number: u64) -> Group {
    // splitmix64's multiplier: neighbouring groups must not give related streams.
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut rng = Pcg64Mcg::seed_from_u64(config.seed ^ 0x5EED_F00D ^ mixed);
    let mut pool: Vec<Patch> = Vec::new();
    // Large frames give several patches: at least two frames are mixed before patches are drawn.
    while pool.len() < GROUP * config.batch {
        let labelled = sample(rng.random())?;
        let way = config.standardisation.unwrap_or_default();
        cut(&labelled, config.patch, way, &mut pool, &mut rng);
    }
    pool.shuffle(&mut rng);
    let patches = pool.chunks_exact(config.batch.max(1)).take(GROUP);
    Ok(patches
        .map(|patches| {
            let mut batch = Batch {
                input: Vec::with_capacity(config.batch * config.patch * config.patch),
                target: Vec::with_capacity(config.batch * config.patch * config.patch),
            };
            for patch in patches {
                let patch = augment(patch, config.strength, &mut rng);
                batch.input.extend_from_slice(&patch.input);
                batch.target.extend_from_slice(&patch.target);
            }
            batch
        })
        .collect())
}

/// Cuts patches out of a prepared frame: one, or more from a large one, most of them where labels are.
fn cut(
    labelled: &Labelled,
    side: usize,
    way: Standardisation,
    pool: &mut Vec<Patch>,
    rng: &mut Pcg64Mcg,
) {
    let input = way.apply(&labelled.frame);
    let (width, height) = (input.width(), input.height());
    let count = (width * height / (side * side * 4)).clamp(1, 6);
    for _ in 0..count {
        let tries = if rng.random_bool(0.7) { 4 } else { 1 };
        let place = |rng: &mut Pcg64Mcg| {
            let x = rng.random_range(0..=width.saturating_sub(side));
            let y = rng.random_range(0..=height.saturating_sub(side));
            (x, y)
        };
        let best = (0..tries)
            .map(|_| place(rng))
            .max_by_key(|at| labels_in(&labelled.sheet, *at, side));
        if let Some(at) = best {
            pool.push(patch_at(labelled, &input, at, side));
        }
    }
}

/// How many sampled pixels of class peak or artifact a patch would have; peaks count more.
fn labels_in(sheet: &Sheet, (x0, y0): (usize, usize), side: usize) -> usize {
    let rows = (y0..(y0 + side).min(sheet.height())).step_by(2);
    rows.map(|y| {
        let row = sheet.row(y);
        let row = &row[x0.min(row.len())..(x0 + side).min(row.len())];
        row.iter()
            .map(|c| match c {
                1 => 4,
                2 => 1,
                _ => 0,
            })
            .sum::<usize>()
    })
    .sum()
}

/// The class codes that a loss may look at: 255 where the label is ignore or the pixel invalid.
pub fn target_of(labelled: &Labelled, x: usize, y: usize) -> u8 {
    let is_valid = labelled
        .frame
        .bad
        .get(x, y)
        .is_some_and(|bits| bits & bad::NOT_VALID == 0);
    match labelled.sheet.get(x, y) {
        Some(class) if is_valid && usize::from(*class) < CLASSES => *class,
        _ => NO_TARGET,
    }
}

fn patch_at(
    labelled: &Labelled,
    input: &Grid<f32>,
    (x0, y0): (usize, usize),
    side: usize,
) -> Patch {
    let mut patch = Patch::empty(side);
    for y in 0..side {
        for x in 0..side {
            if let Some(value) = input.get(x0 + x, y0 + y) {
                patch.input[y * side + x] = *value;
                patch.target[y * side + x] = target_of(labelled, x0 + x, y0 + y);
            }
        }
    }
    patch
}
