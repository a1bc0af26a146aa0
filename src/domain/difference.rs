//! Two opinions of one frame, peak by peak: what they agree on, what one of them misses, what it adds.

use std::collections::HashSet;

use super::components::{Component, Span, components};
use super::frame::Frame;
use super::grid::{Pixel, PixelRect};
use super::labels::{Class, Sheet};
use super::peaks::{Peak, measure_peaks};
use super::rings::Segment;
use super::score::{
    PeakScore, PeakTally, Truth, Verdict, compare, judged, labelled_truth, positions,
};

/// What becomes of a peak when two opinions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both see it.
    Agreed,
    /// The reference sees it, the judged opinion does not.
    Missed,
    /// The judged opinion sees it, the reference does not.
    Added,
}

/// One peak of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub kind: Kind,
    /// Continuous position in the raw slab.
    pub x: f32,
    pub y: f32,
    /// Reach of the peak in pixels.
    pub radius: f32,
    /// The pixels of a peak that one side alone has; empty where the two agree or where only its place is known.
    pub spans: Vec<Span>,
    /// The border of these pixels.
    pub outline: Vec<Segment>,
}

/// The opinion that is taken for true.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// A curator's sheet: its peaks are sure, what it ignores is not judged.
    Label(&'a Sheet),
    /// Peaks of a net or a finder, and its class map.
    Peaks(&'a [Peak], &'a Sheet),
    /// Places that another program lists.
    Places(&'a [(f32, f32)]),
}

/// The opinion that is judged.
#[derive(Clone, Copy, Debug)]
pub enum Judged<'a> {
    Label(&'a Sheet),
    Peaks(&'a [Peak], &'a Sheet),
}

/// The comparison of one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// In reading order: by row, then by column.
    pub marks: Vec<Mark>,
    pub agreed: usize,
    pub missed: usize,
    pub added: usize,
    pub score: PeakScore,
}

impl Comparison {
    /// The places in `marks` where the two differ.
    pub fn differences(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let marks = self.marks.iter().enumerate();
        marks
            .filter(|(_, mark)| mark.kind != Kind::Agreed)
            .map(|(index, _)| index)
    }
}

/// Reach of a peak of which only the place is known, pixels.
const LISTED_RADIUS: f32 = 2.0;

/// Compares two opinions of a frame by the matching of [`compare`]: nearest first within 2 px, each peak once.
///
/// A peak on a pixel that the other side's sheet calls *ignore* is neither missed nor added. The score is that of
/// the judged opinion.
pub fn differences(frame: &Frame, reference: Reference<'_>, by: Judged<'_>) -> Comparison {
    let measured;
    let (found, found_map) = match by {
        Judged::Peaks(peaks, map) => (peaks, map),
        Judged::Label(sheet) => {
            measured = measure_peaks(frame, sheet);
            (measured.as_slice(), sheet)
        }
    };
    let sure = |x: f32, y: f32| Truth {
        x,
        y,
        snr: f32::INFINITY,
        is_sure: true,
    };
    let mut truth = match reference {
        Reference::Label(sheet) => labelled_truth(frame, sheet),
        Reference::Peaks(peaks, _) => peaks.iter().map(|peak| sure(peak.x, peak.y)).collect(),
        Reference::Places(places) => places.iter().map(|&(x, y)| sure(x, y)).collect(),
    };
    let found: Vec<Peak> = match reference {
        Reference::Label(map) | Reference::Peaks(_, map) => judged(frame, map, &truth, found),
        Reference::Places(_) => found.to_vec(),
    };
    let places = positions(&found);
    // Of the true peaks that were not found, those on a pixel that the judged side leaves open are excused.
    let seen = compare(&truth, &places).truth;
    let mut seen = seen.iter();
    truth.retain(|t| {
        let is_seen = seen.next().is_some_and(|seen| *seen);
        let (x, y) = (t.x.max(0.0) as usize, t.y.max(0.0) as usize);
        is_seen || found_map.get(x, y) != Some(&Class::Ignore.code())
    });
    let verdicts = compare(&truth, &places);
    let mut tally = PeakTally::default();
    tally.add(&truth, &places);

    let mut comparison = Comparison {
        score: tally.score(),
        ..Comparison::default()
    };
    let reference_map = match reference {
        Reference::Label(map) | Reference::Peaks(_, map) => Some(map),
        Reference::Places(_) => None,
    };
    let mut missed = Shapes::of(reference_map);
    let mut added = Shapes::of(Some(found_map));
    for (t, is_found) in truth.iter().zip(&verdicts.truth) {
        if !is_found && t.is_sure {
            comparison.missed += 1;
            let radius = LISTED_RADIUS;
            comparison
                .marks
                .push(missed.mark(Kind::Missed, t.x, t.y, radius));
        }
    }
    for (peak, verdict) in found.iter().zip(&verdicts.found) {
        match verdict {
            Verdict::Right(_) => {
                comparison.agreed += 1;
                comparison.marks.push(Mark {
                    kind: Kind::Agreed,
                    x: peak.x,
                    y: peak.y,
                    radius: peak.radius,
                    spans: Vec::new(),
                    outline: Vec::new(),
                });
            }
            Verdict::Wrong => {
                comparison.added += 1;
                let mark = added.mark(Kind::Added, peak.x, peak.y, peak.radius);
                comparison.marks.push(mark);
            }
            Verdict::Excused => {}
        }
    }
    let row_first = |a: &Mark, b: &Mark| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x));
    comparison.marks.sort_by(row_first);
    comparison
}

