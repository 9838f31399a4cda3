//! Examples of what is sent and answered, made from the schemas: so none can be forgotten, and each is as
//! its schema says. What no schema knows, such as what a title is like, is in [`said`].

use serde_json::{Map, Value, json};

/// How deep an example goes. Nothing is as deep.
const DEPTH_MAX: u8 = 16;

/// In place of a text of which nothing is said. A test looks for it.
const UNSAID: &str = "…";

/// Gives every request and every good answer in JSON its example: one, or one of each form that it may
/// have.
pub(super) fn add(paths: &mut Map<String, Value>, schemas: &Map<String, Value>) {
    let maker = Maker { schemas };
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody") {
            maker.add(body);
        }
        let answers = operation.get_mut("responses").and_then(Value::as_object_mut);
        let good = answers.into_iter().flatten().filter(|(status, _)| status.starts_with('2'));
        good.for_each(|(_, answer)| maker.add(answer));
    }
}

struct Maker<'a> {
    schemas: &'a Map<String, Value>,
}

impl Maker<'_> {
    fn add(&self, body: &mut Value) {
        let media = body.pointer_mut("/content/application~1json");
        let Some(media) = media.and_then(Value::as_object_mut) else { return };
        let schema = &media["schema"];
        let (_, full) = self.resolve(schema);
        let forms = full["anyOf"].as_array().into_iter().flatten();
        let forms: Map<_, _> = forms
            .map(|form| (name_of(form).to_owned(), json!({ "value": self.value("", form, 0) })))
            .collect();
        if forms.is_empty() {
            media.insert("example".into(), self.value("", schema, 0));
        } else {
            media.insert("examples".into(), forms.into());
        }
    }

    /// The name of a schema, if it has one, and what is behind a reference.
    fn resolve<'s>(&'s self, schema: &'s Value) -> (&'s str, &'s Value) {
        let name = name_of(schema);
        (name, self.schemas.get(name).unwrap_or(schema))
    }

    /// A value that fits a schema, which is in the type `owner`.
    fn value(&self, owner: &str, schema: &Value, depth: u8) -> Value {
        assert!(depth < DEPTH_MAX, "{owner} never ends");
        let (name, full) = self.resolve(schema);
        let example = [schema, full].into_iter().find_map(|schema| schema["examples"].get(0));
        if let Some(known) = example.cloned().or_else(|| said("", name)).or_else(|| word_of(full)) {
            return known;
        }
        let owner = if name.is_empty() { owner } else { name };
        for forms in ["anyOf", "oneOf"] {
            if let Some(first) = full[forms].get(0) {
                return self.value(owner, first, depth + 1);
            }
        }
        match type_of(full) {
            "object" => {
                let fields = full["properties"].as_object().into_iter().flatten();
                let field = |(name, schema): (&String, &Value)| {
                    let value = said(owner, name);
                    (name.clone(), value.unwrap_or_else(|| self.value(owner, schema, depth + 1)))
                };
                Value::Object(fields.map(field).collect())
            }
            "array" => json!([self.value(owner, &full["items"], depth + 1)]),
            "integer" | "number" => full.get("minimum").cloned().unwrap_or_else(|| json!(0)),
            "boolean" => json!(true),
            "string" if full["format"] == "uuid" => id_of(name).into(),
            _ => UNSAID.into(),
        }
    }
}

