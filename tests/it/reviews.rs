//! Reviews: what they are worth, what they bring, and those that were bought.

mod bonuses;
mod bought;
mod shown;
mod summary;

use std::time::Duration;

use futures_util::future::join_all;
use murph::{
    db,
    domain::{session::Session, video::VideoProgress},
    id::{CourseId, VideoId},
    service::reviews,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, Reply, TestApp};

const MINUTE: Duration = Duration::from_mins(1);

/// A course of one unit a minute, with videos of ten minutes.
struct School {
    app: TestApp,
    teacher: Person,
    course: CourseId,
    videos: Vec<VideoId>,
}

impl School {
    async fn open(videos: usize) -> Self {
        Self::open_with(videos, |_| {}).await
    }

    async fn open_with(videos: usize, change: impl FnOnce(&mut murph::config::Config)) -> Self {
        let app = TestApp::start_with(|config| {
            config.auth.access_token_seconds = 86_400;
            change(config);
        })
        .await;
        let teacher = app.teacher().await;
        let course = app.course(&teacher, "1.00").await;
        let mut school = Self { app, teacher, course, videos: Vec::new() };
        for nth in 0..videos {
            let path = format!("/courses/{course}/videos");
            let video = json!({"title": format!("part {nth}"), "duration_ms": 600_000});
            let made = school.teacher.post(&path, video).await.is(201);
            school.videos.push(serde_json::from_value(made.body["id"].clone()).unwrap());
        }
        school
    }

    /// From now on it is about another course, a minute later, with one video.
    async fn move_to_another_course(&mut self) {
        self.app.app.clock.advance(MINUTE);
        self.course = self.app.course(&self.teacher, "1.00").await;
        let path = format!("/courses/{}/videos", self.course);
        let video = json!({"title": "all of it", "duration_ms": 600_000});
        let video = self.teacher.post(&path, video).await.is(201).body["id"].clone();
        self.videos = vec![serde_json::from_value(video).unwrap()];
    }

    /// A student watches so long, and so many of the videos to their end.
    async fn watched(&self, student: &Person, minutes: u32, videos: usize) -> Session {
        let session = self.app.watched(student, self.course, MINUTE * minutes).await;
        let progress: Vec<VideoProgress> = self.videos[..videos]
            .iter()
            .map(|video| VideoProgress {
                session_id: session.id,
                fence: session.fence,
                video_id: *video,
                position_ms: 600_000,
                watched_ms: 600_000,
                coverage: u64::MAX,
                at: self.app.now(),
            })
            .collect();
        let mut tx = self.app.app.db.begin().await.unwrap();
        db::progress::upsert(&mut tx, &progress).await.unwrap();
        tx.commit().await.unwrap();
        session
    }

    fn path(&self) -> String {
        format!("/reviews/courses/{}/reviews", self.course)
    }

    async fn review(&self, student: &Person, session: &Session, rating: i64) -> Reply {
        self.app.app.clock.advance(Duration::from_millis(1));
        let body = json!({"session_id": session.id, "rating": rating, "text": "It was so."});
        student.post(&self.path(), body).await
    }

    async fn course(&self) -> Value {
        self.app.get(&format!("/api/v1/courses/{}", self.course)).await.is(200).body
    }

    async fn earned(&self) -> String {
        self.teacher.balance().await.0
    }
}

