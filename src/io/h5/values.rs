//! Small values: scalars, short lists and texts of data sets and attributes.

use std::path::Path;

use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, H5Type, Hyperslab, Selection, SliceOrIndex};

use super::super::Error;

/// What a small data set or attribute holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Not read: too large, or neither numbers nor text.
    #[default]
    Unread,
    /// Numbers in storage order; of a long list only the first.
    Numbers(Vec<f64>),
    /// Text, cut after 255 bytes; of a list the first.
    Text(String),
}

impl Value {
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Numbers(values) => values.first().copied(),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Unread => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            _ => None,
        }
    }
}

/// Lists up to this length are read whole.
const SHORT: usize = 16;

/// Reads what is small; anything else, or what fails, is [`Value::Unread`].
pub fn read(container: &Container) -> Value {
    let Ok(descriptor) = container.dtype().and_then(|dtype| dtype.to_descriptor()) else {
        return Value::Unread;
    };
    match descriptor {
        TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Float(_) => {
            if container.size() <= SHORT {
                container
                    .read_raw::<f64>()
                    .map_or(Value::Unread, Value::Numbers)
            } else if container.ndim() == 1 {
                let first = Selection::from(Hyperslab::from(vec![SliceOrIndex::SliceCount {
                    start: 0,
                    step: 1,
                    count: 1,
                    block: 1,
                }]));
                container
                    .read_slice_1d::<f64, _>(first)
                    .map_or(Value::Unread, |values| Value::Numbers(values.to_vec()))
            } else {
                Value::Unread
            }
        }
        TypeDescriptor::FixedAscii(_) => {
            text::<FixedAscii<256>>(container, |t| t.as_str().to_owned())
        }
        TypeDescriptor::FixedUnicode(_) => {
            text::<FixedUnicode<256>>(container, |t| t.as_str().to_owned())
        }
        TypeDescriptor::VarLenAscii => text::<VarLenAscii>(container, |t| t.as_str().to_owned()),
        TypeDescriptor::VarLenUnicode => {
            text::<VarLenUnicode>(container, |t| t.as_str().to_owned())
        }
        _ => Value::Unread,
    }
}

fn text<T: H5Type>(container: &Container, to: impl Fn(&T) -> String) -> Value {
    if container.size() > SHORT {
        return Value::Unread;
    }
    match container.read_raw::<T>() {
        Ok(values) => values
            .first()
            .map_or(Value::Unread, |value| Value::Text(to(value))),
        Err(_) => Value::Unread,
    }
}

/// Reads a whole numeric data set as one list, in storage order, with its shape.
///
/// Errors: no such data set; more than 2^28 numbers; not numeric.
pub fn read_all(path: &Path, dataset: &str) -> Result<(Vec<usize>, Vec<f64>), Error> {
    let file = super::open(path)?;
    let set = file.dataset(dataset).map_err(|_| {
        Error::new(
            format!("no data set {dataset:?}; name one that the file has"),
            path,
        )
    })?;
    if set.size() > 1 << 28 {
        return Err(Error::new(
            format!("the data set {dataset:?} is too large to be read at once"),
            path,
        ));
    }
    let values = set.read_raw::<f64>().map_err(|error| {
        let said = super::short(&error.to_string());
        Error::new(
            format!("cannot read the data set {dataset:?} as numbers ({said})"),
            path,
        )
    })?;
    Ok((set.shape(), values))
}

/// Reads one row of a numeric data set: of a list the one number there; empty past the last row.
///
/// Errors: no such data set; not numeric.
pub fn read_row(path: &Path, dataset: &str, row: usize) -> Result<Vec<f64>, Error> {
    let failed = |error: hdf5::Error| {
        let said = super::short(&error.to_string());
        Error::new(
            format!("cannot read row {row} of the data set {dataset:?} as numbers ({said})"),
            path,
        )
    };
    let set = super::open(path)?.dataset(dataset).map_err(failed)?;
    let shape = set.shape();
    if shape.first().is_none_or(|rows| row >= *rows) {
        return Ok(Vec::new());
    }
    let count = |start: usize, count: usize| SliceOrIndex::SliceCount {
        start,
        step: 1,
        count,
        block: 1,
    };
    let slab = match shape.as_slice() {
        [_, places] => vec![SliceOrIndex::Index(row), count(0, *places)],
        _ => vec![count(row, 1)],
    };
    let selection = Selection::from(Hyperslab::from(slab));
    let values = set.read_slice_1d::<f64, _>(selection).map_err(failed)?;
    Ok(values.to_vec())
}

/// Reads a list of texts of any kind of HDF5 string; longer fixed ones are cut after 4 KiB.
///
/// Errors: no such data set; not texts.
pub fn read_texts(path: &Path, dataset: &str) -> Result<Vec<String>, Error> {
    let file = super::open(path)?;
    let set = file.dataset(dataset).map_err(|_| {
        Error::new(
            format!("no data set {dataset:?}; name one that the file has"),
            path,
        )
    })?;
    let texts = match set.dtype().and_then(|dtype| dtype.to_descriptor()) {
        Ok(TypeDescriptor::VarLenUnicode) => set
            .read_raw::<VarLenUnicode>()
            .map(|all| all.iter().map(|t| t.as_str().to_owned()).collect()),
        Ok(TypeDescriptor::VarLenAscii) => set
            .read_raw::<VarLenAscii>()
            .map(|all| all.iter().map(|t| t.as_str().to_owned()).collect()),
        Ok(TypeDescriptor::FixedUnicode(_)) => set
            .read_raw::<FixedUnicode<4096>>()
            .map(|all| all.iter().map(|t| t.as_str().to_owned()).collect()),
        Ok(TypeDescriptor::FixedAscii(_)) => set
            .read_raw::<FixedAscii<4096>>()
            .map(|all| all.iter().map(|t| t.as_str().to_owned()).collect()),
        Ok(_) => {
            return Err(Error::new(
                format!("the data set {dataset:?} does not hold texts"),
                path,
            ));
        }
        Err(error) => Err(error),
    };
    texts.map_err(|error| {
        let said = super::short(&error.to_string());
        Error::new(
            format!("cannot read the texts of {dataset:?} ({said})"),
            path,
        )
    })
}
