//! A driver of the machine for random events: it does what vendors and carrier do, and checks all that
//! must hold of what it is told (R66, R77, R205).

use std::collections::{BTreeMap, BTreeSet};

use crate::words::normal;
use crate::{
    AnswerId, At, Conversation, Input, Message, Metric, Output, Role, Script, ToolOutcome,
    TurnEndWhy,
};

/// The driver as far as the machine sees it, and all that must hold of what it is told.
pub(crate) struct Checked {
    pub(crate) call: Conversation,
    pub(crate) inputs: Vec<(At, Input)>,
    pub(crate) outputs: Vec<Vec<Output>>,
    pub(crate) now: At,
    pub(crate) last_answer: u32,
    pub(crate) last_turn: u32,
    pub(crate) last_judge: u32,
    pub(crate) last_run: u32,
    /// The run without a result, until the machine counts that as lost.
    running: Option<(u32, At)>,
    /// Results that were told in time.
    results: Vec<String>,
    transferring: bool,
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
    /// Told to stop feeding.
    is_paused: bool,
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
            last_run: 0,
            running: None,
            results: Vec::new(),
            transferring: false,
            text: BTreeMap::new(),
            pieces: BTreeMap::new(),
            made: BTreeMap::new(),
            announced: BTreeSet::new(),
            played: Vec::new(),
            dead: BTreeSet::new(),
            dead_until: AnswerId(0),
            is_paused: false,
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
        match &input {
            Input::ToolReturned {
                run,
                outcome: ToolOutcome::Answered { body },
            } => self.note_result(*run, body),
            Input::ToolReturned { run, .. } => {
                self.running.take_if(|(running, _)| running == run);
            }
            Input::TransferChanged { .. } => self.transferring = false,
            // Ends a transfer; and where no socket was lost, a node was, with what it ran (R202).
            Input::MediaResumed => {
                self.transferring = false;
                self.running = None;
            }
            _ => {}
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
                self.transferring = false; // nobody took the caller over
                self.check_results(messages);
            }
            Output::RunTool { run, .. } => {
                assert_eq!(*run, self.last_run + 1, "runs count from 1");
                let is_free = self.running.is_none_or(|(_, lost)| lost <= self.now);
                assert!(is_free, "two tools at a time (R100)");
                self.last_run = *run;
                self.running = Some((*run, self.now.plus(12_000)));
            }
            Output::StartTransfer { .. } => {
                assert!(!self.transferring, "two transfers at a time (R113)");
                self.transferring = true;
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
            Output::PausePlayback => self.is_paused = true,
            Output::ResumePlayback { .. } => self.is_paused = false,
            Output::ClearPlayback => {
                self.is_paused = false;
                self.dead
                    .extend(self.played.iter().map(|(answer, _)| *answer));
            }
            Output::Play { answer, chunk } => {
                assert!(!self.is_paused, "nobody feeds what is played");
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

    /// What a tool did is never forgotten, and stands behind its call (R56, R84).
    fn check_results(&self, messages: &[Message]) {
        let told = |text: &String| {
            let is_it = |message: &Message| message.content.as_ref() == Some(text);
            messages
                .iter()
                .any(|message| message.role == Role::Tool && is_it(message))
        };
        // A vendor that refuses the whole history gets one without tools (R194).
        let is_bare = (self.call.pending.as_ref()).is_some_and(|pending| pending.is_bare);
        assert!(
            is_bare || self.results.iter().all(told),
            "a result is forgotten:\n{}",
            self.story()
        );
        let mut open: Vec<&str> = Vec::new();
        for message in messages {
            match &message.tool_call_id {
                Some(id) => {
                    let at = open.iter().position(|call| call == id);
                    open.remove(at.expect("a result without its call"));
                }
                None => {
                    assert!(open.is_empty(), "a call without its result");
                    open = message
                        .tool_calls
                        .iter()
                        .map(|call| call.id.as_str())
                        .collect();
                }
            }
        }
    }

    /// Notes what is told of a tool that runs.
    fn note_result(&mut self, run: u32, text: &str) {
        let running = self.running.take_if(|(running, _)| *running == run);
        if running.is_some_and(|(_, lost)| self.now < lost) && self.call.end().is_none() {
            self.results.push(text.to_owned());
        }
    }

    pub(crate) fn chunk(&mut self, answer: AnswerId, ms: u64) {
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
        if let Some((run, _)) = self.running {
            let why = "gone".to_owned();
            let outcome = ToolOutcome::Failed { why };
            self.feed(self.now, Input::ToolReturned { run, outcome });
        }
        // A welcome may have to end first, then what was said before is still a turn of its own.
        self.wait(self.now.plus(1500));
        if self.call.is_transferring() {
            return; // nobody listens to him (R63)
        }
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
