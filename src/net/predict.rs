//! A batch of frames to classes and probabilities; large frames in overlapping tiles, so that memory stays bounded.

use candle_core::Tensor;
use rayon::prelude::*;

use super::fused::with_cells;
use super::graph::Graph;
use super::standardise::Standardisation;
use super::{Error, Net, Output, forward, head, quick};
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::{Class, Sheet};
use crate::domain::peaks::circles::Circles;
use crate::domain::peaks::confidence::give_up_unsure;

/// What the net says of a frame; all grids have the frame's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Background, peak or artifact; invalid pixels are background.
    pub classes: Sheet,
    /// Probability of class peak, times 255.
    pub peak: Grid<u8>,
    /// Probability of class artifact, times 255.
    pub artifact: Grid<u8>,
    /// Probability that the frame shows a crystal; `None` where the net has no hit head.
    pub hit_probability: Option<f32>,
}

/// How the probabilities become classes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Peak from that probability on; `None` = the most probable class, and what the card asks of a peak.
    pub threshold: Option<f32>,
    /// The circles about the beam, where it is known.
    pub circles: Option<&'a Circles>,
}

impl<'a> Asked<'a> {
    /// As the card says, with the circles about the beam where it is known.
    pub fn about(circles: &'a Option<Circles>) -> Self {
        Self {
            circles: circles.as_ref(),
            ..Self::default()
        }
    }
}

/// Edge of the largest tile, without its margin, pixels.
const TILE: usize = 2048;
/// Margins are multiples of this many pixels.
const MARGIN: usize = 64;

impl Net {
    /// Predicts frames of any sizes.
    ///
    /// A pixel is of the most probable class, and a component of class peak has a pixel of the card's confidence and is no grain
    /// of a ring ([`give_up_unsure`]). With a threshold a pixel is peak from that probability of peak on, and else the more
    /// probable of the others; neither the card nor the rings are asked.
    pub fn predict(&self, frames: &[&Frame], asked: Asked<'_>) -> Result<Vec<Prediction>, Error> {
        let said = |error: candle_core::Error| {
            let first = error.to_string();
            let first = first.lines().next().unwrap_or_default().to_owned();
            Error::new(
                format!("the net could not compute ({first}); try smaller batches or --device cpu"),
                &self.folder,
            )
        };
        let mut out = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while let Some(first) = rest.first() {
            let same = |f: &&&Frame| f.width() == first.width() && f.height() == first.height();
            let count = rest.iter().take_while(same).count();
            let (batch, others) = rest.split_at(count);
            out.extend(self.predict_equal(batch, asked).map_err(said)?);
            rest = others;
        }
        Ok(out)
    }

    fn predict_equal(
        &self,
        frames: &[&Frame],
        asked: Asked<'_>,
    ) -> candle_core::Result<Vec<Prediction>> {
        let way = Standardisation::named(&self.card.standardisation).unwrap_or_default();
        let inputs: Vec<Grid<f32>> = frames.par_iter().map(|frame| way.apply(frame)).collect();
        let mut out: Vec<Prediction> = frames
            .iter()
            .map(|frame| {
                let (width, height) = (frame.width(), frame.height());
                Prediction {
                    classes: Sheet::filled(width, height, 0),
                    peak: Grid::filled(width, height, 0),
                    artifact: Grid::filled(width, height, 0),
                    hit_probability: None,
                }
            })
            .collect();
        let Some(first) = frames.first() else {
            return Ok(out);
        };
        let step = self.architecture.step();
        let margin = self.architecture.reach().next_multiple_of(MARGIN);
        let mut hits = Hits::new(first.width() * first.height());
        for (inner, outer) in tiles(first.width(), first.height(), step, margin) {
            let output = self.output(&inputs, outer, step)?;
            hits.add(&output, inner, outer)?;
            let logits = output.logits;
            let side = (logits.dim(2)?, logits.dim(3)?);
            let image = head::CLASSES * side.0 * side.1;
            with_cells(&logits.to_device(&candle_core::Device::Cpu)?, |values| {
                let predictions = frames.iter().zip(&mut out);
                for ((frame, prediction), logits) in predictions.zip(values.chunks(image)) {
                    write_tile(
                        frame,
                        prediction,
                        logits,
                        side,
                        inner,
                        outer,
                        asked.threshold,
                    );
                }
                Ok(())
            })?;
        }
        for (prediction, hit) in out.iter_mut().zip(hits.probabilities(&self.graph)?) {
            prediction.hit_probability = Some(hit);
        }
        if asked.threshold.is_none() {
            let confidence = self.card.confidence().unwrap_or_default();
            let circles = asked.circles.filter(|_| !self.keeps_ring_peaks);
            out.par_iter_mut().for_each(|prediction| {
                let Prediction {
                    classes,
                    peak,
                    artifact,
                    ..
                } = prediction;
                give_up_unsure(classes, peak, artifact, confidence, circles);
            });
        }
        Ok(out)
    }

