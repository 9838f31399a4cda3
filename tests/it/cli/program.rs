//! The real program, as its users start it: with arguments, variables, signals and pipes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use murph::config::DatabaseUrl;
use serde_json::Value;

use crate::harness::TestDatabase;

/// How long the program may take for anything before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory to run the program in, and the variables it gets.
pub(crate) struct Place {
    pub(super) directory: PathBuf,
    environment: Vec<(String, String)>,
    _keep: Option<tempfile::TempDir>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) complaint: String,
}

impl Place {
    /// One whose database is a `SQLite` file, `murph.db`, in its own directory.
    pub(super) fn sqlite() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let place = Self { directory: keep.path().into(), environment: vec![], _keep: Some(keep) };
        place.with_test_settings()
    }

    /// One for `database`, of either kind.
    pub(crate) fn on(database: &TestDatabase) -> Self {
        let directory = database.directory.path().to_owned();
        let url = match &database.url {
            DatabaseUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
            DatabaseUrl::Postgres(url) => url.clone(),
        };
        let place = Self { directory, environment: vec![], _keep: None };
        place.with("database.url", &url).with_test_settings()
    }

    fn with_test_settings(self) -> Self {
        let data_dir = self.directory.to_str().unwrap().to_owned();
        self.with("server.data_dir", &data_dir)
            .with("server.listen", "127.0.0.1:0")
            .with("log.format", "json")
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        let variable = format!("MURPH__{}", key.to_uppercase().replace('.', "__"));
        self.environment.push((variable, value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Names of the files in the directory, in order.
    pub(super) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_murph"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end, with nothing to read.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "")
    }

    /// Runs a command to its end, with `input` to read.
    pub(super) fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).spawn().unwrap();
        // It may end without having read any.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let id = child.id();
        let (ended, wait) = mpsc::channel();
        thread::spawn(move || drop(ended.send(child.wait_with_output())));
        let Ok(output) = wait.recv_timeout(PATIENCE) else {
            signal(id, "KILL");
            panic!("murph {arguments:?} does not end");
        };
        let output = output.unwrap();
        let ended = Ended {
            code: output.status.code(),
            said: String::from_utf8(output.stdout).unwrap(),
            complaint: String::from_utf8(output.stderr).unwrap(),
        };
        for text in ["panicked", "RUST_BACKTRACE"] {
            assert!(!ended.complaint.contains(text), "{arguments:?}: {ended:?}");
        }
        ended
    }

    /// Runs a command that nobody listens to, and gives its exit code.
    pub(super) fn run_unheard(&self, arguments: &[&str]) -> Option<i32> {
        let mut child = self.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        child.wait().unwrap().code()
    }

    /// Starts a server, without waiting for it.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Serving {
        let mut child = self.command(arguments).spawn().unwrap();
        let (line, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                drop(line.send(text));
            }
        });
        Serving { child, lines }
    }
}

impl Ended {
    /// It did what it was asked; gives what it said.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.complaint, "", "{self:?}");
        self.said
    }

    /// It failed with `code`, and told why in one line that contains each of `words`.
    #[track_caller]
    pub(crate) fn badly(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.complaint.lines().count(), 1, "{self:?}");
        for word in words {
            assert!(self.complaint.contains(word), "{word:?} is not in {self:?}");
        }
        self.complaint
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.said).expect("JSON was asked for")
    }
}

/// A server that was started. Killed when dropped.
pub(crate) struct Serving {
    child: Child,
    lines: Receiver<String>,
}

impl Serving {
    /// Where it listens, as soon as it does.
    #[track_caller]
    pub(crate) fn url(&self) -> String {
        let line = self.line_with("listening on http://");
        line["url"].as_str().expect("the line has a url").to_owned()
    }

    /// Waits for a line of the log whose message contains `text`.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("{text:?} was never logged"));
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"].as_str().is_some_and(|message| message.contains(text)) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for it to end by itself, and gives its exit code.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Option<i32> {
        // Its log ends with it, so there is something to wait for.
        let deadline = Instant::now() + PATIENCE;
        while let Ok(_line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {}
        assert!(Instant::now() < deadline, "the server does not end");
        self.child.wait().unwrap().code()
    }

    #[track_caller]
    pub(crate) fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.ended(), Some(0));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The standard library cannot send signals; every shell can.
fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(status.unwrap().success());
}

pub(super) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
