//! Chance and elementary functions that give the same digits on every platform.
//!
//! The standard library takes exp, ln, sin, cos and atan2 from the system, whose last digits differ; these only use
//! the four operations and sqrt, which IEEE 754 fixes, and are far more exact than expected photons need.

use std::f64::consts::{FRAC_PI_2, LN_2, PI, TAU};

use rand::Rng;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64Mcg;

/// A range that a frame's value is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub low: f64,
    pub high: f64,
}

impl Spread {
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    pub const fn only(value: f64) -> Self {
        Self::new(value, value)
    }

    /// Uniform in the range.
    pub fn draw(&self, rng: &mut Pcg64Mcg) -> f64 {
        self.low + (self.high - self.low) * rng.random::<f64>()
    }

    /// Uniform in the logarithm; the plain value where the range holds 0.
    pub fn draw_log(&self, rng: &mut Pcg64Mcg) -> f64 {
        if self.low <= 0.0 || self.high <= self.low {
            return self.draw(rng);
        }
        let (a, b) = (ln(self.low), ln(self.high));
        exp(a + (b - a) * rng.random::<f64>())
    }
}

pub fn chance(rng: &mut Pcg64Mcg, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

pub fn normal(rng: &mut Pcg64Mcg) -> f64 {
    rng.sample(StandardNormal)
}

/// An exponential deviate of mean 1: the intensity of an acentric reflection (Wilson 1949).
pub fn exponential(rng: &mut Pcg64Mcg) -> f64 {
    -ln(1.0 - rng.random::<f64>())
}

/// A Poisson deviate: inversion by search for small means, the normal with its skewness corrected for large ones.
pub fn poisson(rng: &mut Pcg64Mcg, mean: f32) -> f32 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean < 14.0 {
        let u: f32 = rng.random();
        let mut p = exp_fast(-mean);
        let mut sum = p;
        let mut k = 0.0;
        while u > sum && k < 60.0 {
            k += 1.0;
            p *= mean / k;
            sum += p;
        }
        return k;
    }
    let z: f32 = rng.sample(StandardNormal);
    (mean + mean.sqrt() * z + (z * z - 1.0) / 6.0)
        .round()
        .max(0.0)
}

/// e^x, relative error below 1e-12 for |x| < 700; 0 below.
#[inline]
pub fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let k = (x / LN_2).round();
    let r = x - k * LN_2;
    let mut sum = 1.0;
    for n in (1..=11).rev() {
        sum = 1.0 + sum * r / f64::from(n);
    }
    sum * f64::from_bits(((1023.0 + k) as u64) << 52)
}

/// e^x in single precision, relative error below 1e-6 for -80 < x < 80; 0 below.
#[inline]
pub fn exp_fast(x: f32) -> f32 {
    if x < -80.0 {
        return 0.0;
    }
    let x = x.min(80.0);
    let k = (x * std::f32::consts::LOG2_E).round();
    let r = x - k * 0.693_359_4 - k * -2.121_944_4e-4;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0));
    let sum = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * tail)));
    sum * f32::from_bits((((127.0 + k) as i32) << 23) as u32)
}

/// Natural logarithm of a positive, normal number.
pub fn ln(x: f64) -> f64 {
    if x <= f64::MIN_POSITIVE {
        return -708.0;
    }
    let bits = x.to_bits();
    let mut k = ((bits >> 52) & 0x7ff) as f64 - 1023.0;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023_u64 << 52));
    if m > std::f64::consts::SQRT_2 {
        m /= 2.0;
        k += 1.0;
    }
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let mut sum = 0.0;
    for n in (0..=9).rev() {
        sum = sum * t2 + 1.0 / f64::from(2 * n + 1);
    }
    2.0 * t * sum + k * LN_2
}

