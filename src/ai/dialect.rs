//! How each provider is spoken to: pure, from a prompt to a request and from a body to an answer.
//!
//! Three dialects for four providers, as Groq speaks OpenAI's. Nothing is streamed: an answer is
//! short, and is looked at as a whole before anybody sees it.

use reqwest::header::{AUTHORIZATION, HeaderName};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Prompt, trouble::Trouble};
use crate::domain::discovery::{Provider, Tokens};

const ANTHROPIC_VERSION: (HeaderName, &str) =
    (HeaderName::from_static("anthropic-version"), "2023-06-01");

/// More tokens than this no answer takes, whatever a provider says.
const TOKENS_MAX: u64 = 10_000_000;

/// A request, but for the key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Behind the base URL.
    pub(super) path: String,
    /// Where the key goes, and what stands before it.
    pub(super) key_header: (HeaderName, &'static str),
    pub(super) headers: Vec<(HeaderName, &'static str)>,
    pub(super) body: Value,
}

/// What a provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) tokens: Tokens,
    /// Whether that is no answer, as it does not want to give one.
    is_declined: bool,
}

/// What to send to `provider`.
///
/// # Panics
/// For the built-in one, which is never asked over the network.
pub(super) fn call(provider: Provider, model: &str, prompt: &Prompt, tokens_max: u32) -> Call {
    let Prompt { instructions, input } = prompt;
    match provider {
        Provider::OpenAi | Provider::Groq => Call {
            path: "/chat/completions".to_owned(),
            key_header: (AUTHORIZATION, "Bearer "),
            headers: vec![],
            body: json!({
                "model": model,
                "messages": [
                    {"role": "system", "content": instructions},
                    {"role": "user", "content": input},
                ],
                "max_completion_tokens": tokens_max,
                "response_format": {"type": "json_object"},
            }),
        },
        Provider::Anthropic => Call {
            path: "/messages".to_owned(),
            key_header: (HeaderName::from_static("x-api-key"), ""),
            headers: vec![ANTHROPIC_VERSION],
            body: json!({
                "model": model,
                "system": instructions,
                "messages": [{"role": "user", "content": input}],
                "max_tokens": tokens_max,
            }),
        },
        Provider::Gemini => Call {
            path: format!("/models/{model}:generateContent"),
            key_header: (HeaderName::from_static("x-goog-api-key"), ""),
            headers: vec![],
            body: json!({
                "systemInstruction": {"parts": [{"text": instructions}]},
                "contents": [{"role": "user", "parts": [{"text": input}]}],
                "generationConfig": {
                    "maxOutputTokens": tokens_max,
                    "responseMimeType": "application/json",
                },
            }),
        },
        Provider::BuiltIn => unreachable!("the built-in provider is not a model"),
    }
}

/// What the body of a success says.
pub(super) fn read(provider: Provider, body: &[u8]) -> Result<Said, Trouble> {
    let said = match provider {
        Provider::OpenAi | Provider::Groq => parse::<Completion>(body)?.said(),
        Provider::Anthropic => Ok(parse::<Message>(body)?.said()),
        Provider::Gemini => parse::<Content>(body)?.said(),
        Provider::BuiltIn => unreachable!("the built-in provider is not a model"),
    }?;
    let tokens = said.tokens.bounded(TOKENS_MAX);
    if said.is_declined {
        Err(Trouble::Declined(tokens))
    } else if said.text.trim().is_empty() {
        Err(Trouble::Silent(tokens))
    } else {
        Ok(Said { tokens, ..said })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|_| Trouble::Unreadable)
}

// OpenAI and Groq.

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<CompletionUsage>,
}

