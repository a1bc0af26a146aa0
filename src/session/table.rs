//! The frame table: a row for each frame, and the list of those that are shown, sorted and filtered.
//!
//! The list is kept, not made anew for each picture: a changed row is taken out and put in where it belongs now.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Deref;

use super::Session;
use super::browse::FrameRow;
use super::job::Job;
use crate::domain::columns::{Cell, Column, HIT, Kind, Note};
use crate::domain::filter::Filter;

/// More changed rows than this are cheaper sorted anew than moved one by one.
const MOST_MOVED: usize = 200;

/// What is known of every frame. Whoever changes a row need not say so: the list is told.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<FrameRow>,
    notes: HashMap<usize, Note>,
    changed: Vec<usize>,
    is_wholly_changed: bool,
}

impl Deref for Rows {
    type Target = [FrameRow];

    fn deref(&self) -> &[FrameRow] {
        &self.rows
    }
}

impl<'a> IntoIterator for &'a mut Rows {
    type Item = &'a mut FrameRow;
    type IntoIter = std::slice::IterMut<'a, FrameRow>;

    fn into_iter(self) -> Self::IntoIter {
        self.is_wholly_changed = true;
        self.rows.iter_mut()
    }
}

impl Rows {
    /// Rows of which nothing is known.
    pub fn blank(frames: usize) -> Self {
        Self {
            rows: vec![FrameRow::default(); frames],
            is_wholly_changed: true,
            ..Self::default()
        }
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut FrameRow> {
        let row = self.rows.get_mut(number)?;
        self.changed.push(number);
        Some(row)
    }

    /// More rows of which nothing is known; never fewer.
    pub fn grow(&mut self, frames: usize) {
        if frames > self.rows.len() {
            self.rows.resize(frames, FrameRow::default());
            self.is_wholly_changed = true;
        }
    }

    /// What the curator has noted of a frame, if anything.
    pub fn note(&self, number: usize) -> Option<&Note> {
        self.notes.get(&number)
    }

    pub fn set_note(&mut self, number: usize, note: Note) {
        if number >= self.rows.len() {
            return;
        }
        self.changed.push(number);
        if note.is_empty() {
            self.notes.remove(&number);
        } else {
            self.notes.insert(number, note);
        }
    }

    /// The marked frame that follows in this direction, round the ends.
    fn next_marked(&self, from: usize, by: isize) -> Option<usize> {
        let count = self.rows.len();
        let distance = |number: usize| {
            let (ahead, behind) = (number + count - from, from + count - number);
            let way = if by >= 0 { ahead } else { behind } % count.max(1);
            if way == 0 { count } else { way }
        };
        let marked = self.notes.iter().filter(|(_, note)| note.is_marked);
        marked
            .map(|(number, _)| *number)
            .min_by_key(|number| distance(*number))
    }

    /// What stands in a cell.
    pub fn cell(&self, number: usize, column: Column) -> Cell<'_> {
        let Some(row) = self.rows.get(number) else {
            return Cell::Unknown;
        };
        let note = || self.notes.get(&number);
        let known = |value: Option<f32>| {
            value.map_or(Cell::Unknown, |value| Cell::Number(f64::from(value)))
        };
        match column {
            Column::Frame => Cell::Number(number as f64 + 1.0),
            Column::Peaks => row
                .peaks
                .map_or(Cell::Unknown, |peaks| Cell::Number(f64::from(peaks))),
            Column::Hit => row
                .peaks
                .map_or(Cell::Unknown, |peaks| Cell::Flag(peaks >= HIT)),
            Column::Artifact => known(row.artifact_fraction),
            Column::Doubt => known(row.doubt),
            Column::Disagreement => known(row.disagreement),
            Column::Mean => known(row.mean),
            Column::Maximum => known(row.maximum),
            Column::Label => Cell::Flag(row.is_labelled),
            Column::Review => Cell::Text(row.review.name()),
            Column::Mark => Cell::Flag(note().is_some_and(|note| note.is_marked)),
            Column::Tags => Cell::Words(note().map_or(&[], |note| note.tags.as_slice())),
            Column::Comment => Cell::Text(note().map_or("", |note| note.comment.as_str())),
        }
    }
}

/// What a row is sorted by. What is unknown, or empty, comes last in either direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Text(Box<str>),
    Last,
}

