//! The two inner loops of every convolution, on the widest vectors that the processor has.
//!
//! A convolution is a matrix product whose columns are shifted views of one padded scratch buffer:
//! `forward` computes `out[o][p] = sum over columns of w[column][o] * input[offset[column] + p]`,
//! `weight_gradient` computes `out[o][column] = sum over p of g[o][p] * input[offset[column] + p]`.
//! Chosen at run time: AVX-512, AVX2 with FMA, or arrays of four that any compiler turns into vectors.

pub mod line;

use self::line::Line;

/// How many output channels one packed block of weights holds.
pub const BLOCK: usize = 8;
/// Flat lengths are rounded up to this many positions.
pub const ALIGN: usize = 16;

/// One block of output channels of a convolution over one scratch tile.
pub struct Forward<'a, T> {
    pub input: &'a [T],
    /// Where each column starts in `input`.
    pub columns: &'a [usize],
    /// `[column][BLOCK]`.
    pub weights: &'a [T],
    /// `[BLOCK][flat]`; only the first `used` channels are computed.
    pub out: &'a mut [T],
    /// Positions, a multiple of [`ALIGN`].
    pub flat: usize,
    pub used: usize,
}

/// The gradient of one block of output channels over one scratch tile, added to `out`.
pub struct WeightGradient<'a, T> {
    pub input: &'a [T],
    pub columns: &'a [usize],
    /// `[BLOCK][flat]`; zero where a position is not an output pixel.
    pub gradient: &'a [T],
    /// `[column][BLOCK]`.
    pub out: &'a mut [T],
    pub flat: usize,
    pub used: usize,
}

