//! The queue of components over a run that a curator decides one by one, most doubtful first.

use std::sync::Arc;

use super::components::{Component, Span, components};
use super::conflict::Conflict;
use super::frame::Frame;
use super::grid::{Grid, Pixel, PixelRect};
use super::labels::{Class, Sheet};

/// The edge of the crop around a candidate, pixels.
pub const CROP: usize = 25;
/// Most candidates that are kept; the surest go first.
const MOST_KEPT: usize = 20_000;
/// Doubt is sorted in steps of this, so that a frame is not left for every candidate.
const STEP: f32 = 0.05;

/// What somebody says of a frame, pixel by pixel.
#[derive(Clone, Copy, Debug)]
pub enum Opinion<'a> {
    /// A class map with the probabilities of peak and artifact, times 255.
    Maps {
        classes: &'a Sheet,
        peak: &'a Grid<u8>,
        artifact: &'a Grid<u8>,
    },
    /// A curator's sheet, certain of what it does not ignore.
    Label(&'a Sheet),
}

impl Opinion<'_> {
    const fn classes(&self) -> &Sheet {
        match self {
            Self::Maps { classes, .. } | Self::Label(classes) => classes,
        }
    }

    /// Probabilities of background, peak and artifact; `None` where nobody says.
    fn probabilities(&self, at: Pixel) -> Option<[f32; 3]> {
        match self {
            Self::Maps { peak, artifact, .. } => {
                let of = |grid: &Grid<u8>| grid.get(at.x, at.y).map(|p| f32::from(*p) / 255.0);
                let (peak, artifact) = (of(peak)?, of(artifact)?);
                Some([(1.0 - peak - artifact).max(0.0), peak, artifact])
            }
            Self::Label(sheet) => match Class::from_code(*sheet.get(at.x, at.y)?)? {
                Class::Background => Some([1.0, 0.0, 0.0]),
                Class::Peak => Some([0.0, 1.0, 0.0]),
                Class::Artifact => Some([0.0, 0.0, 1.0]),
                Class::Ignore => None,
            },
        }
    }

    fn probability(&self, class: Class, at: Pixel) -> Option<f32> {
        let all = self.probabilities(at)?;
        all.get(usize::from(class.code())).copied()
    }

    /// How far the class is ahead of the next best one there.
    fn margin(&self, class: Class, at: Pixel) -> f32 {
        let Some(all) = self.probabilities(at) else {
            return 0.0;
        };
        let own = usize::from(class.code());
        let others = all.iter().enumerate().filter(|(index, _)| *index != own);
        let next = others.fold(0.0_f32, |next, (_, p)| next.max(*p));
        all.get(own).copied().unwrap_or(0.0) - next
    }
}

/// Whose component a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The net in use sees it.
    Net,
    /// Only the opinion that the net is compared with sees it.
    Other,
    /// Two curators' labels, merged, differ there.
    Curators,
}

/// The pixels around a candidate, for the strip of neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Crop {
    /// The cell of the frame in the crop's top left corner; may lie outside.
    pub corner: [isize; 2],
    /// `CROP` x `CROP` values in the frame's units, row by row; NaN where there is no valid pixel.
    pub values: Vec<f32>,
}

/// A component that waits for a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Number of the frame in the run.
    pub frame: usize,
    pub class: Class,
    pub origin: Origin,
    pub spans: Vec<Span>,
    pub rect: PixelRect,
    /// The pixel that its owner is surest of.
    pub at: Pixel,
    /// 1 - margin of the probabilities at the surest pixel: 0 = sure, 1 = undecided, more where the map overrules them.
    pub doubt: f32,
    /// Mean difference of the two opinions' probabilities over its pixels; `None` without a second one.
    pub disagreement: Option<f32>,
    pub crop: Crop,
    /// What two curators say of its pixels, where it is they who differ.
    pub conflict: Option<Conflict>,
}

impl Candidate {
    /// The cells in raster order.
    pub fn pixels(&self) -> impl Iterator<Item = Pixel> + '_ {
        self.spans
            .iter()
            .flat_map(|span| (span.x0..span.x1).map(|x| Pixel { x, y: span.y }))
    }
}

/// The candidates of a frame: components of the net, and those that only the other opinion has.
///
/// `other` is a second net, a finder or the label. Components of class peak always, of class artifact where asked for.
pub fn candidates(
    frame: &Frame,
    net: Opinion<'_>,
    other: Option<Opinion<'_>>,
    with_artifact: bool,
) -> Vec<Candidate> {
    let classes: &[Class] = if with_artifact {
        &[Class::Peak, Class::Artifact]
    } else {
        &[Class::Peak]
    };
    let mut found = Vec::new();
    for &class in classes {
        for component in components(net.classes(), class.code()) {
            found.push(candidate(frame, &component, class, Origin::Net, net, other));
        }
        let Some(other) = other else { continue };
        for component in components(other.classes(), class.code()) {
            let is_shared = |at: Pixel| net.classes().get(at.x, at.y) == Some(&class.code());
            if !component.pixels().any(is_shared) {
                let alone = candidate(frame, &component, class, Origin::Other, other, Some(net));
                found.push(alone);
            }
        }
    }
    found
}

