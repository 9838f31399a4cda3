//! What can be said about a `SQLite` file before `SQLite` opens it.
//!
//! `SQLite` itself says "unable to open database file" to most of it, and makes a file where there
//! is none.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::cli::fail::{self, Failure};

/// How every `SQLite` database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Where the header says how the file is written to, and what it says for WAL.
const WRITE_VERSION_AT: usize = 18;
const WAL: u8 = 2;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or a file that is still empty.
    Nothing,
    Database {
        has_wal: bool,
    },
}

/// Looks at a file without changing it. A failure if it is no database, or cannot be read.
pub(super) fn look(path: &Path) -> Result<Found, Failure> {
    let header = match read_header(path) {
        Ok(header) => header,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let path = path.display();
            return Err(Failure::from(format!(
                "{path} is a directory; name a file in it, such as {path}/murph.db"
            )));
        }
        Err(error) => return Err(fail::file("read", path)(error)),
    };
    match header.get(WRITE_VERSION_AT) {
        _ if header.is_empty() => Ok(Found::Nothing),
        Some(version) if header.starts_with(MAGIC) => {
            Ok(Found::Database { has_wal: *version == WAL })
        }
        _ => {
            let path = path.display();
            Err(Failure::from(format!("{path} is not a SQLite database; check the path")))
        }
    }
}

fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    fs::File::open(path)?.take(100).read_to_end(&mut header)?;
    Ok(header)
}

/// A failure if nothing may be written to the file, should it be there.
pub(super) fn check_writable(path: &Path) -> Result<(), Failure> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(fail::file("write", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes a file that only its owner can read, if there is none. Left to itself, `SQLite` lets
/// everybody read the password hashes; what it puts beside the file gets the same permissions.
pub(super) fn make_private(path: &Path) -> Result<(), Failure> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(fail::file("make", path)(error))
        }
        _ => Ok(()),
    }
}

/// `path` with `suffix` behind its name, as `SQLite` names the files beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The directory of a file, which is the working directory for a bare name.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The file behind `path`, so that a link to a database and the database itself are one.
pub(super) fn behind_links(path: &Path) -> PathBuf {
    let in_real_directory = || {
        let directory = fs::canonicalize(directory(path)).ok()?;
        Some(directory.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(in_real_directory).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("murph.db");
        assert_eq!(look(&path).unwrap(), Found::Nothing);
        fs::write(&path, "").unwrap();
        assert_eq!(look(&path).unwrap(), Found::Nothing);
        fs::write(&path, "SQLite format 3").unwrap();
        assert!(look(&path).unwrap_err().sentence().contains("is not a SQLite database"));
        fs::write(&path, [MAGIC, &[0x10, 0, 2, 2]].concat()).unwrap();
        assert_eq!(look(&path).unwrap(), Found::Database { has_wal: true });
        assert!(look(dir.path()).unwrap_err().sentence().contains("is a directory"));
    }

    #[test]
    fn names_beside_a_file() {
        assert_eq!(beside(Path::new("a/murph.db"), "-wal"), Path::new("a/murph.db-wal"));
        assert_eq!(directory(Path::new("murph.db")), Path::new("."));
        assert_eq!(directory(Path::new("a/murph.db")), Path::new("a"));
    }
}
