//! Who plays: a teacher with a course and a video, and students with money.
//!
//! Passwords are slow to hash, on purpose, so a school can be kept in a file and used again.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    api::{Account, Api, Ask, Balance, Refusal},
    fleet::Seat,
};
use crate::{
    cli::fail::{self, Failure},
    clock::Clock,
    domain::meter,
    id::{CourseId, SessionId, VideoId},
    money::Money,
};

/// Accounts made, or looked at, at the same time.
const AT_ONCE: usize = 16;

/// What every wallet has at least besides what watching costs: room for the hold of a session.
const SPARE: Money = Money::from_micros(50_000_000);

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct School {
    pub(super) teacher: Account,
    pub(super) course: Course,
    pub(super) students: Vec<Account>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Course {
    pub(super) id: CourseId,
    pub(super) video_id: VideoId,
    price_per_minute: Money,
    length_ms: u64,
}

/// What a school is to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) accounts: usize,
    pub(super) players: usize,
    pub(super) price_per_minute: Money,
    pub(super) length_ms: u64,
    pub(super) watch: Duration,
}

#[derive(Deserialize)]
struct Made<T> {
    id: T,
}

impl School {
    /// The school that is kept in `file`, if there is one.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, Failure> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail::file("read", file)(error)),
        };
        let school = serde_json::from_str(&text).map_err(|error| {
            let mend = "remove it, and the accounts are made anew";
            Failure::from(format!("{} holds no accounts: {error}; {mend}", file.display()))
        })?;
        Ok(Some(school))
    }

    /// Only for the owner's eyes: there are passwords in it.
    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self).expect("a school is plain data");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(fail::file("write", file))
    }

    /// Makes what is missing of `kept`.
    pub(super) async fn open(
        api: &Api,
        kept: Option<Self>,
        wanted: &Wanted,
    ) -> Result<Self, Failure> {
        let (teacher, course, mut students) = match kept {
            Some(kept) => (Some(kept.teacher), Some(kept.course), kept.students),
            None => (None, None, Vec::new()),
        };
        let (teacher, course) = furnish(api, teacher, course, wanted).await?;
        let missing = wanted.accounts.saturating_sub(students.len());
        let batch = Clock::System.now().micros();
        let made: Vec<Account> = stream::iter(0..missing)
            .map(|nth| register(api, nth, "student", format!("load-{batch}-{nth}@example.org")))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        students.extend(made);
        Ok(Self { teacher, course, students })
    }

    /// Sees to it that those who will play can, and have the money for it.
    pub(super) async fn seat(&mut self, api: &Api, wanted: &Wanted) -> Result<Vec<Seat>, Failure> {
        let students = self.students.iter().take(wanted.players).cloned().enumerate();
        let mut seats: Vec<Seat> = stream::iter(students)
            .map(|(place, account)| prepare(api, place, account, wanted))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        seats.sort_by_key(|seat| seat.place);
        for seat in &seats {
            self.students[seat.place] = seat.account.clone();
        }
        Ok(seats)
    }

    /// Keeps the tokens that `accounts` have got meanwhile.
    pub(super) fn renew(&mut self, accounts: Vec<Account>) {
        for account in accounts {
            if let Some(student) = self.students.iter_mut().find(|old| old.id == account.id) {
                *student = account;
            }
        }
    }
}

async fn furnish(
    api: &Api,
    teacher: Option<Account>,
    course: Option<Course>,
    wanted: &Wanted,
) -> Result<(Account, Course), Failure> {
    if let (Some(mut teacher), Some(course)) = (teacher, course) {
        let path = format!("/courses/{}", course.id);
        let found = api.ask_as::<Value>(&mut teacher, 0, &Ask::get("course", path)).await;
        let is_wanted = course.price_per_minute == wanted.price_per_minute
            && course.length_ms == wanted.length_ms;
        match found {
            Ok(_) if is_wanted => return Ok((teacher, course)),
            Ok(_) => {
                let course = make_course(api, &mut teacher, wanted).await?;
                return Ok((teacher, course));
            }
            // Another server, or another database: everything is made anew.
            Err(refusal) if refusal.is_left_to_callers() => {}
            Err(refusal) => return Err(cannot("find the course", &refusal)),
        }
    }
    let email = format!("load-{}-teacher@example.org", Clock::System.now().micros());
    let mut teacher = register(api, 0, "teacher", email).await?;
    let course = make_course(api, &mut teacher, wanted).await?;
    Ok((teacher, course))
}

