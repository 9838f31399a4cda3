//! `murph serve` in a process of its own: this very program, started once more.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;

/// Says which part of a bench a process plays.
pub(crate) const ROLE: &str = "MURPH_BENCH_ROLE";

/// A server that runs. Killed when dropped, in the middle of whatever it does.
pub(crate) struct Serving {
    pub(crate) child: Child,
    /// `http://` and where it listens.
    pub(crate) url: String,
}

impl Serving {
    /// Comes back when it listens. Whatever else it logs is shown.
    pub(crate) fn start(settings: &[(&str, String)]) -> Self {
        let exe = std::env::current_exe().expect("this program is a file");
        let settings = settings.iter().map(|(key, value)| (format!("MURPH__{key}"), value));
        let mut child = Command::new(exe)
            // Cargo's own arguments are not for the server.
            .arg("serve")
            .env(ROLE, "murph")
            .envs(settings)
            .env("MURPH__LOG__FORMAT", "json")
            .env("MURPH__LOG__FILTER", "warn,murph::cli=info")
            .env("MURPH__SERVER__LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let url = loop {
            let line = lines.next().expect("Murph listens before it ends").expect("it is text");
            let line: Value = serde_json::from_str(&line).expect("it logs JSON");
            if let Some(url) = line["url"].as_str() {
                break url.to_owned();
            }
        };
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("{line}")));
        Self { child, url }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
