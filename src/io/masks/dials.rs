//! Masks of DIALS (`pixels.mask`): a Python pickle of a tuple of `flex.bool`, one a panel, true = good.
//!
//! Nothing of a pickle is executed: its instructions only stack numbers, texts and names. Forms: Python's
//! pickletools.py; cctbx, flex_pickle_single_buffered.h (the number of cells, then one character '0' or '1' a cell).

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::super::Error;
use super::Values;

/// A value of the pickle.
#[derive(Clone)]
enum Item {
    Mark,
    Number(i64),
    Bytes(Rc<[u8]>),
    List(Vec<Item>),
    /// An object by its class, what it was made of, and its state.
    Made(Rc<str>, Vec<Item>, Option<Box<Item>>),
    Nothing,
}

/// Masks are nested less deeply; a damaged file must not exhaust the stack when it is dropped.
const DEEPEST: usize = 8;

impl Item {
    fn depth(&self) -> usize {
        let inside = |items: &[Self]| items.iter().map(Self::depth).max().unwrap_or(0);
        match self {
            Self::List(items) => 1 + inside(items),
            Self::Made(_, items, state) => {
                1 + inside(items).max(state.as_ref().map_or(0, |state| state.depth()))
            }
            _ => 0,
        }
    }
}

/// Whether a file begins as a pickle does (protocols 2 to 5).
pub fn is_pickle(first: &[u8]) -> bool {
    matches!(first, [0x80, 2..=5, ..])
}

/// Width, height and cells of each panel, 0 = masked.
///
/// Errors: not readable; another kind of pickle.
pub fn read(file: &Path) -> Result<Vec<Values>, Error> {
    let bytes = std::fs::read(file).map_err(|error| Error::reading(&error, file))?;
    panels(&bytes).ok_or_else(|| {
        Error::new(
            "this pickle is no mask of DIALS (a tuple of flex.bool); write one with dials.generate_mask",
            file,
        )
    })
}

fn panels(bytes: &[u8]) -> Option<Vec<Values>> {
    let panels = match load(bytes)? {
        Item::List(panels) => panels,
        one @ Item::Made(..) => vec![one],
        _ => return None,
    };
    let panels: Option<Vec<_>> = panels.iter().map(panel).collect();
    panels.filter(|panels| !panels.is_empty())
}

fn panel(item: &Item) -> Option<Values> {
    let Item::Made(name, _, Some(state)) = item else {
        return None;
    };
    let (true, Item::List(state)) = (name.ends_with(" bool"), state.as_ref()) else {
        return None;
    };
    let [Item::Made(_, grid, _), data] = state.as_slice() else {
        return None;
    };
    let [Item::List(origin), Item::List(last), ..] = grid.as_slice() else {
        return None;
    };
    let sizes: Option<Vec<usize>> = (origin.iter().zip(last))
        .map(|pair| match pair {
            (Item::Number(from), Item::Number(to)) => to.checked_sub(*from)?.try_into().ok(),
            _ => None,
        })
        .collect();
    let [height, width] = *sizes?.as_slice() else {
        return None;
    };
    let data = plain_bytes(data)?;
    // The number of cells stands in front in as many bytes as the first one says.
    let cells = data.get(usize::from(data.first()? & 0x7f)..)?;
    let is_whole = width > 0 && height.checked_mul(width) == Some(cells.len());
    let values = cells.iter().map(|cell| u32::from(*cell == b'1'));
    is_whole.then(|| ((width, height), values.collect()))
}

/// Bytes as they are, or as protocol 2 writes them: a text of the same characters.
fn plain_bytes(item: &Item) -> Option<Vec<u8>> {
    match item {
        Item::Bytes(bytes) => Some(bytes.to_vec()),
        Item::Made(name, arguments, _) if name.as_ref() == "_codecs encode" => {
            let Some(Item::Bytes(text)) = arguments.first() else {
                return None;
            };
            let text = std::str::from_utf8(text).ok()?;
            text.chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect()
        }
        _ => None,
    }
}

