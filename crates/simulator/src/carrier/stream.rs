//! One open media socket of a call: what is sent, what is played, what is echoed.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Shared,
    call::Call,
    dialect::{Ask, Cleared, Complaint, Sent, StreamNews, Writer},
    document::Stream,
    faults::{BadFrame, CallFaults},
    held::{Echo, Echoes, Shaking},
    playout::Playout,
    replay::Replay,
    room::Room,
    upgrade::{connect, tell},
};
use crate::{
    caller::Event,
    g711,
    http::{self, Socket},
    ticker::FRAME,
};

/// A message of the socket that the session must know of.
#[derive(Debug)]
pub(crate) enum Got {
    /// Handled; nothing to do.
    Nothing,
    /// First audible audio since the session last asked to be told.
    Audio,
    /// The stream is over: the server closed it, or broke the protocol.
    Closed,
    /// The connection broke without a close; the carrier notices after `Delays::reset_ms`.
    Lost,
}

/// The socket and its play queue.
pub(crate) struct Media {
    shared: Arc<Shared>,
    call: Arc<Call>,
    socket: Socket,
    /// The network that the socket goes through.
    line: Option<AbortOnDropHandle<()>>,
    writer: Box<dyn Writer>,
    id: String,
    playout: Playout,
    room: Room,
    started: Instant,
    frames: u64,
    verb: Stream,
    faults: CallFaults,
    echoes: Echoes,
    /// Of a line that shakes.
    shaking: Option<Shaking<Message>>,
    /// Comes instead of the caller.
    replay: Option<Replay>,
    /// Tell of the next audible audio.
    pub tell_audio: bool,
}

impl Media {
    /// Opens the socket of a stream and sends its first messages. The error is what the carrier's
    /// debugger would show.
    pub async fn open(
        shared: Arc<Shared>,
        call: Arc<Call>,
        verb: Stream,
        faults: CallFaults,
        replay: Option<Replay>,
    ) -> Result<Self, String> {
        let delays = shared.options.delays.clone();
        let late = delays.upgrade_ms + faults.late_upgrade_ms;
        tokio::time::sleep(Duration::from_millis(late)).await;
        let id = shared.dialect.stream_id(call.chance.draw());
        // A query only: of the one socket that the carrier's configuration names.
        let url = match verb.url.strip_prefix('?') {
            Some(_) => format!("{}{}", shared.by_hand(), verb.url),
            None => verb.url.clone(),
        };
        let (socket, line) = match connect(&shared, &call, &url, &faults).await {
            Ok(open) => open,
            Err(fault) => {
                let news = StreamNews::Failed(fault.clone());
                tell(&shared, &call, &verb, &id, &news);
                return Err(fault);
            }
        };
        let room = Room::new(&faults, shared.dialect.buffer());
        let mut media = Self {
            playout: Playout::new(room.size),
            room,
            writer: shared.dialect.writer(&call, id.clone()),
            shared,
            call,
            socket,
            line,
            id,
            started: Instant::now(),
            frames: 0,
            verb,
            echoes: Echoes::new(&faults),
            shaking: Shaking::new(&faults),
            replay,
            faults,
            tell_audio: true,
        };
        media
            .hello(delays.start_ms)
            .await
            .map_err(|fault| media.shared.dialect.no_socket(None, &fault.to_string()))?;
        media.tell(&StreamNews::Started);
        Ok(media)
    }

    async fn hello(&mut self, start_ms: u64) -> Result<(), tungstenite::Error> {
        if let Some(hello) = self.writer.hello() {
            self.socket.send(Message::text(hello)).await?;
        }
        if self.faults.hang_up_in_upgrade {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(start_ms)).await;
        if self.faults.media_before_start
            && let Some(early) = self.writer.media(0, None)
        {
            self.socket.send(message(early)).await?;
        }
        let mut start = self.writer.start(&self.verb, !self.faults.no_parameters);
        if let Some(replay) = &mut self.replay {
            start = replay.start(&start);
        }
        self.socket.send(Message::text(start)).await?;
        self.started = Instant::now();
        Ok(())
    }

    /// The stream's status callback.
    fn tell(&self, news: &StreamNews) {
        tell(&self.shared, &self.call, &self.verb, &self.id, news);
    }

    fn samples(&self) -> u64 {
        self.started.elapsed().as_micros() as u64 * g711::RATE / 1_000_000
    }

    /// Whether nothing goes either way any more.
    fn is_half_open(&self) -> bool {
        let ms = self.started.elapsed().as_millis() as u64;
        self.faults
            .half_open_after_ms
            .is_some_and(|from| ms >= from)
    }

    /// Whether the carrier reads the socket now.
    pub fn reads(&self) -> bool {
        if self.is_half_open() {
            return false;
        }
        let Some(from) = self.faults.stop_reading_after_ms else {
            return true;
        };
        let ms = self.started.elapsed().as_millis() as u64;
        ms < from
            || self
                .faults
                .stop_reading_for_ms
                .is_some_and(|length| ms >= from + length)
    }

