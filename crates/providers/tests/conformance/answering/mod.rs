//! One suite for all vendors of models (R194; wire-providers.md §3, §7).

mod vendors;

use std::time::Duration;

use bolo_providers::{
    Ask, AskMessage, AskTool, Called, Delta, Error, ErrorKind, ToolChoice, llm::Limits,
};
use bolo_simulator::llm::{FakeLlm, Fault, Options, Outcome, Reply};
use futures_util::StreamExt;
use serde_json::json;

use self::vendors::{Api, CASES, Case, LONG, RESPONSES, case};
use crate::keys;

const SHORT: Duration = Duration::from_millis(50);
/// Long enough for what comes before a stall on a busy machine.
const A_WHILE: Duration = Duration::from_secs(1);

conforms! {
    every [
        an_answer_with_text_a_call_and_a_bill
        what_is_missing_garbled_or_new_does_not_matter
        what_came_before_a_failure_is_kept_and_the_failure_named
        delays_change_nothing
        a_chunk_cut_in_the_middle_is_a_lost_connection
        refusals_are_told_apart
        a_connection_that_died_is_not_waited_for_and_not_used_again
        an_empty_answer_ends_as_one
        an_answer_that_is_dropped_stops_at_the_vendor
        a_connection_is_opened_ahead
    ];
    openai: case("openai") => [a_calls_result_goes_back_and_the_next_answer_comes];
    azure: case("azure") => [a_calls_result_goes_back_and_the_next_answer_comes];
    azure_openai: case("azure-openai") => [a_calls_result_goes_back_and_the_next_answer_comes];
    anthropic: case("anthropic") => [a_calls_result_goes_back_and_the_next_answer_comes];
    google: case("google") => [a_calls_result_goes_back_and_the_next_answer_comes];
    groq: case("groq") => [a_calls_result_goes_back_and_the_next_answer_comes];
    deepseek: case("deepseek") => [a_calls_result_goes_back_and_the_next_answer_comes];
    openrouter: case("openrouter") => [a_calls_result_goes_back_and_the_next_answer_comes];
    together: case("together") => [a_calls_result_goes_back_and_the_next_answer_comes];
    fireworks: case("fireworks") => [a_calls_result_goes_back_and_the_next_answer_comes];
    deepinfra: case("deepinfra") => [a_calls_result_goes_back_and_the_next_answer_comes];
    perplexity: case("perplexity") => [a_vendor_without_tools_says_so];
    anyscale: case("anyscale") => [a_calls_result_goes_back_and_the_next_answer_comes];
    ollama: case("ollama") => [a_calls_result_goes_back_and_the_next_answer_comes];
    vllm: case("vllm") => [a_calls_result_goes_back_and_the_next_answer_comes];
    custom: case("custom") => [a_calls_result_goes_back_and_the_next_answer_comes];
    ola: case("ola") => [a_calls_result_goes_back_and_the_next_answer_comes];
}

/// OpenAI and Azure by way of the Responses API: all of it.
#[tokio::test]
async fn the_responses_api_conforms() {
    for case in &RESPONSES {
        an_answer_with_text_a_call_and_a_bill(case).await;
        what_is_missing_garbled_or_new_does_not_matter(case).await;
        what_came_before_a_failure_is_kept_and_the_failure_named(case).await;
        delays_change_nothing(case).await;
        a_chunk_cut_in_the_middle_is_a_lost_connection(case).await;
        refusals_are_told_apart(case).await;
        a_connection_that_died_is_not_waited_for_and_not_used_again(case).await;
        an_empty_answer_ends_as_one(case).await;
        an_answer_that_is_dropped_stops_at_the_vendor(case).await;
        a_connection_is_opened_ahead(case).await;
        a_calls_result_goes_back_and_the_next_answer_comes(case).await;
    }
}

type Deltas = Vec<Result<Delta, Error>>;

