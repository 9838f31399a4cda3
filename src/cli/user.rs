//! `murph user create`: the only way to the first admin.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};

use crate::{
    app::App,
    cli::{
        database,
        fail::{self, Failure},
        output,
    },
    clock::Clock,
    config::Config,
    domain::user::{self, Role},
    service::identity::{self, Registration},
};

/// More is no password, but the wrong file.
const PASSWORD_READ_MAX: u64 = 4_096;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes an account and prints its id; the password is read from standard input or a file
    Create(Create),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// What they sign in with
    #[arg(long)]
    email: String,
    /// What others see, 1 to 100 characters
    #[arg(long)]
    name: String,
    /// student, teacher or admin
    #[arg(long)]
    role: Role,
    /// Reads the password from a file; without it, from standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode, Failure> {
    let Command::Create(options) = command;
    let registration = registration(options, config.auth.password_min_length)?;
    let db = database::open(&config).await?;
    // The first admin may well be made before the first start.
    database::migrate_if_new(&db).await?;
    let app = App::start(config, Clock::System, db).await?;
    let created = identity::create_user(&app, registration, app.clock.now()).await;
    app.finish().await;
    output::line(created?.0.id)
}

/// Checks everything before the database is touched, and asks for the password last.
fn registration(options: Create, password_length_min: usize) -> Result<Registration, Failure> {
    let Create { email, name, role, password_file } = options;
    let email = user::parse_email(&email).map_err(|problem| wrong("--email", &problem))?;
    let name = user::parse_name(&name).map_err(|problem| wrong("--name", &problem))?;
    let password = match password_file {
        Some(file) => password_in_file(&file)?,
        None => password_from_stdin(&email)?,
    };
    user::check_password(&password, password_length_min)
        .map_err(|problem| wrong("the password", &problem))?;
    Ok(Registration { email, name, password, role })
}

fn wrong(what: &str, problem: &str) -> Failure {
    Failure::from(format!("{what} {problem}"))
}

fn password_in_file(path: &Path) -> Result<String, Failure> {
    let file = fs::File::open(path).map_err(fail::file("read the password in", path))?;
    read_password(file).map_err(fail::file("read the password in", path))
}

fn password_from_stdin(email: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    let read = if stdin.is_terminal() {
        // Hiding it would take a library for terminals; `--password-file` needs none.
        output::aside(&format!("Password for {email} (it is seen while you type): "));
        let mut line = String::new();
        stdin.lock().read_line(&mut line).and_then(|_| read_password(line.as_bytes()))
    } else {
        read_password(stdin.lock())
    };
    read.map_err(|error| {
        let cause = fail::io_cause(&error);
        Failure::from(format!("cannot read the password from standard input: {cause}"))
    })
}

/// The one line in `source`, without its end.
fn read_password(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(PASSWORD_READ_MAX).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains(['\n', '\r']) {
        return Err(io::Error::other("it has more than one line"));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_and_keeps_its_spaces() {
        for (text, password) in [("a b \n", "a b "), ("ab\r\n", "ab"), (" ab", " ab"), ("", "")] {
            assert_eq!(read_password(text.as_bytes()).unwrap(), password, "{text:?}");
        }
        for text in ["a\nb", "a\n\n"] {
            assert!(read_password(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
