//! The caller's audio, beside the inbox: recorder aside, it goes frame by frame through voice activity
//! to the transcriber and never waits. A ring of what came since the last final bridges a broken
//! connection (R193).

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll},
    time::Duration,
};

use bolo_audio::{Edge, Format, Vad, VadSettings};
use bolo_conversation::{Fault, FaultKind, Input, TurnEndWhy};
use bolo_providers::{Hear, Heard, HeardEnd};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    fallback::AtWork,
    figures,
    line::{Line, LineNews},
};

/// Waits before each try to reach the transcriber, ms (R193): close together as long as a caller who has just
/// stopped speaking can still be answered in time.
pub(crate) const WAITS: &[u64] = &[0, 250, 250, 500, 1000, 2000];
/// Audio kept for replay (R193), and so the most that may wait for a slow transcriber.
const RING: Duration = Duration::from_secs(5);
/// The same as long as it holds no voice.
const QUIET_RING: Duration = Duration::from_secs(1);
const FRAME_MS: u64 = 20;
/// A line that nobody has spoken on yet, or for so long, goes on in steps of [`STEP_MS`]: nobody waits for what is
/// in them, and the first sound takes along what is held. A frame to a vendor costs as much as one from
/// the carrier.
const SILENT_MS: u64 = 2000;
const STEP_MS: u64 = 200;
/// In the midst of the caller's voice frames go in steps of this: words come hundreds of ms after their sound.
/// His first and last sounds, and the silence behind them that ends his turn, go at once, and all that he says into
/// the agent's speech.
const VOICE_STEP_MS: u64 = 60;
/// A carrier's frames that are read at once, at most: what a socket's buffer takes.
const FRAMES_AT_ONCE: u64 = 5;
/// Whatever has been loud for so long is in the midst of it.
const MIDST_MS: u64 = 100;
/// A hole in the timestamps is filled with silence up to this (wire-telephony.md §1.9).
const GAP_MS: u64 = 1000;
/// More breaks than this within [`BREAKS_WITHIN`] and the vendor is given up (wire-providers.md §7.3).
const BREAKS: usize = 3;
const BREAKS_WITHIN: Duration = Duration::from_secs(60);
/// So much voice without a word of the transcriber, and its connection is taken for dead though it lives
/// (wire-providers.md §10.4).
const MUTE_MS: u64 = 4000;
/// The same for a voice of such a length that was followed by so much silence: sooner, for somebody waits for
/// an answer.
const UNHEARD_MS: u64 = 1000;
const QUIET_MS: u64 = 800;
/// Other people's voices may fool that; so only a few times in a row.
const SUSPICIONS: u32 = 3;

/// See the module.
pub(crate) struct Ears {
    line: Line<Hear, Heard>,
    format: Format,
    vad: Option<Vad>,
    /// Since the last final; what a new connection must hear.
    ring: VecDeque<u8>,
    /// Somebody spoke in it, as far as can be told.
    voice_in_ring: bool,
    /// Frames the transcriber did not take yet.
    backlog: VecDeque<Bytes>,
    silence: Bytes,
    /// How long nothing was loud enough to be a voice, ms.
    silent_ms: u64,
    /// How long all has been loud enough, ms.
    loud_ms: u64,
    /// The transcriber has told that the turn is over, and nothing loud has come since.
    turn_over: bool,
    /// The agent is being heard: a word may cut it off.
    pub(crate) into_speech: bool,
    /// Frames that are not a whole step yet.
    held: Vec<u8>,
    /// Where the next frame should begin, by the carrier's timestamps.
    expected_ms: Option<u64>,
    at_work: AtWork,
    /// By the member of the line.
    heard: BTreeMap<usize, HeardTime>,
    breaks: VecDeque<Instant>,
    down: bool,
    /// Voice since the transcriber's last word, ms; `None` on a connection that has told no text yet and
    /// came in place of a mute one.
    unheard_ms: Option<u64>,
    /// The caller's last voice without a word of the transcriber's, and the silence since, ms.
    voice_ms: u64,
    quiet_ms: u64,
    gives_interims: bool,
    suspicions: u32,
    /// To be told.
    mute: Option<Fault>,
    /// When audio that counts as speech was last handed on.
    pub(crate) voiced_at: Option<Instant>,
}

/// What one vendor has heard.
#[derive(Debug, Default)]
struct HeardTime {
    /// To the connection at hand.
    sent_ms: u64,
    /// Of those before: as billed, else as sent.
    billed_s: f64,
}