#[tokio::test]
async fn a_credible_review_counts_and_brings_a_bonus() {
    let school = School::open(2).await;
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 20, 2).await;
    assert_eq!(school.earned().await, "18.00");
    assert_eq!(school.course().await["rating"], Value::Null);

    let review = school.review(&student, &session, 4).await.is(201).body;
    // 0.4 + 0.35 x 0.75 + 0.15 + 0.1
    assert_eq!(
        review["credibility"],
        json!({
            "depth": "1.000000", "consistency": "0.750000", "duration": "1.000000",
            "coverage": "1.000000", "score": "0.912500", "weight": "1.000000",
        })
    );
    // 20.00 x (91.25 - 55) / 300, rounded down; the platform has 2.00.
    assert_eq!(
        (&review["bonus"], &review["bonus_status"]),
        (&json!("2.416666"), &json!("waiting"))
    );
    assert_eq!((&review["status"], &review["flags"]), (&json!("published"), &json!([])));
    let course = school.course().await;
    assert_eq!((&course["rating"], &course["reviews"]), (&json!("4.00"), &json!(1)));
    let listed = school.app.get(&format!("/api/v1{}", school.path())).await.is(200).body;
    assert_eq!(listed["data"][0]["text"], "It was so.");
    assert!(listed["data"][0].get("session_id").is_none(), "that is nobody's business");

    // It waits until the platform has enough, and is paid once, however many try.
    let app = &school.app.app;
    assert_eq!(reviews::pay_waiting(app, school.app.now()).await.unwrap(), 0);
    assert_eq!(school.earned().await, "18.00");
    let other = school.app.student_with("30.00").await;
    school.watched(&other, 10, 0).await;
    let now = school.app.now();
    let paid = join_all((0..4).map(|_| reviews::pay_waiting(app, now))).await;
    let paid: usize = paid.into_iter().map(Result::unwrap).sum();
    assert_eq!(paid, 1);
    assert_eq!(school.earned().await, "29.416666", "18 + 9 + bonus");
    let path = format!("/reviews/{}", review["id"].as_str().unwrap());
    assert_eq!(student.get(&path).await.is(200).body["bonus_status"], "paid");
    let history = school.teacher.get("/payments/transactions?type=quality_bonus").await.is(200);
    assert_eq!(history.body["data"][0]["session_id"], json!(session.id));
    school.app.close().await;
}

#[tokio::test]
async fn a_session_has_one_review_however_often_it_is_sent() {
    let school = School::open(1).await;
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 10, 1).await;
    let sent = join_all((0..8).map(|_| school.review(&student, &session, 5))).await;
    let made = sent.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 1, "{sent:?}");
    for reply in sent.iter().filter(|reply| reply.status != 201) {
        reply.refused(409, "already_reviewed");
    }
    assert_eq!(school.course().await["reviews"], 1);
    school.app.close().await;
}

#[tokio::test]
async fn a_review_or_a_decision_sent_twice_under_a_key_is_done_once() {
    let school = School::open(1).await;
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 10, 1).await;
    let body = json!({"session_id": session.id, "rating": 5, "text": "It was so."});
    let made = student.post_once(&school.path(), "k", body.clone()).await.is(201);
    let again = student.post_once(&school.path(), "k", body).await.is(201);
    assert_eq!((again.is_replayed(), &again.body), (true, &made.body));
    let other = json!({"session_id": session.id, "rating": 4, "text": "It was so."});
    student.post_once(&school.path(), "k", other).await.refused(422, "idempotency_key_reused");

    let admin = school.app.admin().await;
    let path = format!("/admin/reviews/{}", made.body["id"].as_str().unwrap());
    let because = json!({"reason": "bought"});
    let reject = format!("{path}/reject");
    let rejected = admin.post_once(&reject, "d", because.clone()).await.is(200);
    admin.post(&format!("{path}/approve"), json!({"reason": "not so"})).await.is(200);
    let again = admin.post_once(&reject, "d", because.clone()).await.is(200);
    assert_eq!((again.is_replayed(), &again.body), (true, &rejected.body));
    assert_eq!(school.course().await["reviews"], 1, "the approval came after it");
    let approve = format!("{path}/approve");
    admin.post_once(&approve, "d", because).await.refused(422, "idempotency_key_reused");
    school.app.close().await;
}

