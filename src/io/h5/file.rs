//! The bytes of an HDF5 file, read without the library.

use std::path::Path;

/// A file read at given places by several threads.
pub struct File(std::fs::File);

impl File {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        std::fs::File::open(path).map(Self)
    }

    pub fn length(&self) -> std::io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    pub fn read_at(&self, start: u64, size: usize) -> std::io::Result<Vec<u8>> {
        if start
            .checked_add(size as u64)
            .is_none_or(|end| self.length().is_ok_and(|length| end > length))
        {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        #[cfg(unix)]
        let bytes = {
            // Into memory that is not zeroed first: that would cost as much as the reading.
            let mut bytes: Vec<u8> = Vec::with_capacity(size);
            while bytes.len() < size {
                let at = start + bytes.len() as u64;
                let n = rustix::io::pread(&self.0, rustix::buffer::spare_capacity(&mut bytes), at)?;
                if n == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            bytes.truncate(size);
            bytes
        };
        #[cfg(windows)]
        let mut bytes = vec![0; size];
        #[cfg(windows)]
        {
            let mut done = 0;
            while done < size {
                let n = std::os::windows::fs::FileExt::seek_read(
                    &self.0,
                    &mut bytes[done..],
                    start + done as u64,
                )?;
                if n == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                done += n;
            }
        }
        Ok(bytes)
    }
}
