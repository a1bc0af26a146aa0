//! Pixels without a header: what they are has to be told.

use std::path::Path;

use super::super::Error;
use super::super::number::Number;
use super::Head;

/// What the user says of such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLayout {
    /// As many as the file holds where it is not told.
    frames: Option<usize>,
    height: usize,
    width: usize,
    number: Number,
}

impl RawLayout {
    /// From a shape (height, width) or (frames, height, width) and NumPy's name of a type; `None` where neither is told.
    ///
    /// Errors: one of both is missing, or makes no sense.
    pub fn new(shape: &[usize], dtype: Option<&str>) -> Result<Option<Self>, &'static str> {
        let wrong = Err;
        let (frames, height, width) = match (shape, dtype) {
            ([], None) => return Ok(None),
            ([], Some(_)) => return wrong("--dtype needs --shape HEIGHT,WIDTH beside it"),
            (_, None) => return wrong("--shape needs --dtype beside it, for instance uint16"),
            ([height, width], _) => (None, *height, *width),
            ([frames, height, width], _) => (Some(*frames), *height, *width),
            _ => return wrong("write --shape as HEIGHT,WIDTH or FRAMES,HEIGHT,WIDTH"),
        };
        let cells = height.checked_mul(width);
        if frames == Some(0) || cells.is_none_or(|n| n == 0 || n > super::MOST_PIXELS) {
            return wrong("--shape describes no frame; write HEIGHT,WIDTH in pixels");
        }
        let Some(number) = dtype.and_then(Number::named) else {
            return wrong(
                "--dtype is not known; write uint8, int16, uint16, int32, uint32, float32 or float64, \">\" before it for big-endian",
            );
        };
        Ok(Some(Self {
            frames,
            height,
            width,
            number,
        }))
    }

    /// The header that the file lacks.
    ///
    /// Errors: the file holds no whole number of such frames, or fewer than told.
    pub(super) fn head(&self, path: &Path) -> Result<Head, Error> {
        let facts = std::fs::metadata(path).map_err(|error| Error::reading(&error, path))?;
        let bytes = usize::try_from(facts.len()).unwrap_or(usize::MAX);
        let size = self.height * self.width * self.number.bytes;
        let whole = bytes / size;
        let fits = match self.frames {
            Some(frames) => frames <= whole,
            None => whole > 0 && bytes % size == 0,
        };
        if !fits {
            return Err(Error::new(
                format!(
                    "the file has {bytes} bytes, a frame of {} x {} {} has {size}; correct --shape or --dtype",
                    self.width,
                    self.height,
                    self.number.name()
                ),
                path,
            ));
        }
        let mut head = Head::new("raw", self.width, self.height, self.number);
        head.frames = self.frames.unwrap_or(whole);
        Ok(head)
    }
}
