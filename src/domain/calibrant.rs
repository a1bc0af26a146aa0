//! Calibrants: substances whose powder rings lie at known d-spacings, and where those rings are on a detector.

/// A powder with known d-spacings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calibrant {
    /// d001 = 58.380 angstrom, orders d001 / n (Huang, Toraya, Blanton, Wu, J. Appl. Cryst. 26 (1993) 180).
    SilverBehenate,
    /// Primitive cubic, a = 4.15689 angstrom (NIST SRM 660a/b to the digits that rings need).
    LanthanumHexaboride,
    /// Face-centred cubic, a = 5.41165 angstrom (NIST SRM 674b).
    Ceria,
}

impl Calibrant {
    pub const ALL: [Self; 3] = [Self::SilverBehenate, Self::LanthanumHexaboride, Self::Ceria];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SilverBehenate => "silver-behenate",
            Self::LanthanumHexaboride => "lab6",
            Self::Ceria => "ceo2",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// The first `count` d-spacings in angstrom, largest first: order 1, 2, ...
    pub fn d_angstrom(self, count: usize) -> Vec<f64> {
        match self {
            Self::SilverBehenate => (1..=count).map(|n| 58.380 / n as f64).collect(),
            Self::LanthanumHexaboride => cubic(4.156_89, count, |_, _, _| true),
            Self::Ceria => cubic(5.411_65, count, |h, k, l| h % 2 == k % 2 && k % 2 == l % 2),
        }
    }
}

fn cubic(a: f64, count: usize, allowed: impl Fn(u32, u32, u32) -> bool) -> Vec<f64> {
    let mut sums: Vec<u32> = Vec::new();
    for h in 0..16_u32 {
        for k in 0..=h {
            for l in 0..=k {
                let sum = h * h + k * k + l * l;
                // Beyond 16 squared some sums would be missing.
                if sum > 0 && sum < 256 && allowed(h, k, l) {
                    sums.push(sum);
                }
            }
        }
    }
    sums.sort_unstable();
    sums.dedup();
    sums.truncate(count);
    sums.iter().map(|s| a / f64::from(*s).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_spacings() {
        for (calibrant, order, expected) in [
            (Calibrant::SilverBehenate, 1, 58.380),
            (Calibrant::SilverBehenate, 10, 5.838),
            (Calibrant::LanthanumHexaboride, 1, 4.15689),
            (Calibrant::LanthanumHexaboride, 7, 1.46968),
            (Calibrant::Ceria, 1, 3.12442),
            (Calibrant::Ceria, 3, 1.91331),
        ] {
            let d = calibrant.d_angstrom(order)[order - 1];
            assert!((d - expected).abs() < 1e-4, "{calibrant:?} {order} {d}");
        }
    }
}
