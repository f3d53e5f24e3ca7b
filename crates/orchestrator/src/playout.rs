//! The agent's audio on its way to the carrier: paced by a clock, never more than the lead ahead of it
//! (R69), with marks (R70), so that pause, cut and what was heard are known to within the lead. Where a room is to
//! be heard (R164), it is under the agent's voice, and alone where the agent is silent.

use std::{collections::VecDeque, time::Duration};

use bolo_audio::Format;
use bolo_conversation::AnswerId;
use bolo_telephony::MediaCommand;
use bytes::Bytes;
use tokio::time::Instant;

use crate::ambience::Ambience;

/// First slice of a burst: leaves at once and is small, so that it is heard at once.
const FIRST_SLICE_MS: u64 = 40;
/// Every other slice.
const SLICE_MS: u64 = 100;
/// A burst may hold its first lead for this long; then the whole lead applies.
const BURST: Duration = Duration::from_millis(100);
/// A slice may leave this much early, so that pacing rides on the caller's frames and needs no timer.
const EARLY_MS: u64 = 20;
/// At most this much audio between two marks.
const MARK_EVERY_MS: u64 = 1000;
/// The room alone leaves in slices of this length,
const ROOM_MS: u64 = 20;
/// and no further ahead than this: what the agent says next comes behind it.
const ROOM_LEAD_MS: u64 = 2 * ROOM_MS;
/// Where nothing follows a whole piece, what the wire holds back goes out when no more than this is left to play,
const HELD: Duration = Duration::from_millis(200);
/// and in the midst of one somewhat later: the cutter waits for more, too.
const HELD_WITHIN: Duration = Duration::from_millis(100);
/// Sent audio is kept this long after it was played, in case it is resumed from within (R51).
const KEEP: Duration = Duration::from_secs(2);

/// How far ahead of the clock audio may be, ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead {
    /// In the first 100 ms of a burst.
    pub(crate) first: u64,
    /// After that.
    pub(crate) steady: u64,
}

impl Lead {
    /// `steady` as configured (R69); a burst begins with half of it.
    pub(crate) fn new(steady: u64) -> Self {
        let steady = steady.max(100);
        Self {
            first: (steady / 2).max(100),
            steady,
        }
    }
}

/// A slice that was handed to the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Of which answer; `None` = the room alone.
    pub(crate) answer: Option<AnswerId>,
    /// When it begins to play by the clock.
    pub(crate) plays_at: Instant,
    /// The audio.
    pub(crate) audio: Bytes,
}

#[derive(Debug, Clone)]
enum Item {
    Chunk(Chunk),
    End(AnswerId),
}

#[derive(Debug, Clone)]
struct Chunk {
    answer: AnswerId,
    number: u32,
    audio: Bytes,
    piece: u32,
    /// Nothing of its piece follows.
    last: bool,
}

/// See the module.
pub(crate) struct Playout {
    format: Format,
    lead: Lead,
    room: Option<Ambience>,
    /// What was sent last is the room alone.
    murmurs: bool,
    queue: VecDeque<Item>,
    /// Bytes of the front chunk that were sent.
    front_sent: usize,
    /// Chunks sent whole, with the time their audio ends.
    past: VecDeque<(Item, Instant)>,
    /// By then all sent audio has been played.
    free_at: Instant,
    burst_at: Instant,
    paused: bool,
    /// Audio since the last mark, ms.
    unmarked: u64,
    /// The last chunk sent whole, while no mark follows it.
    markable: Option<(AnswerId, u32)>,
    /// The wire may hold back some of what was sent.
    held: bool,
}

impl Playout {
    pub(crate) fn new(format: Format, lead: Lead, room: Option<Ambience>, now: Instant) -> Self {
        Self {
            format,
            lead,
            room,
            murmurs: false,
            queue: VecDeque::new(),
            front_sent: 0,
            past: VecDeque::new(),
            free_at: now,
            burst_at: now,
            paused: false,
            unmarked: 0,
            markable: None,
            held: false,
        }
    }

    /// The machine found that the link wavers: this much may be ahead from now on (R69).
    pub(crate) fn set_lead(&mut self, ms: u64) {
        self.lead.steady = ms;
    }

    /// Queues a chunk behind what is there.
    pub(crate) fn play(
        &mut self,
        answer: AnswerId,
        number: u32,
        piece: u32,
        last: bool,
        audio: Bytes,
    ) {
        if !audio.is_empty() {
            self.queue.push_back(Item::Chunk(Chunk {
                answer,
                number,
                audio,
                piece,
                last,
            }));
        }
    }

    /// Queues the end mark of an answer.
    pub(crate) fn end(&mut self, answer: AnswerId) {
        self.queue.push_back(Item::End(answer));
    }

