//! A Redis that a test may kill, because nobody else uses it.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use redis::{Client, Value, cmd};

use super::PATIENCE;

pub(crate) struct Server {
    program: String,
    pub(crate) port: u16,
    process: Option<Child>,
}

/// Another number each time.
pub(crate) fn dice() -> u64 {
    RandomState::new().hash_one(0)
}

/// Free now, and below those that the system gives to outgoing connections: it stays so while the
/// server that had it is dead.
fn free_port() -> u16 {
    let port = || 20_000 + u16::try_from(dice() % 12_000).unwrap();
    let mut ports = std::iter::repeat_with(port).take(100);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

impl Server {
    /// One that does not run yet, if this run has the program.
    pub(crate) fn new() -> Option<Self> {
        let Ok(program) = env::var("MURPH_TEST_REDIS_SERVER") else {
            eprintln!("skipped: run it by scripts/with-redis");
            return None;
        };
        Some(Self { program, port: free_port(), process: None })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns when it answers.
    pub(crate) async fn start(&mut self) {
        let client = Client::open(self.url()).unwrap();
        let answering = async {
            loop {
                let is_gone = match &mut self.process {
                    Some(process) => process.try_wait().unwrap().is_some(),
                    None => true,
                };
                if is_gone {
                    self.process = Some(self.spawn());
                }
                if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                    && cmd("PING").query_async::<Value>(&mut connection).await.is_ok()
                {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answering).await.expect("Redis does not start");
    }

    fn spawn(&self) -> Child {
        Command::new(&self.program)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Its connections stay, and nothing comes out of them: as if a cable were cut.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it runs");
        let sent = Command::new("kill").args([name, &process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
