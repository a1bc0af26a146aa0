//! One walk over a file: every data set with its shape, type, filters and small values. No pixels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdf5::datatype::ByteOrder;
use hdf5::plist::dataset_create::Layout;
use hdf5::types::{FloatSize, TypeDescriptor};
use hdf5::{Dataset, Group, LinkType, LocationType};

use super::super::Error;
use super::super::number::{Kind, Number};
use super::filters::Filter;
use super::values::{self, Value};

/// What a data set says about itself.
#[derive(Clone, Debug)]
pub struct SetFacts {
    pub shape: Vec<usize>,
    /// `None` when its type is no plain integer or float.
    pub number: Option<Number>,
    pub filters: Vec<Filter>,
    pub chunk: Option<Vec<usize>>,
    pub is_virtual: bool,
    /// The file that really holds it (external links followed), and its path there.
    pub file: PathBuf,
    pub inner: String,
    pub value: Value,
    pub attributes: BTreeMap<String, Value>,
}

impl SetFacts {
    /// The number of cells of one frame and whether there is a frame axis: `(frames, height, width)`.
    ///
    /// All axes between the first and the last are stacked along the slow axis.
    pub fn frame_shape(&self) -> Option<(usize, usize, usize)> {
        match self.shape.as_slice() {
            [height, width] => Some((1, *height, *width)),
            [frames, middle @ .., width] if !middle.is_empty() => {
                let height = middle
                    .iter()
                    .try_fold(1usize, |all, n| all.checked_mul(*n))?;
                Some((*frames, height, *width))
            }
            _ => None,
        }
    }
}

/// Everything that one walk found; paths are absolute HDF5 paths in the opened file.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub path: PathBuf,
    pub sets: BTreeMap<String, SetFacts>,
    /// Attributes of groups that have any, the root included as `/`.
    pub groups: BTreeMap<String, BTreeMap<String, Value>>,
    /// Links that lead nowhere: their path and what they point to.
    pub dangling: Vec<(String, String)>,
    /// Data sets that HDF5 cannot open, and why.
    pub unreadable: Vec<(String, String)>,
}

impl Facts {
    /// The value of a data set by its whole path.
    pub fn value(&self, path: &str) -> Option<&Value> {
        self.sets.get(path).map(|set| &set.value)
    }

    /// The first data set whose path ends so, with a readable value.
    pub fn find(&self, ending: &str) -> Option<&SetFacts> {
        self.sets
            .iter()
            .find(|(path, set)| path.ends_with(ending) && set.value != Value::Unread)
            .map(|(_, set)| set)
    }

    /// An attribute of a group.
    pub fn attribute(&self, group: &str, name: &str) -> Option<&Value> {
        self.groups.get(group)?.get(name)
    }
}

/// More data sets than this are not listed; files of facilities' data systems can have 10^5.
const MOST_SETS: usize = 20_000;
const DEEPEST: usize = 24;

/// Walks the whole file once, through soft and external links.
///
/// Errors: the file cannot be opened (missing, no permission, truncated, not HDF5).
pub fn walk(path: &Path) -> Result<Facts, Error> {
    let file = super::open(path)?;
    let mut facts = Facts {
        path: path.to_owned(),
        ..Facts::default()
    };
    walk_group(&file, "", &mut Vec::new(), &mut facts);
    Ok(facts)
}

fn walk_group(group: &Group, prefix: &str, above: &mut Vec<(u64, String)>, facts: &mut Facts) {
    let Ok(info) = group.loc_info() else { return };
    // A link back to a group above would never end.
    let identity = (info.fileno, format!("{:?}", info.token));
    if above.contains(&identity) || above.len() > DEEPEST {
        return;
    }
    let attributes = attributes(group);
    if !attributes.is_empty() {
        let name = if prefix.is_empty() { "/" } else { prefix };
        facts.groups.insert(name.to_owned(), attributes);
    }
    let links = group
        .iter_visit_default(Vec::new(), |_, name, info, links| {
            links.push((name.to_owned(), info.link_type));
            true
        })
        .unwrap_or_default();
    above.push(identity);
    for (name, link) in links {
        if facts.sets.len() >= MOST_SETS {
            break;
        }
        let path = format!("{prefix}/{name}");
        match group.loc_type_by_name(&name) {
            Ok(LocationType::Group) => {
                if let Ok(child) = group.group(&name) {
                    walk_group(&child, &path, above, facts);
                }
            }
            Ok(LocationType::Dataset) => match group.dataset(&name) {
                Ok(set) => {
                    let with_attributes = facts.sets.len() < MOST_SETS / 10;
                    facts.sets.insert(path, set_facts(&set, with_attributes));
                }
                Err(error) => {
                    let why = super::short(&error.to_string());
                    facts.unreadable.push((path, why));
                }
            },
            Ok(_) => {}
            Err(_) if link == LinkType::Hard => {}
            Err(_) => {
                let target = target_of(group, &name, link).unwrap_or_default();
                facts.dangling.push((path, target));
            }
        }
    }
    above.pop();
}

