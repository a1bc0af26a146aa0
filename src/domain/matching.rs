//! Two lists of peaks laid over each other: which belong together, which are left, what chance would have given.

use super::peaks::Peak;

/// A peak of the truth, and whether anybody could be blamed for missing it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    pub x: f32,
    pub y: f32,
    /// SNR 3 to 6 (labels rule): neither right nor wrong when found, neither when missed.
    pub doubtful: bool,
}

/// How far a shifted list lies from the real one when chance is measured, pixels.
const SHIFT: f32 = 20.0;

/// Counts over any number of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakScore {
    /// Wanted peaks that are not doubtful.
    pub n_true: usize,
    /// Found peaks that do not lie on something doubtful.
    pub n_found: usize,
    pub matched: usize,
    /// Sum of the squared distances of the matched, pixels squared.
    pub squared_px: f64,
    /// Matches of the found list shifted by 20 px, mean of the four directions.
    pub by_chance: f64,
}

impl PeakScore {
    /// Adds a frame: nearest pairs within `radius_px` first, each peak at most once.
    ///
    /// `on_doubt` tells of a found peak without partner whether it lies on pixels of class ignore.
    pub fn add(
        &mut self,
        wanted: &[Wanted],
        found: &[Peak],
        radius_px: f32,
        on_doubt: impl Fn(&Peak) -> bool,
    ) {
        let places: Vec<[f32; 2]> = found.iter().map(|peak| [peak.x, peak.y]).collect();
        let pairs = pairs(wanted, &places, radius_px);
        let mut has_partner = vec![false; found.len()];
        for (distance, w, f) in &pairs {
            if let Some(partner) = has_partner.get_mut(*f) {
                *partner = true;
            }
            match wanted.get(*w) {
                Some(wanted) if !wanted.doubtful => {
                    self.matched += 1;
                    self.n_found += 1;
                    self.squared_px += f64::from(*distance);
                }
                _ => {}
            }
        }
        self.n_true += wanted.iter().filter(|wanted| !wanted.doubtful).count();
        let alone = found
            .iter()
            .zip(has_partner)
            .filter(|(peak, partner)| !partner && !on_doubt(peak));
        self.n_found += alone.count();
        for [dx, dy] in [[SHIFT, 0.0], [-SHIFT, 0.0], [0.0, SHIFT], [0.0, -SHIFT]] {
            let shifted: Vec<[f32; 2]> = places.iter().map(|[x, y]| [x + dx, y + dy]).collect();
            let real = self::pairs(wanted, &shifted, radius_px);
            let real = real
                .iter()
                .filter(|(_, w, _)| wanted.get(*w).is_some_and(|w| !w.doubtful));
            self.by_chance += real.count() as f64 / 4.0;
        }
    }

    /// Share of the found that are true; `None` where nothing was found.
    pub fn precision(&self) -> Option<f64> {
        (self.n_found > 0).then(|| self.matched as f64 / self.n_found as f64)
    }

    /// Share of the true that were found; `None` where nothing is true.
    pub fn recall(&self) -> Option<f64> {
        (self.n_true > 0).then(|| self.matched as f64 / self.n_true as f64)
    }

    /// Harmonic mean of the two; `None` where there is nothing at all.
    pub fn f1(&self) -> Option<f64> {
        let both = self.n_found + self.n_true;
        (both > 0).then(|| 2.0 * self.matched as f64 / both as f64)
    }

    /// Root mean square distance of the matched, pixels.
    pub fn centroid_error_px(&self) -> Option<f64> {
        (self.matched > 0).then(|| (self.squared_px / self.matched as f64).sqrt())
    }

    /// The recall that a list at wrong places would have had.
    pub fn chance(&self) -> Option<f64> {
        (self.n_true > 0).then(|| self.by_chance / self.n_true as f64)
    }
}

/// (squared distance, wanted, found), nearest first, each index once.
fn pairs(wanted: &[Wanted], found: &[[f32; 2]], radius: f32) -> Vec<(f32, usize, usize)> {
    // Sorted by y, so that each wanted peak only looks at the found ones of its own rows.
    let mut order: Vec<(usize, &[f32; 2])> = found.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a[1].total_cmp(&b[1]));
    let mut near = Vec::new();
    for (w, wanted) in wanted.iter().enumerate() {
        let from = order.partition_point(|(_, [_, y])| *y < wanted.y - radius);
        for (f, [x, y]) in order
            .iter()
            .skip(from)
            .take_while(|(_, [_, y])| *y <= wanted.y + radius)
        {
            let distance = (x - wanted.x).powi(2) + (y - wanted.y).powi(2);
            if distance <= radius * radius {
                near.push((distance, w, *f));
            }
        }
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut used_wanted, mut used_found) = (vec![false; wanted.len()], vec![false; found.len()]);
    near.retain(|(_, w, f)| {
        let (Some(w), Some(f)) = (used_wanted.get_mut(*w), used_found.get_mut(*f)) else {
            return false;
        };
        let free = !*w && !*f;
        if free {
            (*w, *f) = (true, true);
        }
        free
    });
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(wanted: &[(f32, f32, bool)], found: &[(f32, f32)]) -> PeakScore {
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|&(x, y, doubtful)| Wanted { x, y, doubtful })
            .collect();
        let found: Vec<Peak> = found
            .iter()
            .map(|&(x, y)| Peak {
                x,
                y,
                ..Peak::default()
            })
            .collect();
        let mut score = PeakScore::default();
        score.add(&wanted, &found, 2.0, |_| false);
        score
    }

    #[test]
    fn each_peak_has_one_partner_and_doubt_counts_for_nothing() {
        let one = score(&[(5.0, 5.0, false)], &[(5.5, 5.0), (6.0, 5.0)]);
        assert_eq!((one.matched, one.n_found, one.n_true), (1, 2, 1));
        assert_eq!(one.centroid_error_px(), Some(0.5));
        // The nearest pair wins, the other finds its second best.
        let two = score(
            &[(5.0, 5.0, false), (6.0, 5.0, false)],
            &[(6.0, 5.0), (7.5, 5.0)],
        );
        assert_eq!(
            (two.matched, two.precision(), two.recall()),
            (1, Some(0.5), Some(0.5))
        );
        let doubt = score(&[(5.0, 5.0, true)], &[(5.0, 5.0)]);
        assert_eq!((doubt.n_true, doubt.n_found, doubt.f1()), (0, 0, None));
        let far = score(&[(5.0, 5.0, false)], &[(8.0, 5.0)]);
        assert_eq!(
            (far.matched, far.f1(), far.chance()),
            (0, Some(0.0), Some(0.0))
        );
        let shifted = score(&[(5.0, 5.0, false)], &[(25.0, 5.0)]);
        assert_eq!(shifted.chance(), Some(0.25));
    }
}