#[tokio::test]
async fn what_cannot_be_reviewed_is_refused_and_changes_nothing() {
    let school = School::open(1).await;
    let (student, other) =
        (school.app.student_with("30.00").await, school.app.student_with("30.00").await);
    let session = school.watched(&student, 10, 1).await;
    let short = school.watched(&other, 0, 0).await;
    school.review(&other, &short, 5).await.refused(409, "session_cancelled");
    school.review(&other, &session, 5).await.refused(404, "not_found");
    school.review(&school.teacher, &session, 5).await.refused(403, "forbidden");
    let open = other.post("/sessions/start", json!({"course_id": school.course})).await.is(201);
    let open = json!({"session_id": open.body["session"]["id"], "rating": 5});
    other.post(&school.path(), open).await.refused(409, "session_not_ended");

    let elsewhere = school.app.course(&school.teacher, "1.00").await;
    let body = |rating: Value, text: &str| json!({"session_id": session.id, "rating": rating, "text": text});
    let path = format!("/reviews/courses/{elsewhere}/reviews");
    student.post(&path, body(json!(5), "")).await.refused(404, "not_found");
    for rating in [json!(0), json!(6), json!(-1), json!(4.5), json!("5"), Value::Null] {
        student.post(&school.path(), body(rating, "")).await.refused(422, "invalid");
    }
    let long = "x".repeat(5_001);
    for text in ["<script>alert(1)</script>", "<b>good</b>", "\u{7}", &long] {
        let reply = student.post(&school.path(), body(json!(5), text)).await;
        assert_eq!(reply.body["param"], "text", "{reply:?}");
        reply.refused(422, "invalid");
    }
    let huge = "x".repeat(1_100_000);
    student.post(&school.path(), body(json!(5), &huge)).await.refused(413, "body_too_large");
    assert_eq!(school.course().await["reviews"], 0);
    school.app.close().await;
}

#[tokio::test]
async fn a_bought_review_waits_for_an_admin() {
    let school = School::open(2).await;
    let admin = school.app.admin().await;
    let student = school.app.student_with("30.00").await;
    // Praise after a minute of twenty.
    let session = school.watched(&student, 1, 0).await;
    let review = school.review(&student, &session, 5).await.is(201).body;
    assert_eq!(review["status"], "held");
    assert_eq!(review["flags"], json!([]), "whoever knows the rules gets around them");
    let hidden = school.course().await;
    assert_eq!((&hidden["rating"], &hidden["reviews"]), (&Value::Null, &json!(0)));
    let listed = school.app.get(&format!("/api/v1{}", school.path())).await.is(200).body;
    assert_eq!(listed["data"], json!([]));

    let held = admin.get("/admin/reviews?status=held").await.is(200).body;
    assert_eq!(held["data"][0]["id"], review["id"]);
    assert_eq!(held["data"][0]["flags"][0]["flag"], "extreme_rating");
    let explanation = held["data"][0]["flags"][0]["explanation"].as_str().unwrap();
    assert!(explanation.contains("tenth"), "{explanation}");
    let path = format!("/admin/reviews/{}", review["id"].as_str().unwrap());
    let because = |reason: &str| json!({"reason": reason});
    admin.post(&format!("{path}/approve"), because(" ")).await.refused(422, "invalid");
    let kept = admin.post(&format!("{path}/approve"), because("a real fan")).await.is(200).body;
    assert_eq!(
        (&kept["status"], &kept["decision"]["reason"]),
        (&json!("published"), &json!("a real fan"))
    );
    assert_eq!(school.course().await["reviews"], 1);
    // Again: nothing is counted twice.
    admin.post(&format!("{path}/approve"), because("still")).await.is(200);
    assert_eq!(school.course().await["reviews"], 1);
    for _ in 0..2 {
        admin.post(&format!("{path}/reject"), because("after all")).await.is(200);
        assert_eq!(school.course().await["reviews"], 0);
    }
    let nobody = "/admin/reviews/019aa000-0000-7000-8000-000000000000/reject";
    admin.post(nobody, because("x")).await.refused(404, "not_found");
    school.app.close().await;
}

#[tokio::test]
async fn reviews_that_come_together_are_held() {
    let school = School::open(1).await;
    for nth in 1..=10 {
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 2, 1).await;
        let review = school.review(&student, &session, 4).await.is(201).body;
        assert_eq!(review["status"], if nth < 10 { "published" } else { "held" }, "{nth}");
    }
    let admin = school.app.admin().await;
    let held = admin.get("/admin/reviews?status=held").await.is(200).body;
    assert_eq!(held["data"][0]["flags"][0]["flag"], "burst");
    school.app.close().await;
}

#[tokio::test]
async fn one_who_praises_again_and_again_is_held() {
    let school = School::open(1).await;
    let student = school.app.student_with("100.00").await;
    for nth in 1..=4 {
        let session = school.watched(&student, 10, 1).await;
        let review = school.review(&student, &session, 5).await.is(201).body;
        assert_eq!(review["status"], if nth < 4 { "published" } else { "held" }, "{review:#}");
        school.app.app.clock.advance(Duration::from_hours(2));
    }
    // After a month it is a new start.
    school.app.app.clock.advance(Duration::from_hours(24 * 31));
    let student = school.app.log_in(&student.email, PASSWORD).await;
    let session = school.watched(&student, 10, 1).await;
    let review = school.review(&student, &session, 5).await.is(201).body;
    assert_eq!(review["status"], "published");
    school.app.close().await;
}