impl Key {
    fn of(cell: Cell<'_>, is_descending: bool) -> Self {
        let number = |value: f64| {
            // Bits of floating-point numbers in their order, as whole numbers.
            let bits = value.to_bits();
            let ordered = if bits >> 63 == 1 {
                !bits
            } else {
                bits | 1 << 63
            };
            Self::Number(if is_descending { !ordered } else { ordered })
        };
        match cell {
            Cell::Number(value) if !value.is_nan() => number(value),
            Cell::Flag(flag) => number(f64::from(u8::from(flag))),
            Cell::Text(text) if !text.is_empty() => Self::Text(text.to_lowercase().into()),
            Cell::Words(words) if !words.is_empty() => {
                Self::Text(words.join(", ").to_lowercase().into())
            }
            _ => Self::Last,
        }
    }

    fn compare(&self, other: &Self, is_descending: bool) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) if is_descending => b.cmp(a),
            _ => self.cmp(other),
        }
    }
}

/// Which frames are listed, and in which order.
#[derive(Debug, Default)]
pub struct FrameTable {
    pub column: Column,
    pub is_descending: bool,
    /// What was typed as the filter last, understood or not.
    pub typed: String,
    /// Why what was typed is not understood; the filter before it stays.
    pub error: Option<String>,
    filter: Option<Filter>,
    listed: Vec<u32>,
    keys: Vec<Key>,
    is_listed: Vec<bool>,
    /// Counts the changes of rows and list, for whoever draws from them.
    pub version: u64,
}

impl FrameTable {
    /// The frames that are listed, in order.
    pub fn listed(&self) -> &[u32] {
        &self.listed
    }

    /// The filter that holds, as it is written; empty when all frames are listed.
    pub fn filter_text(&self) -> String {
        self.filter
            .as_ref()
            .map_or_else(String::new, Filter::to_string)
    }

    /// The place of a frame in the list; `None` when it is not listed.
    pub fn place_of(&self, number: usize) -> Option<usize> {
        let is_listed = self.is_listed.get(number).copied().unwrap_or(false);
        is_listed.then(|| self.place_for(number))
    }

    /// Where a frame is, or would be.
    fn place_for(&self, number: usize) -> usize {
        let Some(key) = self.keys.get(number) else {
            return self.listed.len();
        };
        self.listed.partition_point(|other| {
            let other = *other as usize;
            let order = self
                .keys
                .get(other)
                .map(|other| other.compare(key, self.is_descending));
            order.unwrap_or(Ordering::Less).then(other.cmp(&number)) == Ordering::Less
        })
    }

    /// The frame so many places on in the list from this one.
    fn step(&self, from: usize, by: isize) -> Option<usize> {
        let place = match self.place_of(from) {
            Some(place) => place.checked_add_signed(by)?,
            // From outside the list the next one is that at its place.
            None if by > 0 => self.place_for(from).checked_add_signed(by - 1)?,
            None => self.place_for(from).checked_add_signed(by)?,
        };
        self.listed.get(place).map(|number| *number as usize)
    }

    fn lets(&self, rows: &Rows, number: usize) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.lets(&|column| rows.cell(number, column)))
    }

    /// Brings the list up to date with what changed in the rows.
    pub fn settle(&mut self, rows: &mut Rows) {
        let changed = std::mem::take(&mut rows.changed);
        if std::mem::take(&mut rows.is_wholly_changed) || changed.len() > MOST_MOVED {
            return self.rebuild(rows);
        }
        for number in changed {
            self.move_row(rows, number);
        }
    }

    fn move_row(&mut self, rows: &Rows, number: usize) {
        self.version += 1;
        let key = Key::of(rows.cell(number, self.column), self.is_descending);
        let is_listed = self.lets(rows, number);
        let (Some(old), Some(was_listed)) = (self.keys.get(number), self.is_listed.get(number))
        else {
            return;
        };
        if *old == key && *was_listed == is_listed {
            return;
        }
        if let Some(place) = self.place_of(number)
            && place < self.listed.len()
        {
            self.listed.remove(place);
        }
        if let (Some(old), Some(was)) = (self.keys.get_mut(number), self.is_listed.get_mut(number))
        {
            *old = key;
            *was = is_listed;
        }
        if is_listed {
            let place = self.place_for(number);
            self.listed.insert(place, number as u32);
        }
    }

    /// Filters and sorts all rows.
    pub fn rebuild(&mut self, rows: &Rows) {
        self.version += 1;
        let keys = (0..rows.len()).map(|n| Key::of(rows.cell(n, self.column), self.is_descending));
        self.keys = keys.collect();
        self.is_listed = (0..rows.len()).map(|n| self.lets(rows, n)).collect();
        let numbers = (0..rows.len() as u32).filter(|n| self.is_listed[*n as usize]);
        if self.column.kind() == Kind::Text {
            let mut listed: Vec<u32> = numbers.collect();
            let key = |n: &u32| &self.keys[*n as usize];
            listed.sort_by(|a, b| key(a).compare(key(b), self.is_descending));
            self.listed = listed;
        } else {
            // Side by side in memory, numbers are sorted several times faster than by their index.
            let number = |n: u32| match self.keys[n as usize] {
                Key::Number(key) => (key, n),
                _ => (u64::MAX, n),
            };
            let pairs = sorted(numbers.map(number).collect());
            self.listed = pairs.into_iter().map(|(_, n)| n).collect();
        }
    }
}