#[derive(Deserialize)]
struct Choice {
    message: ChoiceMessage,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChoiceMessage {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CompletionUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Completion {
    fn said(self) -> Result<Said, Trouble> {
        let choice = self.choices.into_iter().next().ok_or(Trouble::Unreadable)?;
        let is_filtered = choice.finish_reason.as_deref() == Some("content_filter");
        let is_declined = is_filtered || choice.message.refusal.is_some();
        let usage = self.usage.unwrap_or_default();
        let CompletionUsage { prompt_tokens: input, completion_tokens: output } = usage;
        let text = choice.message.content.unwrap_or_default();
        Ok(Said { text, tokens: Tokens { input, output }, is_declined })
    }
}

// Anthropic.

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<MessageUsage>,
}

#[derive(Deserialize)]
struct Block {
    /// Only blocks of text have one.
    #[serde(default)]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageUsage {
    input_tokens: u64,
    output_tokens: u64,
}

impl Message {
    fn said(self) -> Said {
        let is_declined = self.stop_reason.as_deref() == Some("refusal");
        let usage = self.usage.unwrap_or_default();
        let MessageUsage { input_tokens: input, output_tokens: output } = usage;
        let text = self.content.into_iter().map(|block| block.text).collect();
        Said { text, tokens: Tokens { input, output }, is_declined }
    }
}

// Gemini.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<ContentUsage>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Parts,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Parts {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
    /// What it said to itself.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContentUsage {
    #[serde(rename = "promptTokenCount")]
    prompt: u64,
    #[serde(rename = "candidatesTokenCount")]
    candidates: u64,
    /// Billed like what is said aloud.
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: u64,
}