fn candidate(
    frame: &Frame,
    component: &Component,
    class: Class,
    origin: Origin,
    owner: Opinion<'_>,
    other: Option<Opinion<'_>>,
) -> Candidate {
    let mut surest = (
        f32::NEG_INFINITY,
        Pixel {
            x: component.rect.x0,
            y: component.rect.y0,
        },
    );
    let (mut differing, mut compared) = (0.0, 0_u32);
    for at in component.pixels() {
        let margin = owner.margin(class, at);
        if margin > surest.0 {
            surest = (margin, at);
        }
        let both = (owner.probability(class, at)).zip(other.and_then(|o| o.probability(class, at)));
        if let Some((mine, theirs)) = both {
            differing += (mine - theirs).abs();
            compared += 1;
        }
    }
    let (margin, at) = surest;
    Candidate {
        frame: frame.number,
        class,
        origin,
        spans: component.spans.clone(),
        rect: component.rect,
        at,
        doubt: 1.0 - margin,
        // Where the other side ignores all of it there is nothing to disagree about.
        disagreement: other.map(|_| {
            if compared > 0 {
                differing / compared as f32
            } else {
                0.0
            }
        }),
        crop: crop(frame, at),
        conflict: None,
    }
}

pub(super) fn crop(frame: &Frame, at: Pixel) -> Crop {
    let reach = (CROP / 2) as isize;
    let corner = [at.x as isize - reach, at.y as isize - reach];
    let side = CROP as isize;
    let value = |dx: isize, dy: isize| {
        let (x, y) = (corner[0] + dx, corner[1] + dy);
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return f32::NAN;
        };
        match frame.pixels.get(x, y) {
            Some(value) if frame.is_valid(x, y) => *value,
            _ => f32::NAN,
        }
    };
    let values = (0..side).flat_map(|dy| (0..side).map(move |dx| (dx, dy)));
    Crop {
        corner,
        values: values.map(|(dx, dy)| value(dx, dy)).collect(),
    }
}

/// What comes first in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The smallest margin between the net's own probabilities.
    #[default]
    Margin,
    /// The greatest difference between the net and what it is compared with.
    Disagreement,
    /// Where the labels of two merged projects differ, whole components before borders.
    Conflict,
}

/// Candidates in the order in which they shall be decided.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub order: Order,
    /// The most urgent one last, so that taking it costs nothing.
    waiting: Vec<Arc<Candidate>>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those that wait, the most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Candidate>> {
        self.waiting.iter().rev()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Puts candidates where they belong; the surest ones are dropped when there are too many.
    pub fn add(&mut self, fresh: impl IntoIterator<Item = Arc<Candidate>>) {
        self.waiting.extend(fresh);
        let order = self.order;
        // Runs that are sorted already cost one comparison each.
        self.waiting
            .sort_by(|a, b| urgency(order, b).cmp_to(&urgency(order, a)));
        let surplus = self.waiting.len().saturating_sub(MOST_KEPT);
        self.waiting.drain(..surplus);
    }

    /// Takes the most urgent one.
    pub fn take_first(&mut self) -> Option<Arc<Candidate>> {
        self.waiting.pop()
    }

    /// Takes this one, wherever it stands.
    pub fn take(&mut self, wanted: &Arc<Candidate>) -> Option<Arc<Candidate>> {
        let place = self
            .waiting
            .iter()
            .position(|one| Arc::ptr_eq(one, wanted))?;
        Some(self.waiting.remove(place))
    }

    /// Drops those that a test does not let stay.
    pub fn retain(&mut self, mut stays: impl FnMut(&Candidate) -> bool) {
        self.waiting.retain(|candidate| stays(candidate));
    }
}

/// Steps of doubt, then the frame, so that it is not left for every candidate, then the doubt itself.
struct Urgency {
    step: i32,
    frame: usize,
    score: f32,
    at: Pixel,
}

impl Urgency {
    /// `Less` = comes first.
    fn cmp_to(&self, other: &Self) -> std::cmp::Ordering {
        (other.step.cmp(&self.step))
            .then(self.frame.cmp(&other.frame))
            .then(other.score.total_cmp(&self.score))
            .then(self.at.y.cmp(&other.at.y))
            .then(self.at.x.cmp(&other.at.x))
    }
}