    /// All of a piece's audio has come: its last chunk gets a mark, now if it was sent before.
    pub(crate) fn piece_done(&mut self, answer: AnswerId, piece: u32) {
        if let Some(chunk) = self.queue.iter_mut().rev().find_map(|item| match item {
            Item::Chunk(chunk) if chunk.answer == answer && chunk.piece == piece => Some(chunk),
            _ => None,
        }) {
            chunk.last = true;
        } else if let Some((Item::Chunk(chunk), _)) = self.past.back_mut()
            && chunk.answer == answer
            && chunk.piece == piece
        {
            chunk.last = true;
        }
    }

    /// Stops feeding; the carrier plays what it holds.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Feeds again, from `from_ms` within a chunk on, which lies before the place where it stopped;
    /// nothing that was never sent is skipped.
    pub(crate) fn resume(&mut self, answer: AnswerId, number: u32, from_ms: u64) {
        self.paused = false;
        let here = |item: &Item| matches!(item, Item::Chunk(chunk) if chunk.answer == answer && chunk.number == number);
        let from = self.bytes(from_ms);
        if let Some(index) = self.past.iter().position(|(item, _)| here(item)) {
            for (item, _) in self.past.drain(index..).rev() {
                self.queue.push_front(item);
            }
            self.front_sent = match self.queue.front() {
                Some(Item::Chunk(chunk)) => from.min(chunk.audio.len()),
                _ => 0,
            };
        } else if self.queue.front().is_some_and(here) {
            self.front_sent = self.front_sent.min(from);
        }
        self.markable = None;
    }

    /// Drops all that was not yet played. The caller sends the clear.
    pub(crate) fn clear(&mut self, now: Instant) {
        self.queue.clear();
        self.past.clear();
        self.front_sent = 0;
        self.free_at = self.free_at.min(now);
        self.paused = false;
        self.unmarked = 0;
        self.markable = None;
        self.held = false;
    }