fn message(role: &'static str, text: &str) -> AskMessage {
    AskMessage {
        role,
        content: Some(text.into()),
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// A call as it begins: the agent has greeted, the caller asks.
fn ask(case: &Case) -> Ask {
    let tool = AskTool {
        name: "track".into(),
        description: "Finds an order".into(),
        parameters: json!({
            "type": "object",
            "properties": {"order": {"type": "integer"}},
            "required": ["order"],
            "additionalProperties": false,
        }),
    };
    Ask {
        config: case.config(),
        temperature: 0.1,
        messages: vec![
            message("system", "Be brief."),
            message("assistant", "Hello, how can I help?"),
            message("user", "where is my order"),
        ],
        tools: if case.tools { vec![tool] } else { Vec::new() },
        tool_choice: ToolChoice::Auto,
        json: false,
        cache_key: "agent".into(),
        sent: Default::default(),
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

async fn fake(case: &Case) -> FakeLlm {
    let fake = FakeLlm::start(Options::default()).await.unwrap();
    let reply = Reply::text("It ships on Monday.");
    fake.on(
        "where is my order",
        match case.tools {
            true => reply.then_call("track", "{\"order\":7}"),
            false => reply,
        },
    );
    fake.on("and now", Reply::text("It is there."));
    fake
}

async fn answer(case: &Case, fault: Option<Fault>, stall: Duration) -> Deltas {
    let fake = fake(case).await;
    fake.fail_next(fault);
    let llm = case.at(&fake, fake.api_key(), limits(stall));
    llm.answer(ask(case)).collect().await
}

fn text(deltas: &Deltas) -> String {
    let said = |delta: &Result<Delta, Error>| match delta {
        Ok(Delta::Text(text)) => Some(text.clone()),
        _ => None,
    };
    deltas.iter().filter_map(said).collect()
}

fn calls(deltas: &Deltas) -> Vec<Called> {
    let made = |delta: &Result<Delta, Error>| match delta {
        Ok(Delta::Calls(calls)) => calls.clone(),
        _ => Vec::new(),
    };
    deltas.iter().flat_map(made).collect()
}

fn kind(deltas: &Deltas) -> ErrorKind {
    deltas.last().unwrap().as_ref().unwrap_err().kind
}

/// The text, the call where the vendor makes any, and the end.
fn is_whole(case: &Case, deltas: &Deltas) {
    let name = case.name;
    assert_eq!(text(deltas), "It ships on Monday.", "{name}: {deltas:?}");
    let made: Vec<_> = calls(deltas)
        .iter()
        .map(|call| (call.name.clone(), call.arguments.clone()))
        .collect();
    let (wanted, finish) = match case.tools {
        true => (
            vec![("track".to_owned(), "{\"order\":7}".to_owned())],
            "tool_calls",
        ),
        false => (Vec::new(), "stop"),
    };
    assert_eq!(made, wanted, "{name}");
    let begun = deltas
        .iter()
        .any(|delta| matches!(delta, Ok(Delta::Calling(name)) if name == "track"));
    assert_eq!(begun, case.tools, "{name}");
    assert!(
        matches!(deltas.last(), Some(Ok(Delta::Done { finish: why, .. })) if *why == finish),
        "{name}: {deltas:?}"
    );
}

fn is_estimated(deltas: &Deltas) -> bool {
    let Some(Ok(Delta::Done {
        input: 1..,
        output: 1..,
        estimated,
        ..
    })) = deltas.last()
    else {
        panic!("{deltas:?}");
    };
    *estimated
}

async fn an_answer_with_text_a_call_and_a_bill(case: &Case) {
    let deltas = answer(case, None, LONG).await;
    is_whole(case, &deltas);
    assert!(!is_estimated(&deltas), "{}", case.name);
}

async fn what_is_missing_garbled_or_new_does_not_matter(case: &Case) {
    for fault in [
        Fault::Garbage {},
        Fault::UnknownEvent {},
        Fault::NoDone {},
        Fault::OneChunk {},
        Fault::Crumbs {},
    ] {
        is_whole(case, &answer(case, Some(fault), LONG).await);
    }
    let deltas = answer(case, Some(Fault::NoUsage {}), LONG).await;
    is_whole(case, &deltas);
    assert!(is_estimated(&deltas), "{}", case.name);
}

async fn delays_change_nothing(case: &Case) {
    for fault in [
        Fault::DelayFirst { ms: 100 },
        Fault::PauseAfter { tokens: 2, ms: 100 },
    ] {
        is_whole(case, &answer(case, Some(fault), LONG).await);
    }
}

async fn a_chunk_cut_in_the_middle_is_a_lost_connection(case: &Case) {
    let fake = fake(case).await;
    // Time for the cut.
    fake.fail_next([Fault::PauseAfter { tokens: 1, ms: 500 }]);
    let llm = case.at(&fake, fake.api_key(), limits(LONG));
    let mut deltas = llm.answer(ask(case));
    let first = deltas.next().await.unwrap();
    fake.outage().cut_in_a_message();
    let mut all = vec![first];
    all.extend(deltas.collect::<Deltas>().await);
    assert_eq!(text(&all), "It", "{}", case.name);
    assert_eq!(kind(&all), ErrorKind::Dropped, "{}", case.name);
}

async fn what_came_before_a_failure_is_kept_and_the_failure_named(case: &Case) {
    for (fault, stall, wanted, said) in [
        (Fault::NoHeaders {}, SHORT, ErrorKind::Timeout, ""),
        (Fault::Silence {}, SHORT, ErrorKind::Timeout, ""),
        (
            Fault::StallAfter { tokens: 2 },
            A_WHILE,
            ErrorKind::Timeout,
            "It ships",
        ),
        (Fault::ResetBeforeFirst {}, LONG, ErrorKind::Dropped, ""),
        (
            Fault::ResetAfter { tokens: 2 },
            LONG,
            ErrorKind::Dropped,
            "It ships",
        ),
        (
            Fault::CutShort { tokens: 2 },
            LONG,
            ErrorKind::Dropped,
            "It ships",
        ),
        (
            Fault::ErrorChunkAfter { tokens: 2 },
            LONG,
            ErrorKind::Server,
            "It ships",
        ),
    ] {
        let deltas = answer(case, Some(fault.clone()), stall).await;
        assert_eq!(text(&deltas), said, "{} {fault:?}", case.name);
        assert_eq!(kind(&deltas), wanted, "{} {fault:?}", case.name);
    }
}

async fn refusals_are_told_apart(case: &Case) {
    for (status, wanted) in [
        (400, ErrorKind::BadRequest),
        (401, ErrorKind::Auth),
        (403, ErrorKind::Auth),
        (404, ErrorKind::NotFound),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Server),
        (503, ErrorKind::Server),
    ] {
        let fault = Fault::Status {
            status,
            retry_after_s: Some(2),
        };
        let deltas = answer(case, Some(fault), LONG).await;
        assert_eq!(kind(&deltas), wanted, "{} {status}", case.name);
        if wanted == ErrorKind::RateLimited {
            let error = deltas[0].as_ref().unwrap_err();
            assert_eq!(
                error.retry_after,
                Some(Duration::from_secs(2)),
                "{}",
                case.name
            );
        }
    }
    let fake = fake(case).await;
    for (key, wanted) in [
        ("bad-key", ErrorKind::Auth),
        ("busy", ErrorKind::RateLimited),
        ("no-credit", ErrorKind::Quota),
    ] {
        let llm = case.at(&fake, key, limits(LONG));
        let deltas: Deltas = llm.answer(ask(case)).collect().await;
        // Google words a spent quota as it words too many requests.
        let wanted = match (case.api, wanted) {
            (Api::Gemini, ErrorKind::Quota) => ErrorKind::RateLimited,
            (_, wanted) => wanted,
        };
        assert_eq!(kind(&deltas), wanted, "{} {key}", case.name);
        let words = deltas[0].as_ref().unwrap_err().to_string();
        assert!(!words.contains(key), "{words}");
    }
}

async fn a_connection_that_died_is_not_waited_for_and_not_used_again(case: &Case) {
    let fake = fake(case).await;
    let llm = case.at(&fake, fake.api_key(), limits(A_WHILE));
    llm.warm().await;
    fake.outage().freeze();
    let deltas: Deltas = llm.answer(ask(case)).collect().await;
    assert_eq!(kind(&deltas), ErrorKind::Timeout, "{}", case.name);
    fake.outage().end();
    is_whole(case, &llm.answer(ask(case)).collect().await);
    assert_eq!(fake.requests().len(), 1, "{}", case.name);
}

async fn an_empty_answer_ends_as_one(case: &Case) {
    let fake = FakeLlm::start(Options::default()).await.unwrap();
    fake.on("where is my order", Reply::text(""));
    let llm = case.at(&fake, fake.api_key(), limits(LONG));
    let deltas: Deltas = llm.answer(ask(case)).collect().await;
    assert!(
        matches!(deltas[..], [Ok(Delta::Done { finish: "stop", .. })]),
        "{}: {deltas:?}",
        case.name
    );
}

async fn an_answer_that_is_dropped_stops_at_the_vendor(case: &Case) {
    let fake = fake(case).await;
    fake.fail_next([Fault::StallAfter { tokens: 2 }]);
    let llm = case.at(&fake, fake.api_key(), limits(LONG));
    let mut deltas = llm.answer(ask(case));
    assert_eq!(
        deltas.next().await.unwrap().unwrap(),
        Delta::Text("It".into())
    );
    drop(deltas);
    let gone = fake.shows(|requests| (requests[0].outcome == Outcome::Aborted).then_some(()));
    assert!(gone.await.is_some(), "{}", case.name);
}

// R84, R99, R109
async fn a_calls_result_goes_back_and_the_next_answer_comes(case: &Case) {
    let fake = fake(case).await;
    let llm = case.at(&fake, fake.api_key(), limits(LONG));
    let mut ask = ask(case);
    let first: Deltas = llm.answer(ask.clone()).collect().await;
    let call = calls(&first).remove(0);
    ask.messages.push(AskMessage {
        tool_calls: vec![(call.id.clone(), call.name, call.arguments)],
        ..message("assistant", &text(&first))
    });
    ask.messages.push(AskMessage {
        tool_call_id: Some(call.id),
        ..message("tool", "on a truck")
    });
    ask.messages.push(message("user", "and now"));
    let second: Deltas = llm.answer(ask.clone()).collect().await;
    assert_eq!(text(&second), "It is there.", "{}: {second:?}", case.name);
    // Also where the tools are not shown any more.
    ask.tools.clear();
    let third: Deltas = llm.answer(ask).collect().await;
    assert_eq!(text(&third), "It is there.", "{}: {third:?}", case.name);
    if case.api == Api::Gemini {
        let contents = fake.requests()[1]["contents"].to_string();
        assert!(contents.contains("c2VhbGVkIHRob3VnaHQ="), "{contents}");
    }
}

// R98
async fn a_vendor_without_tools_says_so(case: &Case) {
    let fake = fake(case).await;
    let llm = case.at(&fake, fake.api_key(), limits(LONG));
    let mut ask = ask(case);
    ask.tools = self::ask(&CASES[0]).tools;
    let deltas: Deltas = llm.answer(ask).collect().await;
    let words = deltas[0].as_ref().unwrap_err().to_string();
    assert_eq!(words, format!("{} llm: takes no tools", case.name));
    assert!(fake.requests().is_empty());
}

// R3, R95
async fn a_connection_is_opened_ahead(case: &Case) {
    let fake = fake(case).await;
    let llm = case.at(&fake, fake.api_key(), limits(LONG));
    llm.warm().await;
    for _ in 0..3 {
        is_whole(case, &llm.answer(ask(case)).collect().await);
    }
    assert_eq!(fake.connections(), 1, "{}", case.name);
    // Nothing was asked, so nothing is billed.
    assert_eq!(fake.requests().len(), 3, "{}", case.name);
}

#[tokio::test]
async fn the_demo_answers_without_a_key() {
    let fake = FakeLlm::demo().await.unwrap();
    let demo = Case {
        name: "demo",
        ..CASES[0]
    };
    let vendors = crate::vendors("demo", fake.base_url(), "");
    let llm = vendors.llm(&demo.config(), &keys()).unwrap();
    let deltas: Deltas = llm.answer(ask(&demo)).collect().await;
    assert!(!text(&deltas).is_empty());
    assert!(
        matches!(deltas.last(), Some(Ok(Delta::Done { .. }))),
        "{deltas:?}"
    );
}

#[test]
fn the_document_has_a_row_a_vendor() {
    let document = include_str!("../../../../../docs/vendors.md");
    let (_, table) = document.split_once("## Models").unwrap();
    let table = table.split("\n## ").next().unwrap();
    for case in &CASES {
        let row = case.row();
        assert!(table.contains(&row), "not in docs/vendors.md: {row}");
    }
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    // The demo is not of this suite.
    assert_eq!(rows, CASES.len() + 1);
    assert_eq!(BESIDES.len(), CASES.len());
}
