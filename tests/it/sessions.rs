//! Sessions and the catalogue over REST: what is started, seen and ended, by whom, and how often.
//!
//! None of these sessions is ever watched over a socket, so it makes no difference whether a meter
//! runs beside them: what was watched, if anything, is settled by the test itself.

mod catalogue;
mod ending;
mod keys;
mod notices;
mod seen;
mod starting;
mod tickets;

use std::time::Duration;

use murph::{
    db,
    domain::{
        session::{EndReason, Session},
        stretch::Stretch,
    },
    id::{CourseId, SessionId},
    service::sessions::{self as service, End},
};
use serde_json::{Value, json};

use crate::harness::{Person, Reply, TestApp};

const START: &str = "/sessions/start";

/// A server, a teacher with a course at 0.60 a minute, and a student with 100.00.
struct Class {
    app: TestApp,
    teacher: Person,
    student: Person,
    course: CourseId,
}

impl Class {
    async fn gather() -> Self {
        // Nobody meters these sessions, so nobody answers when one is to be ended.
        let app = TestApp::start_with(|config| config.node.answer_ms = 50).await;
        let (teacher, student) = (app.teacher().await, app.student_with("100.00").await);
        let course = app.course(&teacher, "0.60").await;
        Self { app, teacher, student, course }
    }

    /// The student's session, started anew.
    async fn start(&self) -> SessionId {
        start(&self.student, self.course).await
    }

    async fn find(&self, id: SessionId) -> Session {
        let mut tx = self.app.app.db.read().await.unwrap();
        db::sessions::find(&mut tx, id).await.unwrap().unwrap()
    }

    /// Ends a session as its meter would.
    async fn settle(&self, id: SessionId, stretches: Vec<Stretch>, watched: Duration) {
        let session = self.find(id).await;
        let (reason, actor) = (EndReason::EndedByStudent, Some(session.student_id));
        let end = End { watched, stretches, reason, actor };
        service::settle(&self.app.app, session, end, self.app.now()).await.unwrap();
    }
}

async fn start(student: &Person, course: CourseId) -> SessionId {
    session_of(&student.post(START, json!({"course_id": course})).await.is(201))
}

/// The session an answer to a start is about.
#[track_caller]
fn session_of(reply: &Reply) -> SessionId {
    id(&reply.body["session"]["id"])
}

#[track_caller]
fn id(value: &Value) -> SessionId {
    serde_json::from_value(value.clone()).unwrap()
}

async fn end(person: &Person, session: SessionId) -> Reply {
    person.post(&format!("/sessions/{session}/end"), json!({})).await
}

/// The balance of somebody's account: posted, held, available.
async fn assert_has(person: &Person, expected: [&str; 3]) {
    let (posted, held, available) = person.balance().await;
    assert_eq!([posted.as_str(), held.as_str(), available.as_str()], expected);
}

#[track_caller]
fn assert_refused_for(reply: &Reply, param: &str) {
    reply.refused(422, "invalid");
    assert_eq!(reply.body["param"], param, "{reply:?}");
}