fn name_of(schema: &Value) -> &str {
    let path = schema["$ref"].as_str().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The first word of a type that has few.
fn word_of(schema: &Value) -> Option<Value> {
    let first_form = || schema["oneOf"].get(0).and_then(word_of);
    schema.get("const").or_else(|| schema["enum"].get(0)).cloned().or_else(first_form)
}

fn type_of(schema: &Value) -> &str {
    let types = &schema["type"];
    types.as_str().or_else(|| types[0].as_str()).unwrap_or_default()
}

/// An id of a type: it ends with the first letters of its name.
fn id_of(name: &str) -> String {
    let letters = name.bytes().chain(*b"______").take(6);
    let letters = letters.fold(0_u64, |before, letter| before << 8 | u64::from(letter));
    format!("019aa000-0000-7000-8000-{letters:012x}")
}

/// What a field is like in the type `owner`, or else in any; or a type, of no owner.
fn said(owner: &str, name: &str) -> Option<Value> {
    let has = |words: &str, word: &str| words.split(' ').any(|known| known == word);
    let row = |asked: &str| SAID.iter().find(|row| has(row.0, asked) && has(row.1, name));
    let (.., json) = row(owner).or_else(|| if owner.is_empty() { None } else { row("*") })?;
    Some(serde_json::from_str(json).expect("what is said is JSON"))
}

/// Types (`*`: any other), fields of them, and what these are like. Types alone have no owner. All of it
/// is one story: Ada watches Bob's course for twenty minutes at 0.60, reviews it, and watches again.
const SAID: &[(&str, &str, &str)] = &[
    ("", "CourseStatus GivenStatus", r#""published""#),
    ("", "SessionStatus", r#""active""#),
    ("", "SessionPhase", r#""playing""#),
    ("", "VideoStatus", r#""ready""#),
    ("", "TransactionType", r#""top_up""#),
    ("", "PaymentStatus", r#""completed""#),
    ("", "BonusStatus", r#""paid""#),
    ("", "Provider", r#""built_in""#),
    ("", "Rating", "4"),
    // People.
    ("*", "email", r#""ada@example.org""#),
    ("*", "password current_password", r#""correct horse""#),
    ("*", "new_password", r#""battery staple""#),
    ("*", "name student_name", r#""Ada""#),
    ("*", "profile", r#"{"time_zone": "Africa/Nairobi", "interests": ["maps"]}"#),
    ("*", "time_zone", r#""Africa/Nairobi""#),
    ("*", "access_token", r#""eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl""#),
    ("*", "refresh_token", r#""cmVmcmVzaA""#),
    ("*", "expires_in", "600"),
    // Courses and videos.
    ("*", "title course_title", r#""How to read a map""#),
    ("*", "description", r#""Contour lines, grids, and a compass.""#),
    ("*", "teacher_id", r#""019aa000-0000-7000-8000-546561636865""#),
    ("*", "teacher_name", r#""Bob""#),
    ("*", "category_id", r#""019aa000-0000-7000-8000-0000000000a4""#),
    ("*", "category_name", r#""Science""#),
    ("Category", "id", r#""019aa000-0000-7000-8000-0000000000a4""#),
    ("Category", "name", r#""Science""#),
    ("Category", "description", r#""Physics, chemistry, biology and the world around us""#),
    ("*", "price_per_minute", r#""0.60""#),
    ("Partner PartnerRequest ReceiptPartner", "name", r#""Museum""#),
    ("*", "basis_points", "500"),
    ("Course CourseDetails OwnCourse ReviewSummary", "rating", r#""4.00""#),
    ("Course CourseDetails OwnCourse", "reviews", "1"),
    ("*", "sessions viewers video_count count", "1"),
    ("DashboardReviews ReviewSummary", "held", "0"),
    (
        "Video VideoRequest VideoUpdateRequest VideoEarnings ReceiptVideo",
        "title",
        r#""Contour lines""#,
    ),
    ("*", "duration_ms watched_ms position_ms", "1200000"),
    ("*", "watch_percentage", "100"),
    ("*", "is_preview", "false"),
    ("*", "failure", "null"),
    ("*", "size_bytes", "52428800"),
    ("*", "content-length", r#""52428800""#),
    ("*", "if-none-match", r#""*""#),
    (
        "UploadLink PlaybackLink",
        "url",
        r#""http://127.0.0.1:8000/media/019aa000-0000-7000-8000-46696c654964?expires=1763640300&signature=c2ln""#,
    ),
    ("*", "thumbnail_url", "null"),
    ("*", "expires_at", r#""2026-11-20T12:05:00.000000Z""#),
    // Sessions.
    ("Session", "cost", r#""3.00""#),
    ("Session", "watched_ms", "300000"),
    ("Session", "watch_percentage", "25"),
    ("Session", "refund", r#""0.00""#),
    ("Session", "spending_cap ended_at end_reason", "null"),
    ("Session Receipt Balance", "held", r#""30.00""#),
    ("Receipt", "status", r#""completed""#),
    ("Receipt", "ended_at", r#""2026-11-20T12:20:00.000000Z""#),
    ("*", "was_free", "false"),
    ("*", "free_reason", "null"),
    ("*", "cost paid", r#""12.00""#),
    ("*", "refund", r#""18.00""#),
    ("*", "platform", r#""1.20""#),
    ("ReceiptPartner", "amount", r#""0.60""#),
    ("*", "ticket", r#""dGlja2V0.c2lnbmF0dXJl""#),
    ("*", "expires_in_seconds", "30"),
    ("*", "ws_url", r#""ws://127.0.0.1:8000/ws/session/019aa000-0000-7000-8000-53657373696f""#),
    // Money.
    ("*", "amount", r#""30.00""#),
    ("*", "posted", r#""42.50""#),
    ("Balance", "available", r#""12.50""#),
    ("TopUp Payout", "provider", r#""sandbox""#),
    ("Transaction", "id", r#""top_up:019aa000-0000-7000-8000-546f70557049""#),
    ("Transaction", "session_id", "null"),
    ("*", "fee", r#""1.80""#),
    ("EarningsEntry EarningsPeriod EarningsShare", "earned", r#""10.20""#),
    ("ReceiptParts", "teacher", r#""10.20""#),
    ("VideoShare", "amount", r#""10.20""#),
    ("EarningsEntry", "bonus", r#""0.00""#),
    ("EarningsEntry", "total", r#""10.20""#),
    ("*", "bonus", r#""1.45""#),
    ("*", "total today this_month available", r#""11.65""#),
    ("*", "pending", r#""3.00""#),
    ("*", "pending_is_provisional", "false"),
    ("EarningsPeriod", "day", r#""2026-11-20""#),
    ("EarningsPeriod", "begin", r#""2026-11-19T21:00:00.000000Z""#),
    ("EarningsPeriod", "end", r#""2026-11-20T21:00:00.000000Z""#),
    // Reviews.
    ("*", "text", r#""Clear from the first minute on.""#),
    ("*", "reason", r#""The course was watched to its end.""#),
    ("*", "depth coverage duration weight", r#""1.000000""#),
    ("*", "consistency", r#""0.750000""#),
    ("*", "score average_credibility", r#""0.912500""#),
    ("*", "average_rating", r#""4.00""#),
    ("*", "flags", "[]"),
    // Discovery.
    ("*", "message", r#""I want to find my way with a map""#),
    ("*", "reply", r#""One course fits what you asked for.""#),
    ("*", "why", r#""Has “map” in its title.""#),
    // Lists, and how Murph is.
    ("*", "has_more", "false"),
    ("*", "next_cursor", "null"),
    ("LedgerReport", "accounts", "5"),
    ("LedgerReport", "journals", "3"),
    ("LedgerReport", "transfers", "5"),
    ("LedgerReport", "findings", "[]"),
    ("*", "ms", "1"),
    ("*", "version", r#""0.1.0""#),
    ("HealthCheck", "name", r#""database""#),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made for this schema, beside a type that it may refer to.
    fn made(schema: &Value) -> Value {
        let schemas = json!({
            "Thing": {
                "type": "object",
                "properties": {
                    "id": { "type": "string", "format": "uuid" },
                    "title": { "type": "string" },
                    "shown": { "type": "string", "examples": ["so"] },
                    "many": { "type": "array", "items": { "type": "integer", "minimum": 3 } },
                },
            },
        });
        let mut paths = json!({
            "/a": { "get": { "responses": {
                "200": { "content": { "application/json": { "schema": schema } } },
                "404": { "$ref": "#/components/responses/not_found" },
            } } },
        });
        add(paths.as_object_mut().unwrap(), schemas.as_object().unwrap());
        paths["/a"]["get"]["responses"]["200"]["content"]["application/json"].take()
    }

    #[test]
    fn an_example_has_every_field() {
        let thing = json!({ "$ref": "#/components/schemas/Thing" });
        let expected = json!({
            "id": "019aa000-0000-7000-8000-5f5f5f5f5f5f", "title": "How to read a map",
            "shown": "so", "many": [3],
        });
        assert_eq!(made(&thing)["example"], expected);
        let both = json!({ "anyOf": [thing, { "type": "null" }] });
        assert_eq!(made(&json!({ "type": "array", "items": both }))["example"], json!([expected]));
    }

    #[test]
    fn an_answer_of_several_forms_has_one_of_each() {
        let forms = [json!({ "$ref": "#/components/schemas/Thing" }), json!({ "const": "no" })];
        let examples = made(&json!({ "anyOf": forms }))["examples"].take();
        assert_eq!(examples["Thing"]["value"]["title"], "How to read a map");
        assert_eq!(examples[""]["value"], "no");
    }

    #[test]
    fn what_nothing_is_said_of_is_seen() {
        let schema = json!({ "type": "object", "properties": { "odd": { "type": "string" } } });
        assert_eq!(made(&schema)["example"], json!({ "odd": UNSAID }));
    }

    #[test]
    fn everything_that_is_said_is_json_and_said_once() {
        let mut seen = std::collections::BTreeSet::new();
        for (owners, names, json) in SAID {
            assert!(serde_json::from_str::<Value>(json).is_ok(), "{json}");
            for owner in owners.split(' ') {
                for name in names.split(' ') {
                    assert!(seen.insert((owner, name)), "{owner}.{name} is said twice");
                }
            }
        }
    }
}
