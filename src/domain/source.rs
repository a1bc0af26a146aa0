//! What was labelled: the pixels of a frame by their digest, so that labels are not taken for those of other pixels.

use sha2::{Digest, Sha256};

use super::date;
use super::grid::Grid;

/// The pixels that a frame had when it was labelled, and the file they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPixels {
    /// SHA-256 over width, height and all values (32-bit floats, little endian, every NaN alike).
    pub digest: [u8; 32],
    /// Size of the run's file in bytes; `None` where the run is a folder or several files.
    pub bytes: Option<u64>,
    /// When the file was changed last, seconds since 1970.
    pub modified: Option<f64>,
    /// When this was noted, seconds since 1970.
    pub noted: f64,
}

impl LabelledPixels {
    /// What the user should know where a frame has other pixels now; `None` where they are the same.
    pub fn differ(&self, now: &Self, frame: usize) -> Option<String> {
        if self.digest == now.digest {
            return None;
        }
        let mut text = format!(
            "Frame {} has other pixels than when it was labelled ({} UTC)",
            frame + 1,
            date::minute(self.noted)
        );
        if let (Some(then), Some(bytes)) = (self.bytes, now.bytes)
            && then != bytes
        {
            text.push_str(&format!(
                "; its file had {then} bytes then and has {bytes} now"
            ));
        }
        if let Some(modified) = now.modified
            && self.modified != now.modified
        {
            text.push_str(&format!(
                "; the file was changed {} UTC",
                date::minute(modified)
            ));
        }
        text.push_str(". Check that the labels still fit, then confirm the frame.");
        Some(text)
    }
}

/// The digest of a frame's pixels, see [`LabelledPixels::digest`].
pub fn digest_of_pixels(pixels: &Grid<f32>) -> [u8; 32] {
    const CHUNK: usize = 4096;
    let mut digest = Sha256::new();
    digest.update((pixels.width() as u64).to_le_bytes());
    digest.update((pixels.height() as u64).to_le_bytes());
    let mut bytes = Vec::with_capacity(CHUNK * 4);
    for cells in pixels.cells().chunks(CHUNK) {
        bytes.clear();
        for value in cells {
            let value = if value.is_nan() { f32::NAN } else { *value };
            bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        digest.update(&bytes);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_and_every_nan_is_alike() {
        let digest = |cells: [f32; 4]| {
            digest_of_pixels(&Grid::from_cells(2, 2, cells.to_vec()).expect("four cells"))
        };
        let odd = f32::from_bits(f32::NAN.to_bits() | 1);
        assert_eq!(
            digest([0.0, 1.0, f32::NAN, 3.0]),
            digest([0.0, 1.0, odd, 3.0])
        );
        assert_ne!(digest([0.0, 1.0, 2.0, 3.0]), digest([0.0, 1.0, 2.0, 3.5]));
        let wide = Grid::from_cells(4, 1, vec![0.0; 4]).expect("four cells");
        assert_ne!(digest([0.0; 4]), digest_of_pixels(&wide));
    }

    #[test]
    fn what_has_changed_is_said() {
        let then = LabelledPixels {
            digest: [1; 32],
            bytes: Some(10),
            modified: Some(0.0),
            noted: 86_400.0,
        };
        let now = LabelledPixels {
            digest: [2; 32],
            bytes: Some(12),
            modified: Some(172_800.0),
            noted: 200_000.0,
        };
        assert_eq!(then.differ(&then, 4), None);
        assert_eq!(
            then.differ(&now, 4).as_deref(),
            Some(
                "Frame 5 has other pixels than when it was labelled (1970-01-02 00:00 UTC); its file had 10 bytes then \
                 and has 12 now; the file was changed 1970-01-03 00:00 UTC. Check that the labels still fit, then \
                 confirm the frame."
            )
        );
    }
}