/// The bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A little-endian number of so many bytes, at most eight.
    fn number(&mut self, count: usize) -> Option<u64> {
        let bytes = self.take(count)?;
        Some((bytes.iter().rev()).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// Bytes after their length, which has so many bytes itself.
    fn counted(&mut self, count: usize) -> Option<Item> {
        let length = self.number(count)?.try_into().ok()?;
        Some(Item::Bytes(self.take(length)?.into()))
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = self.take(end)?;
        self.byte()?;
        Some(line)
    }
}

/// What the instructions leave on the stack; `None` for any that such masks do not have.
fn load(bytes: &[u8]) -> Option<Item> {
    let mut rest = Rest(bytes);
    let mut stack: Vec<Item> = Vec::new();
    let mut memo: HashMap<u64, Item> = HashMap::new();
    loop {
        match rest.byte()? {
            0x80 => drop(rest.byte()?),
            0x95 => drop(rest.take(8)?),
            b'.' => return stack.pop(),
            b'(' => stack.push(Item::Mark),
            b')' | b']' => stack.push(Item::List(Vec::new())),
            b'N' => stack.push(Item::Nothing),
            0x88 => stack.push(Item::Number(1)),
            0x89 => stack.push(Item::Number(0)),
            b'K' => stack.push(Item::Number(rest.number(1)? as i64)),
            b'M' => stack.push(Item::Number(rest.number(2)? as i64)),
            b'J' => stack.push(Item::Number(i64::from(rest.number(4)? as u32 as i32))),
            0x8a => {
                let length = usize::from(rest.byte()?);
                if length > 7 {
                    return None;
                }
                stack.push(Item::Number(rest.number(length)? as i64));
            }
            b'C' | 0x8c | b'U' => stack.push(rest.counted(1)?),
            b'B' | b'X' | b'T' => stack.push(rest.counted(4)?),
            0x8d | 0x8e => stack.push(rest.counted(8)?),
            code @ 0x85..=0x87 => {
                let from = stack.len().checked_sub(usize::from(code - 0x84))?;
                let items = stack.split_off(from);
                stack.push(Item::List(items));
            }
            b't' => {
                let items = above_mark(&mut stack)?;
                stack.push(Item::List(items));
            }
            code @ (b'a' | b'e') => {
                let items = if code == b'a' {
                    vec![stack.pop()?]
                } else {
                    above_mark(&mut stack)?
                };
                match stack.last_mut()? {
                    Item::List(list) => list.extend(items),
                    _ => return None,
                }
            }
            b'c' => {
                let (module, name) = (rest.line()?, rest.line()?);
                stack.push(named(module, name)?);
            }
            0x93 => {
                let (Item::Bytes(name), Item::Bytes(module)) = (stack.pop()?, stack.pop()?) else {
                    return None;
                };
                stack.push(named(&module, &name)?);
            }
            b'R' => {
                let (Item::List(arguments), Item::Made(name, ..)) = (stack.pop()?, stack.pop()?)
                else {
                    return None;
                };
                stack.push(Item::Made(name, arguments, None));
            }
            b'b' => {
                let state = stack.pop()?;
                let Item::Made(name, arguments, _) = stack.pop()? else {
                    return None;
                };
                stack.push(Item::Made(name, arguments, Some(Box::new(state))));
            }
            0x94 => drop(memo.insert(memo.len() as u64, stack.last()?.clone())),
            b'q' => drop(memo.insert(rest.number(1)?, stack.last()?.clone())),
            b'r' => drop(memo.insert(rest.number(4)?, stack.last()?.clone())),
            b'h' => stack.push(memo.get(&rest.number(1)?)?.clone()),
            b'j' => stack.push(memo.get(&rest.number(4)?)?.clone()),
            _ => return None,
        }
        if stack.last().is_some_and(|item| item.depth() > DEEPEST) {
            return None;
        }
    }
}

fn above_mark(stack: &mut Vec<Item>) -> Option<Vec<Item>> {
    let mark = stack.iter().rposition(|item| matches!(item, Item::Mark))?;
    let items = stack.split_off(mark + 1);
    stack.pop();
    Some(items)
}

fn named(module: &[u8], name: &[u8]) -> Option<Item> {
    let text = format!(
        "{} {}",
        std::str::from_utf8(module).ok()?,
        std::str::from_utf8(name).ok()?
    );
    Some(Item::Made(text.into(), Vec::new(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// cctbx-base 2025.11: `m = flex.bool(flex.grid(4, 6), True); m[3] = m[20] = False`, `pickle.dumps((m,), 5)`
    /// and, the same, protocol 2.
    const PICKLES: [&[u8]; 2] = [
        include_bytes!("../../../tests/fixtures/io/dials_5.mask"),
        include_bytes!("../../../tests/fixtures/io/dials_2.mask"),
    ];

    #[test]
    fn masks_of_both_protocols_are_read_and_damage_is_not() {
        for bytes in PICKLES {
            assert!(is_pickle(bytes));
            let read = panels(bytes).unwrap();
            let [((6, 4), cells)] = read.as_slice() else {
                panic!("one panel of 6 x 4");
            };
            let masked: Vec<usize> = (0..24).filter(|at| cells[*at] == 0).collect();
            assert_eq!(masked, [3, 20]);
            for end in 0..bytes.len() {
                assert!(panels(&bytes[..end]).is_none(), "{end}");
            }
            for at in 0..bytes.len() {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 0x55;
                let _ = panels(&damaged);
            }
        }
    }
}
