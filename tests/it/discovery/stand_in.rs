//! All four providers as somebody else imitates them: npm's `@copilotkit/aimock`, which
//! `scripts/with-llm` starts. It knows one key, and answers what it was told to answer.

use std::env;

use murph::config::{Config, Secret};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{HISTORY, School, titles};

const PROVIDERS: [(&str, &str); 4] =
    [("openai", "/v1"), ("anthropic", "/v1"), ("gemini", "/v1beta"), ("groq", "/openai/v1")];

/// Where it is, and the key that it knows.
fn stand_in() -> Option<(String, String)> {
    let of = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let found = of("MURPH_TEST_LLM").zip(of("MURPH_TEST_LLM_KEY"));
    if found.is_none() {
        eprintln!("skipped: run it by scripts/with-llm");
    }
    found
}

/// A school that asks `provider` alone, at the stand-in.
async fn asking(provider: &str, url: &str, key: &str) -> School {
    School::open_with(|config| {
        let Config { openai, anthropic, gemini, groq, .. } = config;
        for ((name, path), model) in PROVIDERS.into_iter().zip([openai, anthropic, gemini, groq]) {
            model.base_url = format!("{url}{path}");
            if name == provider {
                model.key = Secret::new(key);
            }
        }
    })
    .await
}

/// Tells the stand-in what to answer to messages with this word.
async fn teach(url: &str, key: &str, word: &str, response: Value) {
    let fixtures = json!({"fixtures": [{"match": {"userMessage": word}, "response": response}]});
    let request = Client::builder().no_proxy().build().unwrap();
    let request = request.post(format!("{url}/__aimock/fixtures")).bearer_auth(key).json(&fixtures);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test]
async fn every_provider_is_understood() {
    let Some((url, key)) = stand_in() else { return };
    for (provider, _) in PROVIDERS {
        let school = asking(provider, &url, &key).await;
        // A word of this test alone: others share the stand-in.
        let word = format!("guitar for {provider} {}", school.student.id);
        let guitar = school.find("Guitar for beginners").await;
        let answer = json!({"reply": "A good <b>start</b>.", "picks": [
            {"course_id": guitar, "why": "You asked for it."}]});
        let usage = json!({"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000});
        let response = json!({"content": answer.to_string(), "usage": usage});
        teach(&url, &key, &word, response).await;
        let answer = school.ask(&word).await.is(200).body;
        assert_eq!(answer["provider"], provider, "{answer}");
        assert_eq!(answer["reply"], "A good start .");
        assert_eq!(titles(&answer), ["Guitar for beginners"]);
        assert_eq!(answer["courses"][0]["why"], "You asked for it.");
        let config = &school.app.app.config;
        let model = config.model(provider.parse().unwrap()).unwrap();
        let cost = model.input_price.micros() + model.output_price.micros();
        assert_eq!(school.count("total_cost").await, cost, "{provider}");

        // It would be matched by what was said before.
        school.student.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
        // The model is asked to invent a course, and does.
        let word = format!("invent a guitar course for {provider} {}", school.student.id);
        let answer = json!({"reply": "Here is “Air Guitar”!", "picks": [
            {"course_id": "01890000-0000-7000-8000-000000000000", "why": "It is new."}]});
        teach(&url, &key, &word, json!({"content": answer.to_string()})).await;
        let answer = school.ask(&word).await.is(200).body;
        assert_eq!(answer["provider"], "built_in", "{answer}");
        assert!(!answer.to_string().contains("Air Guitar"), "{answer}");
        school.app.close().await;
    }
}

#[tokio::test]
async fn their_errors_are_understood() {
    let Some((url, key)) = stand_in() else { return };
    for (provider, _) in PROVIDERS {
        let line = |result: &str| {
            format!("murph_ai_requests_total{{provider=\"{provider}\",result=\"{result}\"}} 1")
        };
        for (status, result) in [(429, "busy"), (503, "busy"), (400, "refused")] {
            let school = asking(provider, &url, &key).await;
            let word = format!("guitar {status} for {provider} {}", school.student.id);
            let error = json!({"error": {"message": "no", "type": "an_error"}, "status": status});
            teach(&url, &key, &word, error).await;
            assert_eq!(school.ask(&word).await.is(200).body["provider"], "built_in");
            let page = school.app.get("/metrics").await.text;
            assert!(page.lines().any(|known| known == line(result)), "{provider} {status}: {page}");
            school.app.close().await;
        }
        let school = asking(provider, &url, "another-key").await;
        assert_eq!(school.ask("guitar").await.is(200).body["provider"], "built_in");
        let page = school.app.get("/metrics").await.text;
        assert!(page.lines().any(|known| known == line("misconfigured")), "{provider}: {page}");
        school.app.close().await;
    }
}
