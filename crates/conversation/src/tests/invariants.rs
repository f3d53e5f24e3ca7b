//! What holds whatever happens (R66, R77, R205): random orders of events, the agent's vendors and the
//! caller at their worst. `BOLO_PROPTEST_CASES` sets how many are tried.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::play::script;
use crate::words::normal;
use crate::{AnswerId, Clip};
use crate::{
    At, Conversation, Ending, Fault, FaultKind, Finish, Input, Kind, Metric, Output, RouteScript,
    Script, TokenUse, ToolCall, TurnEndWhy, TurnId,
};
use bolo_execution::Direction;

/// Something that may happen; answers are named by how far they lie back.
#[derive(Debug, Clone)]
enum Event {
    Voice(bool),
    Started,
    Interim(usize),
    Final(usize),
    End(usize),
    Ended,
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
    Key(char),
    Media(u8),
    Frozen(u64),
    /// Driver and vendors do their work for this long.
    Tick,
}

const SAID: [&str; 10] = [
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
const TOKENS: [&str; 5] = [
    "Sure, ",
    "let me look that up for you. ",
    "We open at nine.",
    " ",
    "Is it **red**? ",
];

fn event() -> impl Strategy<Value = Event> {
    let back = || 0..3_u32;
    prop_oneof![
        3 => any::<bool>().prop_map(Event::Voice),
        1 => Just(Event::Started),
        4 => (0..SAID.len()).prop_map(Event::Interim),
        2 => (0..SAID.len()).prop_map(Event::Final),
        5 => (0..SAID.len()).prop_map(Event::End),
        1 => Just(Event::Ended),
        1 => (0..40_u8).prop_map(Event::Transcriber),
        6 => (back(), 0..TOKENS.len()).prop_map(|(back, token)| Event::Token(back, token)),
        1 => back().prop_map(Event::EndCall),
        4 => (back(), any::<bool>()).prop_map(|(back, whole)| Event::Done(back, whole)),
        1 => (back(), 0..9_u8).prop_map(|(back, kind)| Event::Failed(back, kind)),
        4 => (back(), 20..1000_u64).prop_map(|(back, ms)| Event::Chunk(back, ms)),
        6 => (back(), 20..4000_u64).prop_map(|(back, ms)| Event::Speech(back, ms)),
        2 => back().prop_map(Event::PieceDone),
        3 => back().prop_map(Event::SpeechDone),
        1 => back().prop_map(Event::SpeechFailed),
        3 => (back(), prop::option::of(0..4_u32)).prop_map(|(back, chunk)| Event::Mark(back, chunk)),
        1 => (0..2_u32, any::<bool>()).prop_map(|(back, hit)| Event::Routed(back, hit)),
        1 => (0..2_u32, any::<bool>()).prop_map(|(back, yes)| Event::Judged(back, yes)),
        2 => prop::sample::select(vec!['1', '2', '#', '*']).prop_map(Event::Key),
        1 => (0..12_u8).prop_map(Event::Media),
        1 => (0..11_000_u64).prop_map(Event::Frozen),
        3 => Just(Event::Tick),
    ]
}

/// The fixture, made once, with English lists only.
fn base() -> Script {
    static BASE: std::sync::LazyLock<Script> = std::sync::LazyLock::new(|| {
        let mut base = script();
        base.rules.phrases.retain(|code, _| code == "en");
        base.rules.lines.retain(|code, _| code == "en");
        base
    });
    BASE.clone()
}

fn agent() -> impl Strategy<Value = Script> {
    let ending = prop::sample::select(vec![
        Ending::Never,
        Ending::Tool("All is said.".to_owned()),
        Ending::Judge("All is said.".to_owned()),
    ]);
    (ending, 0..4_u32, any::<[bool; 8]>(), 0..3_u64).prop_map(|(ending, words, flags, delay)| {
        Script {
            welcome: if flags[0] {
                String::new()
            } else {
                base().welcome
            },
            welcome_delay_ms: delay * 700,
            discard_pre_welcome: flags[1],
            words_to_interrupt: words,
            speculate: flags[2],
            use_fillers: flags[3],
            dtmf: flags[4],
            interruptible_goodbye: flags[5],
            goodbye: if flags[6] {
                String::new()
            } else {
                base().goodbye
            },
            routes: if flags[7] {
                Vec::new()
            } else {
                vec![RouteScript {
                    name: "r".into(),
                    responses: vec!["At nine.".into()],
                }]
            },
            ending,
            ..base()
        }
    })
}

/// The driver as far as the machine sees it, and all that must hold of what it is told.
struct Checked {
    call: Conversation,
    inputs: Vec<(At, Input)>,
    outputs: Vec<Vec<Output>>,
    now: At,
    last_answer: u32,
    last_turn: u32,
    last_judge: u32,
    /// Text of each answer, and how many pieces and chunks it has.
    text: BTreeMap<AnswerId, String>,
    pieces: BTreeMap<AnswerId, u32>,
    made: BTreeMap<AnswerId, u32>,
    announced: BTreeSet<(AnswerId, u32)>,
    played: Vec<(AnswerId, u32)>,
    /// Answers of which nothing may be played any more.
    dead: BTreeSet<AnswerId>,
    /// Every answer up to this is dead (R66).
    dead_until: AnswerId,
    hang_ups: u32,
    /// What vendors and carrier will do, in order of time; `None` = they do nothing by themselves.
    luck: Option<Vec<u8>>,
    coming: BTreeMap<(At, u32), Input>,
    drawn: u32,
    sound_ms: BTreeMap<AnswerId, u64>,
}

impl Checked {
    fn new(script: Script, luck: Option<Vec<u8>>) -> Self {
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

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let luck = self.luck.as_deref().unwrap_or(&[0]);
        u64::from(luck[self.drawn as usize % luck.len()])
    }

    fn comes(&mut self, after_ms: u64, input: Input) {
        self.drawn += 1;
        self.coming
            .insert((self.now.plus(after_ms), self.drawn), input);
    }

    /// Vendors and carrier at their usual work.
    fn react(&mut self, output: &Output) {
        if self.luck.is_none() {
            return;
        }
        let luck = self.draw();
        match output {
            Output::Ask { answer, tools, .. } => {
                let answer = *answer;
                match luck % 16 {
                    0 => {}
                    1 => self.comes(
                        luck * 10,
                        Input::AnswerFailed {
                            answer,
                            fault: fault(luck as u8),
                        },
                    ),
                    2 if !tools.is_empty() => self.comes(200, tool_call(answer)),
                    _ => {}
                }
                if luck % 16 > 1 {
                    for index in 0..=luck % 6 {
                        let text = TOKENS[(luck + index) as usize % TOKENS.len()].to_owned();
                        self.comes(luck * 3 + index * 50, Input::Token { answer, text });
                    }
                    let usage = TokenUse::default();
                    self.comes(
                        luck * 3 + 400,
                        Input::AnswerDone {
                            answer,
                            finish: Finish::Stop,
                            usage,
                        },
                    );
                }
            }
            Output::SayClip { answer, .. } => self.sound(*answer, 0, luck, true),
            Output::Say {
                answer,
                piece,
                text,
                last,
                ..
            } => {
                self.sound(
                    *answer,
                    *piece,
                    if text.is_empty() { 0 } else { luck + 1 },
                    *last,
                );
            }
            Output::PlayEnd { answer } if luck & 7 > 0 => {
                let ms = self.sound_ms.get(answer).copied().unwrap_or(0);
                self.comes(
                    ms + luck,
                    Input::Mark {
                        name: format!("{}:end", answer.0),
                    },
                );
            }
            Output::AskRoute { turn, .. } => {
                let hit = (luck < 85).then_some((0, 0));
                self.comes(
                    luck % 80,
                    Input::Routed {
                        turn: *turn,
                        hit,
                        scores: None,
                    },
                );
            }
            Output::AskJudge { id, .. } => self.comes(
                luck * 10,
                Input::Judged {
                    id: *id,
                    yes: luck < 85,
                },
            ),
            Output::HangUp { .. } if luck & 3 > 0 => self.comes(luck, Input::MediaStop),
            _ => {}
        }
    }

    fn sound(&mut self, answer: AnswerId, piece: u32, luck: u64, last: bool) {
        let wait = 30 + luck;
        for _ in 0..luck % 5 {
            let made = self.made.entry(answer).or_insert(0);
            *made += 1;
            let chunk = *made;
            let ms = 20 + luck * 3;
            *self.sound_ms.entry(answer).or_insert(0) += ms;
            self.comes(
                wait,
                Input::Audio {
                    answer,
                    piece,
                    chunk,
                    ms,
                    words: vec![],
                },
            );
        }
        self.comes(wait, Input::PieceDone { answer, piece });
        if last && luck % 32 != 9 {
            self.comes(wait + 1, Input::SpeechDone { answer });
        }
    }

    /// Time passes: deadlines are met, vendors and carrier do what they are about to.
    fn wait(&mut self, until: At) {
        while let Some((&(at, _), _)) = self.coming.first_key_value()
            && at <= until
        {
            self.wait_for_deadlines(at);
            if let Some((_, input)) = self.coming.pop_first() {
                self.feed(at, input);
            }
        }
        self.wait_for_deadlines(until);
    }

    fn wait_for_deadlines(&mut self, until: At) {
        while let Some(due) = self.call.deadline().filter(|due| *due <= until) {
            let at = due.max(self.now);
            if self
                .coming
                .first_key_value()
                .is_some_and(|((coming, _), _)| *coming < at)
            {
                return self.wait(until);
            }
            self.feed(at, Input::Tick);
            let next = self.call.deadline();
            let mut again = 0;
            while next.is_some() && self.call.deadline().is_some_and(|due| due <= at) {
                again += 1;
                assert!(again < 20, "a deadline that is never met at {at:?}");
                self.feed(at, Input::Tick);
            }
        }
        self.now = self.now.max(until);
    }

    fn feed(&mut self, at: At, input: Input) {
        self.now = at;
        if let Input::Audio { answer, chunk, .. } = &input {
            self.announced.insert((*answer, *chunk));
        }
        if let Input::Token { answer, text } = &input {
            self.text.entry(*answer).or_default().push_str(text);
        }
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
            Output::SayClip { answer, text, clip } => {
                assert_eq!(answer.0, self.last_answer + 1);
                self.last_answer = answer.0;
                assert!(!text.trim().is_empty());
                self.text.insert(*answer, text.clone());
                self.pieces.insert(*answer, 1);
                let _: Clip = *clip;
            }
            Output::Say {
                answer,
                piece,
                text,
                kind,
                ..
            } => {
                self.last_answer = self.last_answer.max(answer.0);
                assert!(!self.dead.contains(answer));
                assert_eq!(
                    self.pieces.get(answer).copied().unwrap_or(0),
                    *piece,
                    "pieces count from 0"
                );
                let _: Kind = *kind;
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
            Output::HangUp { .. } => {
                self.hang_ups += 1;
                assert!(self.hang_ups <= 3);
            }
            _ => {}
        }
    }

    fn happen(&mut self, event: &Event) {
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

    /// Every line of the agent begins a text that was played.
    fn check_transcript(&self) {
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

fn tool_call(answer: AnswerId) -> Input {
    let call = ToolCall {
        id: "c".into(),
        name: "end_call".into(),
        arguments: "{}".into(),
    };
    Input::ToolCalls {
        answer,
        calls: vec![call],
    }
}

fn fault(kind: u8) -> Fault {
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

fn cases() -> u32 {
    std::env::var("BOLO_PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        script in agent(),
        marks in any::<bool>(),
        seed in any::<u64>(),
        events in prop::collection::vec((0..900_u64, event()), 1..80),
        stop in prop::option::of(any::<bool>()),
        luck in prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 16..40)),
    ) {
        let mut checked = Checked::new(script.clone(), luck);
        checked.feed(At(0), Input::MediaStart { direction: Direction::Inbound, marks, web: false, seed });
        for (wait, event) in &events {
            // Most events come close together.
            let at = checked.now.plus(if wait % 3 == 0 { wait * 3 } else { wait % 50 });
            checked.wait(at);
            checked.happen(event);
        }
        checked.check_transcript();
        match stop {
            Some(true) => checked.feed(checked.now, Input::MediaStop),
            Some(false) => checked.feed(checked.now, Input::StopRequested),
            None => {}
        }
        // Left alone, every call ends.
        checked.wait(checked.now.plus(400_000));
        prop_assert!(checked.call.is_over(), "the call never ends: {:?}", checked.call.deadline());
        checked.check_transcript();

        // The same inputs, the same decisions.
        let mut again = Conversation::new(script);
        for ((at, input), outputs) in checked.inputs.iter().zip(&checked.outputs) {
            let repeated = serde_json::to_string(&again.handle(*at, input.clone())).unwrap();
            prop_assert_eq!(repeated, serde_json::to_string(outputs).unwrap());
        }
        prop_assert_eq!(&again, &checked.call);
    }
}