/// Sorts by the first number, equal ones as they were: byte by byte from the lowest, without those that all have in common.
fn sorted(mut pairs: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
    let mut other = vec![(0, 0); pairs.len()];
    for shift in (0..u64::BITS).step_by(8) {
        let byte = |key: u64| (key >> shift) as usize & 0xff;
        let mut counts = [0_usize; 256];
        pairs.iter().for_each(|(key, _)| counts[byte(*key)] += 1);
        if counts.contains(&pairs.len()) {
            continue;
        }
        let mut start = 0;
        let mut places = counts.map(|count| {
            start += count;
            start - count
        });
        for (key, number) in &pairs {
            let place = &mut places[byte(*key)];
            if let Some(slot) = other.get_mut(*place) {
                *slot = (*key, *number);
            }
            *place += 1;
        }
        std::mem::swap(&mut pairs, &mut other);
    }
    pairs
}

impl Session {
    /// Sorts the table by a column; the same column again the other way round.
    pub(super) fn sort_frames(&mut self, column: Column) {
        let is_descending = if self.table.column == column {
            !self.table.is_descending
        } else {
            // The most peaks, the largest doubt are what one sorts for.
            column != Column::Frame && column.kind() != Kind::Text
        };
        self.sort_frames_by(column, is_descending);
    }

    pub(super) fn sort_frames_by(&mut self, column: Column, is_descending: bool) {
        self.table.column = column;
        self.table.is_descending = is_descending;
        self.table.rebuild(&self.rows);
    }

    /// Takes a typed filter; one that is not understood leaves the old one as it is.
    pub(super) fn filter_frames(&mut self, text: String) {
        match Filter::parse(&text) {
            Ok(filter) => {
                self.table.error = None;
                self.table.filter = filter;
                self.table.rebuild(&self.rows);
            }
            Err(reason) => self.table.error = Some(reason),
        }
        self.table.typed = text;
    }

    /// Narrows the filter that holds.
    pub(super) fn narrow_filter(&mut self, more: Filter) {
        let filter = match self.table.filter.take() {
            // Asking for the same once more changes nothing.
            Some(Filter::All(parts)) if parts.contains(&more) => Filter::All(parts),
            Some(same) if same == more => same,
            Some(filter) => filter.and(more),
            None => more,
        };
        self.filter_frames(filter.to_string());
    }

    /// Goes on in the list as it is sorted and filtered; `false` at its end.
    pub(super) fn step_listed(&mut self, by: isize) -> bool {
        let next = self.table.step(self.selected, by);
        if let Some(number) = next {
            self.go_to(number);
        }
        next.is_some()
    }

    /// Changes what is noted of a frame; on disk like a gesture.
    fn set_note(&mut self, number: usize, note: Note) {
        let Some(key) = self.key(number) else { return };
        if let Some(reason) = self.read_only.clone() {
            return self.notice(reason);
        }
        if self.rows.note(number).cloned().unwrap_or_default() == note {
            return;
        }
        self.rows.set_note(number, note.clone());
        self.unsaved += 1;
        self.jobs.push(Job::StoreNote(key, note));
    }