/// The components of class peak of a map, made when the first one is asked for.
struct Shapes<'a> {
    map: Option<&'a Sheet>,
    components: Option<Vec<Component>>,
}

impl<'a> Shapes<'a> {
    const fn of(map: Option<&'a Sheet>) -> Self {
        Self {
            map,
            components: None,
        }
    }

    fn mark(&mut self, kind: Kind, x: f32, y: f32, radius: f32) -> Mark {
        let at = Pixel {
            x: x.max(0.0) as usize,
            y: y.max(0.0) as usize,
        };
        let map = self.map;
        let components = self.components.get_or_insert_with(|| {
            map.map_or_else(Vec::new, |map| components(map, Class::Peak.code()))
        });
        // The centroid of a bent peak may lie on a pixel beside it.
        let covers = |component: &&Component| component.rect.contains(at);
        let nearest = components.iter().filter(covers).min_by_key(|component| {
            let away = |pixel: Pixel| pixel.x.abs_diff(at.x) + pixel.y.abs_diff(at.y);
            component.pixels().map(away).min()
        });
        let spans = nearest.map_or_else(Vec::new, |component| component.spans.clone());
        let radius = nearest.map_or(radius, |component| {
            let (width, height) = (component.rect.width(), component.rect.height());
            radius.max((width as f32).hypot(height as f32) / 2.0)
        });
        Mark {
            kind,
            x,
            y,
            radius,
            outline: outline(&spans),
            spans,
        }
    }
}

/// The sides of pixels where a set of them ends, in continuous positions of the raw slab.
pub fn outline(spans: &[Span]) -> Vec<Segment> {
    let cells: HashSet<(usize, usize)> = spans
        .iter()
        .flat_map(|span| (span.x0..span.x1).map(|x| (x, span.y)))
        .collect();
    let mut sides = Vec::new();
    for span in spans {
        let (top, bottom) = (span.y as f32, span.y as f32 + 1.0);
        let ends = [(span.x0, span.x0.checked_sub(1)), (span.x1, Some(span.x1))];
        for (x, beyond) in ends {
            if beyond.is_none_or(|beyond| !cells.contains(&(beyond, span.y))) {
                sides.push([(x as f32, top), (x as f32, bottom)]);
            }
        }
        let rows = [(top, span.y.checked_sub(1)), (bottom, Some(span.y + 1))];
        for (y, beyond) in rows {
            for x in span.x0..span.x1 {
                if beyond.is_none_or(|beyond| !cells.contains(&(x, beyond))) {
                    sides.push([(x as f32, y), (x as f32 + 1.0, y)]);
                }
            }
        }
    }
    sides
}

