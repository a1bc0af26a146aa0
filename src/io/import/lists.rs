//! Peak lists and reflections, grown to pixels by the labelling rule.

use std::path::Path;
use std::sync::Arc;

use super::super::lists::Lists;
use super::super::{Error, Run};
use super::frames;
use crate::domain::frame::Frame;
use crate::domain::grid::Pixel;
use crate::domain::grow;
use crate::domain::incoming::{ImportChoices, Reflections};
use crate::domain::labels::Sheet;
use crate::domain::listed::Listed;

/// A sheet of grown peaks, how many were listed and how many of these grew.
pub type Grown = (Arc<Sheet>, [usize; 2]);

/// A list, and where in it each frame of the run is.
pub struct Grower {
    lists: Lists,
    /// Frames with their place in the list where the run's own files do not tell it.
    places: Option<Vec<(usize, usize)>>,
    pub reflections: Reflections,
    i_over_sigma: f32,
}

/// Frames that the list speaks of, and a sentence for what was found out.
pub type Found = (Vec<usize>, Option<String>);

impl Grower {
    /// Opens a list and finds the frames of the run that it speaks of.
    ///
    /// Errors: not readable; a list of another run.
    pub fn open(run: &Run, path: &Path, choices: &ImportChoices) -> Result<(Self, Found), Error> {
        let lists = Lists::open(path)?;
        let mut grower = Self {
            places: None,
            reflections: choices.reflections.unwrap_or(Reflections::Found),
            i_over_sigma: choices.i_over_sigma,
            lists,
        };
        let found = match &grower.lists {
            Lists::Named(_, lists) => {
                let asked = choices.frames.as_ref();
                let is_same = run.reads(path) && asked.is_none();
                let rows = if is_same {
                    run.info.frames
                } else {
                    lists.len()
                };
                let (rows, notice) = frames::matched(rows, None, asked, run, path)?;
                let found = rows.iter().map(|(_, frame)| *frame).collect();
                if !is_same {
                    grower.places = Some(rows.iter().map(|(row, frame)| (*frame, *row)).collect());
                }
                (found, notice)
            }
            Lists::Own(_) => ((0..run.info.frames).collect(), None),
            Lists::Stream(stream) => {
                let mut found = Vec::new();
                for number in 0..run.info.frames {
                    if run.listed_in(&grower.lists, number)?.is_some() {
                        found.push(number);
                    }
                }
                if found.is_empty() {
                    // It names other files: the events' numbers are what is left.
                    let mut places: Vec<(usize, usize)> = (stream.chunks.iter().enumerate())
                        .map(|(index, chunk)| (chunk.row, index))
                        .collect();
                    places.sort_unstable();
                    let is_one_run = places.windows(2).all(|pair| match pair {
                        [a, b] => a.0 != b.0,
                        _ => true,
                    });
                    let last = places.last().map_or(0, |(frame, _)| *frame);
                    if !is_one_run || last >= run.info.frames {
                        return Err(Error::new(
                            format!(
                                "the stream tells of other frames (up to {last}) than the {} of the run and names none of \
                                 its files; import the run it belongs to",
                                run.info.frames
                            ),
                            path,
                        ));
                    }
                    let image = stream.chunks.first().map_or("", |chunk| &chunk.image);
                    let notice = format!(
                        "the stream names {image}, not this run; the numbers of its events are taken as frames"
                    );
                    found = places.iter().map(|(frame, _)| *frame).collect();
                    grower.places = Some(places);
                    (found, Some(notice))
                } else {
                    if let Some(asked) = &choices.frames {
                        found.retain(|number| asked.contains(number));
                    }
                    (found, None)
                }
            }
        };
        Ok((grower, found))
    }

    /// What the list says of a frame.
    fn listed(&self, run: &Run, number: usize) -> Result<Option<Listed>, Error> {
        let Some(places) = &self.places else {
            return run.listed_in(&self.lists, number);
        };
        let place = places.iter().find(|(frame, _)| *frame == number);
        let Some((_, place)) = place else {
            return Ok(None);
        };
        match &self.lists {
            Lists::Stream(stream) => stream.read(*place).map(Some),
            Lists::Named(_, lists) => Ok(lists.get(*place).map(|peaks| Listed {
                found: peaks.iter().map(|peak| (peak.x, peak.y)).collect(),
                ..Listed::default()
            })),
            Lists::Own(_) => run.listed_in(&self.lists, number),
        }
    }

    /// The peaks of a frame as a sheet; `None` where the list
    /// says nothing: the frame is not in it, or was not indexed and its reflections are wanted.
    ///
    /// Errors: the list or the frame cannot be read.
    pub fn read(&self, run: &Run, number: usize) -> Result<Option<Grown>, Error> {
        let Some(listed) = self.listed(run, number)? else {
            return Ok(None);
        };
        if self.reflections == Reflections::Predicted && listed.predicted.is_empty() {
            return Ok(None);
        }
        let frame = run.read_frame(number)?;
        let places = self.wanted(&listed);
        let mut sheet = Sheet::filled(frame.width(), frame.height(), 0);
        let mut grown = 0;
        for (x, y) in &places {
            grown += usize::from(grow(&frame, *x, *y, &mut sheet));
        }
        Ok(Some((Arc::new(sheet), [places.len(), grown])))
    }

    fn wanted(&self, listed: &Listed) -> Vec<(f32, f32)> {
        let strong = listed.predicted.iter().filter(|reflection| {
            reflection.sigma > 0.0 && reflection.intensity > self.i_over_sigma * reflection.sigma
        });
        let predicted = strong.map(|reflection| (reflection.x, reflection.y));
        match self.reflections {
            Reflections::Found => listed.found.clone(),
            Reflections::Predicted => predicted.collect(),
            Reflections::Both => listed.found.iter().copied().chain(predicted).collect(),
        }
    }
}

/// Grows a peak at a continuous position; false where nothing stands out of its surroundings.
fn grow(frame: &Frame, x: f32, y: f32, sheet: &mut Sheet) -> bool {
    if x < 0.0 || y < 0.0 {
        return false;
    }
    let at = Pixel {
        x: x as usize,
        y: y as usize,
    };
    let grown = grow::grow_peak(frame, at);
    grown.map(|grown| grown.paint(sheet, false)).is_some()
}