pub fn sin_cos(angle: f64) -> (f64, f64) {
    let quarter = (angle / FRAC_PI_2).round();
    let r = angle - quarter * FRAC_PI_2;
    let r2 = r * r;
    let (mut s, mut c) = (1.0, 1.0);
    for n in (1..=7).rev() {
        let n = f64::from(n);
        s = 1.0 - s * r2 / ((2.0 * n) * (2.0 * n + 1.0));
        c = 1.0 - c * r2 / ((2.0 * n - 1.0) * (2.0 * n));
    }
    let s = s * r;
    match (quarter as i64).rem_euclid(4) {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    }
}

/// Angle of (x, y) in 0..2 pi, error below 2e-5 rad.
pub fn azimuth(y: f64, x: f64) -> f64 {
    let (ax, ay) = (x.abs(), y.abs());
    let (low, high) = (ax.min(ay), ax.max(ay));
    if high == 0.0 {
        return 0.0;
    }
    let t = low / high;
    let t2 = t * t;
    // Minimax polynomial of atan on 0..1 (Abramowitz and Stegun 4.4.49).
    let poly = 0.999_866_0
        + t2 * (-0.330_299_5 + t2 * (0.180_141_0 + t2 * (-0.085_133_0 + t2 * 0.020_835_1)));
    let mut angle = t * poly;
    if ay > ax {
        angle = FRAC_PI_2 - angle;
    }
    if x < 0.0 {
        angle = PI - angle;
    }
    if y < 0.0 { TAU - angle } else { angle }
}

/// A smooth periodic table of mean 0 and deviation about 1: white noise through a box three times.
pub fn smooth_noise(rng: &mut Pcg64Mcg, length: usize, correlation: f64) -> Vec<f32> {
    let mut table: Vec<f64> = (0..length).map(|_| normal(rng)).collect();
    let half = ((correlation / 2.0).round() as usize).min(length / 4);
    if half > 0 && length > 0 {
        let window = (2 * half + 1) as f64;
        for _ in 0..3 {
            let mut sum: f64 = (0..=2 * half)
                .map(|i| table[(i + length - half) % length])
                .sum();
            let old = table.clone();
            for (i, value) in table.iter_mut().enumerate() {
                *value = sum / window;
                sum += old[(i + half + 1) % length] - old[(i + length - half) % length];
            }
        }
    }
    let variance = table.iter().map(|v| v * v).sum::<f64>() / length.max(1) as f64;
    let scale = 1.0 / variance.sqrt().max(1e-9);
    table.iter().map(|v| (v * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn functions_agree_with_the_standard_library() {
        for i in -400..400 {
            let x = f64::from(i) * 0.05;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-9, "{x}");
            assert!(
                (f64::from(exp_fast(x as f32)) / f64::from(x as f32).exp() - 1.0).abs() < 2e-6,
                "{x}"
            );
            assert!((ln(x.exp()) - x).abs() < 1e-8, "{x}");
            let (s, c) = sin_cos(x);
            assert!(
                (s - x.sin()).abs() < 1e-9 && (c - x.cos()).abs() < 1e-9,
                "{x}"
            );
            let expected = x.sin().atan2(x.cos()).rem_euclid(TAU);
            assert!((azimuth(s, c) - expected).abs() < 2e-5, "{x}");
        }
    }

    #[test]
    fn poisson_has_mean_and_variance() {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        for mean in [0.02_f32, 0.7, 5.0, 13.9, 14.1, 60.0, 3000.0] {
            let draws: Vec<f64> = (0..40_000)
                .map(|_| f64::from(poisson(&mut rng, mean)))
                .collect();
            let average = draws.iter().sum::<f64>() / 4e4;
            let variance = draws.iter().map(|d| (d - average).powi(2)).sum::<f64>() / 4e4;
            let m = f64::from(mean);
            assert!(
                (average - m).abs() < 5.0 * (m / 4e4).sqrt(),
                "{mean} {average}"
            );
            assert!((variance / m - 1.0).abs() < 0.15, "{mean} {variance}");
        }
    }
}