impl HeardTime {
    fn seconds(&self) -> f64 {
        self.billed_s + self.sent_ms as f64 / 1000.0
    }

    /// The connection at hand is over, with this bill or with none.
    fn end(&mut self, billed_s: Option<f64>) {
        let sent_s = std::mem::take(&mut self.sent_ms) as f64 / 1000.0;
        self.billed_s += billed_s.unwrap_or(sent_s);
    }
}

/// What one carrier frame amounts to.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Silence to put before it, ms.
    pub(crate) gap_ms: u64,
    /// Edges of voice activity in it.
    pub(crate) edges: Vec<bool>,
}

impl Ears {
    /// `gives_interims`: whether the transcriber can be missed while the caller speaks.
    pub(crate) fn new(
        line: Line<Hear, Heard>,
        format: Format,
        gives_interims: bool,
        at_work: AtWork,
    ) -> Self {
        let vad = Vad::new(format, VadSettings::default())
            .inspect_err(|error| tracing::warn!(%error, "no voice activity for this call"))
            .ok();
        Self {
            line,
            format,
            vad,
            ring: VecDeque::new(),
            voice_in_ring: false,
            backlog: VecDeque::new(),
            silence: Bytes::from(vec![format.silence(); bytes(format, FRAME_MS)]),
            // Nobody has spoken yet.
            silent_ms: SILENT_MS,
            loud_ms: 0,
            turn_over: false,
            into_speech: false,
            held: Vec::new(),
            expected_ms: None,
            at_work,
            heard: BTreeMap::new(),
            breaks: VecDeque::new(),
            down: false,
            unheard_ms: Some(0),
            voice_ms: 0,
            quiet_ms: 0,
            gives_interims,
            suspicions: 0,
            mute: None,
            voiced_at: None,
        }
    }

    /// Takes a frame from the carrier.
    pub(crate) fn hear(&mut self, payload: &Bytes, timestamp_ms: u64, now: Instant) -> Frame {
        let mut frame = Frame::default();
        let expected = self.expected_ms.unwrap_or(timestamp_ms);
        if timestamp_ms > expected + FRAME_MS / 2 {
            frame.gap_ms = (timestamp_ms - expected).min(GAP_MS);
            metrics::counter!(figures::CALLER_AUDIO_GAPS_MS).increment(frame.gap_ms);
            for _ in 0..frame.gap_ms / FRAME_MS {
                let silence = self.silence.clone();
                self.take(&silence, now, &mut frame.edges);
            }
        }
        self.expected_ms = Some(timestamp_ms.max(expected) + self.format.ms(payload.len()));
        for piece in payload.chunks(self.silence.len()) {
            self.take(piece, now, &mut frame.edges);
        }
        frame
    }

    /// The carrier's clock begins anew: another socket.
    pub(crate) fn new_stream(&mut self) {
        self.expected_ms = None;
    }

    fn take(&mut self, frame: &[u8], now: Instant, edges: &mut Vec<bool>) {
        if let Some(vad) = &mut self.vad {
            edges.extend(
                vad.push(frame)
                    .into_iter()
                    .map(|edge| matches!(edge, Edge::Speech { .. })),
            );
            let ms = self.format.ms(frame.len());
            // 0 as long as the detector rests.
            let rests = vad.block_score() <= 0.0;
            self.silent_ms = if rests { self.silent_ms + ms } else { 0 };
            self.loud_ms = if vad.is_loud() { self.loud_ms + ms } else { 0 };
            self.turn_over &= self.loud_ms == 0;
            if vad.speaking() {
                self.voiced_at = Some(now);
                self.unheard_ms = self.unheard_ms.map(|unheard| unheard + ms);
                if std::mem::take(&mut self.quiet_ms) > 0 {
                    self.voice_ms = 0;
                }
                self.voice_ms += ms;
            } else {
                self.quiet_ms += ms;
            }
        }
        self.voice_in_ring |= self.vad.as_ref().is_none_or(Vad::speaking);
        let kept = if self.voice_in_ring { RING } else { QUIET_RING };
        let most = bytes(self.format, kept.as_millis() as u64);
        self.ring.extend(frame);
        if self.ring.len() > most {
            self.ring.drain(..self.ring.len() - most);
        }
        if !self.line.is_open() {
            return; // the ring has it
        }
        if self.is_mute() {
            return self.replace();
        }
        let step = bytes(self.format, self.step_ms());
        if self.held.is_empty() {
            // What is as long as its memory becomes `Bytes` as it is.
            self.held.reserve_exact(step.max(frame.len()));
        }
        self.held.extend_from_slice(frame);
        if self.held.len() >= step {
            self.flush();
        }
    }