    /// The carrier's buffer is another one, or gone, and empty: what it held is lost.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.free_at = self.free_at.min(now);
        self.markable = None;
        self.held = false;
    }

    /// Whether the agent is being heard, or is about to be.
    pub(crate) fn is_heard(&self, now: Instant) -> bool {
        !self.queue.is_empty() || self.free_at > now && !self.murmurs
    }

    /// When [`Playout::feed`] has something to do at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let room = || self.free_at - Duration::from_millis(ROOM_LEAD_MS - ROOM_MS);
        let front = self.queue.front().filter(|_| !self.paused);
        match front {
            None => self
                .room
                .as_ref()
                .map(|_| room())
                .or_else(|| self.flush_at()),
            Some(Item::End(_)) => Some(self.burst_at),
            Some(Item::Chunk(chunk)) => {
                let want = self.want(chunk, false);
                let by_lead =
                    |lead: u64| self.free_at - Duration::from_millis(lead.saturating_sub(want));
                let steady = by_lead(self.lead.steady - EARLY_MS);
                Some(by_lead(self.lead.first).min((self.burst_at + BURST).max(steady)))
            }
        }
    }

    /// Sends what may be sent: commands for the socket, and what they are for recording and figures.
    pub(crate) fn feed(
        &mut self,
        now: Instant,
        commands: &mut Vec<MediaCommand>,
        sent: &mut Vec<Sent>,
    ) {
        while self.past.front().is_some_and(|(_, end)| *end + KEEP < now) && !self.paused {
            self.past.pop_front();
        }
        self.mark_if_last(commands);
        while !self.paused {
            match self.queue.front() {
                None => break,
                Some(Item::End(answer)) => {
                    let answer = *answer;
                    self.mark(format!("{}:end", answer.0), commands);
                    self.flush(commands);
                    self.past.push_back((Item::End(answer), self.free_at));
                    self.queue.pop_front();
                }
                Some(Item::Chunk(chunk)) => {
                    let fresh = self.free_at <= now || self.murmurs;
                    if fresh {
                        self.burst_at = now;
                        self.free_at = self.free_at.max(now);
                    }
                    let lead = if now < self.burst_at + BURST {
                        self.lead.first
                    } else {
                        self.lead.steady
                    };
                    let ahead = (self.free_at - now).as_millis() as u64;
                    let want = self.want(chunk, fresh);
                    let room = lead.saturating_sub(ahead);
                    // A burst's first feed fills its lead; later ones wait for room for a whole slice.
                    let take = if room >= want {
                        want
                    } else if now == self.burst_at && room >= EARLY_MS {
                        room
                    } else {
                        break;
                    };
                    self.send(now, take, commands, sent);
                }
            }
        }
        if self.paused || self.queue.is_empty() {
            self.murmur(now, commands, sent);
        }
        if self.flush_at().is_some_and(|at| at <= now) {
            self.flush(commands);
        }
    }

    /// When the wire is to hold nothing back any more; a room goes on behind it by itself.
    fn flush_at(&self) -> Option<Instant> {
        if !self.held || self.paused || !self.queue.is_empty() || self.room.is_some() {
            return None;
        }
        let is_whole = matches!(self.past.back(), Some((Item::Chunk(chunk), _)) if chunk.last);
        Some(self.free_at - if is_whole { HELD } else { HELD_WITHIN })
    }

    fn flush(&mut self, commands: &mut Vec<MediaCommand>) {
        self.held = false;
        commands.push(MediaCommand::Flush);
    }

    /// Sends the room alone, up to its lead.
    fn murmur(&mut self, now: Instant, commands: &mut Vec<MediaCommand>, sent: &mut Vec<Sent>) {
        let bytes = self.bytes(ROOM_MS);
        let Some(room) = &mut self.room else { return };
        self.free_at = self.free_at.max(now);
        while self.free_at + Duration::from_millis(ROOM_MS)
            <= now + Duration::from_millis(ROOM_LEAD_MS)
        {
            let audio = room.alone(bytes);
            sent.push(Sent {
                answer: None,
                plays_at: self.free_at,
                audio: audio.clone(),
            });
            commands.push(MediaCommand::Audio(audio));
            self.free_at += Duration::from_millis(ROOM_MS);
            self.murmurs = true;
        }
    }

    /// Sends `ms` of the front chunk.
    fn send(
        &mut self,
        now: Instant,
        ms: u64,
        commands: &mut Vec<MediaCommand>,
        sent: &mut Vec<Sent>,
    ) {
        let bytes = self.bytes(ms).max(1);
        let Some(Item::Chunk(chunk)) = self.queue.front() else {
            return;
        };
        let whole = self.format.ms(chunk.audio.len());
        if self.front_sent == 0 && self.unmarked > 0 && self.unmarked + whole > MARK_EVERY_MS {
            self.mark_last(commands);
        }
        let Some(Item::Chunk(chunk)) = self.queue.front() else {
            return;
        };
        let end = (self.front_sent + bytes).min(chunk.audio.len());
        let audio = chunk.audio.slice(self.front_sent..end);
        let audio = match &mut self.room {
            None => audio,
            Some(room) => room.under(&audio),
        };
        self.murmurs = false;
        self.held = true;
        let plays_at = self.free_at.max(now);
        let micros = audio.len() as u64 * 1_000_000 / self.format.bytes_per_second() as u64;
        self.free_at = plays_at + Duration::from_micros(micros);
        self.unmarked += self.format.ms(audio.len());
        sent.push(Sent {
            answer: Some(chunk.answer),
            plays_at,
            audio: audio.clone(),
        });
        commands.push(MediaCommand::Audio(audio));
        let done = end == chunk.audio.len();
        self.front_sent = end;
        if done {
            self.markable = Some((chunk.answer, chunk.number));
            self.front_sent = 0;
            if let Some(item) = self.queue.pop_front() {
                self.past.push_back((item, self.free_at));
            }
            self.mark_if_last(commands);
        }
    }

    /// Length of the next slice of this chunk, ms.
    fn want(&self, chunk: &Chunk, fresh: bool) -> u64 {
        let rest = self
            .format
            .ms(chunk.audio.len() - self.front_sent.min(chunk.audio.len()))
            .max(1);
        let slice = if fresh { FIRST_SLICE_MS } else { SLICE_MS };
        // A rest of less than half a slice goes along.
        if rest < slice + slice / 2 {
            rest
        } else {
            slice
        }
    }

    fn bytes(&self, ms: u64) -> usize {
        let sample = match self.format {
            Format::Mulaw8k => 1,
            Format::Pcm16 { .. } => 2,
        };
        (self.format.rate() as u64 * ms / 1000) as usize * sample
    }

    fn mark_if_last(&mut self, commands: &mut Vec<MediaCommand>) {
        if self.markable.is_some()
            && matches!(self.past.back(), Some((Item::Chunk(chunk), _)) if chunk.last)
        {
            self.mark_last(commands);
        }
    }

    /// A mark behind the last chunk sent whole.
    fn mark_last(&mut self, commands: &mut Vec<MediaCommand>) {
        if let Some((answer, number)) = self.markable {
            self.mark(format!("{}:{number}", answer.0), commands);
        }
    }

    fn mark(&mut self, name: String, commands: &mut Vec<MediaCommand>) {
        self.unmarked = 0;
        self.markable = None;
        commands.push(MediaCommand::Mark(name));
    }
}

#[cfg(test)]
mod tests;