/// Signs in from somewhere, as a trusted proxy says.
async fn sign_in_from(app: &TestApp, person: &Person, address: &str) {
    let body = json!({"email": person.email, "password": PASSWORD});
    let request = app.client.post(format!("{}/api/v1/auth/login", app.url)).json(&body);
    Reply::to(&Method::POST, request.header("x-forwarded-for", address)).await.is(200);
}

#[tokio::test]
async fn a_student_at_the_teachers_address_is_held() {
    let school = School::open_with(1, |config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let (student, neighbour) =
        (school.app.student_with("30.00").await, school.app.student_with("30.00").await);
    sign_in_from(&school.app, &school.teacher, "203.0.113.7").await;
    sign_in_from(&school.app, &student, "203.0.113.8").await;
    sign_in_from(&school.app, &neighbour, "203.0.113.7").await;
    for (student, status) in [(&student, "published"), (&neighbour, "held")] {
        let session = school.watched(student, 10, 1).await;
        let review = school.review(student, &session, 4).await.is(201).body;
        assert_eq!(review["status"], status, "{review:#}");
    }
    school.app.close().await;
}

#[tokio::test]
async fn a_teacher_contests_once_and_only_what_is_of_their_courses() {
    let school = School::open(1).await;
    let (admin, stranger) = (school.app.admin().await, school.app.teacher().await);
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 5, 1).await;
    let review = school.review(&student, &session, 2).await.is(201).body;
    let path = format!("/reviews/{}", review["id"].as_str().unwrap());
    let contest = format!("{path}/contest");
    let because = json!({"reason": "Never was there."});
    stranger.post(&contest, because.clone()).await.refused(404, "not_found");
    stranger.get(&path).await.refused(404, "not_found");
    student.post(&contest, because.clone()).await.refused(403, "forbidden");
    school.teacher.post(&contest, json!({"reason": ""})).await.refused(422, "invalid");
    let contested = school.teacher.post(&contest, because.clone()).await.is(200).body;
    assert_eq!(contested["contest"]["reason"], "Never was there.");
    assert_eq!(school.course().await["reviews"], 1, "it stands until it is decided");
    school.teacher.post(&contest, because.clone()).await.refused(409, "review_closed");

    let open = admin.get("/admin/reviews?contested=true").await.is(200).body;
    assert_eq!(open["data"][0]["id"], review["id"]);
    let reject = format!("/admin/reviews/{}/reject", review["id"].as_str().unwrap());
    admin.post(&reject, json!({"reason": "Indeed."})).await.is(200);
    let open = admin.get("/admin/reviews?contested=true").await.is(200).body;
    assert_eq!(open["data"], json!([]));
    assert_eq!(school.course().await["reviews"], 0);
    assert_eq!(student.get(&path).await.is(200).body["decision"]["reason"], "Indeed.");
    school.app.close().await;
}

