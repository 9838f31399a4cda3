//! What is an amount and what is not, as it is sent, digit for digit.

use std::fmt::Write as _;

use super::{PAYOUTS, TOP_UPS, assert_owns, history, post_text};
use crate::harness::TestApp;

/// In place of the amount in `{"amount":…}`.
const NO_AMOUNTS: &[&str] = &[
    // Not above zero.
    "0",
    "-0",
    "0.0",
    "-0.0",
    "0e9",
    "-1",
    "-30.00",
    "\"0\"",
    "\"-0\"",
    "\"-30.00\"",
    "-1e-6",
    // More than six decimals.
    "30.0000001",
    "\"30.0000001\"",
    "0.0000001",
    "1e-7",
    "\"1e-7\"",
    "30.00000000000000000000000000000000000001",
    // Out of range.
    "1000000000.000001",
    "9223372036854.775807",
    "9223372036854.775808",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "79228162514264337593543950336",
    "1e30",
    "1e309",
    "-1e309",
    "\"1e309\"",
    "1e-309",
    "1e99999999999999999999",
    "\"1e99999999999999999999\"",
    "1e-99999999999999999999",
    // Not JSON's numbers.
    "NaN",
    "Infinity",
    "-Infinity",
    "+30",
    "030",
    ".5",
    "30.",
    "0x1e",
    "1_000",
    "3 0",
    "30e",
    "--30",
    "1,000",
    // Not numbers.
    "\"\"",
    "\" 30\"",
    "\"30 \"",
    "\"3 0\"",
    "\"\\t30\"",
    "\"30\\n\"",
    "\"30,00\"",
    "\"1,000.00\"",
    "\"1_000\"",
    "\"$30\"",
    "\"30 USD\"",
    "\"0x1e\"",
    "\"NaN\"",
    "\"Infinity\"",
    "\"inf\"",
    "\"thirty\"",
    "\"30.00.00\"",
    "\"--30\"",
    "\"\\u0000\"",
    "\"30\\u0000\"",
    "\"\\u0033\\u0030\"",
    // Digits and signs of other scripts.
    "\"٣٠\"",
    "\"３０\"",
    "\"३०\"",
    "\"−30\"",
    "\"30\u{200b}\"",
    "\"½\"",
    "３０",
    // Other types.
    "null",
    "true",
    "false",
    "[]",
    "[30]",
    "[\"30\"]",
    "{}",
    "{\"amount\":30}",
    "",
];

/// In place of the whole body.
const NO_BODIES: &[&str] = &[
    "",
    "{}",
    "null",
    "30",
    "\"30\"",
    "[30]",
    "[{\"amount\":30}]",
    "{\"amount\":30,\"amount\":30}",
    "{\"amount\":30,\"amount\":40}",
    "{\"amount\":null,\"amount\":30}",
    "{\"amount\":30,}",
    "{\"amount\":30",
    "{\"amount\":30}{\"amount\":30}",
    "{\"AMOUNT\":30}",
    "{\"amount\":30,\"currency\":\"USD\",\"currency\":\"EUR\"}",
    "{'amount':30}",
    "amount=30",
];

fn bodies() -> Vec<String> {
    let wrapped = NO_AMOUNTS.iter().map(|amount| format!("{{\"amount\":{amount}}}"));
    let digits = format!("{{\"amount\":{}}}", "9".repeat(10_000));
    let fraction = format!("{{\"amount\":\"0.{}\"}}", "1".repeat(10_000));
    let whole = NO_BODIES.iter().map(|body| (*body).to_owned());
    wrapped.chain(whole).chain([digits, fraction]).collect()
}

#[tokio::test]
async fn what_is_no_amount_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let (ada, teacher) = (app.student_with("5.00").await, app.teacher().await);
    let mut wrong = String::new();
    for body in bodies() {
        for (person, path) in [(&ada, TOP_UPS), (&teacher, PAYOUTS)] {
            let reply = post_text(&app, person, path, "key", &body).await;
            if !matches!(reply.status.as_u16(), 400 | 422) || reply.code().is_empty() {
                writeln!(wrong, "{path} {body}: {reply:?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_owns(&ada, "5.00").await;
    assert_eq!(history(&ada, "").await.len(), 1);
    assert!(history(&teacher, "").await.is_empty());
    // None of them has taken the key.
    post_text(&app, &ada, TOP_UPS, "key", "{\"amount\":30}").await.is(201);
    app.close().await;
}

#[tokio::test]
async fn one_amount_may_be_written_in_many_ways() {
    let app = TestApp::start().await;
    let ada = app.student_with("5.00").await;
    let mut first = None;
    for amount in ["30", "30.0", "\"30.00\"", "3e1", "3E+1", "\"3e1\"", "300e-1", "30.0000000000"] {
        let body = format!("{{ \"amount\" : {amount} }}");
        let reply = post_text(&app, &ada, TOP_UPS, "key", &body).await.is(201);
        assert_eq!(&reply.text, first.get_or_insert(reply.text.clone()), "{amount}");
    }
    assert_owns(&ada, "35.00").await;
    app.close().await;
}

#[tokio::test]
async fn amounts_are_exact_to_the_last_micro_unit() {
    let app = TestApp::start().await;
    let ada = app.student_with("1.00").await;
    // Neither is there as a binary fraction, and their sum is not that of their nearest ones.
    for amount in ["1.1", "2.2", "\"9999.999999\"", "1.000001", "0.1e1"] {
        post_text(
            &app,
            &ada,
            TOP_UPS,
            amount.trim_matches('"'),
            &format!("{{\"amount\":{amount}}}"),
        )
        .await
        .is(201);
    }
    assert_owns(&ada, "10006.30").await;
    app.close().await;
}
