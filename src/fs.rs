//! Write a file whole or not at all: a temporary one in the same folder, synced, then renamed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// Why a file could not be written; one sentence with its cure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the file exists; give --force to replace it: {}", .0.display())]
    Exists(PathBuf),
    #[error("the folder of the output does not exist; make it, or choose another: {}", .0.display())]
    NoFolder(PathBuf),
    #[error("cannot {doing} ({source}); check the folder, its permissions and the space left: {}", .path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Whether two paths lead to one file: the same name once links are followed, or two names of the same file.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let (Ok(a), Ok(b)) = (a.canonicalize(), b.canonicalize()) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    a == b
}

/// A file that is being written under a temporary name and appears by [`Pending::commit`].
///
/// Dropped without a commit it leaves nothing behind.
#[derive(Debug)]
pub struct Pending {
    temporary: TempPath,
    target: PathBuf,
    force: bool,
}

impl Pending {
    /// Makes the (empty) temporary file beside `target`.
    ///
    /// Errors: the target exists and `force` is false; the folder cannot be written.
    pub fn new(target: &Path, force: bool) -> Result<Self, Error> {
        if !force && target.symlink_metadata().is_ok() {
            return Err(Error::Exists(target.to_owned()));
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Error::NoFolder(target.to_owned()));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666)); // the umask still applies
        }
        let temporary = builder
            .tempfile_in(folder)
            .map_err(|source| Error::Io {
                doing: "create a file",
                path: target.to_owned(),
                // Without the temporary name, which tells nobody anything.
                source: source.kind().into(),
            })?
            .into_temp_path();
        Ok(Self {
            temporary,
            target: target.to_owned(),
            force,
        })
    }

    /// Where to write until the commit.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs the content to disk and gives the file its name in one step.
    pub fn commit(self) -> Result<(), Error> {
        let Self {
            temporary,
            target,
            force,
        } = self;
        let failed = |doing, source| Error::Io {
            doing,
            path: target.clone(),
            source,
        };
        File::options()
            .write(true)
            .open(&temporary)
            .and_then(|file| file.sync_all())
            .map_err(|source| failed("sync the file", source))?;
        if force {
            temporary
                .persist(&target)
                .map_err(|error| failed("rename the file", error.error))?;
        } else {
            temporary.persist_noclobber(&target).map_err(|error| {
                if error.error.kind() == std::io::ErrorKind::AlreadyExists {
                    Error::Exists(target.clone())
                } else {
                    failed("rename the file", error.error)
                }
            })?;
        }
        #[cfg(unix)]
        if let Some(folder) = target.parent().filter(|f| !f.as_os_str().is_empty()) {
            // The rename itself must survive a power cut; not every file system can sync a folder.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

/// Writes a file whole or not at all; an existing one is only replaced with `force`.
pub fn write_whole(target: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    let pending = Pending::new(target, force)?;
    File::options()
        .write(true)
        .open(pending.path())
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|source| Error::Io {
            doing: "write the file",
            path: target.to_owned(),
            source,
        })?;
    pending.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_and_is_only_replaced_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, b"one", false).unwrap();
        let error = write_whole(&path, b"two", false).unwrap_err().to_string();
        assert!(
            error.contains("--force") && error.ends_with("a.txt"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_whole(&path, b"two", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        drop(Pending::new(&folder.path().join("b"), false).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
