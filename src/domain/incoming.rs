//! Labels made elsewhere: what their codes mean, and how they join the labels that are there.

use std::ops::Range;
use std::sync::Arc;

use super::frame::MaskPolarity;
use super::grid::Grid;
use super::labels::{Class, Edit, Review, Sheet, mark_changed};

/// What the codes of a class map from another program mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeMap {
    classes: [Option<Class>; 256],
}

impl CodeMap {
    /// The codes of this program's own files: 0 background, 1 peak, 2 artifact, 255 ignore.
    pub fn own() -> Self {
        let mut map = Self::none();
        for class in Class::ALL {
            map.set(class.code(), class);
        }
        map
    }

    /// A map that knows no code yet.
    pub const fn none() -> Self {
        Self {
            classes: [None; 256],
        }
    }

    pub fn set(&mut self, code: u8, class: Class) {
        if let Some(place) = self.classes.get_mut(usize::from(code)) {
            *place = Some(class);
        }
    }

    /// The class of a code; `None` where the map does not say.
    pub fn class_of(&self, code: u8) -> Option<Class> {
        self.classes.get(usize::from(code)).copied().flatten()
    }

    /// Reads `0=background,1=peak,2=ignore`; codes that are not named stay without a class.
    ///
    /// Errors: the sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} maps no codes; write CODE=CLASS,... with the classes background, peak, artifact, ignore, for \
                 example 0=background,1=peak,2=ignore,3=ignore"
            )
        };
        let mut map = Self::none();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (code, name) = pair.split_once('=').ok_or_else(wrong)?;
            let code: u8 = code.trim().parse().map_err(|_| wrong())?;
            let class = Class::ALL
                .into_iter()
                .find(|class| class.name() == name.trim())
                .ok_or_else(wrong)?;
            if map.class_of(code).is_some_and(|already| already != class) {
                return Err(format!(
                    "the code {code} is given two classes; name it once"
                ));
            }
            map.set(code, class);
        }
        if map.classes.iter().all(Option::is_none) {
            return Err(wrong());
        }
        Ok(map)
    }

    /// The form that [`CodeMap::parse`] reads.
    pub fn text(&self) -> String {
        let pairs: Vec<String> = (0..=u8::MAX)
            .filter_map(|code| Some(format!("{code}={}", self.class_of(code)?.name())))
            .collect();
        pairs.join(",")
    }
}

/// Which lists of a CrystFEL stream become peaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflections {
    /// What the peak search found.
    Found,
    /// What indexing predicted and integrated.
    Predicted,
    Both,
}

/// What becomes of pixels that a person has painted or confirmed where labels from elsewhere say something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// They stay.
    #[default]
    Keep,
    /// They give way; undo brings them back.
    Replace,
}

/// What the user says about labels from elsewhere; what is `None` and needed is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportChoices {
    pub codes: Option<CodeMap>,
    pub reflections: Option<Reflections>,
    /// Predicted reflections need a larger intensity than so many of their sigmas.
    pub i_over_sigma: f32,
    /// What the masked pixels of a mask become: artifact or ignore.
    pub mask_as: Option<Class>,
    pub masked_are: MaskPolarity,
    pub on_conflict: OnConflict,
    /// A person vouches for them.
    pub reviewed: bool,
    /// The frames that they are of, in order; `None` = what the file says, or every frame of the run.
    pub frames: Option<Range<usize>>,
}

impl Default for ImportChoices {
    fn default() -> Self {
        Self {
            codes: None,
            reflections: None,
            i_over_sigma: 5.0,
            mask_as: None,
            masked_are: MaskPolarity::Detected,
            on_conflict: OnConflict::Keep,
            reviewed: false,
            frames: None,
        }
    }
}

/// What has to be known before labels can be brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What these codes of a class map mean.
    Codes(Vec<u8>),
    /// Which lists of a stream are meant.
    Reflections,
    /// What the masked pixels become.
    Mask,
}

/// The labels that come in for one frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Says the class of every pixel.
    Whole(Arc<Sheet>),
    /// Says something of those pixels alone that are not background; artifact gives way to peaks.
    Parts(Arc<Sheet>),
}

impl Incoming {
    pub const fn sheet(&self) -> &Arc<Sheet> {
        match self {
            Self::Whole(sheet) | Self::Parts(sheet) => sheet,
        }
    }
}

/// A sheet after others have joined it.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub sheet: Sheet,
    /// Pixels of a person about which the incoming labels say something else.
    pub conflicts: usize,
    /// Other pixels whose class, not background, gave way.
    pub replaced: usize,
}

