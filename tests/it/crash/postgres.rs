//! PostgreSQL itself is killed under load and started again, and Murph goes on by itself. On a
//! server that the test starts for this and that nobody else uses.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use futures_util::future::join_all;
use murph::{
    clock::Clock,
    config::DatabaseUrl,
    db::{self, Db},
};
use sqlx::{Connection, PgConnection};

use super::{Acknowledged, Dice, TASKS, live, new_course, new_student, wait_until};
use crate::{
    harness::TestDatabase,
    world::{dawn, start_node},
};

/// A student whose operation was cut off is in an unknown state, and another goes on. So many
/// stand ready for each task.
const STUDENTS: usize = 30;

pub(crate) struct Server {
    bin: PathBuf,
    home: tempfile::TempDir,
    port: u16,
    postmaster: Child,
}

impl Server {
    /// A new one, which keeps its promises about the disk.
    pub(crate) async fn new(bin: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        if is_root() {
            let owner = Command::new("chown").arg("postgres:").arg(home.path()).status();
            assert!(owner.unwrap().success());
        }
        let data = home.path().join("data");
        let made = as_owner(home.path(), &bin.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"])
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        // Free now, and nobody is given it soon.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n";
        let file = data.join("postgresql.conf");
        let mut text = fs::read_to_string(&file).unwrap();
        text.push_str(settings);
        fs::write(&file, text).unwrap();
        let postmaster = spawn(bin, home.path(), port);
        let mut server = Self { bin: bin.into(), home, port, postmaster };
        server.answers().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    async fn answers(&mut self) {
        let url = self.url();
        let postmaster = Mutex::new(&mut self.postmaster);
        let (bin, home, port) = (&self.bin, self.home.path(), self.port);
        wait_until("ready for connections", async || {
            {
                // The processes of the one before hold its memory until they notice its death.
                let mut postmaster = postmaster.lock().unwrap();
                if postmaster.try_wait().unwrap().is_some() {
                    **postmaster = spawn(bin, home, port);
                }
            }
            match PgConnection::connect(&url).await {
                Ok(connection) => connection.close().await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    /// `kill -9`, and up again.
    async fn crash(&mut self) {
        self.kill();
        self.start().await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.postmaster.kill().unwrap();
        self.postmaster.wait().unwrap();
    }

    /// After a kill. Returns when it answers.
    pub(crate) async fn start(&mut self) {
        self.postmaster = spawn(&self.bin, self.home.path(), self.port);
        self.answers().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.postmaster.kill());
        drop(self.postmaster.wait());
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// PostgreSQL refuses to run as root, so root becomes the user that its package made for it.
fn as_owner(home: &Path, program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(home);
    command
}

fn spawn(bin: &Path, home: &Path, port: u16) -> Child {
    as_owner(home, &bin.join("postgres"))
        .arg("-D")
        .arg(home.join("data"))
        .args(["-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn murph_goes_on_when_postgresql_was_killed() {
    let (Ok(_), Ok(bin)) = (env::var("MURPH_TEST_PGDATA"), env::var("MURPH_TEST_PGBIN")) else {
        return eprintln!("skipped: run it by scripts/with-postgres");
    };
    let mut dice = Dice::new();
    let mut server = Server::new(Path::new(&bin)).await;
    let url = DatabaseUrl::Postgres(server.url());
    let directory = tempfile::tempdir().unwrap();
    let config = TestDatabase { url: url.clone(), directory }.config();
    let db = Db::connect(&url, &config.database).await.unwrap();
    db::migrate::up(&db).await.unwrap();
    let course = new_course(&db).await;
    let mut students = Vec::new();
    for _ in 0..TASKS * STUDENTS {
        students.push(new_student(&db).await);
    }
    db.close().await;

    let app = start_node(&url, config.clone(), &Clock::manual(dawn())).await;
    let log = Mutex::new(Acknowledged::default());
    let cut_off = AtomicI64::new(0);
    let tell = |what: &str, id: &str, amount| log.lock().unwrap().note(what, id, amount);
    let tasks = students.chunks(STUDENTS).enumerate().map(async |(extends, students)| {
        for student in students {
            let error = live(&app, &course, *student, extends, &tell).await.unwrap_err();
            eprintln!("cut off: {error}");
            cut_off.fetch_add(1, Ordering::SeqCst);
        }
        panic!("Murph does not recover");
    });
    let operations = || log.lock().unwrap().operations;
    let crashes = async {
        // As often as the run asks for; each costs a recovery.
        for _ in 0..super::rounds().div_ceil(3) {
            let more = operations() + i64::try_from(dice.roll(300)).unwrap();
            wait_until("at work", async || operations() >= more).await;
            server.crash().await;
        }
        let enough = operations() + 100;
        wait_until("at work again", async || operations() >= enough).await;
    };
    tokio::select! {
        _ = join_all(tasks) => unreachable!("each ends in a panic"),
        () = crashes => {}
    }
    // Those that were dropped under way may be done all the same.
    app.finish().await;
    let in_flight = cut_off.into_inner() + i64::try_from(TASKS).unwrap();
    let db = Db::connect(&url, &config.database).await.unwrap();
    log.into_inner().unwrap().assert_kept(&db, in_flight).await;
    db.close().await;
}
