//! One row of a convolution, from padded rows straight to where its result belongs.
//!
//! Where [`super::forward`] leaves sums in a buffer for somebody else to finish, this adds bias, applies the ReLU and
//! adds a second convolution while the sums are still in registers: a row is written once.

use super::{BLOCK, Lanes, add_columns};

/// One sum over columns: `bias[o] + sum of weights[column][o] * input[columns[column] + p]`, then perhaps the ReLU.
#[derive(Clone, Copy)]
pub struct Terms<'a, T> {
    pub input: &'a [T],
    /// Where each column starts in `input`; there must be values for `width` rounded up to 16.
    pub columns: &'a [usize],
    /// `[column][BLOCK]`.
    pub weights: &'a [T],
    pub bias: [T; BLOCK],
    pub relu: bool,
}

/// A block of output channels over one row: terms after terms are added, a ReLU holds for all that was added so far.
pub struct Line<'a, 'b, T> {
    pub terms: &'a [Terms<'a, T>],
    /// The row of each channel, at most [`BLOCK`] of them; as long as the shortest says.
    pub out: &'a mut [&'b mut [T]],
    pub width: usize,
}

/// Sums go by value and by index: where something holds them by reference, the compiler keeps them in memory.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see above")]
fn add_terms<L: Lanes, const OUT: usize, const WIDE: usize>(
    terms: &Terms<'_, L::T>,
    first: usize,
    p: usize,
    mut sums: [[L; WIDE]; OUT],
) -> [[L; WIDE]; OUT] {
    let bias = &terms.bias[first..first + OUT];
    for o in 0..OUT {
        let bias = L::splat(bias[o]);
        for i in 0..WIDE {
            sums[o][i] = sums[o][i].add(bias);
        }
    }
    sums = add_columns(terms.input, terms.columns, terms.weights, first, p, sums);
    if terms.relu {
        for o in 0..OUT {
            for i in 0..WIDE {
                sums[o][i] = sums[o][i].or_zero();
            }
        }
    }
    sums
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "as in `add_terms`")]
fn chunk<L: Lanes, const OUT: usize, const WIDE: usize>(
    job: &mut Line<'_, '_, L::T>,
    first: usize,
    p: usize,
) {
    let mut sums = [[L::zero(); WIDE]; OUT];
    for terms in job.terms {
        sums = add_terms::<L, OUT, WIDE>(terms, first, p, sums);
    }
    for o in 0..OUT {
        let Some(out) = job.out.get_mut(first + o) else {
            break;
        };
        if p + WIDE * L::N <= job.width {
            let to = &mut out[p..p + WIDE * L::N];
            for i in 0..WIDE {
                sums[o][i].store(&mut to[i * L::N..]);
            }
        } else {
            // Only the last vector of a row, alone in its chunk, may stick out.
            let mut cells = [L::T::default(); 16];
            sums[o][0].store(&mut cells);
            out[p..job.width].copy_from_slice(&cells[..job.width - p]);
        }
    }
}

#[inline(always)]
pub(super) fn line<L: Lanes, const OUT: usize, const WIDE: usize>(mut job: Line<'_, '_, L::T>) {
    for first in (0..job.out.len().min(BLOCK)).step_by(OUT) {
        let mut p = 0;
        while p + WIDE * L::N <= job.width {
            chunk::<L, OUT, WIDE>(&mut job, first, p);
            p += WIDE * L::N;
        }
        while p < job.width {
            chunk::<L, OUT, 1>(&mut job, first, p);
            p += L::N;
        }
    }
}
