//! The columns of the frame table: what can be sorted, filtered and plotted by, and what a frame carries of a curator's own.

/// A frame with so many peaks is a hit.
pub const HIT: u32 = 15;

/// What is known of each frame of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Column {
    /// The frame's place in the run, counted from 1 as on screen.
    #[default]
    Frame,
    Peaks,
    Hit,
    /// Share of the valid pixels that are artifact, 0 to 1.
    Artifact,
    Doubt,
    /// 1 - F1 of what the net found against what another program's list has, 0 to 1.
    Disagreement,
    /// Mean of the valid pixels, in photons where the run says what a photon is, else in the frame's units.
    Mean,
    /// The brightest valid pixel, in the units of the mean.
    Maximum,
    /// Whether somebody has given it labels.
    Label,
    Review,
    Mark,
    Tags,
    Comment,
}

/// How the cells of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Flag,
    Text,
}

impl Column {
    pub const ALL: [Self; 13] = [
        Self::Frame,
        Self::Peaks,
        Self::Hit,
        Self::Artifact,
        Self::Doubt,
        Self::Disagreement,
        Self::Mean,
        Self::Maximum,
        Self::Label,
        Self::Review,
        Self::Mark,
        Self::Tags,
        Self::Comment,
    ];

    /// Its name, in the table and in typed filters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Peaks => "peaks",
            Self::Hit => "hit",
            Self::Artifact => "artifact",
            Self::Doubt => "doubt",
            Self::Disagreement => "disagreement",
            Self::Mean => "mean",
            Self::Maximum => "maximum",
            Self::Label => "label",
            Self::Review => "review",
            Self::Mark => "mark",
            Self::Tags => "tags",
            Self::Comment => "comment",
        }
    }

    /// The column of a name as people type it: any case, `tag` for `tags`, `max` for `maximum`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let meant = match name.as_str() {
            "tag" => "tags",
            "max" => "maximum",
            "peak" => "peaks",
            "hits" => "hit",
            "labels" | "labelled" => "label",
            "marked" | "marks" => "mark",
            other => other,
        };
        Self::ALL.into_iter().find(|column| column.name() == meant)
    }

    pub const fn kind(self) -> Kind {
        match self {
            Self::Frame
            | Self::Peaks
            | Self::Artifact
            | Self::Doubt
            | Self::Disagreement
            | Self::Mean
            | Self::Maximum => Kind::Number,
            Self::Hit | Self::Label | Self::Mark => Kind::Flag,
            Self::Review | Self::Tags | Self::Comment => Kind::Text,
        }
    }

    /// What it means, for a tooltip.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Frame => "number of the frame",
            Self::Peaks => "peaks that the net found",
            Self::Hit => "15 peaks or more",
            Self::Artifact => "share of the pixels that the net calls artifact",
            Self::Doubt => "how unsure the net is, 0 to 0.67",
            Self::Disagreement => {
                "1 - F1 of the net's peaks against the peak list of another program"
            }
            Self::Mean => "mean of the valid pixels, in photons where the run says what one is",
            Self::Maximum => "the brightest valid pixel, in photons where the run says what one is",
            Self::Label => "somebody has labelled it",
            Self::Review => "untouched, started, confirmed or flagged",
            Self::Mark => "marked to come back to",
            Self::Tags => "your tags",
            Self::Comment => "your comment",
        }
    }
}

/// What stands in a cell of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Unknown,
    Number(f64),
    Flag(bool),
    Text(&'a str),
    /// Words that each stand for themselves.
    Words(&'a [String]),
}

/// What a curator has noted of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub is_marked: bool,
    pub tags: Vec<String>,
    pub comment: String,
}

impl Note {
    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What two curators noted of one frame: either's mark, all tags, both comments where they differ.
    pub fn joined(mut self, other: &Self) -> Self {
        self.is_marked |= other.is_marked;
        for tag in &other.tags {
            if !self.tags.contains(tag) {
                self.tags.push(tag.clone());
            }
        }
        if self.comment.is_empty() {
            self.comment.clone_from(&other.comment);
        } else if !other.comment.is_empty() && self.comment != other.comment {
            self.comment = format!("{} / {}", self.comment, other.comment);
        }
        self
    }
}

/// Tags as people type them: between commas, each once, in their order.
pub fn tags_of(text: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in text.split([',', '\n']) {
        let tag = tag.split_whitespace().collect::<Vec<_>>().join(" ");
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_found_by_its_name_and_tags_are_cleaned() {
        for column in Column::ALL {
            assert_eq!(Column::from_name(column.name()), Some(column));
        }
        assert_eq!(Column::from_name("Tag"), Some(Column::Tags));
        assert_eq!(Column::from_name("pekas"), None);
        assert_eq!(tags_of(" ice ,, two  words,ice"), ["ice", "two words"]);
    }
}