async fn make_course(api: &Api, teacher: &mut Account, wanted: &Wanted) -> Result<Course, Failure> {
    let course = json!({"title": "Load", "price_per_minute": wanted.price_per_minute});
    let ask = Ask::post("course", "/courses", course);
    let made = api.ask_as(teacher, 0, &ask).await;
    let Made { id } = made.map_err(|refusal| cannot("make a course", &refusal))?;
    let video = json!({"title": "Load", "duration_ms": wanted.length_ms});
    let ask = Ask::post("video", format!("/courses/{id}/videos"), video);
    let made = api.ask_as(teacher, 0, &ask).await;
    let Made { id: video_id } = made.map_err(|refusal| cannot("make a video", &refusal))?;
    let Wanted { price_per_minute, length_ms, .. } = *wanted;
    Ok(Course { id, video_id, price_per_minute, length_ms })
}

async fn register(api: &Api, place: usize, role: &str, email: String) -> Result<Account, Failure> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    let password = format!("{:032x}", u128::from_be_bytes(bytes));
    let registered = api.register(place, role, (email, password)).await;
    registered.map_err(|refusal| cannot("register", &refusal))
}

/// Somebody with a wallet that is full enough, and no session from an earlier run.
async fn prepare(
    api: &Api,
    place: usize,
    mut account: Account,
    wanted: &Wanted,
) -> Result<Seat, Failure> {
    let ask = Ask::get("active session", "/sessions/active");
    match api.ask_as::<Made<SessionId>>(&mut account, place, &ask).await {
        Ok(Made { id }) => {
            let ask = Ask::post("end", format!("/sessions/{id}/end"), json!({}));
            let ended = api.ask_as::<Value>(&mut account, place, &ask).await;
            ended.map_err(|refusal| cannot("end the session of an earlier run", &refusal))?;
        }
        Err(refusal) if refusal.is_status(StatusCode::NOT_FOUND) => {}
        // Kept from another server, or another database.
        Err(refusal) if refusal.is_status(StatusCode::UNAUTHORIZED) => {
            account = register(api, place, "student", account.email).await?;
        }
        Err(refusal) => return Err(cannot("look for active sessions", &refusal)),
    }
    let balance = fill_wallet(api, place, &mut account, wanted).await;
    let balance = balance.map_err(|refusal| cannot("fill a wallet", &refusal))?;
    Ok(Seat { place, account, balance })
}

async fn fill_wallet(
    api: &Api,
    place: usize,
    account: &mut Account,
    wanted: &Wanted,
) -> Result<Balance, Refusal> {
    let connect = Ask::post("wallet", "/payments/wallet/connect", json!({}));
    let balance: Balance = api.ask_as(account, place, &connect).await?;
    let most = Money::from_micros(i64::MAX);
    let needed = meter::cost(wanted.price_per_minute, wanted.watch * 2, most) + SPARE;
    if balance.available >= needed {
        return Ok(balance);
    }
    let top_up = Ask::post("top-up", "/payments/wallet/top-ups", json!({"amount": needed}));
    api.ask_as::<Value>(account, place, &top_up).await?;
    api.ask_as(account, place, &Ask::get("balance", "/payments/wallet/balance")).await
}

fn cannot(what: &str, refusal: &Refusal) -> Failure {
    let mend = if refusal.has_code("rate_limited") {
        "; start that server with its limits raised: \
         --set auth.register_per_hour_per_address=1000000 \
         --set auth.login_per_minute_per_address=1000000"
    } else if refusal.has_code("no_gateway") {
        "; load needs the sandbox gateway, as it spends play money"
    } else {
        ""
    };
    Failure::from(format!("cannot {what}: {}{mend}", refusal.sentence()))
}