    /// What the net says of a rectangle of all inputs, padded with zeros to a multiple of `step`.
    fn output(
        &self,
        inputs: &[Grid<f32>],
        rect: PixelRect,
        step: usize,
    ) -> candle_core::Result<Output> {
        let input = self.input(inputs, rect, step)?;
        forward(&self.graph, &input, &self.architecture)
    }

    /// A rectangle of all inputs (B, 1, H, W), padded with zeros to a multiple of `step`.
    pub(super) fn input(
        &self,
        inputs: &[Grid<f32>],
        rect: PixelRect,
        step: usize,
    ) -> candle_core::Result<Tensor> {
        let width = rect.width().div_ceil(step) * step;
        let height = rect.height().div_ceil(step) * step;
        let mut cells = vec![0.0_f32; inputs.len() * width * height];
        for (input, image) in inputs.iter().zip(cells.chunks_mut(width * height)) {
            for (y, row) in (rect.y0..rect.y1).zip(image.chunks_mut(width)) {
                row[..rect.width()].copy_from_slice(&input.row(y)[rect.x0..rect.x1]);
            }
        }
        Tensor::from_vec(cells, (inputs.len(), 1, height, width), &self.device)
    }
}

/// What the hit head says of a frame, joined from its tiles.
struct Hits {
    area: usize,
    pooled: Option<Tensor>,
}

impl Hits {
    const fn new(area: usize) -> Self {
        Self { area, pooled: None }
    }

    fn add(
        &mut self,
        output: &Output,
        inner: PixelRect,
        outer: PixelRect,
    ) -> candle_core::Result<()> {
        let Some(hit) = &output.hit else {
            return Ok(());
        };
        let share = inner.area() as f64 / self.area.max(1) as f64;
        let kept = inner.area() as f64 / outer.area().max(1) as f64;
        let part = head::hit::part_of_frame(&hit.pooled, share, kept)?;
        self.pooled = Some(match self.pooled.take() {
            Some(pooled) => (pooled + part)?,
            None => part,
        });
        Ok(())
    }

    /// One probability a frame; none without a hit head.
    fn probabilities(&self, graph: &Graph) -> candle_core::Result<Vec<f32>> {
        let Some(pooled) = &self.pooled else {
            return Ok(Vec::new());
        };
        let logits = head::hit::logit(graph, pooled)?
            .to_dtype(candle_core::DType::F32)?
            .to_vec1::<f32>()?;
        Ok(logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect())
    }
}

