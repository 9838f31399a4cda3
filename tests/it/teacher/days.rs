//! Days, hours and months, as they are where the teacher is.

use std::time::Duration;

use murph::time::Timestamp;
use serde_json::{Value, json};

use super::{MINUTE, all, start, sum};
use crate::harness::{PASSWORD, Person, TestApp};

/// Moves the clock on to a moment.
fn go_to(app: &TestApp, moment: &str) {
    let moment: Timestamp = serde_json::from_value(json!(moment)).unwrap();
    assert!(moment >= app.now());
    app.app.clock.advance(moment.since(app.now()));
}

/// Today, this month and in all, of the first currency.
async fn sums(teacher: &Person, query: &str) -> [String; 3] {
    let dashboard = teacher.get(&format!("/teacher/dashboard{query}")).await.is(200).body;
    let earnings = &dashboard["earnings"][0];
    ["today", "this_month", "total"].map(|name| earnings[name].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_month_begins_where_the_teacher_is() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "1.00").await;
    let student = app.student_with("100.00").await;
    app.watched(&student, course, MINUTE * 10).await;
    go_to(&app, "2026-11-30T20:00:00Z");
    app.watched(&student, course, MINUTE * 10).await;
    // In Nairobi it is December.
    go_to(&app, "2026-11-30T22:30:00Z");
    assert_eq!(sums(&teacher, "").await, ["9.00", "18.00", "18.00"]);
    let nairobi = "?time_zone=Africa/Nairobi";
    assert_eq!(sums(&teacher, nairobi).await, ["0.00", "0.00", "18.00"]);
    app.watched(&student, course, MINUTE * 10).await;
    assert_eq!(sums(&teacher, "").await, ["18.00", "27.00", "27.00"]);
    assert_eq!(sums(&teacher, nairobi).await, ["9.00", "9.00", "27.00"]);
    app.close().await;
}

#[tokio::test]
async fn the_profile_says_where_the_teacher_is() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "1.00").await;
    let student = app.student_with("100.00").await;
    for wrong in [json!("Mars/Olympus"), json!(""), json!(7), Value::Null] {
        let refused = teacher.put("/auth/me", json!({"profile": {"time_zone": wrong}})).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.body["param"], "profile");
    }
    let profile = json!({"profile": {"time_zone": "Africa/Nairobi", "motto": "pole pole"}});
    teacher.put("/auth/me", profile).await.is(200);

    go_to(&app, "2026-11-24T20:00:00Z");
    app.watched(&student, course, MINUTE * 10).await;
    go_to(&app, "2026-11-24T22:30:00Z");
    let dashboard = teacher.get("/teacher/dashboard").await.is(200).body;
    assert_eq!(dashboard["time_zone"], "Africa/Nairobi");
    assert_eq!(sums(&teacher, "").await, ["0.00", "9.00", "9.00"]);
    assert_eq!(sums(&teacher, "?time_zone=UTC").await, ["9.00", "9.00", "9.00"]);
    let days = all(&teacher, "by=day&from=2026-11-24", 100).await;
    let of_days: Vec<_> = days.iter().map(|day| (&day["day"], &day["total"])).collect();
    assert_eq!(
        of_days,
        [(&json!("2026-11-25"), &json!("0.00")), (&json!("2026-11-24"), &json!("9.00"))]
    );
    assert_eq!(days[0]["begin"], "2026-11-24T21:00:00.000000Z");
    let table = teacher.get("/teacher/earnings.csv?from=2026-11-25").await.is(200).text;
    assert_eq!(table.lines().count(), 1, "{table}");
    let mut events = super::Events::open(&teacher, &app, None).await;
    let (live, _) = events.next().await.unwrap();
    assert_eq!(live["earnings"][0]["today"], "0.00");
    drop(events);
    app.close().await;
}

#[tokio::test]
async fn a_day_with_fewer_hours_has_all_that_was_earned() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "1.00").await;
    let student = app.student_with("100.00").await;
    // At half past one in New York, and, an hour later, at half past three.
    for moment in ["2027-03-14T06:30:00Z", "2027-03-14T07:30:00Z"] {
        go_to(&app, moment);
        app.watched(&student, course, MINUTE * 10).await;
    }
    app.app.clock.advance(Duration::from_hours(48));
    let teacher = app.log_in(&teacher.email, PASSWORD).await;
    let query = "from=2027-03-14&to=2027-03-14&time_zone=America/New_York";
    let hours = all(&teacher, &format!("by=hour&{query}"), 10).await;
    assert_eq!((hours.len(), sum(&hours, "total").as_str()), (23, "18.00"));
    assert!(hours.iter().all(|hour| hour["day"] == "2027-03-14"));
    assert!(hours.windows(2).all(|pair| pair[0]["begin"] == pair[1]["end"]), "{hours:#?}");
    let earned = hours.iter().filter(|hour| hour["total"] == "9.00");
    let begins: Vec<&Value> = earned.map(|hour| &hour["begin"]).collect();
    assert_eq!(begins, ["2027-03-14T07:00:00.000000Z", "2027-03-14T06:00:00.000000Z"]);
    let days = all(&teacher, &format!("by=day&{query}"), 10).await;
    assert_eq!((days.len(), sum(&days, "total").as_str()), (1, "18.00"));
    assert_eq!(
        (&days[0]["begin"], &days[0]["end"]),
        (&hours[22]["begin"], &json!("2027-03-15T04:00:00.000000Z"))
    );
    app.close().await;
}

#[tokio::test]
async fn what_is_yet_to_come_is_not_listed() {
    let app = start().await;
    let teacher = app.teacher().await;
    go_to(&app, "2026-11-24T05:30:00Z");
    let hours = all(&teacher, "by=hour&from=2026-11-24&to=2199-12-31", 2).await;
    assert_eq!(hours.len(), 6);
    assert_eq!(hours[0]["begin"], "2026-11-24T05:00:00.000000Z");
    let days = all(&teacher, "by=day&from=2026-11-23&to=2026-11-30", 2).await;
    assert_eq!(days.len(), 2);
    let none = all(&teacher, "by=day&from=2026-11-25&to=2026-11-30", 2).await;
    assert!(none.is_empty(), "{none:?}");
    app.close().await;
}