#[tokio::test]
async fn courses_are_found_by_their_rating() {
    let mut school = School::open(1).await;
    let mut ids = Vec::new();
    for rating in [2, 5, 4] {
        school.move_to_another_course().await;
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 10, 1).await;
        school.review(&student, &session, rating).await.is(201);
        ids.push(school.course.to_string());
    }
    let found = async |query: &str| {
        let page = school.app.get(&format!("/api/v1/courses?{query}")).await.is(200).body;
        let ids = page["data"].as_array().unwrap().iter();
        let ids: Vec<String> = ids.map(|c| c["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(found("min_rating=4").await.0, [&ids[1][..], &ids[2]]);
    assert_eq!(found("min_rating=4.01&sort=newest").await.0, [&ids[1][..]]);
    let (first, next) = found("sort=-rating&limit=2").await;
    assert_eq!(first, [&ids[1][..], &ids[2]]);
    let (rest, _) = found(&format!("sort=-rating&limit=2&cursor={}", next.unwrap())).await;
    assert_eq!(rest[0], ids[0], "what nobody has rated comes last");
    assert_eq!(rest.len(), 2);
    assert_eq!(found("search=course&min_rating=3").await.0.len(), 2);
    let (first, next) = found("search=course&sort=-rating&limit=1").await;
    assert_eq!(first, [&ids[1][..]]);
    let next = format!("search=course&sort=-rating&limit=100&cursor={}", next.unwrap());
    assert_eq!(found(&next).await.0[..2], [&ids[2][..], &ids[0]]);
    assert_eq!(found("search=course&sort=-rating&min_rating=4").await.0, [&ids[1][..], &ids[2]]);
    let wrong = school.app.get("/api/v1/courses?min_rating=6").await;
    wrong.refused(422, "invalid");
    school.app.close().await;
}

/// A school whose platform takes half, and so covers every bonus.
async fn rich_school() -> School {
    School::open_with(1, |config| {
        config.fees.platform_basis_points = murph::money::BasisPoints::new(5_000).unwrap();
    })
    .await
}

#[tokio::test]
async fn a_bonus_is_paid_with_the_approval_and_not_before() {
    let school = rich_school().await;
    let admin = school.app.admin().await;
    let student = school.app.student_with("100.00").await;
    for _ in 0..3 {
        let session = school.watched(&student, 10, 1).await;
        let review = school.review(&student, &session, 5).await.is(201).body;
        assert_eq!(review["bonus_status"], "paid");
    }
    let session = school.watched(&student, 10, 1).await;
    let review = school.review(&student, &session, 5).await.is(201).body;
    assert_eq!((&review["status"], &review["bonus_status"]), (&json!("held"), &json!("none")));
    assert_eq!(school.earned().await, "24.50", "four halves of 10.00, three bonuses of 1.50");
    let path = format!("/admin/reviews/{}", review["id"].as_str().unwrap());
    let because = json!({"reason": "She likes it."});
    for verdict in ["reject", "approve", "reject", "approve"] {
        admin.post(&format!("{path}/{verdict}"), because.clone()).await.is(200);
    }
    assert_eq!(school.earned().await, "26.00", "once, however often it is decided");
    school.app.close().await;
}

#[tokio::test]
async fn nobody_overtakes_a_bonus_that_waits() {
    let school = School::open(1).await;
    let admin = school.app.admin().await;
    let mut reviews = Vec::new();
    // The platform gets 1.00 of each session; each bonus is 1.50.
    for _ in 0..3 {
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 10, 1).await;
        let review = school.review(&student, &session, 5).await.is(201).body;
        assert_eq!(review["bonus_status"], "waiting");
        reviews.push(review["id"].as_str().unwrap().to_owned());
    }
    let app = &school.app.app;
    assert_eq!(reviews::pay_waiting(app, school.app.now()).await.unwrap(), 2, "for 3.00");
    let status = async |nth: usize| {
        let path = format!("/reviews/{}", reviews[nth]);
        admin.get(&path).await.is(200).body["bonus_status"].clone()
    };
    assert_eq!([status(0).await, status(1).await, status(2).await], ["paid", "paid", "waiting"]);
    // What is rejected waits no more.
    let reject = format!("/admin/reviews/{}/reject", reviews[2]);
    admin.post(&reject, json!({"reason": "No."})).await.is(200);
    assert_eq!(status(2).await, "none");
    school.app.close().await;
}

#[tokio::test]
async fn praise_that_comes_all_at_once_is_counted_all_the_same() {
    let mut school = rich_school().await;
    let student = school.app.student_with("100.00").await;
    let mut bodies = Vec::new();
    for _ in 0..6 {
        school.app.app.clock.advance(MINUTE);
        school.course = school.app.course(&school.teacher, "1.00").await;
        school.videos = vec![];
        let session = school.watched(&student, 10, 0).await;
        bodies.push((school.path(), json!({"session_id": session.id, "rating": 4})));
    }
    let student = &student;
    let sent =
        bodies.into_iter().map(|(path, body)| async move { student.post(&path, body).await });
    let sent = join_all(sent).await;
    let published = sent.into_iter().filter(|reply| reply.body["status"] == "published").count();
    assert_eq!(published, 3);
    school.app.close().await;
}