    /// Whether nobody waits for the caller's next frame: he has finished, or has not spoken for long.
    fn is_quiet(&self) -> bool {
        self.vad.is_some() && (self.turn_over || self.silent_ms >= SILENT_MS)
    }

    /// How many of the carrier's next frames, as long as this one, may be read at once: the transcriber gets them
    /// together anyway.
    pub(crate) fn frames_at_once(&self, frame: &Bytes) -> usize {
        let frame_ms = self.format.ms(frame.len()).max(1);
        (self.step_ms() / frame_ms).clamp(1, FRAMES_AT_ONCE) as usize
    }

    /// How much audio goes to the transcriber at once, ms; 0: as it comes.
    fn step_ms(&self) -> u64 {
        let speaks = self.vad.as_ref().is_some_and(Vad::speaking);
        match self.loud_ms {
            _ if self.is_quiet() => STEP_MS,
            _ if self.into_speech => 0,
            MIDST_MS.. => VOICE_STEP_MS,
            1.. if speaks => VOICE_STEP_MS,
            _ => 0,
        }
    }

    fn is_mute(&self) -> bool {
        let is_unheard = self.voice_ms >= UNHEARD_MS && self.quiet_ms >= QUIET_MS
            || self.unheard_ms.is_some_and(|ms| ms >= MUTE_MS);
        self.gives_interims && self.suspicions < SUSPICIONS && is_unheard
    }

    /// The connection lives but tells nothing of what is being said: another one.
    fn replace(&mut self) {
        self.suspicions += 1;
        self.unheard_ms = None;
        self.voice_ms = 0;
        self.backlog.clear();
        self.time().end(None);
        self.line.reopen();
        self.down = true;
        self.mute = Some(Fault {
            kind: FaultKind::Timeout,
            message: "transcriber: tells nothing of what is said".to_owned(),
            retry_after_ms: None,
        });
    }

    fn wait(&mut self, frame: Bytes) {
        let waiting: usize = self.backlog.iter().map(Bytes::len).sum();
        if waiting >= bytes(self.format, RING.as_millis() as u64) {
            self.backlog.pop_front();
            metrics::counter!(figures::CALLER_AUDIO_DROPPED).increment(1);
        }
        self.backlog.push_back(frame);
    }

    /// Hands over what waits, as far as the transcriber takes it.
    fn flush(&mut self) {
        if !self.held.is_empty() {
            let step = std::mem::take(&mut self.held);
            self.wait(step.into());
        }
        while let Some(frame) = self.backlog.pop_front() {
            let ms = self.format.ms(frame.len());
            match self.line.try_send(Hear::Audio(frame)) {
                Ok(()) => self.time().sent_ms += ms,
                Err(Hear::Audio(frame)) => {
                    self.backlog.push_front(frame);
                    return;
                }
                Err(Hear::EndTurn | Hear::Finish) => return,
            }
        }
    }

    /// Whether there is a fact, or might be, though nobody was woken for it.
    pub(crate) fn is_unasked(&self) -> bool {
        self.mute.is_some() || self.line.is_unasked()
    }