/// The smallest rectangle around spans; empty where there are none.
pub fn rect_of(spans: &[Span]) -> PixelRect {
    spans.iter().fold(PixelRect::new(0, 0, 0, 0), |all, span| {
        all.union(&PixelRect::new(span.x0, span.y, span.x1, span.y + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    /// A class map from a picture: `#` peak, `?` ignore.
    fn sheet(rows: &[&str]) -> Sheet {
        Sheet::from_fn(rows[0].len(), rows.len(), |x, y| {
            match rows[y].as_bytes()[x] {
                b'#' => Class::Peak.code(),
                b'?' => Class::Ignore.code(),
                _ => Class::Background.code(),
            }
        })
    }

    const LEFT: &[&str] = &[
        "......................",
        ".##...................",
        ".##.......#......##...",
        "..........#......##...",
        "......................",
        "....??................",
        "....??........###.....",
        "......................",
    ];
    const RIGHT: &[&str] = &[
        "......................",
        ".##...................",
        ".##..............##...",
        ".................##...",
        "......................",
        "....##................",
        "....##................",
        ".............??.......",
    ];

    fn check(
        reference: &[&str],
        by: &[&str],
        expected: (usize, usize, usize),
        f1: f64,
    ) -> Comparison {
        let truth = sheet(reference);
        let found = sheet(by);
        let pixels = Grid::from_fn(truth.width(), truth.height(), |x, y| {
            let is_peak = truth.get(x, y) == Some(&1) || found.get(x, y) == Some(&1);
            if is_peak { 100.0 } else { 1.0 }
        });
        let bits = Grid::filled(truth.width(), truth.height(), 0);
        let frame = Frame::new(0, pixels, bits).unwrap();
        let peaks = measure_peaks(&frame, &found);
        let comparison = differences(
            &frame,
            Reference::Label(&truth),
            Judged::Peaks(&peaks, &found),
        );
        let counts = (comparison.agreed, comparison.missed, comparison.added);
        assert_eq!(counts, expected);
        assert!((comparison.score.f1.unwrap() - f1).abs() < 1e-9);
        assert_eq!(
            comparison.differences().count(),
            comparison.missed + comparison.added
        );
        // The other way round what was missed is added.
        let true_peaks = measure_peaks(&frame, &truth);
        let back = differences(
            &frame,
            Reference::Peaks(&peaks, &found),
            Judged::Label(&truth),
        );
        let lists = differences(
            &frame,
            Reference::Peaks(&true_peaks, &truth),
            Judged::Peaks(&peaks, &found),
        );
        assert_eq!(back.agreed, comparison.agreed);
        assert_eq!((back.added, back.missed), (lists.missed, lists.added));
        comparison
    }

    #[test]
    fn agreed_missed_and_added_are_told_apart() {
        let same = check(LEFT, LEFT, (4, 0, 0), 1.0);
        assert!(same.marks.iter().all(|mark| mark.spans.is_empty()));
        // Two are found; the one by the ignored pixels is excused; two are missed.
        let comparison = check(LEFT, RIGHT, (2, 2, 0), 2.0 * 2.0 / (4.0 + 2.0));
        let missed: Vec<&Mark> = (comparison.marks.iter())
            .filter(|mark| mark.kind == Kind::Missed)
            .collect();
        assert_eq!(missed[0].spans.len(), 2);
        assert_eq!(rect_of(&missed[0].spans), PixelRect::new(10, 2, 11, 4));
        // The other way round the peak on pixels that are left open is not missed.
        let added = check(RIGHT, LEFT, (2, 0, 2), 2.0 * 2.0 / (2.0 + 4.0));
        assert_eq!((added.marks[1].kind, added.marks[1].y), (Kind::Added, 3.0));
    }

    #[test]
    fn listed_places_have_no_pixels() {
        let found = sheet(LEFT);
        let pixels = found.map(|class| f32::from(*class == 1) * 50.0 + 1.0);
        let frame = Frame::new(0, pixels, found.map(|_| 0)).unwrap();
        let peaks = measure_peaks(&frame, &found);
        let places = [(2.1, 2.0), (5.0, 4.0), (18.0, 3.5)];
        let comparison = differences(
            &frame,
            Reference::Places(&places),
            Judged::Peaks(&peaks, &found),
        );
        let counts = (comparison.agreed, comparison.missed, comparison.added);
        assert_eq!(counts, (2, 1, 2));
        let missed = comparison.marks.iter().find(|m| m.kind == Kind::Missed);
        assert!(missed.unwrap().outline.is_empty());
        // A listed place on pixels that the label leaves open is not missed.
        let label = differences(
            &frame,
            Reference::Places(&[(5.0, 6.0)]),
            Judged::Label(&found),
        );
        assert_eq!((label.missed, label.added), (0, 4));
    }

    #[test]
    fn an_outline_closes_around_holes_too() {
        let ring = sheet(&["###", "#.#", "###"]);
        let spans = components(&ring, 1)[0].spans.clone();
        assert_eq!(outline(&spans).len(), 12 + 4);
        assert!(outline(&[]).is_empty());
    }
}
