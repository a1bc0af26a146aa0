//! From the text of a filter to its tree, or to the sentence that says where it stops making sense.

use super::{Filter, Relation, Value};
use crate::domain::columns::{Column, Kind};
use crate::domain::labels::Review;

/// Parentheses and `not`s within each other; deeper ones are a slip of the keyboard.
const DEEPEST: usize = 40;

/// See [`Filter::parse`].
pub(super) fn parse(text: &str) -> Result<Option<Filter>, String> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { tokens, at: 0 };
    let filter = parser.any(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(Some(filter)),
        Some(token) => Err(format!(
            "Before \"{}\" an \"and\" or \"or\" is missing.",
            token.text()
        )),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(String),
    Open,
    Close,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Sign(text) => text,
            Self::Open => "(",
            Self::Close => ")",
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        match next {
            _ if next.is_whitespace() => {
                rest.next();
            }
            '(' | ')' => {
                rest.next();
                tokens.push(if next == '(' {
                    Token::Open
                } else {
                    Token::Close
                });
            }
            '"' => {
                rest.next();
                let mut quoted = String::new();
                loop {
                    match rest.next() {
                        Some('"') => break,
                        Some('\\') => quoted.extend(rest.next()),
                        Some(letter) => quoted.push(letter),
                        None => return Err(format!("The quotation \"{quoted} has no end.")),
                    }
                }
                tokens.push(Token::Quoted(quoted));
            }
            '=' | '!' | '<' | '>' | '~' => {
                let mut sign = String::new();
                while let Some(letter) = rest.next_if(|letter| "=!<>~".contains(*letter)) {
                    sign.push(letter);
                }
                tokens.push(Token::Sign(sign));
            }
            _ => {
                let mut word = String::new();
                let goes_on =
                    |letter: &char| !letter.is_whitespace() && !"()\"=!<>~".contains(*letter);
                while let Some(letter) = rest.next_if(goes_on) {
                    word.push(letter);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn next_if(&mut self, is_meant: impl Fn(&Token) -> bool) -> bool {
        let is_there = self.tokens.get(self.at).is_some_and(is_meant);
        self.at += usize::from(is_there);
        is_there
    }

    fn any(&mut self, depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.all(depth)?];
        while self.next_if(|token| token.is_word("or")) {
            parts.push(self.all(depth)?);
        }
        Ok(joined(parts, Filter::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.one(depth)?];
        while self.next_if(|token| token.is_word("and")) {
            parts.push(self.one(depth)?);
        }
        Ok(joined(parts, Filter::All))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > DEEPEST {
            return Err("The filter is nested too deeply; leave out parentheses.".to_owned());
        }
        if self.next_if(|token| token.is_word("not")) {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.next_if(|token| *token == Token::Open) {
            let inner = self.any(depth + 1)?;
            if !self.next_if(|token| *token == Token::Close) {
                return Err("A closing parenthesis is missing.".to_owned());
            }
            return Ok(inner);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        let Some(token) = self.tokens.get(self.at) else {
            return Err(
                "Something is missing at the end; a comparison like peaks > 20.".to_owned(),
            );
        };
        let column = match token {
            Token::Word(word) => Column::from_name(word),
            _ => None,
        };
        let Some(column) = column else {
            let names = Column::ALL.map(Column::name).join(", ");
            return Err(format!(
                "\"{}\" is no column; there are {names}.",
                token.text()
            ));
        };
        self.at += 1;
        let Some(Token::Sign(sign)) = self.tokens.get(self.at) else {
            if column.kind() == Kind::Flag {
                return Ok(Filter::Is(column));
            }
            return Err(format!(
                "After \"{}\" a comparison is missing, like {}.",
                column.name(),
                example(column)
            ));
        };
        let relation = Relation::from_sign(sign).ok_or_else(|| {
            format!("\"{sign}\" is no comparison; there are = != < <= > >= ~ !~.")
        })?;
        if !relation.suits(column.kind()) {
            return Err(format!(
                "\"{}\" cannot be compared by {}; write something like {}.",
                column.name(),
                relation.sign(),
                example(column)
            ));
        }
        self.at += 1;
        let value = self.tokens.get(self.at).ok_or_else(|| {
            format!(
                "After \"{} {}\" a value is missing, like {}.",
                column.name(),
                relation.sign(),
                example(column)
            )
        })?;
        let value = value_of(column, relation, value)?;
        self.at += 1;
        Ok(Filter::Compare(column, relation, value))
    }
}

fn joined(mut parts: Vec<Filter>, join: impl Fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

fn value_of(column: Column, relation: Relation, token: &Token) -> Result<Value, String> {
    let text = match token {
        Token::Word(text) | Token::Quoted(text) => text,
        other => {
            return Err(format!(
                "After \"{} {}\" a value is missing before \"{}\".",
                column.name(),
                relation.sign(),
                other.text()
            ));
        }
    };
    let is_equality = matches!(relation, Relation::Equal | Relation::NotEqual);
    if is_equality && token.is_word("unknown") {
        return Ok(Value::Unknown);
    }
    match column.kind() {
        Kind::Number => number(text).map(Value::Number).ok_or_else(|| {
            format!(
                "\"{text}\" is no number; write something like {}.",
                example(column)
            )
        }),
        Kind::Flag => match text.to_lowercase().as_str() {
            "yes" | "true" | "1" => Ok(Value::Flag(true)),
            "no" | "false" | "0" => Ok(Value::Flag(false)),
            _ => Err(format!(
                "\"{}\" is yes or no, not \"{text}\".",
                column.name()
            )),
        },
        Kind::Text if column == Column::Review && is_equality => {
            let is_known = Review::from_name(&text.to_lowercase()).is_some();
            is_known
                .then(|| Value::Text(text.clone()))
                .ok_or_else(|| format!("A review is {}, not \"{text}\".", Column::Review.meaning()))
        }
        Kind::Text => Ok(Value::Text(text.clone())),
    }
}

/// A finite number, in percent where a `%` follows.
fn number(text: &str) -> Option<f64> {
    let (digits, scale) = match text.strip_suffix('%') {
        Some(digits) => (digits, 0.01),
        None => (text, 1.0),
    };
    let value = digits.parse::<f64>().ok()? * scale;
    value.is_finite().then_some(value)
}

const fn example(column: Column) -> &'static str {
    match column {
        Column::Frame => "frame > 100",
        Column::Peaks => "peaks > 20",
        Column::Hit => "hit = yes",
        Column::Artifact => "artifact > 5%",
        Column::Doubt => "doubt > 0.3",
        Column::Disagreement => "disagreement > 0.2",
        Column::Mean => "mean < 2",
        Column::Maximum => "maximum > 1000",
        Column::Label => "label = no",
        Column::Review => "review = started",
        Column::Mark => "mark = yes",
        Column::Tags => "tags ~ ice",
        Column::Comment => "comment ~ \"two crystals\"",
    }
}