    /// The transcriber's next fact.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<HeardNews> {
        if let Some(fault) = self.mute.take() {
            return Poll::Ready(HeardNews::Input(Input::TranscriberDown { fault }));
        }
        loop {
            let news = match self.line.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(news) => news,
            };
            let input = match news {
                LineNews::Out(heard) => match self.input(heard) {
                    Some(input) => input,
                    None => continue,
                },
                LineNews::Up => {
                    self.replay();
                    // What it is told only now it can't have answered yet.
                    self.quiet_ms = 0;
                    self.unheard_ms = self.unheard_ms.map(|_| 0);
                    if !std::mem::replace(&mut self.down, false) {
                        continue; // the first connection, as expected
                    }
                    Input::TranscriberUp
                }
                LineNews::Down(fault) => {
                    if let Some(lost) = self.broke(&fault, now) {
                        return Poll::Ready(HeardNews::Input(lost));
                    }
                    self.down = true;
                    Input::TranscriberDown { fault }
                }
                LineNews::Lost(fault) => {
                    self.down = true;
                    Input::TranscriberLost { fault }
                }
                LineNews::Ended => return Poll::Ready(HeardNews::Ended),
            };
            return Poll::Ready(HeardNews::Input(input));
        }
    }

    fn broke(&mut self, fault: &Fault, now: Instant) -> Option<Input> {
        self.backlog.clear();
        self.breaks.push_back(now);
        while self
            .breaks
            .front()
            .is_some_and(|at| *at + BREAKS_WITHIN < now)
        {
            self.breaks.pop_front();
        }
        if self.breaks.len() <= BREAKS {
            return None;
        }
        self.line.shut();
        Some(Input::TranscriberLost {
            fault: fault.clone(),
        })
    }

    /// Lets a new connection hear what came since the last final.
    fn replay(&mut self) {
        let (front, back) = self.ring.as_slices();
        let all = Bytes::from([front, back].concat());
        self.backlog.clear();
        self.held.clear();
        for start in (0..all.len()).step_by(self.silence.len()) {
            self.backlog
                .push_back(all.slice(start..(start + self.silence.len()).min(all.len())));
        }
        self.flush();
    }

    /// What was said is text by now.
    fn forget(&mut self) {
        self.ring = VecDeque::new();
        self.voice_in_ring = false;
    }

    fn input(&mut self, heard: Heard) -> Option<Input> {
        match &heard {
            Heard::Billed(_) => {}
            Heard::SpeechStarted | Heard::SpeechEnded | Heard::Resumed => {
                self.unheard_ms = self.unheard_ms.map(|_| 0);
            }
            // A connection that has told text is one to be missed.
            _ => {
                self.unheard_ms = Some(0);
                self.voice_ms = 0;
                self.suspicions = 0;
            }
        }
        Some(match heard {
            Heard::SpeechStarted => Input::SpeechStarted,
            Heard::Interim(text) => Input::Interim { text },
            Heard::Final(text) => {
                self.forget();
                Input::Final { text }
            }
            Heard::TurnEnd { text, why } => {
                self.forget();
                self.turn_over = true;
                Input::TurnEnd {
                    text,
                    why: match why {
                        HeardEnd::SpeechFinal => TurnEndWhy::SpeechFinal,
                        HeardEnd::UtteranceEnd => TurnEndWhy::UtteranceEnd,
                        HeardEnd::EndOfTurn => TurnEndWhy::EndOfTurn,
                        HeardEnd::Forced => TurnEndWhy::Forced,
                    },
                }
            }
            Heard::Eager { text, confidence } => Input::Eager { text, confidence },
            Heard::Resumed => Input::Resumed,
            Heard::SpeechEnded => Input::SpeechEnded,
            Heard::Billed(seconds) => {
                self.time().end(Some(seconds));
                return None;
            }
        })
    }

    /// The open turn is to be ended, whatever the transcriber thinks of it (R29).
    pub(crate) fn end_turn(&mut self) {
        self.flush();
        // Not connected, or far behind: then the machine ends the turn by itself.
        let _ = self.line.try_send(Hear::EndTurn);
    }

    /// The call is over: what is there shall come as final. `false` = nothing to wait for.
    pub(crate) fn finish(&mut self) -> bool {
        self.flush();
        self.line.finish(Some(Hear::Finish))
    }

    fn time(&mut self) -> &mut HeardTime {
        self.heard.entry(self.at_work.place()).or_default()
    }

    /// Seconds heard by each vendor of the line: as it bills them, else as sent (R186).
    pub(crate) fn seconds(&self) -> impl Iterator<Item = (usize, f64)> {
        self.heard
            .iter()
            .map(|(place, time)| (*place, time.seconds()))
    }

    /// How long the first connection took.
    pub(crate) fn connect(&self) -> Option<Duration> {
        self.line.connect
    }
}

/// What [`Ears::poll`] tells.
#[derive(Debug)]
pub(crate) enum HeardNews {
    Input(Input),
    /// Everything after [`Ears::finish`] has come.
    Ended,
}

fn bytes(format: Format, ms: u64) -> usize {
    let sample = match format {
        Format::Mulaw8k => 1,
        Format::Pcm16 { .. } => 2,
    };
    (u64::from(format.rate()) * ms / 1000) as usize * sample
}

#[cfg(test)]
mod tests;
