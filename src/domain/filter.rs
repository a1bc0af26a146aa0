//! The language of the frame filter: `peaks > 20 and doubt > 0.3 and review = started`, `tag ~ ice`, `not hit`.
//!
//! ```text
//! filter     = both { "or" both }
//! both       = one { "and" one }
//! one        = "not" one | "(" filter ")" | comparison
//! comparison = column ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" ) value | flag-column
//! value      = number [ "%" ] | word | "quoted text" | "unknown"
//! ```
//! `~` means contains. Nothing is true of what is unknown, except that it is unknown.

mod parser;

use std::fmt;

use super::columns::{Cell, Column, Kind};

/// Which frames are listed.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// The flag is set.
    Is(Column),
    Compare(Column, Relation, Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
    Has,
    HasNot,
}

impl Relation {
    pub const ALL: [Self; 8] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::AtMost,
        Self::More,
        Self::AtLeast,
        Self::Has,
        Self::HasNot,
    ];

    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Has => "~",
            Self::HasNot => "!~",
        }
    }

    fn from_sign(sign: &str) -> Option<Self> {
        let sign = match sign {
            "==" => "=",
            "<>" => "!=",
            sign => sign,
        };
        Self::ALL
            .into_iter()
            .find(|relation| relation.sign() == sign)
    }

    /// Whether a column of this kind can be compared so.
    pub const fn suits(self, kind: Kind) -> bool {
        match self {
            Self::Equal | Self::NotEqual => true,
            Self::Less | Self::AtMost | Self::More | Self::AtLeast => matches!(kind, Kind::Number),
            Self::Has | Self::HasNot => matches!(kind, Kind::Text),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Flag(bool),
    Text(String),
    Unknown,
}

impl Filter {
    /// Understands a typed filter; `Ok(None)` for an empty one, which lets everything.
    ///
    /// Errors: a sentence that says where it stops making sense and what could stand there.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        parser::parse(text)
    }

    /// Whether a frame with these cells is listed.
    pub fn lets<'a>(&self, cell: &dyn Fn(Column) -> Cell<'a>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.lets(cell)),
            Self::Any(parts) => parts.iter().any(|part| part.lets(cell)),
            Self::Not(part) => !part.lets(cell),
            Self::Is(column) => cell(*column) == Cell::Flag(true),
            Self::Compare(column, relation, value) => holds(cell(*column), *relation, value),
        }
    }

    /// This and another one at once.
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::All(mut parts) => {
                parts.push(other);
                Self::All(parts)
            }
            alone => Self::All(vec![alone, other]),
        }
    }
}

fn holds(cell: Cell<'_>, relation: Relation, value: &Value) -> bool {
    use Relation::{AtLeast, AtMost, Equal, Has, HasNot, Less, More, NotEqual};
    match (cell, value) {
        (cell, Value::Unknown) => (cell == Cell::Unknown) == (relation == Equal),
        (Cell::Number(cell), Value::Number(value)) => match relation {
            // What the table shows rounded is found by what it shows.
            Equal => (cell - value).abs() <= 1e-6 * value.abs(),
            NotEqual => (cell - value).abs() > 1e-6 * value.abs(),
            Less => cell < *value,
            AtMost => cell <= *value,
            More => cell > *value,
            AtLeast => cell >= *value,
            Has | HasNot => false,
        },
        (Cell::Flag(cell), Value::Flag(value)) => (cell == *value) == (relation == Equal),
        (Cell::Text(cell), Value::Text(value)) => text_holds(&[cell], relation, value),
        (Cell::Words(cells), Value::Text(value)) => {
            let words: Vec<&str> = cells.iter().map(String::as_str).collect();
            text_holds(&words, relation, value)
        }
        _ => false,
    }
}

