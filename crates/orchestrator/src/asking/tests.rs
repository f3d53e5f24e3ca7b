//! What requests cost that come to no good end.
#![allow(clippy::unwrap_used, clippy::panic)]

use bolo_agent::Agent;
use futures_util::{stream, stream::BoxStream};
use serde_json::json;

use super::*;
use crate::bench;

/// Says this, and then nothing more for ever.
struct Stuck(Vec<Result<Delta, Error>>);

impl Llm for Stuck {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn answer(&self, _: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        let said = stream::iter(self.0.clone());
        said.chain(stream::pending()).boxed()
    }
}

fn mind(said: Vec<Result<Delta, Error>>) -> (Mind, mpsc::Receiver<News>) {
    let agent = Agent::parse(&bench::agent("Hi.", json!({}))).unwrap();
    let config = agent.conversation.llm.config.clone();
    let (sender, news) = mpsc::channel(8);
    let mind = Mind::new(Arc::new(Stuck(said)), config, None, "agent".into(), sender);
    (mind, news)
}

/// 40 characters.
fn question() -> Vec<Message> {
    vec![Message {
        role: Role::User,
        content: Some("is it so".repeat(5)),
        tool_calls: Vec::new(),
        tool_call_id: None,
    }]
}

fn text(characters: usize) -> Result<Delta, Error> {
    Ok(Delta::Text("x".repeat(characters)))
}

fn estimated(input: u64, output: u64) -> TokenUse {
    TokenUse {
        input,
        output,
        cached: 0,
        estimated: true,
    }
}

async fn judged(news: &mut mpsc::Receiver<News>) -> (bool, Option<TokenUse>) {
    match news.recv().await.unwrap() {
        News::Judged { id: 7, yes, used } => (yes, used),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)] // R155, R186
async fn a_judge_that_takes_too_long_says_no_and_is_paid_for() {
    let thought = Ok(Delta::Reasoning("y".repeat(12)));
    let (mut mind, mut news) = mind(vec![thought, text(8)]);
    mind.ask_judge(7, JudgeKind::Voicemail, question());
    assert_eq!(judged(&mut news).await, (false, Some(estimated(10, 5))));
}

#[tokio::test(start_paused = true)] // R155, R186
async fn a_judge_that_is_refused_costs_nothing_and_one_that_broke_off_does() {
    let down = || Err(bench::error(ErrorKind::Server, "down"));
    let (mut mind, mut news) = mind(vec![down()]);
    mind.ask_judge(7, JudgeKind::HangUp, question());
    assert_eq!(judged(&mut news).await, (false, None));
    let (mut mind, mut news) = self::mind(vec![text(8), down()]);
    mind.ask_judge(7, JudgeKind::HangUp, question());
    assert_eq!(judged(&mut news).await, (false, Some(estimated(10, 2))));
}

#[test] // R186
fn a_request_that_was_sent_twice_is_paid_for_twice() {
    let ask = Ask::plain(
        Agent::parse(&bench::agent("Hi.", json!({})))
            .unwrap()
            .conversation
            .llm
            .config,
        ["is it so".repeat(2), "is it so".repeat(3)],
        false,
        "agent".into(),
    );
    let meter = Meter::of(&ask);
    meter.came("four");
    assert_eq!(meter.of_cut(), estimated(10, 1));
    ask.sent.again();
    assert_eq!(meter.of_cut(), estimated(20, 1));
}

#[tokio::test(start_paused = true)] // R186
async fn what_is_still_asked_when_the_call_ends_is_paid_for_once() {
    let (mut mind, mut news) = mind(vec![text(8)]);
    mind.ask_judge(7, JudgeKind::HangUp, question());
    mind.ask(AnswerId(1), question(), Vec::new(), ToolChoice::Auto, 0.1);
    // The answer's first words: the judge has come as far.
    assert!(matches!(
        news.recv().await,
        Some(News::Input(Input::Token { .. }))
    ));
    assert_eq!(mind.cut(), [estimated(10, 2); 2]);
    assert!(mind.cut().is_empty());
}
