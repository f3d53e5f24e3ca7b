//! OpenAI-shaped models.

use std::{sync::Arc, time::Duration};

use bolo_agent::LlmConfig;
use bolo_providers::{
    Ask, AskMessage, Called, Delta, Error, ErrorKind, Llm, ToolChoice, llm::Limits,
};
use bolo_simulator::llm::{FakeLlm, Fault, Options, Reply};
use futures_util::StreamExt;

use crate::{keys, vendors};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

fn config(provider: &str) -> LlmConfig {
    LlmConfig {
        provider: provider.into(),
        model: "gpt-4.1-mini".into(),
        max_tokens: 100,
        temperature: 0.1,
        top_p: None,
        presence_penalty: None,
        frequency_penalty: None,
        stop: Vec::new(),
        request_json: false,
        base_url: None,
        reasoning_effort: None,
        verbosity: None,
    }
}

fn ask(provider: &str) -> Ask {
    Ask {
        config: config(provider),
        temperature: 0.1,
        messages: vec![AskMessage {
            role: "user",
            content: Some("where is my order".into()),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        json: false,
        cache_key: "agent".into(),
    }
}

fn limits(stall: Duration) -> Limits {
    Limits {
        first_token: stall,
        between: stall,
        total: LONG,
        usage: LONG,
    }
}

fn llm(fake: &FakeLlm, key: &str, limits: Limits) -> Arc<dyn Llm> {
    let vendors = vendors("openai", fake.base_url(), key).with_llm_limits(limits);
    vendors.llm(&config("openai"), &keys()).unwrap()
}

async fn fake() -> FakeLlm {
    let fake = FakeLlm::start(Options::default()).await.unwrap();
    let reply = Reply::text("It ships on Monday.").then_call("track", "{\"order\":7}");
    fake.on("where is my order", reply);
    fake
}

type Deltas = Vec<Result<Delta, Error>>;

async fn answer(faults: &[Fault], stall: Duration) -> Deltas {
    let fake = fake().await;
    fake.fail_next(faults.iter().cloned());
    llm(&fake, fake.api_key(), limits(stall))
        .answer(ask("openai"))
        .collect()
        .await
}

fn text(deltas: &Deltas) -> String {
    let said = |delta: &Result<Delta, Error>| match delta {
        Ok(Delta::Text(text)) => Some(text.clone()),
        _ => None,
    };
    deltas.iter().filter_map(said).collect()
}

fn is_whole(deltas: &Deltas) {
    assert_eq!(text(deltas), "It ships on Monday.");
    let calls = deltas.iter().find_map(|delta| match delta {
        Ok(Delta::Calls(calls)) => Some(calls.clone()),
        _ => None,
    });
    let calls: Vec<Called> = calls.unwrap();
    assert_eq!(
        (
            calls.len(),
            calls[0].name.as_str(),
            calls[0].arguments.as_str()
        ),
        (1, "track", "{\"order\":7}")
    );
    assert!(matches!(
        deltas.last(),
        Some(Ok(Delta::Done {
            finish: "tool_calls",
            ..
        }))
    ));
}

#[tokio::test]
async fn an_answer_with_text_a_call_and_a_bill() {
    let deltas = answer(&[], LONG).await;
    is_whole(&deltas);
    let billed = matches!(
        deltas.last(),
        Some(Ok(Delta::Done {
            input: 1..,
            output: 1..,
            estimated: false,
            ..
        }))
    );
    assert!(billed, "{deltas:?}");
}

#[tokio::test]
async fn what_is_missing_or_garbled_does_not_matter() {
    for fault in [Fault::Garbage {}, Fault::NoDone {}] {
        is_whole(&answer(&[fault], LONG).await);
    }
    let deltas = answer(&[Fault::NoUsage {}], LONG).await;
    is_whole(&deltas);
    assert!(matches!(
        deltas.last(),
        Some(Ok(Delta::Done {
            estimated: true,
            ..
        }))
    ));
}

#[tokio::test]
async fn what_came_before_a_failure_is_kept_and_the_failure_named() {
    for (fault, stall, kind) in [
        (Fault::Silence {}, SHORT, ErrorKind::Timeout),
        (Fault::StallAfter { tokens: 2 }, SHORT, ErrorKind::Timeout),
        (Fault::ResetBeforeFirst {}, LONG, ErrorKind::Dropped),
        (Fault::ResetAfter { tokens: 2 }, LONG, ErrorKind::Dropped),
        (Fault::CutShort { tokens: 2 }, LONG, ErrorKind::Dropped),
        (
            Fault::ErrorChunkAfter { tokens: 2 },
            LONG,
            ErrorKind::Server,
        ),
    ] {
        let deltas = answer(std::slice::from_ref(&fault), stall).await;
        let spoken = matches!(fault, Fault::Silence {} | Fault::ResetBeforeFirst {});
        assert_eq!(
            text(&deltas),
            if spoken { "" } else { "It ships" },
            "{fault:?}"
        );
        assert_eq!(
            deltas.last().unwrap().as_ref().unwrap_err().kind,
            kind,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, kind) in [
        (400, ErrorKind::BadRequest),
        (401, ErrorKind::Auth),
        (404, ErrorKind::BadRequest),
        (429, ErrorKind::RateLimited),
        (503, ErrorKind::Server),
    ] {
        let fault = Fault::Status {
            status,
            retry_after_s: Some(2),
        };
        let deltas = answer(&[fault], LONG).await;
        let error = deltas[0].as_ref().unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
        if kind == ErrorKind::RateLimited {
            assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
        }
    }
    let fake = fake().await;
    let deltas: Deltas = llm(&fake, "bad-key", limits(LONG))
        .answer(ask("openai"))
        .collect()
        .await;
    assert_eq!(deltas[0].as_ref().unwrap_err().kind, ErrorKind::Auth);
}

#[tokio::test]
async fn the_demo_answers_without_a_key() {
    let fake = FakeLlm::demo().await.unwrap();
    let vendors = vendors("demo", fake.base_url(), "");
    let deltas: Deltas = vendors
        .llm(&config("demo"), &keys())
        .unwrap()
        .answer(ask("demo"))
        .collect()
        .await;
    assert!(!text(&deltas).is_empty());
    assert!(
        matches!(deltas.last(), Some(Ok(Delta::Done { .. }))),
        "{deltas:?}"
    );
}