/// A number that the net computes with: f32, or f64 where gradients are checked.
pub trait Real:
    candle_core::WithDType
    + Copy
    + Send
    + Sync
    + Default
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::AddAssign
    + std::iter::Sum
{
    fn real(value: f64) -> Self;
    fn wide(self) -> f64;
    fn exponential(self) -> Self;
    fn forward(job: Forward<'_, Self>);
    fn weight_gradient(job: WeightGradient<'_, Self>);
    fn line(job: Line<'_, '_, Self>);
}

/// A vector register of `N` numbers.
trait Lanes: Copy {
    type T: Copy + Default + std::ops::Add<Output = Self::T>;
    const N: usize;
    fn zero() -> Self;
    fn splat(value: Self::T) -> Self;
    /// The first `N` numbers of a slice.
    fn load(from: &[Self::T]) -> Self;
    fn store(self, to: &mut [Self::T]);
    /// `self * b + c`.
    fn fma(self, b: Self, c: Self) -> Self;
    fn add(self, b: Self) -> Self;
    /// The greater of this and zero.
    fn or_zero(self) -> Self;
    fn sum(self) -> Self::T;
}

/// Adds `weights[column][first + o] * input[column + p + i]` over all columns to sums of OUT channels by WIDE vectors.
///
/// Sums go by value and by index: where something holds them by reference, the compiler keeps them in memory.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see above")]
fn add_columns<L: Lanes, const OUT: usize, const WIDE: usize>(
    input: &[L::T],
    columns: &[usize],
    weights: &[L::T],
    first: usize,
    p: usize,
    mut sums: [[L; WIDE]; OUT],
) -> [[L; WIDE]; OUT] {
    for (&column, weights) in columns.iter().zip(weights.chunks_exact(BLOCK)) {
        let start = column + p;
        let row = &input[start..start + WIDE * L::N];
        let mut x = [L::zero(); WIDE];
        for (i, x) in x.iter_mut().enumerate() {
            *x = L::load(&row[i * L::N..]);
        }
        let weights = &weights[first..first + OUT];
        for o in 0..OUT {
            let w = L::splat(weights[o]);
            for i in 0..WIDE {
                sums[o][i] = x[i].fma(w, sums[o][i]);
            }
        }
    }
    sums
}

#[inline(always)]
fn forward_chunk<L: Lanes, const OUT: usize, const WIDE: usize>(
    job: &mut Forward<'_, L::T>,
    first: usize,
    p: usize,
) {
    let sums = add_columns(
        job.input,
        job.columns,
        job.weights,
        first,
        p,
        [[L::zero(); WIDE]; OUT],
    );
    for (o, sums) in sums.iter().enumerate() {
        if first + o < job.used {
            let start = (first + o) * job.flat + p;
            let to = &mut job.out[start..start + WIDE * L::N];
            for (i, sum) in sums.iter().enumerate() {
                sum.store(&mut to[i * L::N..]);
            }
        }
    }
}

#[inline(always)]
fn forward<L: Lanes, const OUT: usize, const WIDE: usize>(mut job: Forward<'_, L::T>) {
    let step = WIDE * L::N;
    for first in (0..job.used).step_by(OUT) {
        let mut p = 0;
        while p + step <= job.flat {
            forward_chunk::<L, OUT, WIDE>(&mut job, first, p);
            p += step;
        }
        while p + L::N <= job.flat {
            forward_chunk::<L, OUT, 1>(&mut job, first, p);
            p += L::N;
        }
    }
}

/// The sums go by index: where something holds them by reference, the compiler keeps them in memory all the time.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see above")]
fn gradient_chunk<L: Lanes, const OUT: usize, const COLUMNS: usize>(
    job: &mut WeightGradient<'_, L::T>,
    first: usize,
    column: usize,
) {
    let mut sums = [[L::zero(); COLUMNS]; OUT];
    let mut inputs = [&job.input[..0]; COLUMNS];
    for (i, input) in inputs.iter_mut().enumerate() {
        let start = job.columns[column + i];
        *input = &job.input[start..start + job.flat];
    }
    let mut gradients = [&job.gradient[..0]; OUT];
    for (o, gradient) in gradients.iter_mut().enumerate() {
        let start = (first + o) * job.flat;
        *gradient = &job.gradient[start..start + job.flat];
    }
    let mut p = 0;
    while p + L::N <= job.flat {
        let mut x = [L::zero(); COLUMNS];
        for (x, input) in x.iter_mut().zip(&inputs) {
            *x = L::load(&input[p..p + L::N]);
        }
        for o in 0..OUT {
            let g = L::load(&gradients[o][p..p + L::N]);
            for i in 0..COLUMNS {
                sums[o][i] = x[i].fma(g, sums[o][i]);
            }
        }
        p += L::N;
    }
    for i in 0..COLUMNS {
        let to = &mut job.out[(column + i) * BLOCK + first..][..OUT];
        for o in 0..OUT {
            to[o] = to[o] + sums[o][i].sum();
        }
    }
}

#[inline(always)]
fn weight_gradient<L: Lanes, const OUT: usize, const COLUMNS: usize>(
    mut job: WeightGradient<'_, L::T>,
) {
    for first in (0..job.used).step_by(OUT) {
        let mut column = 0;
        while column + COLUMNS <= job.columns.len() {
            gradient_chunk::<L, OUT, COLUMNS>(&mut job, first, column);
            column += COLUMNS;
        }
        while column < job.columns.len() {
            gradient_chunk::<L, OUT, 1>(&mut job, first, column);
            column += 1;
        }
    }
}

/// Four numbers that the compiler may put into a register.
#[derive(Clone, Copy)]
struct Four<T>([T; 4]);

macro_rules! four {
    ($real:ty) => {
        impl Lanes for Four<$real> {
            type T = $real;
            const N: usize = 4;
            #[inline(always)]
            fn zero() -> Self {
                Self([0.0; 4])
            }
            #[inline(always)]
            fn splat(value: $real) -> Self {
                Self([value; 4])
            }
            #[inline(always)]
            fn load(from: &[$real]) -> Self {
                Self([from[0], from[1], from[2], from[3]])
            }
            #[inline(always)]
            fn store(self, to: &mut [$real]) {
                to[..4].copy_from_slice(&self.0);
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
            }
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
            }
            #[inline(always)]
            fn or_zero(self) -> Self {
                Self(self.0.map(|x| if x > 0.0 { x } else { 0.0 }))
            }
            #[inline(always)]
            fn sum(self) -> $real {
                (self.0[0] + self.0[1]) + (self.0[2] + self.0[3])
            }
        }
    };
}
four!(f32);
four!(f64);

impl Real for f64 {
    fn real(value: f64) -> Self {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    fn exponential(self) -> Self {
        self.exp()
    }
    fn forward(job: Forward<'_, Self>) {
        forward::<Four<f64>, 4, 1>(job);
    }
    fn weight_gradient(job: WeightGradient<'_, Self>) {
        weight_gradient::<Four<f64>, 4, 1>(job);
    }
    fn line(job: Line<'_, '_, Self>) {
        line::line::<Four<f64>, 4, 1>(job);
    }
}

impl Real for f32 {
    fn real(value: f64) -> Self {
        value as Self
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn exponential(self) -> Self {
        self.exp()
    }
    fn forward(job: Forward<'_, Self>) {
        #[cfg(target_arch = "x86_64")]
        let Err(job) = x86::forward(job) else { return };
        forward::<Four<f32>, 4, 2>(job);
    }
    fn weight_gradient(job: WeightGradient<'_, Self>) {
        #[cfg(target_arch = "x86_64")]
        let Err(job) = x86::weight_gradient(job) else {
            return;
        };
        weight_gradient::<Four<f32>, 4, 2>(job);
    }
    fn line(job: Line<'_, '_, Self>) {
        #[cfg(target_arch = "x86_64")]
        let Err(job) = x86::line(job) else { return };
        line::line::<Four<f32>, 4, 2>(job);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector registers: features are detected before use, loads and stores stay inside checked slices"
)]
mod x86 {
    use super::line::{self, Line};
    use super::{Forward, Lanes, WeightGradient};
    use std::arch::x86_64::*;
    use std::sync::OnceLock;

    /// The widest vectors that may be used.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Width {
        Avx512,
        Avx2,
        None,
    }

    /// What the processor has; `PEAKNET_SIMD=avx2` or `none` asks for less, to time what other processors would do.
    fn width() -> Width {
        static WIDTH: OnceLock<Width> = OnceLock::new();
        *WIDTH.get_or_init(|| {
            let most = std::env::var("PEAKNET_SIMD").unwrap_or_default();
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            match most.as_str() {
                "none" => Width::None,
                "avx2" if has_avx2 => Width::Avx2,
                _ if is_x86_feature_detected!("avx512f") => Width::Avx512,
                _ if has_avx2 => Width::Avx2,
                _ => Width::None,
            }
        })
    }

    /// Eight f32. Made only inside functions that run after AVX2 and FMA were detected.
    #[derive(Clone, Copy)]
    struct Avx2(__m256);
    /// Sixteen f32. Made only inside functions that run after AVX-512F was detected.
    #[derive(Clone, Copy)]
    struct Avx512(__m512);

    // SAFETY of all methods below: these private types are used only by the `#[target_feature]`
    // functions at the end of this file, which run after the feature was detected; `load` and `store`
    // first cut the slice to exactly the register's length, so the pointer covers what is touched,
    // and the unaligned forms ask for no alignment.
    impl Lanes for Avx2 {
        type T = f32;
        const N: usize = 8;
        #[inline(always)]
        fn zero() -> Self {
            Self(unsafe { _mm256_setzero_ps() })
        }
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        fn load(from: &[f32]) -> Self {
            let from = &from[..8];
            Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            let to = &mut to[..8];
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn add(self, b: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        fn or_zero(self) -> Self {
            Self(unsafe { _mm256_max_ps(self.0, _mm256_setzero_ps()) })
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            let mut cells = [0.0; 8];
            self.store(&mut cells);
            let [a, b, c, d, e, f, g, h] = cells;
            ((a + b) + (c + d)) + ((e + f) + (g + h))
        }
    }

    impl Lanes for Avx512 {
        type T = f32;
        const N: usize = 16;
        #[inline(always)]
        fn zero() -> Self {
            Self(unsafe { _mm512_setzero_ps() })
        }
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        fn load(from: &[f32]) -> Self {
            let from = &from[..16];
            Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            let to = &mut to[..16];
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn add(self, b: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        fn or_zero(self) -> Self {
            Self(unsafe { _mm512_max_ps(self.0, _mm512_setzero_ps()) })
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn forward_avx512(job: Forward<'_, f32>) {
        if job.used <= 4 {
            super::forward::<Avx512, 4, 4>(job);
        } else {
            super::forward::<Avx512, 8, 3>(job);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn forward_avx2(job: Forward<'_, f32>) {
        super::forward::<Avx2, 4, 2>(job);
    }

    #[target_feature(enable = "avx512f")]
    fn weight_gradient_avx512(job: WeightGradient<'_, f32>) {
        super::weight_gradient::<Avx512, 8, 3>(job);
    }

    #[target_feature(enable = "avx2,fma")]
    fn weight_gradient_avx2(job: WeightGradient<'_, f32>) {
        super::weight_gradient::<Avx2, 4, 2>(job);
    }

    #[target_feature(enable = "avx512f")]
    fn line_avx512(job: Line<'_, '_, f32>) {
        if job.out.len() <= 4 {
            line::line::<Avx512, 4, 4>(job);
        } else {
            line::line::<Avx512, 8, 3>(job);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn line_avx2(job: Line<'_, '_, f32>) {
        line::line::<Avx2, 4, 3>(job);
    }

    /// Both inner loops of one instruction set.
    #[cfg(test)]
    type Kernels = (fn(Forward<'_, f32>), fn(WeightGradient<'_, f32>));

    /// The AVX2 loops where the processor has them, for a test on one that would choose AVX-512.
    #[cfg(test)]
    pub fn avx2() -> Option<Kernels> {
        // SAFETY: handed out only where both features were just detected.
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some((
            |job| unsafe { forward_avx2(job) },
            |job| unsafe { weight_gradient_avx2(job) },
        ))
    }

    /// Does the job, or gives it back where the processor has neither AVX-512 nor AVX2.
    pub fn forward(job: Forward<'_, f32>) -> Result<(), Forward<'_, f32>> {
        match width() {
            // SAFETY: the feature was detected.
            Width::Avx512 => unsafe { forward_avx512(job) },
            // SAFETY: both features were detected.
            Width::Avx2 => unsafe { forward_avx2(job) },
            Width::None => return Err(job),
        }
        Ok(())
    }

    /// Does the job, or gives it back where the processor has neither AVX-512 nor AVX2.
    pub fn weight_gradient(job: WeightGradient<'_, f32>) -> Result<(), WeightGradient<'_, f32>> {
        match width() {
            // SAFETY: the feature was detected.
            Width::Avx512 => unsafe { weight_gradient_avx512(job) },
            // SAFETY: both features were detected.
            Width::Avx2 => unsafe { weight_gradient_avx2(job) },
            Width::None => return Err(job),
        }
        Ok(())
    }

    /// Does the job, or gives it back where the processor has neither AVX-512 nor AVX2.
    pub fn line<'a, 'b>(job: Line<'a, 'b, f32>) -> Result<(), Line<'a, 'b, f32>> {
        match width() {
            // SAFETY: the feature was detected.
            Width::Avx512 => unsafe { line_avx512(job) },
            // SAFETY: both features were detected.
            Width::Avx2 => unsafe { line_avx2(job) },
            Width::None => return Err(job),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every instruction set that this processor has gives what plain arrays give.
    #[test]
    fn all_vector_widths_agree() {
        let flat = 80;
        let columns = [0, 1, 2, 100, 101, 7, 55];
        let numbers = |len: usize, seed: usize| -> Vec<f32> {
            (0..len)
                .map(|i| ((i * 73 + seed * 31) % 101) as f32 / 50.0 - 1.0)
                .collect()
        };
        let (input, gradient) = (numbers(200, 1), numbers(BLOCK * flat, 2));
        let weights = numbers(columns.len() * BLOCK, 3);
        for used in [1, 3, 8] {
            let run = |f: fn(Forward<'_, f32>), g: fn(WeightGradient<'_, f32>)| {
                let mut out = vec![0.0; BLOCK * flat];
                f(Forward {
                    input: &input,
                    columns: &columns,
                    weights: &weights,
                    out: &mut out,
                    flat,
                    used,
                });
                let mut slopes = vec![0.0; columns.len() * BLOCK];
                g(WeightGradient {
                    input: &input,
                    columns: &columns,
                    gradient: &gradient,
                    out: &mut slopes,
                    flat,
                    used,
                });
                // Only the used channels mean anything.
                let slopes = slopes.chunks(BLOCK).flat_map(|c| c[..used].to_vec());
                [out[..used * flat].to_vec(), slopes.collect()].concat()
            };
            let expected = run(
                forward::<Four<f32>, 4, 2>,
                weight_gradient::<Four<f32>, 4, 2>,
            );
            let mut found = vec![run(f32::forward, f32::weight_gradient)];
            #[cfg(target_arch = "x86_64")]
            if let Some((f, g)) = x86::avx2() {
                found.push(run(f, g));
            }
            for found in found {
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-4, "{a} and {b} with {used} channels");
                }
            }
        }
    }
}
