//! How long things took in one call: `latency_data` (R188), with our own added time of each turn apart
//! from the vendors'.

use std::{collections::BTreeMap, time::Duration};

use bolo_conversation::AnswerId;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::figures;

/// More turns than this are not listed.
const TURNS: usize = 300;
/// More transcriber results of one turn than this are not listed.
const RESULTS: usize = 50;

/// When the steps of one answer happened.
#[derive(Debug, Clone, Copy)]
struct Steps {
    /// The turn was over: the request to model or routes left.
    asked: Instant,
    routed: Option<Instant>,
    token: Option<Instant>,
    said: Option<Instant>,
    audio: Option<Instant>,
    played: Option<Instant>,
    turn: Option<u32>,
}

/// One answered turn. Times in ms.
#[derive(Debug, Clone, PartialEq)]
struct Turn {
    turn: u32,
    answer: u32,
    routed: bool,
    total: f64,
    route: Option<f64>,
    llm: f64,
    gather: f64,
    tts: f64,
    hold: f64,
    send: f64,
    added: f64,
    llm_last: Option<f64>,
    tts_last: Option<f64>,
}

/// Text of the transcriber and how long after its audio it came.
#[derive(Debug, Clone, PartialEq)]
struct Result {
    turn: u32,
    late: f64,
    text: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Answer → media start, ms.
    pub(crate) stream: Option<u64>,
    /// Answer → first frame sent, ms.
    pub(crate) first_audio: Option<u64>,
    pub(crate) transcriber_connect: Option<Duration>,
    pub(crate) synthesizer_connect: Option<Duration>,
    open: BTreeMap<u32, Steps>,
    /// When a route was asked and when it decided; for the answer it gives.
    route: Option<(Instant, Option<Instant>)>,
    results: Vec<Result>,
    turns: Vec<Turn>,
    last_turn: u32,
}

impl Latency {
    /// The model was asked.
    pub(crate) fn asked(&mut self, answer: AnswerId, now: Instant) {
        let steps = Steps {
            asked: now,
            routed: None,
            token: None,
            said: None,
            audio: None,
            played: None,
            turn: None,
        };
        self.open.insert(answer.0, steps);
        while self.open.len() > 8 {
            self.open.pop_first();
        }
    }

    /// The turn ended as expected: an answer that was asked for ahead counts from here (R41).
    pub(crate) fn confirmed(&mut self, answer: AnswerId, now: Instant) {
        if let Some(steps) = self.open.get_mut(&answer.0) {
            steps.asked = now;
            steps.token = steps.token.map(|_| now);
        }
    }

    /// The routes were asked.
    pub(crate) fn asked_route(&mut self, now: Instant) {
        self.route = Some((now, None));
    }

    /// The routes decided.
    pub(crate) fn routed(&mut self, now: Instant) {
        if let Some((_, decided)) = &mut self.route {
            decided.get_or_insert(now);
        }
    }

    /// The model said something for the first time.
    pub(crate) fn token(&mut self, answer: AnswerId, now: Instant) {
        if let Some(steps) = self.open.get_mut(&answer.0)
            && steps.token.is_none()
        {
            steps.token = Some(now);
            metrics::histogram!(figures::LLM_FIRST_TOKEN_MS).record(ms(steps.asked, now));
        }
    }

    /// Text went to the synthesizer. `route`: the line of a route.
    pub(crate) fn said(&mut self, answer: AnswerId, route: bool, now: Instant) {
        if route && let Some((asked, routed)) = self.route.take() {
            self.asked(answer, asked);
            if let Some(steps) = self.open.get_mut(&answer.0) {
                steps.routed = routed.or(Some(now));
            }
        }
        if let Some(steps) = self.open.get_mut(&answer.0) {
            steps.said.get_or_insert(now);
        }
    }

    /// The model or the synthesizer has nothing more to say: completes turns that are listed already.
    pub(crate) fn done(&mut self, answer: AnswerId, speech: bool, now: Instant) {
        let Some(steps) = self.open.get(&answer.0) else {
            return;
        };
        let (asked, said) = (steps.asked, steps.said);
        if let Some(turn) = self
            .turns
            .iter_mut()
            .rev()
            .find(|turn| turn.answer == answer.0)
        {
            if speech {
                turn.tts_last = said.map(|said| ms(said, now));
            } else {
                turn.llm_last = Some(ms(asked, now));
            }
        }
    }