fn urgency(order: Order, candidate: &Candidate) -> Urgency {
    let score = match order {
        Order::Margin => candidate.doubt,
        Order::Disagreement | Order::Conflict => candidate.disagreement.unwrap_or(0.0),
    };
    Urgency {
        step: (score / STEP) as i32,
        frame: candidate.frame,
        score,
        at: candidate.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::frame::bad;

    /// Maps of one row; each cell a probability of peak in percent.
    fn row(percent: &[u8]) -> (Sheet, Grid<u8>, Grid<u8>) {
        let cells = |f: &dyn Fn(u8) -> u8| {
            Grid::from_cells(percent.len(), 1, percent.iter().map(|p| f(*p)).collect()).unwrap()
        };
        (
            cells(&|p| u8::from(p > 50)),
            cells(&|p| (f32::from(p) * 2.55).round() as u8),
            cells(&|_| 0),
        )
    }

    fn found(
        net: &[u8],
        other: Option<&[u8]>,
        label: Option<&[u8]>,
    ) -> Vec<(usize, Origin, i32, Option<i32>)> {
        let (classes, peak, artifact) = row(net);
        let pixels = peak.map(|p| f32::from(*p));
        let frame = Frame::new(3, pixels, classes.map(|_| 0)).unwrap();
        let second = other.map(row);
        let sheet = label.map(|cells| Grid::from_cells(cells.len(), 1, cells.to_vec()).unwrap());
        let opinion = match (&second, &sheet) {
            (Some((classes, peak, artifact)), _) => Some(Opinion::Maps {
                classes,
                peak,
                artifact,
            }),
            (None, Some(sheet)) => Some(Opinion::Label(sheet)),
            _ => None,
        };
        let net = Opinion::Maps {
            classes: &classes,
            peak: &peak,
            artifact: &artifact,
        };
        let percent = |part: f32| (part * 100.0).round() as i32;
        candidates(&frame, net, opinion, true)
            .into_iter()
            .map(|c| {
                (
                    c.at.x,
                    c.origin,
                    percent(c.doubt),
                    c.disagreement.map(percent),
                )
            })
            .collect()
    }

    #[test]
    fn doubt_is_the_margin_of_the_surest_pixel_and_disagreement_the_mean_difference() {
        use Origin::{Net, Other};
        assert_eq!(
            found(&[0, 60, 90, 0, 55, 0], None, None),
            [(2, Net, 20, None), (4, Net, 90, None)]
        );
        assert_eq!(
            found(&[0, 60, 90, 0, 0, 0], Some(&[0, 60, 70, 0, 80, 0]), None),
            [(2, Net, 20, Some(10)), (4, Other, 40, Some(80))]
        );
        // The label knows one, ignores one, has one that the net has not, and denies one.
        assert_eq!(
            found(
                &[80, 0, 80, 0, 10, 0, 80],
                None,
                Some(&[1, 0, 255, 0, 1, 0, 0])
            ),
            [
                (0, Net, 40, Some(20)),
                (2, Net, 40, Some(0)),
                (6, Net, 40, Some(80)),
                (4, Other, 0, Some(90)),
            ]
        );
    }

    #[test]
    fn crops_are_centred_and_empty_where_nothing_is_valid() {
        let pixels = Grid::from_fn(40, 30, |x, y| (100 * y + x) as f32);
        let mut bits = Grid::filled(40, 30, 0);
        *bits.get_mut(2, 1).unwrap() = bad::HOT;
        let frame = Frame::new(0, pixels, bits).unwrap();
        let crop = crop(&frame, Pixel { x: 3, y: 1 });
        let middle = CROP / 2 * CROP + CROP / 2;
        assert_eq!(crop.values.len(), CROP * CROP);
        assert_eq!(crop.values[middle], 103.0);
        assert!(crop.values[middle - 1].is_nan() && crop.values[0].is_nan());
        assert_eq!(crop.corner, [-9, -11]);
    }

    fn item(frame: usize, doubt: f32, disagreement: f32) -> Arc<Candidate> {
        Arc::new(Candidate {
            frame,
            class: Class::Peak,
            origin: Origin::Net,
            spans: Vec::new(),
            rect: PixelRect::new(0, 0, 1, 1),
            at: Pixel { x: 0, y: 0 },
            doubt,
            disagreement: Some(disagreement),
            crop: Crop {
                corner: [0, 0],
                values: Vec::new(),
            },
            conflict: None,
        })
    }

    #[test]
    fn the_most_doubtful_come_first_frame_by_frame_within_a_step() {
        let check = |order, expected: &[usize]| {
            let mut queue = Queue {
                order,
                ..Queue::default()
            };
            queue.add([item(1, 0.31, 0.0), item(2, 0.9, 0.1)]);
            queue.add([item(7, 0.33, 0.8), item(1, 0.34, 0.2), item(4, 0.0, 1.0)]);
            let frames: Vec<usize> = queue.iter().map(|c| c.frame).collect();
            assert_eq!(frames, expected);
            assert_eq!(
                queue.take_first().map(|c| c.frame),
                expected.first().copied()
            );
            let last = queue.iter().last().cloned().unwrap();
            assert!(queue.take(&last).is_some() && queue.take(&last).is_none());
            assert_eq!(queue.len(), 3);
        };
        check(Order::Margin, &[2, 1, 1, 7, 4]);
        check(Order::Disagreement, &[4, 7, 1, 2, 1]);
    }

    #[test]
    fn a_long_run_keeps_the_most_doubtful() {
        let mut queue = Queue::default();
        for frame in 0..250 {
            queue.add((0..100).map(|i| item(frame, i as f32 / 100.0, 0.0)));
        }
        assert_eq!(queue.len(), MOST_KEPT);
        assert!(queue.iter().all(|c| c.doubt > 0.15));
    }
}