/// Rectangles that cover the frame, and each with its margin; margins start at multiples of `step`.
fn tiles(width: usize, height: usize, step: usize, margin: usize) -> Vec<(PixelRect, PixelRect)> {
    let parts = |length: usize| {
        // A frame that hardly exceeds one tile is not worth a second one.
        let count = if length <= TILE + 2 * margin {
            1
        } else {
            length.div_ceil(TILE)
        };
        let size = length.div_ceil(count).div_ceil(step) * step;
        (0..count)
            .map(move |i| {
                let (from, to) = ((i * size).min(length), ((i + 1) * size).min(length));
                let margin = margin.div_ceil(step) * step;
                (
                    from,
                    to,
                    from.saturating_sub(margin),
                    (to + margin).min(length),
                )
            })
            .filter(|(from, to, ..)| from < to)
            .collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (y0, y1, outer_y0, outer_y1) in parts(height) {
        for (x0, x1, outer_x0, outer_x1) in parts(width) {
            all.push((
                PixelRect::new(x0, y0, x1, y1),
                PixelRect::new(outer_x0, outer_y0, outer_x1, outer_y1),
            ));
        }
    }
    all
}

fn write_tile(
    frame: &Frame,
    prediction: &mut Prediction,
    logits: &[f32],
    (rows, columns): (usize, usize),
    inner: PixelRect,
    outer: PixelRect,
    threshold: Option<f32>,
) {
    let area = rows * columns;
    let (asked, least) = (threshold.is_some(), threshold.unwrap_or_default());
    let width = frame.width().max(1);
    let classes = prediction.classes.cells_mut().par_chunks_mut(width);
    let peaks = prediction.peak.cells_mut().par_chunks_mut(width);
    let artifacts = prediction.artifact.cells_mut().par_chunks_mut(width);
    classes
        .zip(peaks)
        .zip(artifacts)
        .enumerate()
        .filter(|(y, _)| *y >= inner.y0 && *y < inner.y1)
        .for_each(|(y, ((classes, peaks), artifacts))| {
            let bits = frame.bad.row(y);
            let start = (y - outer.y0) * columns + inner.x0 - outer.x0;
            let z = [0, 1, 2].map(|c| &logits[c * area + start..][..inner.width()]);
            let z = z[0].iter().zip(z[1]).zip(z[2]);
            let out = classes[inner.x0..inner.x1]
                .iter_mut()
                .zip(&mut peaks[inner.x0..inner.x1])
                .zip(&mut artifacts[inner.x0..inner.x1]);
            let bits = &bits[inner.x0..inner.x1];
            for ((((class, peak), artifact), bits), ((&z0, &z1), &z2)) in out.zip(bits).zip(z) {
                let valid = u8::from(bits & bad::NOT_VALID == 0);
                let top = z0.max(z1).max(z2);
                let e = [z0, z1, z2].map(|z| quick::exp(z - top));
                let share = 1.0 / (e[0] + e[1] + e[2]);
                let (p1, p2) = (e[1] * share, e[2] * share);
                let most = (z1 > z0) & (z1 > z2);
                let is_peak = if asked { p1 >= least } else { most };
                let other = if z2 > z0 {
                    Class::Artifact.code()
                } else {
                    Class::Background.code()
                };
                let code = if is_peak { Class::Peak.code() } else { other };
                *class = code * valid;
                *peak = (p1 * 255.0 + 0.5) as u8 * valid;
                *artifact = (p2 * 255.0 + 0.5) as u8 * valid;
            }
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_pixel_once() {
        for (width, height) in [
            (1, 1),
            (1920, 1920),
            (2463, 2527),
            (4148, 4362),
            (128, 16_448),
        ] {
            let tiles = tiles(width, height, 16, 128);
            let area: usize = tiles.iter().map(|(inner, _)| inner.area()).sum();
            assert_eq!(area, width * height);
            for (inner, outer) in tiles {
                assert_eq!(inner.intersect(&outer), inner);
                assert_eq!((outer.x0 % 16, outer.y0 % 16), (0, 0));
                assert!(outer.x1 <= width && outer.y1 <= height);
            }
        }
    }

    /// Frames of any size, alone or in a batch, in one tile or in several, are predicted the same.
    #[test]
    fn sizes_batches_and_tiles_do_not_matter() {
        let architecture = crate::net::Architecture::plain(&[3, 4, 5]);
        let device = candle_core::Device::Cpu;
        let parameters =
            crate::net::declare(&architecture, 1, candle_core::DType::F32, &device).unwrap();
        let card = crate::net::Card::of(&architecture);
        let net = Net::from_parameters(&parameters, card, &device).unwrap();
        let frame = |width: usize, height: usize, seed: usize| {
            let pixels = Grid::from_fn(width, height, |x, y| {
                ((x * 31 + y * 17 + seed * 7 + x * y) % 97) as f32
            });
            Frame::new(0, pixels, Grid::filled(width, height, 0)).unwrap()
        };
        let (a, b) = (frame(57, 41, 1), frame(57, 41, 2));
        let both = net.predict(&[&a, &b], Asked::default()).unwrap();
        for (frame, expected) in [&a, &b].into_iter().zip(&both) {
            let alone = net.predict(&[frame], Asked::default()).unwrap().remove(0);
            assert_eq!((alone.peak.width(), alone.peak.height()), (57, 41));
            assert_eq!(&alone, expected);
        }
        // Long enough for two tiles: the middle must show no seam against one pass.
        let long = frame(3000, 24, 3);
        let tiled = net.predict(&[&long], Asked::default()).unwrap().remove(0);
        let input = Standardisation::Local.apply(&long);
        let logits = net.output(&[input], long.pixels.rect(), 4).unwrap().logits;
        let side = (logits.dim(2).unwrap(), logits.dim(3).unwrap());
        let values = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut whole = tiled.clone();
        write_tile(
            &long,
            &mut whole,
            &values,
            side,
            long.pixels.rect(),
            long.pixels.rect(),
            None,
        );
        let pairs = tiled.peak.cells().iter().zip(whole.peak.cells());
        assert!(pairs.map(|(a, b)| a.abs_diff(*b)).max() <= Some(1));
    }
}