fn text_holds(cells: &[&str], relation: Relation, value: &str) -> bool {
    let is_same = |cell: &&str| {
        if cell.is_ascii() && value.is_ascii() {
            cell.eq_ignore_ascii_case(value)
        } else {
            cell.to_lowercase() == value.to_lowercase()
        }
    };
    let has = |cell: &&str| {
        if cell.is_ascii() && value.is_ascii() {
            // Without a copy: a run may have a hundred thousand comments.
            let mut parts = cell.as_bytes().windows(value.len().max(1));
            value.is_empty() || parts.any(|part| part.eq_ignore_ascii_case(value.as_bytes()))
        } else {
            cell.to_lowercase().contains(&value.to_lowercase())
        }
    };
    match relation {
        // No words at all are the empty text.
        Relation::Equal => cells.iter().any(is_same) || (cells.is_empty() && value.is_empty()),
        Relation::NotEqual => !text_holds(cells, Relation::Equal, value),
        Relation::Has => cells.iter().any(has),
        Relation::HasNot => !cells.iter().any(has),
        _ => false,
    }
}

impl fmt::Display for Filter {
    /// Writes it so that it is understood as the same filter again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nested = |part: &Self| match part {
            Self::All(_) | Self::Any(_) => format!("({part})"),
            _ => part.to_string(),
        };
        let join = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(nested).collect();
            parts.join(word)
        };
        match self {
            Self::All(parts) => f.write_str(&join(parts, " and ")),
            Self::Any(parts) => f.write_str(&join(parts, " or ")),
            Self::Not(part) => write!(f, "not {}", nested(part)),
            Self::Is(column) => f.write_str(column.name()),
            Self::Compare(column, relation, value) => {
                write!(f, "{} {} {value}", column.name(), relation.sign())
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => write!(f, "{value}"),
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Unknown => f.write_str("unknown"),
            Self::Text(text) => {
                let is_plain = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
                let keywords = ["and", "or", "not", "unknown"];
                let is_keyword = keywords.iter().any(|word| text.eq_ignore_ascii_case(word));
                if !text.is_empty() && text.chars().all(is_plain) && !is_keyword {
                    f.write_str(text)
                } else {
                    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, "\"{escaped}\"")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell(column: Column) -> Cell<'static> {
        match column {
            Column::Frame => Cell::Number(12.0),
            Column::Peaks => Cell::Number(23.0),
            Column::Hit => Cell::Flag(true),
            Column::Artifact => Cell::Number(0.05),
            Column::Doubt => Cell::Number(f64::from(0.31_f32)),
            Column::Review => Cell::Text("started"),
            Column::Label | Column::Mark => Cell::Flag(false),
            Column::Comment => Cell::Text("Two crystals"),
            Column::Tags => Cell::Words(&[]),
            Column::Disagreement | Column::Mean | Column::Maximum => Cell::Unknown,
        }
    }

    #[test]
    fn typed_filters_mean_what_they_say() {
        let cases = [
            ("peaks > 20 and doubt > 0.3 and review = started", true),
            ("peaks > 20 and doubt > 0.32", false),
            ("PEAKS>=23", true),
            ("doubt = 0.31", true),
            ("artifact = 5%", true),
            ("artifact>6% or hit", true),
            ("not hit or (mark or peaks < 30)", true),
            ("not (hit and peaks != 3)", false),
            ("hit = no", false),
            ("comment ~ crystals", true),
            ("comment = \"two crystals\"", true),
            ("comment !~ ice", true),
            ("tags = \"\"", true),
            ("tag ~ ice", false),
            ("tag != ice", true),
            ("mean = unknown", true),
            ("peaks != unknown", true),
            ("mean > 0", false),
            ("mean != 3", false),
            ("hit and peaks < 3 or frame = 12", true),
        ];
        for (text, expected) in cases {
            let filter = Filter::parse(text).unwrap().unwrap();
            assert_eq!(filter.lets(&cell), expected, "{text}");
        }
        assert_eq!(Filter::parse("  "), Ok(None));
        let words = ["ice".to_owned(), "weak".to_owned()];
        let tagged = |column| match column {
            Column::Tags => Cell::Words(&words),
            other => cell(other),
        };
        let lets = |text: &str| Filter::parse(text).unwrap().unwrap().lets(&tagged);
        assert!(lets("tag ~ ic and tag = ICE") && !lets("tag = ic") && !lets("tag !~ weak"));
    }

    #[test]
    fn what_does_not_parse_is_answered_with_what_could_stand_there() {
        let cases = [
            ("pekas > 3", "\"pekas\" is no column"),
            ("peaks >", "a value is missing, like peaks > 20"),
            ("peaks", "a comparison is missing"),
            ("peaks > many", "\"many\" is no number"),
            ("peaks ~ 3", "cannot be compared by ~"),
            ("comment < b", "cannot be compared by <"),
            ("peaks > 3 doubt > 1", "Before \"doubt\""),
            ("(peaks > 3", "closing parenthesis"),
            ("peaks > 3 and", "missing at the end"),
            (
                "review = finished",
                "untouched, started, confirmed or flagged",
            ),
            ("hit = perhaps", "yes or no"),
            ("comment = \"open", "no end"),
            ("peaks =< 3", "is no comparison"),
            ("peaks > inf", "no number"),
            (")", "is no column"),
        ];
        for (text, part) in cases {
            let sentence = Filter::parse(text).unwrap_err();
            assert!(
                sentence.contains(part) && sentence.ends_with('.'),
                "{text}: {sentence}"
            );
        }
        assert!(Filter::parse(&"(".repeat(100_000)).is_err());
        assert!(Filter::parse(&"not ".repeat(100_000)).is_err());
    }

    fn comparison() -> impl Strategy<Value = Filter> {
        let one_of = |columns: Vec<Column>| proptest::sample::select(columns);
        let of_kind = move |kind: Kind| {
            let is_kind = |column: &Column| column.kind() == kind && *column != Column::Review;
            one_of(Column::ALL.into_iter().filter(is_kind).collect())
        };
        let relation = |kind: Kind| {
            let suits = |relation: &Relation| relation.suits(kind);
            proptest::sample::select(Relation::ALL.into_iter().filter(suits).collect::<Vec<_>>())
        };
        let equality = || proptest::sample::select(vec![Relation::Equal, Relation::NotEqual]);
        prop_oneof![
            of_kind(Kind::Flag).prop_map(Filter::Is),
            (of_kind(Kind::Flag), equality(), any::<bool>()).prop_map(|(c, r, v)| Filter::Compare(
                c,
                r,
                Value::Flag(v)
            )),
            (of_kind(Kind::Number), relation(Kind::Number), -1e12..1e12)
                .prop_map(|(c, r, v)| Filter::Compare(c, r, Value::Number(v))),
            (of_kind(Kind::Text), relation(Kind::Text), ".{0,12}")
                .prop_map(|(c, r, v)| Filter::Compare(c, r, Value::Text(v))),
            (proptest::sample::select(Column::ALL.to_vec()), equality())
                .prop_map(|(c, r)| Filter::Compare(c, r, Value::Unknown)),
        ]
    }

    fn filter() -> impl Strategy<Value = Filter> {
        comparison().prop_recursive(4, 24, 4, |inner| {
            let several = || proptest::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                several().prop_map(Filter::All),
                several().prop_map(Filter::Any),
                inner.clone().prop_map(|one| Filter::Not(Box::new(one))),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_written_filter_is_read_as_itself(filter in filter()) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(Some(filter)));
        }

        #[test]
        fn any_text_is_understood_or_answered(text in "[a-z0-9 ()\"=!<>~%\\\\.]{0,40}") {
            match Filter::parse(&text) {
                Ok(Some(filter)) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(Some(filter))),
                Ok(None) => prop_assert!(text.trim().is_empty()),
                Err(sentence) => prop_assert!(sentence.ends_with('.')),
            }
        }
    }
}
