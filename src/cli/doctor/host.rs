//! What `murph doctor` looks at on this machine.

use std::{
    fs::{self, OpenOptions},
    io,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::Check;
use crate::{
    cli::{
        fail::{self, Failure},
        health,
    },
    config::Config,
};

/// Each connection is an open file; with fewer, a class of schools is already too much.
const OPEN_FILES_MIN: u64 = 10_000;

/// Read and write for the owner, nothing for anybody else.
const PRIVATE: u32 = 0o600;

/// In the data directory; `service::identity` makes and reads it.
const SECRET_NAME: &str = "auth_secret";

/// The same length as there.
const SECRET_LENGTH_MIN: usize = 32;

/// The data directory and the secret in it. With PostgreSQL, nothing is kept on disk.
pub(super) fn files(config: &Config) -> Vec<Check> {
    if !config.database_url().is_sqlite() {
        let kept = if config.auth.secret.is_empty() { "in the database" } else { "configured" };
        return vec![Check::ok("secret", kept)];
    }
    vec![data_dir(&config.server.data_dir), secret(config)]
}

fn data_dir(path: &Path) -> Check {
    let name = "data directory";
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mend = "`murph serve` makes it, or check server.data_dir";
            Check::warning(name, format!("{shown} is not there yet"), mend)
        }
        Err(error) => Check::failed(name, &fail::file("look at", path)(error)),
        Ok(metadata) if !metadata.is_dir() => {
            Check::wrong(name, format!("{shown} is a file"), "name a directory in server.data_dir")
        }
        Ok(_) => match try_writing(path) {
            Ok(()) => Check::ok(name, format!("{shown} can be written")),
            Err(error) => {
                let detail = format!("{shown} cannot be written: {}", fail::said(&error));
                Check::wrong(name, detail, "let the user that runs Murph write it")
            }
        },
    }
}

/// Only trying tells, what with read-only mounts and access lists. The file is gone at once.
fn try_writing(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".doctor-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(path)
}

fn secret(config: &Config) -> Check {
    let name = "secret";
    if !config.auth.secret.is_empty() {
        return Check::ok(name, "configured");
    }
    let path = config.server.data_dir.join(SECRET_NAME);
    let shown = path.display();
    let read = fs::metadata(&path).and_then(|data| Ok((data, fs::read_to_string(&path)?)));
    let (metadata, secret) = match read {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(name, "made and kept by the first start");
        }
        Err(error) => return Check::failed(name, &fail::file("read", &path)(error)),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if secret.trim().len() < SECRET_LENGTH_MIN {
        let mend = format!("remove {shown}: the next start makes one, and all sign in again");
        Check::wrong(name, format!("{shown} is too short to be one"), mend)
    } else if mode & !PRIVATE != 0 {
        let detail = format!("{shown} can be read by others (mode {mode:04o})");
        Check::wrong(name, detail, format!("chmod 600 {shown}"))
    } else {
        Check::ok(name, format!("{shown}, mode {mode:04o}"))
    }
}

pub(super) fn open_files(config: &Config) -> Check {
    let name = "open files";
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let wanted = u64::try_from(config.server.max_connections).unwrap_or(u64::MAX);
    match soft_limit(&limits) {
        None => Check::ok(name, "not limited, or this system does not say"),
        Some(limit) if limit < OPEN_FILES_MIN.max(wanted) => Check::warning(
            name,
            format!("at most {limit}, and server.max_connections is {wanted}"),
            "raise it: `ulimit -n 65536`, or LimitNOFILE= in a systemd unit",
        ),
        Some(limit) => Check::ok(name, format!("at most {limit}")),
    }
}

/// From a line such as `Max open files   1024   524288   files`. `None` if there is no limit.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The port is free, or a Murph has it.
pub(super) async fn listen(config: &Config) -> Check {
    let name = "listen";
    let address = config.server.listen;
    let Err(error) = TcpListener::bind(address) else {
        return Check::ok(name, format!("{address} is free"));
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        let detail = format!("cannot listen on {address}: {}", fail::said(&error));
        return Check::wrong(name, detail, "set server.listen to an address of this machine");
    }
    match ask(config).await {
        Ok(version) => Check::ok(name, format!("Murph {version} is healthy on {address}")),
        Err(_) => Check::wrong(
            name,
            format!("another program has {address}, or a Murph that is not well"),
            "stop it, or set server.listen to another port",
        ),
    }
}

async fn ask(config: &Config) -> Result<String, Failure> {
    Ok(health::ask(&health::url_of(config.server.listen)?).await?.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_one_that_counts() {
        let line = "Max open files            1024                 524288               files";
        assert_eq!(soft_limit(&format!("Limit  Soft\n{line}\n")), Some(1_024));
        assert_eq!(soft_limit("Max open files   unlimited   unlimited   files"), None);
        assert_eq!(soft_limit(""), None);
    }
}