    /// First audio of an answer.
    pub(crate) fn audio(&mut self, answer: AnswerId, now: Instant) {
        if let Some(steps) = self.open.get_mut(&answer.0)
            && steps.audio.is_none()
        {
            steps.audio = Some(now);
            if let Some(said) = steps.said {
                metrics::histogram!(figures::TTS_FIRST_AUDIO_MS).record(ms(said, now));
            }
        }
    }

    /// The machine lets a turn's answer be heard.
    pub(crate) fn played(&mut self, answer: AnswerId, turn: Option<u32>, now: Instant) {
        if let Some(steps) = self.open.get_mut(&answer.0)
            && steps.played.is_none()
        {
            steps.played = Some(now);
            steps.turn = turn;
            if let Some(turn) = turn {
                self.last_turn = turn;
            }
        }
    }

    /// A slice of an answer went to the socket; the first one closes its turn.
    pub(crate) fn sent(&mut self, answer: AnswerId, now: Instant) {
        let Some(steps) = self.open.get(&answer.0).copied() else {
            return;
        };
        if self
            .turns
            .last()
            .is_some_and(|turn| turn.answer == answer.0)
        {
            return;
        }
        let Some(played) = steps.played else { return };
        let first = steps.routed.or(steps.token).unwrap_or(steps.asked);
        let said = steps.said.unwrap_or(first);
        let audio = steps.audio.unwrap_or(said);
        let (total, llm) = (
            ms(steps.asked, now),
            if steps.routed.is_some() {
                0.0
            } else {
                ms(steps.asked, first)
            },
        );
        let (tts, hold) = (ms(said, audio), ms(audio, played));
        let added = (total - llm - tts - hold).max(0.0);
        metrics::histogram!(figures::TURN_TOTAL_MS).record(total);
        metrics::histogram!(figures::TURN_ADDED_MS).record(added);
        metrics::histogram!(figures::TURN_HOLD_MS).record(hold);
        if self.turns.len() < TURNS {
            self.turns.push(Turn {
                turn: steps.turn.unwrap_or(self.last_turn),
                answer: answer.0,
                routed: steps.routed.is_some(),
                total,
                route: steps.routed.map(|routed| ms(steps.asked, routed)),
                llm,
                gather: ms(first, said),
                tts,
                hold,
                send: ms(played, now),
                added,
                llm_last: None,
                tts_last: None,
            });
        }
    }

    /// The transcriber told something, this long after the audio it tells of.
    pub(crate) fn heard(&mut self, text: &str, late: Duration) {
        let turn = self.last_turn + 1;
        let of_turn = self
            .results
            .iter()
            .rev()
            .take_while(|result| result.turn == turn)
            .count();
        if !text.is_empty() && of_turn < RESULTS && turn as usize <= TURNS {
            self.results.push(Result {
                turn,
                late: tenth(late.as_secs_f64() * 1000.0),
                text: text.to_owned(),
            });
        }
    }

    /// As clients read it.
    pub(crate) fn json(&self) -> Value {
        let mut hearing: Vec<Value> = Vec::new();
        for results in self.results.chunk_by(|a, b| a.turn == b.turn) {
            let entries: Vec<Value> = results
                .iter()
                .enumerate()
                .map(|(index, result)| {
                    json!({"sequence_id": index + 1, "audio_to_text_latency": result.late, "text": result.text})
                })
                .collect();
            hearing.push(
                json!({"turn": results.first().map(|result| result.turn), "turn_latency": entries}),
            );
        }
        let connect = |took: Option<Duration>| took.map(|took| tenth(took.as_secs_f64() * 1000.0));
        let asked = self.turns.iter().filter(|turn| !turn.routed);
        let model: Vec<Value> = asked
            .map(|turn| json!({"turn": turn.turn, "time_to_first_token": turn.llm, "time_to_last_token": turn.llm_last}))
            .collect();
        let voice: Vec<Value> = self
            .turns
            .iter()
            .map(|turn| json!({"turn": turn.turn, "time_to_first_token": turn.tts, "time_to_last_token": turn.tts_last}))
            .collect();
        let turns: Vec<Value> = self.turns.iter().map(Turn::json).collect();
        json!({
            "stream_id": self.stream,
            "time_to_first_audio": self.first_audio,
            "region": null,
            "transcriber": {"time_to_connect": connect(self.transcriber_connect), "turns": hearing},
            "llm": {"time_to_connect": null, "turns": model},
            "synthesizer": {"time_to_connect": connect(self.synthesizer_connect), "turns": voice},
            "turns": turns,
        })
    }
}