    /// When the next mark is reached, if one waits.
    pub fn next_mark(&self) -> Option<Instant> {
        let sample = self.playout.next_mark()?;
        Some(self.started + Duration::from_micros(sample * 1_000_000 / g711::RATE))
    }

    /// Whether a recording has come to its end.
    pub fn is_replayed(&self) -> bool {
        self.replay.as_ref().is_some_and(Replay::is_over)
    }

    /// Sends 20 ms of the caller.
    pub async fn frame(&mut self, audio: Option<&[u8]>) -> Result<(), tungstenite::Error> {
        if let Some(replay) = &mut self.replay {
            let ms = self.started.elapsed().as_millis() as u64;
            while let Some(sent) = replay.due(ms) {
                self.socket.send(message(sent)).await?;
            }
            return Ok(());
        }
        let ms = self.frames * 20;
        self.frames += 1;
        let bad = self.faults.bad_frames.get(&self.frames).copied();
        let sent = match bad {
            None => self.writer.media(ms, audio),
            Some(bad) => self.writer.bad_media(ms, audio, bad),
        };
        let message = match (sent, bad) {
            (None, _) => return self.shake(ms, None).await,
            (Some(Sent::Text(text)), Some(BadFrame::Binary)) => Message::binary(text.into_bytes()),
            (Some(sent), Some(BadFrame::Doubled)) => {
                let message = message(sent);
                self.shake(ms, Some(message.clone())).await?;
                message
            }
            (Some(sent), _) => message(sent),
        };
        self.shake(ms, Some(message)).await
    }

    /// Sends a message of audio, and those that were held, or holds it.
    async fn shake(&mut self, ms: u64, message: Option<Message>) -> Result<(), tungstenite::Error> {
        if self.is_half_open() {
            return Ok(());
        }
        let Some(line) = &mut self.shaking else {
            return match message {
                Some(message) => self.socket.send(message).await,
                None => Ok(()),
            };
        };
        message
            .into_iter()
            .for_each(|message| line.push(ms, message));
        let now = self.started.elapsed().as_millis() as u64;
        while let Some(message) = line.due(now) {
            self.socket.send(message).await?;
        }
        Ok(())
    }

    /// Presses a key.
    pub async fn dtmf(&mut self, key: char) -> Result<(), tungstenite::Error> {
        if self.is_half_open() {
            return Ok(());
        }
        let message = self.writer.dtmf(key);
        self.socket.send(Message::text(message)).await
    }

    /// Plays up to now and echoes the marks that were reached.
    pub async fn play(&mut self) -> Result<(), tungstenite::Error> {
        let now = self.samples();
        let reached = self.playout.advance(now);
        self.echo(reached, false).await?;
        self.flow().await
    }

    /// The next 20 ms that were played, for the call's frame `number` (which ends 20 ms × `number`
    /// after the answer). The stream's frames follow the call's at a fixed distance, however late
    /// ticks come.
    pub fn take_frame(
        &mut self,
        answered: Instant,
        number: u64,
        into: &mut [u8; g711::FRAME],
    ) -> bool {
        let offset = self.started.saturating_duration_since(answered);
        let first = offset.as_micros().div_ceil(FRAME.as_micros()) as u64 + 1;
        number >= first && self.playout.take_frame(into)
    }

    async fn echo(&mut self, names: Vec<String>, cleared: bool) -> Result<(), tungstenite::Error> {
        for name in names {
            self.echoes.push(name, cleared);
        }
        if self.is_half_open() {
            return Ok(());
        }
        for Echo { name, cleared } in self.echoes.due() {
            if self.faults.never_echo {
                continue;
            }
            for _ in 0..=u32::from(self.faults.echo_twice) {
                let message = self.writer.mark(&name);
                self.socket.send(Message::text(message)).await?;
            }
            self.call.timeline.note(Event::MarkEchoed { name, cleared });
        }
        Ok(())
    }

    /// The next message of the server. Cancel-safe.
    pub async fn read(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        self.socket.next().await
    }

    /// Does what a message asks.
    pub async fn take(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<Got, tungstenite::Error> {
        match message {
            Some(Ok(Message::Text(text))) => {
                let ask = self.writer.read(&text);
                self.ask(ask).await
            }
            Some(Ok(Message::Binary(bytes))) => {
                let ask = self.writer.read_binary(bytes);
                self.ask(ask).await
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| u16::from(frame.code));
                self.closed(code, true);
                // The answer to the close was queued by the read; let it out.
                let _gone = self.socket.flush().await;
                Ok(Got::Closed)
            }
            Some(Ok(_)) => Ok(Got::Nothing),
            Some(Err(_)) | None => {
                self.closed(None, true);
                Ok(Got::Lost)
            }
        }
    }

