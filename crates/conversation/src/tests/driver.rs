//! A driver of the machine for random events: it does what vendors and carrier do, and checks all that
//! must hold of what it is told (R66, R77, R205).

use std::collections::{BTreeMap, BTreeSet};

use crate::words::normal;
use crate::{
    AnswerId, At, Conversation, Fault, FaultKind, Finish, Input, Metric, Output, Script, TokenUse,
    ToolCall, TurnEndWhy, TurnId,
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

/// The driver as far as the machine sees it, and all that must hold of what it is told.
pub(crate) struct Checked {
    pub(crate) call: Conversation,
    pub(crate) inputs: Vec<(At, Input)>,
    pub(crate) outputs: Vec<Vec<Output>>,
    pub(crate) now: At,
    last_answer: u32,
    last_turn: u32,
    last_judge: u32,
    /// Text of each answer, and how many pieces and chunks it has.
    text: BTreeMap<AnswerId, String>,
    pieces: BTreeMap<AnswerId, u32>,
    pub(crate) made: BTreeMap<AnswerId, u32>,
    announced: BTreeSet<(AnswerId, u32)>,
    played: Vec<(AnswerId, u32)>,
    /// Answers of which nothing may be played any more.
    dead: BTreeSet<AnswerId>,
    /// Every answer up to this is dead (R66).
    dead_until: AnswerId,
    hang_ups: u32,
    /// What vendors and carrier will do, in order of time; `None` = they do nothing by themselves.
    pub(crate) luck: Option<Vec<u8>>,
    pub(crate) coming: BTreeMap<(At, u32), Input>,
    pub(crate) drawn: u32,
    pub(crate) sound_ms: BTreeMap<AnswerId, u64>,
}

impl Checked {
    pub(crate) fn new(script: Script, luck: Option<Vec<u8>>) -> Self {
        Self {
            luck,
            coming: BTreeMap::new(),
            drawn: 0,
            sound_ms: BTreeMap::new(),
            call: Conversation::new(script),
            inputs: Vec::new(),
            outputs: Vec::new(),
            now: At(0),
            last_answer: 0,
            last_turn: 0,
            last_judge: 0,
            text: BTreeMap::new(),
            pieces: BTreeMap::new(),
            made: BTreeMap::new(),
            announced: BTreeSet::new(),
            played: Vec::new(),
            dead: BTreeSet::new(),
            dead_until: AnswerId(0),
            hang_ups: 0,
        }
    }

    /// Time passes: deadlines are met, vendors and carrier do what they are about to.
    pub(crate) fn wait(&mut self, until: At) {
        let mut ticks_at_once = 0;
        loop {
            let coming = self
                .coming
                .first_key_value()
                .map(|((at, _), _)| (*at).max(self.now));
            let due = self.call.deadline().map(|due| due.max(self.now));
            let next = coming
                .into_iter()
                .chain(due)
                .min()
                .filter(|at| *at <= until);
            let Some(at) = next else { break };
            ticks_at_once = if at == self.now { ticks_at_once + 1 } else { 0 };
            assert!(
                ticks_at_once < 200,
                "a deadline that is never met at {at:?}"
            );
            match self.coming.pop_first() {
                Some((_, input)) if coming == next => self.feed(at, input),
                kept => {
                    self.coming.extend(kept);
                    self.feed(at, Input::Tick);
                }
            }
        }
        self.now = self.now.max(until);
    }

    pub(crate) fn feed(&mut self, at: At, input: Input) {
        self.now = self.now.max(at);
        if let Input::Audio { answer, chunk, .. } = &input {
            self.announced.insert((*answer, *chunk));
        }
        if let Input::Token { answer, text } = &input {
            self.text.entry(*answer).or_default().push_str(text);
        }
        assert!(self.inputs.len() < 50_000, "events without end");
        let was_over = self.call.is_over();
        self.inputs.push((at, input.clone()));
        let outputs = self.call.handle(at, input);
        assert!(!was_over || outputs.is_empty(), "decisions after the end");
        let interrupts = outputs.contains(&Output::Metric(Metric::UserInterruptedAgent));
        let before = AnswerId(self.last_answer);
        for output in &outputs {
            self.check(output);
        }
        for output in &outputs {
            self.react(output);
        }
        if interrupts {
            self.dead_until = before;
        }
        self.outputs.push(outputs);
        if self.call.is_over() {
            assert_eq!(self.call.deadline(), None);
        } else if self
            .inputs
            .iter()
            .any(|(_, input)| matches!(input, Input::MediaStart { .. }))
        {
            assert!(
                self.call.deadline().is_some(),
                "nothing will ever happen again"
            );
        }
    }

    fn check(&mut self, output: &Output) {
        if self.hang_ups > 0 {
            assert!(
                matches!(
                    output,
                    Output::HangUp { .. } | Output::Log(_) | Output::Metric(_)
                ),
                "{output:?} after a hang-up"
            );
        }
        match output {
            Output::Ask {
                answer, messages, ..
            } => {
                assert_eq!(answer.0, self.last_answer + 1);
                self.last_answer = answer.0;
                assert!(messages.len() <= 101);
            }
            Output::SayClip { answer, text, .. } => {
                assert_eq!(answer.0, self.last_answer + 1);
                self.last_answer = answer.0;
                assert!(!text.trim().is_empty());
                self.text.insert(*answer, text.clone());
                self.pieces.insert(*answer, 1);
            }
            Output::Say {
                answer,
                piece,
                text,
                ..
            } => {
                self.last_answer = self.last_answer.max(answer.0);
                assert!(!self.dead.contains(answer));
                let guess = self.call.guess.as_ref();
                assert!(
                    guess.is_none_or(|guess| guess.utterance.id != *answer),
                    "said ahead (R41)"
                );
                assert_eq!(
                    self.pieces.get(answer).copied().unwrap_or(0),
                    *piece,
                    "pieces count from 0"
                );
                if !text.is_empty() {
                    self.pieces.insert(*answer, piece + 1);
                    if !self.text.contains_key(answer) {
                        self.text.insert(*answer, text.clone());
                    }
                }
            }
            Output::AskRoute { turn, .. } => self.last_turn = turn.0,
            Output::AskJudge { id, .. } => self.last_judge = *id,
            Output::CancelSay { answer } => {
                self.dead.insert(*answer);
            }
            Output::ClearPlayback => self
                .dead
                .extend(self.played.iter().map(|(answer, _)| *answer)),
            Output::Play { answer, chunk } => {
                assert!(
                    *answer > self.dead_until,
                    "an interrupted answer goes on (R66)"
                );
                assert!(
                    !self.dead.contains(answer),
                    "a cleared or cancelled answer goes on"
                );
                assert!(
                    self.announced.contains(&(*answer, *chunk)),
                    "a chunk that does not exist"
                );
                let voice = self
                    .played
                    .iter()
                    .rev()
                    .take_while(|(other, _)| other == answer)
                    .count();
                let before = self
                    .played
                    .iter()
                    .filter(|(other, _)| other == answer)
                    .count();
                assert_eq!(voice, before, "two voices at a time (R77)");
                assert!(
                    self.played
                        .iter()
                        .all(|(other, number)| other != answer || number < chunk)
                );
                self.played.push((*answer, *chunk));
            }
            Output::Fault { message } => assert!(!message.contains("does not settle")),
            Output::HangUp { .. } => {
                self.hang_ups += 1;
                assert!(self.hang_ups <= 3);
            }
            _ => {}
        }
    }

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

    fn chunk(&mut self, answer: AnswerId, ms: u64) {
        let chunk = self.made.entry(answer).or_insert(0);
        *chunk += 1;
        let piece = self
            .pieces
            .get(&answer)
            .copied()
            .unwrap_or(1)
            .saturating_sub(1);
        let input = Input::Audio {
            answer,
            piece,
            chunk: *chunk,
            ms,
            words: vec![],
        };
        self.feed(self.now, input);
    }

    /// Whatever came before: a caller who says a whole sentence is answered, unless the call is ending.
    pub(crate) fn check_that_a_caller_is_answered(&mut self) {
        const QUESTION: &str = "what is seven times six please";
        self.coming.clear();
        for input in [
            Input::MediaResumed,
            Input::TranscriberUp,
            Input::Vad { speech: false },
        ] {
            self.feed(self.now, input);
        }
        // A welcome may have to end first, then what was said before is still a turn of its own.
        self.wait(self.now.plus(1500));
        let text = QUESTION.to_owned();
        self.feed(
            self.now,
            Input::TurnEnd {
                text,
                why: TurnEndWhy::EndOfTurn,
            },
        );
        self.wait(self.now.plus(30_000));
        let asked = |output: &Output| match output {
            Output::Ask { messages, .. } => messages.iter().any(|message| {
                message
                    .content
                    .as_deref()
                    .is_some_and(|text| text.contains(QUESTION))
            }),
            Output::AskRoute { text, .. } => text.contains(QUESTION),
            _ => false,
        };
        assert!(
            self.call.end().is_some() || self.outputs.iter().flatten().any(asked),
            "nobody answers:\n{}",
            self.story()
        );
    }

    /// What happened and what was decided, to be read.
    fn story(&self) -> String {
        let mut text = String::new();
        for ((at, input), outputs) in self.inputs.iter().zip(&self.outputs) {
            let decided: Vec<_> = outputs.iter().map(|output| (*at, output.clone())).collect();
            text.push_str(&format!(
                "{} {}\n",
                at.0,
                serde_json::to_string(input).unwrap()
            ));
            text.push_str(
                &super::play::lines(&decided, false).replace(&format!("{} ", at.0), "      "),
            );
        }
        text
    }

    /// Every line of the agent begins a text that was played.
    pub(crate) fn check_transcript(&self) {
        for line in self
            .call
            .transcript()
            .lines()
            .filter_map(|line| line.strip_prefix("assistant: "))
        {
            let known = self.played.iter().any(|(answer, _)| {
                let text = self
                    .text
                    .get(answer)
                    .map(|text| normal(text))
                    .unwrap_or_default();
                text.starts_with(&normal(line))
            });
            assert!(known, "not played: {line}");
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