/// The facts of one open data set.
pub fn set_facts(set: &Dataset, with_attributes: bool) -> SetFacts {
    let creation = set.dcpl().ok();
    let number = number_of(set);
    SetFacts {
        shape: set.shape(),
        number,
        filters: creation.as_ref().map(pipeline).unwrap_or_default(),
        chunk: set.chunk(),
        is_virtual: set.layout() == Layout::Virtual,
        file: std::path::absolute(set.filename()).unwrap_or_else(|_| set.filename().into()),
        inner: set.name(),
        value: values::read(set),
        attributes: if with_attributes {
            attributes(set)
        } else {
            BTreeMap::new()
        },
    }
}

fn attributes(location: &hdf5::Location) -> BTreeMap<String, Value> {
    location
        .attr_names()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| {
            let attribute = location.attr(&name).ok()?;
            Some((name, values::read(&attribute)))
        })
        .collect()
}

fn number_of(set: &Dataset) -> Option<Number> {
    let dtype = set.dtype().ok()?;
    let (kind, bytes) = match dtype.to_descriptor().ok()? {
        TypeDescriptor::Integer(size) => (Kind::Signed, size as usize),
        TypeDescriptor::Unsigned(size) => (Kind::Unsigned, size as usize),
        TypeDescriptor::Float(FloatSize::U4) => (Kind::Float, 4),
        TypeDescriptor::Float(FloatSize::U8) => (Kind::Float, 8),
        TypeDescriptor::Boolean => (Kind::Unsigned, 1),
        _ => return None,
    };
    Some(Number {
        kind,
        bytes,
        big_endian: dtype.byte_order() == ByteOrder::BigEndian,
    })
}

/// The filters of a creation property list, in the order in which they were applied.
#[expect(
    unsafe_code,
    reason = "the safe crate drops the client data of filters that it knows"
)]
fn pipeline(creation: &hdf5::plist::DatasetCreate) -> Vec<Filter> {
    use hdf5_sys::h5p::{H5Pget_filter2, H5Pget_nfilters};
    hdf5::sync::sync(|| {
        // SAFETY: the property list is open; the buffers are as long as the lengths say.
        unsafe {
            let id = creation.id();
            (0..H5Pget_nfilters(id).max(0) as u32)
                .map(|position| {
                    let (mut flags, mut config) = (0, 0);
                    let mut values = [0u32; 32];
                    let mut count = values.len();
                    let id = H5Pget_filter2(
                        id,
                        position,
                        &raw mut flags,
                        &raw mut count,
                        values.as_mut_ptr(),
                        0,
                        std::ptr::null_mut(),
                        &raw mut config,
                    );
                    Filter {
                        id,
                        values: values.into_iter().take(count).collect(),
                    }
                })
                .collect()
        }
    })
}

/// Where a soft or external link points to, in words.
#[expect(unsafe_code, reason = "the safe crate cannot read a link's value")]
fn target_of(group: &Group, name: &str, link: LinkType) -> Option<String> {
    use hdf5_sys::h5l::H5Lget_val;
    let name = std::ffi::CString::new(name).ok()?;
    let mut buffer = vec![0u8; 4096];
    let status = hdf5::sync::sync(|| {
        // SAFETY: the group is open, the name a C string, the buffer as long as said.
        unsafe {
            H5Lget_val(
                group.id(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        }
    });
    if status < 0 {
        return None;
    }
    // An external link's value: one byte of flags, the file name and the object's path, both with a zero.
    let start = usize::from(link == LinkType::External);
    let mut texts = buffer
        .get(start..)?
        .split(|byte| *byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned());
    let first = texts.next()?;
    Some(if link == LinkType::External {
        format!("{first}:{}", texts.next().unwrap_or_default())
    } else {
        first
    })
}