    async fn ask(&mut self, ask: Result<Ask, Complaint>) -> Result<Got, tungstenite::Error> {
        self.play().await?;
        match ask {
            Ok(Ask::Audio(audio)) => {
                let audible = self.tell_audio
                    && audio
                        .iter()
                        .any(|byte| g711::decode(*byte).unsigned_abs() > 64);
                let fits = self.playout.push_audio(self.samples(), audio);
                if !fits {
                    self.warn("audio dropped: more waits than the carrier keeps");
                }
                if let Some(news) = self.room.news(self.playout.queued(), fits) {
                    self.tell(&news);
                }
                if audible {
                    self.tell_audio = false;
                    return Ok(Got::Audio);
                }
            }
            Ok(Ask::Mark(name)) => {
                self.playout.push_mark(name);
                self.play().await?;
            }
            Ok(Ask::Clear) => {
                let (marks, samples) = self.playout.clear();
                let unplayed_ms = g711::ms(samples as usize);
                self.call.timeline.note(Event::Cleared { unplayed_ms });
                self.tell_audio = true;
                if self.faults.echo_after_clear {
                    self.echo(marks.clone(), true).await?;
                }
                match self.writer.cleared() {
                    Cleared::Silence => {}
                    Cleared::Said(_) if self.faults.never_echo || self.faults.never_cleared => {}
                    Cleared::Said(text) => self.socket.send(Message::text(text)).await?,
                    Cleared::Echoes if self.faults.echo_after_clear => {}
                    Cleared::Echoes => self.echo(marks, true).await?,
                }
            }
            Ok(Ask::Nothing) => {}
            Err(Complaint { text, fatal: true }) => {
                self.warn(&text);
                self.tell(&StreamNews::Failed(text));
                self.closed(Some(1002), false);
                self.socket.close(Some(frame(CloseCode::Protocol))).await?;
                return Ok(Got::Closed);
            }
            Err(Complaint { text, .. }) => self.warn(&text),
        }
        Ok(Got::Nothing)
    }

    /// Says on the socket when hardly more audio has room, and when much has again.
    async fn flow(&mut self) -> Result<(), tungstenite::Error> {
        let Some(is_full) = self.room.turn(self.playout.queued()) else {
            return Ok(());
        };
        match self.writer.full(is_full) {
            Some(said) => self.socket.send(Message::text(said)).await,
            None => Ok(()),
        }
    }

    fn warn(&self, what: &str) {
        self.call.timeline.note(Event::Warning(what.to_owned()));
    }

    fn closed(&self, code: Option<u16>, by_server: bool) {
        self.tell(if by_server && code != Some(1000) {
            &StreamNews::Lost
        } else {
            &StreamNews::Stopped
        });
        if self.playout.underruns() > 0 {
            let gaps = self.playout.underruns();
            self.call.timeline.note(Event::Warning(format!(
                "{gaps} gaps inside the agent's speech"
            )));
        }
        self.call
            .timeline
            .note(Event::MediaClosed { code, by_server });
    }

    /// The carrier ends the stream: its `stop` if it has one (unless the faults say otherwise), close
    /// 1000, and a second for the server to close its side.
    pub async fn end(self) {
        self.closed(Some(1000), false);
        let is_dead = self.is_half_open();
        let Self {
            shared,
            mut socket,
            line,
            mut writer,
            faults,
            ..
        } = self;
        shared.spawn(async move {
            if is_dead {
                // Nobody tells the server.
                std::future::pending::<()>().await;
            }
            let closing = async {
                if let Some(stop) = writer.stop().filter(|_| !faults.no_stop) {
                    socket.send(Message::text(stop)).await?;
                }
                for _ in 0..if faults.media_after_stop { 10 } else { 0 } {
                    if let Some(audio) = writer.media(0, None) {
                        socket.send(message(audio)).await?;
                    }
                }
                socket.close(Some(frame(CloseCode::Normal))).await?;
                while let Some(message) = socket.next().await {
                    message?;
                }
                Ok::<_, tungstenite::Error>(())
            };
            match tokio::time::timeout(Duration::from_secs(1), closing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "media socket broke while closing"),
                Err(_) => tracing::debug!("the server did not close its side of the media socket"),
            }
            drop(line);
        });
    }

    /// The socket is lost without a `stop`: by reset, or with a close frame 1001.
    pub async fn lose(mut self, reset: bool) {
        self.closed((!reset).then_some(1001), false);
        if reset {
            http::reset(self.socket);
        } else if let Err(error) = self.socket.close(Some(frame(CloseCode::Away))).await {
            tracing::debug!(%error, "media socket was gone already");
        }
    }
}

fn message(sent: Sent) -> Message {
    match sent {
        Sent::Text(text) => Message::text(text),
        Sent::Binary(bytes) => Message::binary(bytes),
    }
}

fn frame(code: CloseCode) -> CloseFrame {
    CloseFrame {
        code,
        reason: "".into(),
    }
}
