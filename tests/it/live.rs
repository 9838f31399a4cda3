//! Sessions through the real socket: watched, charged, told, settled.

mod doors;
mod life;
mod money;
pub(crate) mod player;
mod rules;

use murph::{config::Config, id::CourseId};
use serde_json::Value;

use self::player::Player;
use crate::harness::{Person, TestApp};

/// A teacher with a course, and a student with money, on a Murph.
pub(crate) struct School {
    pub(crate) app: TestApp,
    pub(crate) teacher: Person,
    pub(crate) student: Person,
    pub(crate) course: CourseId,
}

impl School {
    /// A course at `price` a minute, and `amount` in the student's wallet.
    pub(crate) async fn open(price: &str, amount: &str) -> Self {
        Self::open_with(price, amount, |_| {}).await
    }

    pub(crate) async fn open_with(
        price: &str,
        amount: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let app = TestApp::start_with(change).await;
        let teacher = app.teacher().await;
        let course = app.course(&teacher, price).await;
        let student = app.student_with(amount).await;
        Self { app, teacher, student, course }
    }

    pub(crate) async fn play(&self) -> Player {
        Player::start(&self.app, &self.student, self.course).await
    }

    pub(crate) async fn session(&self, player: &Player) -> Value {
        self.student.get(&format!("/sessions/{}", player.session_id)).await.is(200).body
    }

    /// Waits until the session at `path` is in this phase.
    pub(crate) async fn until_phase(&self, path: &str, phase: &str) -> Value {
        self.until(path, |session| session["phase"] == phase).await
    }

    pub(crate) async fn until_ended(&self, path: &str) -> Value {
        self.until(path, |session| session["status"] != "active").await
    }

    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let session = self.student.get(path).await.is(200).body;
            if holds(&session) {
                return session;
            }
            assert!(std::time::Instant::now() < deadline, "{session:#}");
            tokio::task::yield_now().await;
        }
    }
}