    pub(super) fn set_words(&mut self, number: usize, tags: Vec<String>, comment: String) {
        let is_marked = self.rows.note(number).is_some_and(|note| note.is_marked);
        let note = Note {
            is_marked,
            tags,
            comment,
        };
        self.set_note(number, note);
    }

    pub(super) fn toggle_mark(&mut self) {
        let mut note = self.rows.note(self.selected).cloned().unwrap_or_default();
        note.is_marked = !note.is_marked;
        self.set_note(self.selected, note);
    }

    pub(super) fn step_mark(&mut self, by: isize) {
        match self.rows.next_marked(self.selected, by) {
            Some(number) => self.go_to(number),
            None => self.notice("No frame is marked; mark this one first."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::labels::Review;
    use proptest::prelude::*;

    /// What the list must be, found by looking at every row.
    fn expected(table: &FrameTable, rows: &Rows) -> Vec<u32> {
        let mut listed: Vec<u32> = (0..rows.len() as u32)
            .filter(|n| table.lets(rows, *n as usize))
            .collect();
        let key = |n: u32| Key::of(rows.cell(n as usize, table.column), table.is_descending);
        listed.sort_by(|a, b| key(*a).compare(&key(*b), table.is_descending));
        listed
    }

    fn change(rows: &mut Rows, number: usize, what: u8, value: u32) {
        let row = rows.get_mut(number).unwrap();
        match what % 6 {
            0 => row.peaks = Some(value % 40),
            1 => row.doubt = Some((value % 7) as f32 / 10.0),
            2 => row.mean = (!value.is_multiple_of(3)).then_some(value as f32 - 50.0),
            3 => {
                row.review =
                    [Review::Untouched, Review::Started, Review::Flagged][value as usize % 3]
            }
            4 => {
                let tags = ["ice", "weak", "Two"].into_iter().take(value as usize % 4);
                let note = Note {
                    tags: tags.map(str::to_owned).collect(),
                    is_marked: value.is_multiple_of(5),
                    ..Note::default()
                };
                rows.set_note(number, note);
            }
            _ => row.peaks = None,
        }
    }

    proptest! {
        #[test]
        fn the_kept_list_is_the_list_made_anew(
            steps in proptest::collection::vec((0_usize..60, any::<u8>(), 0_u32..100, 0_usize..13, 0_u8..12), 1..80)
        ) {
            let mut session = Session { rows: Rows::blank(60), ..Session::default() };
            session.table.settle(&mut session.rows);
            for (number, what, value, column, choice) in steps {
                match choice {
                    0 => session.sort_frames(Column::ALL[column]),
                    1 => session.filter_frames("peaks > 12 or tag ~ ice or review = flagged".to_owned()),
                    2 => session.filter_frames("doubt > 0.2 and not mark".to_owned()),
                    3 => session.filter_frames(String::new()),
                    4 => session.filter_frames("nonsense".to_owned()),
                    _ => change(&mut session.rows, number, what, value),
                }
                session.table.settle(&mut session.rows);
                let listed = session.table.listed();
                prop_assert_eq!(listed, expected(&session.table, &session.rows));
                for (place, number) in listed.iter().enumerate() {
                    prop_assert_eq!(session.table.place_of(*number as usize), Some(place));
                }
            }
        }
    }

    #[test]
    fn unknown_cells_come_last_both_ways_and_a_wrong_filter_changes_nothing() {
        let mut session = Session {
            rows: Rows::blank(4),
            ..Session::default()
        };
        for (number, peaks) in [(0, 5), (2, 30), (3, 12)] {
            session.rows.get_mut(number).unwrap().peaks = Some(peaks);
        }
        session.table.settle(&mut session.rows);
        session.sort_frames(Column::Peaks);
        assert_eq!(session.table.listed(), [2, 3, 0, 1]);
        session.sort_frames(Column::Peaks);
        assert_eq!(session.table.listed(), [0, 3, 2, 1]);
        session.filter_frames("peaks < 20".to_owned());
        session.filter_frames("peaks < twenty".to_owned());
        assert_eq!(session.table.listed(), [0, 3]);
        assert!(session.table.error.is_some());
        assert_eq!(session.table.filter_text(), "peaks < 20");
        // From a frame that is not listed one goes on from its place.
        assert_eq!(session.table.step(2, -1), Some(3));
        assert_eq!(session.table.step(2, 1), None);
        assert_eq!(session.table.step(0, 1), Some(3));
    }
}