/// Puts labels from elsewhere over those that are there; `None` when the shapes differ.
pub fn join(
    old: &Sheet,
    by_hand: &Grid<bool>,
    incoming: &Incoming,
    on_conflict: OnConflict,
) -> Option<Joined> {
    let new = incoming.sheet();
    if old.rect() != new.rect() || old.rect() != by_hand.rect() {
        return None;
    }
    let (background, peak) = (Class::Background.code(), Class::Peak.code());
    let mut sheet = old.clone();
    let (mut conflicts, mut replaced) = (0, 0);
    let cells = sheet.cells_mut().iter_mut();
    for ((cell, new), by_hand) in cells.zip(new.cells()).zip(by_hand.cells()) {
        if cell == new {
            continue;
        }
        if matches!(incoming, Incoming::Parts(_)) {
            let yields = *cell == peak && *new == Class::Artifact.code();
            if *new == background || yields {
                continue;
            }
        }
        if *by_hand {
            conflicts += 1;
            if on_conflict == OnConflict::Keep {
                continue;
            }
        } else if *cell != background {
            replaced += 1;
        }
        *cell = *new;
    }
    Some(Joined {
        sheet,
        conflicts,
        replaced,
    })
}

/// The pixels that a person stands for: of a confirmed frame all, of others those that a person changed last.
///
/// `edits` are the ones that are done, oldest first, the first `older` of the frame's history not among them; what
/// is labelled and not explained by them is taken to be a person's.
pub fn by_hand<'a>(
    sheet: &Sheet,
    edits: impl Iterator<Item = &'a Edit>,
    older: usize,
    review: Review,
) -> Grid<bool> {
    if review == Review::Confirmed {
        return Grid::filled(sheet.width(), sheet.height(), true);
    }
    let mut painted = sheet.map(|code| older > 0 && *code != Class::Background.code());
    mark_changed(&mut painted, edits, |edit| {
        edit.is_by_a_person() && !edit.tool.starts_with("import")
    });
    painted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(codes: [u8; 6]) -> Sheet {
        Grid::from_cells(6, 1, codes.to_vec()).unwrap()
    }

    #[test]
    fn maps_are_written_as_they_are_read() {
        for text in [
            "0=background,1=peak,2=ignore,3=ignore",
            "0=background,1=peak,2=artifact,255=ignore",
            "7=artifact",
        ] {
            assert_eq!(CodeMap::parse(text).unwrap().text(), text);
        }
        assert_eq!(
            CodeMap::parse(" 1 = peak , 0=background,").unwrap().text(),
            "0=background,1=peak"
        );
        assert_eq!(
            CodeMap::own().text(),
            "0=background,1=peak,2=artifact,255=ignore"
        );
        for wrong in ["", "1", "1=spot", "300=peak", "-1=peak", "1=peak,1=ignore"] {
            assert!(CodeMap::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_persons_pixels_stay_and_are_counted() {
        // Painted by hand: 1 and 2 as peak; taken over from a net: 3 as artifact, 4 as peak.
        let old = sheet([0, 1, 1, 2, 1, 0]);
        let hand = Grid::from_cells(6, 1, vec![false, true, true, false, false, false]).unwrap();
        let new = Arc::new(sheet([1, 1, 2, 1, 2, 0]));
        let joined = |incoming: Incoming, what| join(&old, &hand, &incoming, what).unwrap();
        let whole = joined(Incoming::Whole(new.clone()), OnConflict::Keep);
        assert_eq!(whole.sheet, sheet([1, 1, 1, 1, 2, 0]));
        assert_eq!((whole.conflicts, whole.replaced), (1, 2));
        let replaced = joined(Incoming::Whole(new.clone()), OnConflict::Replace);
        assert_eq!((&replaced.sheet, replaced.conflicts), (new.as_ref(), 1));
        // Peak wins over artifact, and what is not said stays.
        let parts = joined(Incoming::Parts(new), OnConflict::Keep);
        assert_eq!(parts.sheet, sheet([1, 1, 1, 1, 1, 0]));
        let blank = joined(
            Incoming::Parts(Arc::new(sheet([0; 6]))),
            OnConflict::Replace,
        );
        assert_eq!((blank.sheet, blank.conflicts), (old.clone(), 0));
        assert!(
            join(
                &Sheet::filled(2, 2, 0),
                &hand,
                &Incoming::Whole(Arc::new(old.clone())),
                OnConflict::Keep
            )
            .is_none()
        );
    }

    #[test]
    fn the_last_hand_on_a_pixel_counts() {
        let steps = [
            ("accept net", [0, 1, 1, 0, 0, 0]),
            ("brush peak", [0, 1, 0, 1, 0, 0]),
            ("import set.h5", [0, 1, 0, 2, 2, 0]),
            ("stamp net in rectangle", [0, 1, 0, 2, 2, 1]),
        ];
        let (mut now, mut edits) = (sheet([0; 6]), Vec::new());
        for (tool, codes) in steps {
            let next = sheet(codes);
            edits.push(Edit::between(&now, &next, now.rect(), tool).unwrap());
            now = next;
        }
        let hand = |review, older| by_hand(&now, edits.iter(), older, review).cells().to_vec();
        assert_eq!(
            hand(Review::Started, 0),
            [false, false, true, false, false, false]
        );
        assert_eq!(hand(Review::Confirmed, 0), [true; 6]);
        let later = by_hand(&now, edits[1..].iter(), 1, Review::Started);
        assert_eq!(later.cells(), [false, true, true, false, false, false]);
    }
}
