//! What may happen to a call, drawn at random, and the inputs that it makes.

use super::driver::Checked;
use crate::{
    AnswerId, Fault, FaultKind, Finish, Input, TokenUse, ToolCall, ToolOutcome, TransferOutcome,
    TurnEndWhy, TurnId,
};

/// Something that may happen; answers are named by how far they lie back.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Voice(bool),
    Started,
    Interim(usize),
    Final(usize),
    End(usize),
    Ended,
    /// Sure enough, or not.
    Eager(usize, bool),
    Resumed,
    Transcriber(u8),
    Token(u32, usize),
    EndCall(u32),
    Thinks(u32),
    /// Which of [`CALLS`].
    Named(u32, usize),
    /// Which of [`CALLS`], and one more of them.
    Calls(u32, usize, Option<usize>),
    /// Of a run that lies so far back.
    Result(u32, bool),
    Transfer(bool),
    Done(u32, bool),
    Failed(u32, u8),
    Chunk(u32, u64),
    Speech(u32, u64),
    PieceDone(u32),
    SpeechDone(u32),
    SpeechFailed(u32),
    Mark(u32, Option<u32>),
    Routed(u32, bool),
    Judged(u32, bool),
    AnsweredBy(bool),
    Key(char),
    Media(u8),
    Frozen(u64),
    /// Driver and vendors do their work for this long.
    Tick,
}

pub(crate) const SAID: [&str; 10] = [
    "",
    "yes",
    "hmm",
    "Stop.",
    "but why",
    "I am calling about my order",
    "my number is",
    "my number is nine eight",
    "bye bye",
    "Hello from",
];
pub(crate) const TOKENS: [&str; 5] = [
    "Sure, ",
    "let me look that up for you. ",
    "We open at nine.",
    " ",
    "Is it **red**? ",
];