impl Turn {
    /// `added_ms` is this server's own part of `total_ms`: all but the waits for model, synthesizer and
    /// hold.
    fn json(&self) -> Value {
        json!({
            "turn": self.turn,
            "routed": self.routed,
            "total_ms": self.total,
            "route_ms": self.route,
            "llm_first_token_ms": self.llm,
            "gather_ms": self.gather,
            "tts_first_audio_ms": self.tts,
            "hold_ms": self.hold,
            "send_ms": self.send,
            "added_ms": tenth(self.added),
        })
    }
}

fn ms(from: Instant, to: Instant) -> f64 {
    tenth(to.saturating_duration_since(from).as_secs_f64() * 1000.0)
}

/// Rounded to a tenth of a millisecond.
fn tenth(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_turns_own_time_leaves_out_model_voice_and_hold() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut latency = Latency::default();
        let answer = AnswerId(2);
        latency.asked(answer, at(0));
        latency.token(answer, at(300));
        latency.said(answer, false, at(312));
        latency.audio(answer, at(412));
        latency.played(answer, Some(1), at(500));
        latency.sent(answer, at(503));
        latency.sent(answer, at(603));
        latency.done(answer, false, at(900));
        let json = latency.json();
        let turn = &json["turns"][0];
        assert_eq!(turn["total_ms"], 503.0);
        assert_eq!(turn["llm_first_token_ms"], 300.0);
        assert_eq!(turn["gather_ms"], 12.0);
        assert_eq!(turn["tts_first_audio_ms"], 100.0);
        assert_eq!(turn["hold_ms"], 88.0);
        assert_eq!(turn["added_ms"], 15.0);
        assert_eq!(json["turns"].as_array().unwrap().len(), 1);
        assert_eq!(json["llm"]["turns"][0]["time_to_last_token"], 900.0);
    }

    #[test]
    fn an_answer_asked_for_ahead_counts_from_the_turns_end() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut latency = Latency::default();
        let answer = AnswerId(2);
        latency.asked(answer, at(0));
        latency.token(answer, at(300));
        latency.confirmed(answer, at(1000));
        latency.said(answer, false, at(1002));
        latency.audio(answer, at(1102));
        latency.played(answer, Some(1), at(1102));
        latency.sent(answer, at(1103));
        let turn = &latency.json()["turns"][0];
        assert_eq!(
            (&turn["total_ms"], &turn["llm_first_token_ms"]),
            (&json!(103.0), &json!(0.0))
        );
        assert_eq!(turn["gather_ms"], 2.0);
    }

    #[test]
    fn a_route_counts_from_its_question() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut latency = Latency::default();
        latency.asked_route(at(0));
        latency.routed(at(6));
        latency.said(AnswerId(3), true, at(6));
        latency.audio(AnswerId(3), at(6));
        latency.played(AnswerId(3), Some(2), at(6));
        latency.sent(AnswerId(3), at(7));
        let turn = &latency.json()["turns"][0];
        assert_eq!(turn["routed"], true);
        assert_eq!(turn["route_ms"], 6.0);
        assert_eq!(turn["added_ms"], 7.0);
    }

    #[test]
    fn results_of_the_transcriber_are_listed_by_turn() {
        let mut latency = Latency::default();
        latency.heard("I want", Duration::from_millis(80));
        latency.heard("I want to book", Duration::from_millis(120));
        let json = latency.json();
        let turns = &json["transcriber"]["turns"];
        assert_eq!(turns[0]["turn"], 1);
        assert_eq!(turns[0]["turn_latency"][1]["sequence_id"], 2);
        assert_eq!(turns[0]["turn_latency"][1]["audio_to_text_latency"], 120.0);
    }
}