impl Content {
    fn said(self) -> Result<Said, Trouble> {
        let is_blocked = self.prompt_feedback.is_some_and(|told| told.block_reason.is_some());
        let candidate = match self.candidates.into_iter().next() {
            None if is_blocked => Candidate::default(),
            candidate => candidate.ok_or(Trouble::Unreadable)?,
        };
        let is_declined = is_blocked
            || !matches!(
                candidate.finish_reason.as_deref(),
                None | Some("STOP" | "MAX_TOKENS" | "OTHER" | "FINISH_REASON_UNSPECIFIED")
            );
        let parts = candidate.content.parts.into_iter().filter(|part| !part.thought);
        let usage = self.usage_metadata.unwrap_or_default();
        let output = usage.candidates.saturating_add(usage.thoughts);
        let tokens = Tokens { input: usage.prompt, output };
        Ok(Said { text: parts.map(|part| part.text).collect(), tokens, is_declined })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt() -> Prompt {
        Prompt { instructions: "Be brief.".into(), input: "{\"message\":\"hi\"}".into() }
    }

    fn said(text: &str, input: u64, output: u64) -> Said {
        Said { text: text.into(), tokens: Tokens { input, output }, is_declined: false }
    }

    fn read_json(provider: Provider, body: &Value) -> Result<Said, Trouble> {
        read(provider, body.to_string().as_bytes())
    }

    #[test]
    fn each_provider_is_asked_as_it_documents() {
        for provider in [Provider::OpenAi, Provider::Groq] {
            let Call { path, key_header, body, .. } = call(provider, "m-1", &prompt(), 99);
            assert_eq!((path.as_str(), key_header.1), ("/chat/completions", "Bearer "));
            assert_eq!(body["messages"][0], json!({"role": "system", "content": "Be brief."}));
            assert_eq!(body["messages"][1]["content"], "{\"message\":\"hi\"}");
            assert_eq!(
                (&body["model"], &body["max_completion_tokens"]),
                (&json!("m-1"), &json!(99))
            );
        }
        let Call { path, key_header, headers, body } =
            call(Provider::Anthropic, "m-2", &prompt(), 99);
        assert_eq!((path.as_str(), key_header.0.as_str()), ("/messages", "x-api-key"));
        assert_eq!(headers, [ANTHROPIC_VERSION]);
        assert_eq!((&body["system"], &body["max_tokens"]), (&json!("Be brief."), &json!(99)));
        assert_eq!(body["messages"][0]["role"], "user");

        let Call { path, key_header, body, .. } = call(Provider::Gemini, "m-3", &prompt(), 99);
        assert_eq!(path, "/models/m-3:generateContent");
        assert_eq!(key_header.0.as_str(), "x-goog-api-key");
        assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Be brief.");
        assert_eq!(body["contents"][0]["role"], "user");
        assert_eq!(body["generationConfig"]["maxOutputTokens"], 99);
    }

    #[test]
    fn an_answer_of_openai_and_groq_is_read() {
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": "hello", "refusal": null}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}});
        for provider in [Provider::OpenAi, Provider::Groq] {
            assert_eq!(read_json(provider, &body), Ok(said("hello", 9, 12)));
        }
        let with = |choice: Value| read_json(Provider::OpenAi, &json!({"choices": [choice]}));
        let bare = with(json!({"message": {"content": "x"}}));
        assert_eq!(bare, Ok(said("x", 0, 0)), "local servers tell no usage");
        let boast = json!({"choices": [{"message": {"content": "x"}}],
            "usage": {"prompt_tokens": u64::MAX, "completion_tokens": u64::MAX}});
        let bounded = Ok(said("x", TOKENS_MAX, TOKENS_MAX));
        assert_eq!(read_json(Provider::OpenAi, &boast), bounded, "a cost must fit the books");
        let silent = json!({"choices": [{"message": {"content": "x"}}], "usage": null});
        assert_eq!(read_json(Provider::OpenAi, &silent), Ok(said("x", 0, 0)));
        let empty = with(json!({"message": {"content": null}, "finish_reason": "tool_calls"}));
        assert_eq!(empty, Err(Trouble::Silent(Tokens::default())));
        let refused = with(json!({"message": {"content": null, "refusal": "no"}}));
        assert_eq!(refused, Err(Trouble::Declined(Tokens::default())));
        let filtered =
            with(json!({"message": {"content": "x"}, "finish_reason": "content_filter"}));
        assert_eq!(filtered, Err(Trouble::Declined(Tokens::default())));
    }

    /// They are on the bill.
    #[test]
    fn tokens_of_what_is_no_answer_are_known() {
        let tokens = Tokens { input: 9, output: 12 };
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 12});
        let openai = |message: Value| {
            let body = json!({"choices": [{"message": message}], "usage": usage});
            read_json(Provider::OpenAi, &body)
        };
        assert_eq!(openai(json!({"content": " "})), Err(Trouble::Silent(tokens)));
        assert_eq!(openai(json!({"refusal": "no"})), Err(Trouble::Declined(tokens)));
        let usage = json!({"input_tokens": 9, "output_tokens": 12});
        for (reason, trouble) in
            [("max_tokens", Trouble::Silent(tokens)), ("refusal", Trouble::Declined(tokens))]
        {
            let body = json!({"content": [], "stop_reason": reason, "usage": usage});
            assert_eq!(read_json(Provider::Anthropic, &body), Err(trouble));
        }
        let usage = json!({"promptTokenCount": 9, "thoughtsTokenCount": 12});
        for (candidates, feedback, trouble) in [
            (json!([{"finishReason": "MAX_TOKENS"}]), json!(null), Trouble::Silent(tokens)),
            (json!([{"finishReason": "SAFETY"}]), json!(null), Trouble::Declined(tokens)),
            (json!([]), json!({"blockReason": "OTHER"}), Trouble::Declined(tokens)),
        ] {
            let body = json!({"candidates": candidates, "promptFeedback": feedback,
                "usageMetadata": usage});
            assert_eq!(read_json(Provider::Gemini, &body), Err(trouble));
        }
    }

    #[test]
    fn an_answer_of_anthropic_is_read() {
        let body = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "hel"}, {"type": "tool_use", "id": "t"},
                {"type": "text", "text": "lo"}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 9, "output_tokens": 12}});
        assert_eq!(read_json(Provider::Anthropic, &body), Ok(said("hello", 9, 12)));
        let refused = json!({"content": [], "stop_reason": "refusal"});
        assert_eq!(
            read_json(Provider::Anthropic, &refused),
            Err(Trouble::Declined(Tokens::default()))
        );
        let empty = json!({"content": [], "stop_reason": "end_turn"});
        assert_eq!(read_json(Provider::Anthropic, &empty), Err(Trouble::Silent(Tokens::default())));
    }

    #[test]
    fn an_answer_of_gemini_is_read() {
        let body = json!({
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model",
                "parts": [{"text": "hm", "thought": true}, {"text": "hel"}, {"text": "lo"}]}}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 10,
                "thoughtsTokenCount": 2, "totalTokenCount": 21}});
        assert_eq!(read_json(Provider::Gemini, &body), Ok(said("hello", 9, 12)));
        for declined in [
            json!({"promptFeedback": {"blockReason": "SAFETY"}}),
            json!({"candidates": [{"finishReason": "SAFETY"}]}),
            json!({"candidates": [{"finishReason": "RECITATION", "content": {"parts": []}}]}),
        ] {
            assert_eq!(
                read_json(Provider::Gemini, &declined),
                Err(Trouble::Declined(Tokens::default())),
                "{declined}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_unreadable() {
        for provider in Provider::ALL.iter().filter(|it| **it != Provider::BuiltIn) {
            for body in
                ["", "<html>", "{}", "[]", "null", "{\"choices\":[]}", "{\"error\":{}}", "\u{1}"]
            {
                let read = read(*provider, body.as_bytes());
                assert_eq!(read, Err(Trouble::Unreadable), "{provider} {body}");
            }
        }
    }
}
