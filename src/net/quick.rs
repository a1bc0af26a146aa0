//! exp and asinh without branches or calls, so that loops over pixels become vector code on any processor.

/// e to the x for x up to 88, within 2e-7 of the value; below -87 it is that of -87, about 1e-38.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Cephes' expf: x = n ln 2 + r, a polynomial for r, n into the exponent.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5 x 2^23 leaves the rounded number in the low bits.
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let bits = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    y * f32::from_bits(bits)
}

/// The inverse of sinh, within 2e-7 or that share of the value.
#[inline(always)]
pub fn asinh(x: f32) -> f32 {
    let a = x.abs();
    // From here on the root is the number itself, and its square would leave the range.
    let root = if a > 1e9 { a } else { (a * a + 1.0).sqrt() };
    log(a + root).copysign(x)
}

/// Natural logarithm of a number of at least 1: Cephes' logf.
#[inline(always)]
fn log(x: f32) -> f32 {
    let bits = x.to_bits();
    // The mantissa lies in [sqrt(1/2), sqrt(2)), so that 1 gives an exact 0.
    let low = bits.wrapping_sub(0x3f35_04f3);
    let e = (low as i32 >> 23) as f32;
    let m = f32::from_bits((low & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let f = m - 1.0;
    let z = f * f;
    let p = 7.037_683_6e-2;
    let p = p * f - 1.151_461e-1;
    let p = p * f + 1.167_699_9e-1;
    let p = p * f - 1.242_014_1e-1;
    let p = p * f + 1.424_932_3e-1;
    let p = p * f - 1.666_805_7e-1;
    let p = p * f + 2.000_071_6e-1;
    let p = p * f - 2.499_999_4e-1;
    let p = p * f + 3.333_333e-1;
    let y = p * f * z + e * -2.121_944_4e-4 - 0.5 * z;
    f + y + e * 0.693_359_4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_those_of_the_standard_library() {
        for i in -200_000..200_000_i32 {
            let x = i as f32 * 5e-4;
            if x < 88.0 {
                let expected = f64::from(x.max(-87.0)).exp();
                let off = (f64::from(exp(x)) - expected).abs() / expected;
                assert!(off < 3e-7, "exp({x}) is off by {off}");
            }
            for x in [x, x * x * x * 1e6, x.powi(9) * 1e19] {
                let expected = f64::from(x).asinh();
                let off = (f64::from(asinh(x)) - expected).abs() / expected.abs().max(1.0);
                assert!(off < 3e-7, "asinh({x}) is off by {off}");
            }
        }
    }
}