pub(crate) const CALLS: [(&str, &str); 6] = [
    ("look_up", "{}"),
    ("look_up", r#"{"id":1}"#),
    ("book", "{}"),
    ("book", r#"{"id":"#),
    ("sales", "{}"),
    ("dance", "{}"),
];

impl Checked {
    /// Lets it happen.
    pub(crate) fn happen(&mut self, event: &Event) {
        let answer = |back: &u32| AnswerId(self.last_answer.saturating_sub(*back));
        let said = |index: &usize| SAID[*index].to_owned();
        let input = match event {
            Event::Voice(speech) => Input::Vad { speech: *speech },
            Event::Started => Input::SpeechStarted,
            Event::Interim(text) => Input::Interim { text: said(text) },
            Event::Final(text) => Input::Final { text: said(text) },
            Event::End(text) => Input::TurnEnd {
                text: said(text),
                why: TurnEndWhy::SpeechFinal,
            },
            Event::Ended => Input::SpeechEnded,
            Event::Eager(text, sure) => Input::Eager {
                text: said(text),
                confidence: if *sure { 0.8 } else { 0.4 },
            },
            Event::Resumed => Input::Resumed,
            Event::Transcriber(0) => Input::TranscriberLost { fault: fault(3) },
            Event::Transcriber(1..=8) => Input::TranscriberDown { fault: fault(7) },
            Event::Transcriber(_) => Input::TranscriberUp,
            Event::Token(back, text) => Input::Token {
                answer: answer(back),
                text: TOKENS[*text].to_owned(),
            },
            Event::EndCall(back) => Input::ToolCalls {
                answer: answer(back),
                calls: vec![ToolCall {
                    id: "c".into(),
                    name: "end_call".into(),
                    arguments: "{}".into(),
                }],
            },
            Event::Thinks(back) => Input::Thinking {
                answer: answer(back),
            },
            Event::Named(back, which) => Input::ToolNamed {
                answer: answer(back),
                name: CALLS[*which].0.into(),
            },
            Event::Calls(back, first, second) => self.called(*back, *first, *second),
            Event::Result(back, true) => Input::ToolReturned {
                run: self.last_run.saturating_sub(*back),
                outcome: ToolOutcome::Answered {
                    body: format!("result {}", self.inputs.len()),
                },
            },
            Event::Result(back, false) => Input::ToolReturned {
                run: self.last_run.saturating_sub(*back),
                outcome: ToolOutcome::Failed { why: "gone".into() },
            },
            Event::Transfer(true) => Input::TransferChanged {
                outcome: TransferOutcome::Connected,
            },
            Event::Transfer(false) => Input::TransferChanged {
                outcome: TransferOutcome::Failed { why: "busy".into() },
            },
            Event::Done(back, whole) => Input::AnswerDone {
                answer: answer(back),
                finish: if *whole { Finish::Stop } else { Finish::Length },
                usage: TokenUse::default(),
            },
            Event::Failed(back, kind) => Input::AnswerFailed {
                answer: answer(back),
                fault: fault(*kind),
            },
            Event::Chunk(back, ms) => return self.chunk(answer(back), *ms),
            Event::Speech(back, ms) => {
                let answer = answer(back);
                for _ in 0..ms.div_ceil(1000) {
                    self.chunk(answer, (*ms).min(1000));
                }
                return self.feed(self.now, Input::SpeechDone { answer });
            }
            Event::PieceDone(back) => Input::PieceDone {
                answer: answer(back),
                piece: 0,
            },
            Event::SpeechDone(back) => Input::SpeechDone {
                answer: answer(back),
            },
            Event::SpeechFailed(back) => Input::SpeechFailed {
                answer: answer(back),
                fault: fault(6),
            },
            Event::Mark(back, chunk) => {
                let chunk = chunk.map_or("end".to_owned(), |chunk| chunk.to_string());
                Input::Mark {
                    name: format!("{}:{chunk}", answer(back).0),
                }
            }
            Event::Routed(back, hit) => Input::Routed {
                turn: TurnId(self.last_turn.saturating_sub(*back)),
                hit: hit.then_some((0, 0)),
                scores: Some((0.5, 0.9)),
            },
            Event::Judged(back, yes) => Input::Judged {
                id: self.last_judge.saturating_sub(*back),
                yes: *yes,
            },
            Event::AnsweredBy(is_machine) => Input::AnsweredBy {
                is_machine: *is_machine,
            },
            Event::Key(digit) => Input::Dtmf { digit: *digit },
            Event::Media(0..=2) => Input::MediaLost,
            Event::Media(3) => Input::MediaResumed,
            Event::Media(_) => Input::Tick,
            Event::Frozen(ms) => Input::MediaFrozen { ms: *ms },
            Event::Tick => Input::Tick,
        };
        self.feed(self.now, input);
    }

    /// An answer that calls one or two of [`CALLS`].
    pub(crate) fn called(&self, back: u32, first: usize, second: Option<usize>) -> Input {
        let calls = std::iter::once(first).chain(second).enumerate();
        let call = |(index, which): (usize, usize)| ToolCall {
            id: format!("c{index}"),
            name: CALLS[which].0.into(),
            arguments: CALLS[which].1.into(),
        };
        Input::ToolCalls {
            answer: AnswerId(self.last_answer.saturating_sub(back)),
            calls: calls.map(call).collect(),
        }
    }
}

pub(crate) fn fault(kind: u8) -> Fault {
    use FaultKind::{
        Auth, BadRequest, Connect, Content, Dropped, Quota, RateLimited, Server, Timeout,
    };
    let kinds = [
        Auth,
        Quota,
        RateLimited,
        Connect,
        BadRequest,
        Timeout,
        Dropped,
        Server,
        Content,
    ];
    let kind = kinds[usize::from(kind) % kinds.len()];
    Fault {
        kind,
        message: "vendor: down".into(),
        retry_after_ms: None,
    }
}
