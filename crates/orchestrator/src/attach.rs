//! How a media socket becomes a call: admitted, owned, prepared or rebuilt, run, watched, finished.

mod refused;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bolo_audio::Format;
use bolo_conversation::{Conversation, Input};
use bolo_execution::{ExecutionId, Record, Status};
use bolo_store::{CallLog, Command, Error, Live};
use dashmap::Entry;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument as _;

use refused::{Refused, refuse};

use crate::{
    Inner,
    ambience::Ambience,
    asking::Mind,
    call::{Call, Names, State},
    desk::Desk,
    fallback::Crew,
    figures,
    finish::Closing,
    journal::{self, Head},
    keeper,
    ledger::Ledger,
    listening::Ears,
    media::{Socket, Started},
    now,
    playout::{Lead, Playout},
    prepare::Prepared,
    records::StoreRecords,
    replay::{self, Rebuilt},
    scribes::{Kept, Reel},
    speaking::Mouth,
    supervisor,
    tape::Tape,
    tools::Toolbox,
};

/// A stream must say `start` within this (R3).
const START: Duration = Duration::from_secs(10);
/// The record and the hang-up may take this long once the call's task has ended.
const CLERK: Duration = Duration::from_secs(10);
/// Calls that are told to end at a shutdown may take this long for it.
pub(crate) const LAST_GOODBYES: Duration = Duration::from_secs(25);
/// Facts that may wait for the call's loop.
const INBOX: usize = 64;

/// A call that runs here, or is about to.
pub(crate) struct LiveCall {
    /// Takes other sockets of the same call. Boxed: a channel has room for 32 from the start.
    sockets: mpsc::Sender<Box<Socket>>,
    /// Cancelled when the call is over and its record complete.
    gone: CancellationToken,
    /// Since when it is this node's; 0 until it is.
    pub(crate) epoch: Arc<AtomicI64>,
}

/// Removes the call from the live ones, whatever happens.
struct Place {
    inner: Arc<Inner>,
    id: ExecutionId,
    gone: CancellationToken,
    epoch: Arc<AtomicI64>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.live.remove(&self.id);
        self.gone.cancel();
        metrics::gauge!(figures::CALLS_LIVE).set(self.inner.live.len() as f64);
    }
}

/// See [`crate::Calls::attach`].
pub(crate) async fn attach(inner: &Arc<Inner>, id: ExecutionId, mut socket: Socket) {
    let span = tracing::info_span!("call", execution_id = %id);
    let Some(started) = socket.started(START).instrument(span.clone()).await else {
        refuse(socket, &Refused::NoStart).instrument(span).await;
        return;
    };
    loop {
        match enter(inner, id, socket).await {
            Entered::New(place, sockets, socket) => {
                // A task of its own, so that nothing that happens to the caller of this ends a call
                // without its record; tracked, so that a drain waits for it.
                let running = inner
                    .tasks
                    .spawn(run(place, socket, sockets, started).instrument(span));
                if running.await.is_err() {
                    tracing::error!(execution_id = %id, "setting the call up failed");
                }
                return;
            }
            Entered::HandedOver => return,
            Entered::Again(back) => socket = back,
            Entered::Refused(back, why) => {
                refuse(back, &why).instrument(span).await;
                return;
            }
        }
    }
}

enum Entered {
    New(Place, mpsc::Receiver<Box<Socket>>, Socket),
    HandedOver,
    Again(Socket),
    Refused(Socket, Refused),
}

async fn enter(inner: &Arc<Inner>, id: ExecutionId, socket: Socket) -> Entered {
    let (running, gone) = match inner.live.entry(id) {
        Entry::Occupied(live) => (live.get().sockets.clone(), live.get().gone.clone()),
        Entry::Vacant(vacant) => {
            if inner.draining.is_cancelled() {
                return Entered::Refused(socket, Refused::Draining);
            }
            let Ok(permit) = inner.permits.clone().try_acquire_owned() else {
                return Entered::Refused(socket, Refused::Full);
            };
            let (sender, sockets) = mpsc::channel(2);
            let gone = CancellationToken::new();
            let epoch = Arc::new(AtomicI64::new(0));
            vacant.insert(LiveCall {
                sockets: sender,
                gone: gone.clone(),
                epoch: epoch.clone(),
            });
            let place = Place {
                inner: inner.clone(),
                id,
                gone,
                epoch,
                _permit: permit,
            };
            metrics::gauge!(figures::CALLS_LIVE).set(inner.live.len() as f64);
            return Entered::New(place, sockets, socket);
        }
    };
    match running.send(Box::new(socket)).await {
        Ok(()) => Entered::HandedOver,
        Err(mpsc::error::SendError(socket)) => {
            // The call has ended; what this socket is for is clear once its record is complete.
            gone.cancelled().await;
            Entered::Again(*socket)
        }
    }
}

async fn run(place: Place, socket: Socket, sockets: mpsc::Receiver<Box<Socket>>, started: Started) {
    let inner = place.inner.clone();
    let begun = Instant::now();
    keeper::keep(&inner);
    // Boxed: the call's task would keep room for it to the end.
    match Box::pin(parts(&inner, place.id, started.format)).await {
        Ok(parts) => {
            place.epoch.store(parts.epoch, Ordering::Relaxed);
            let call = build(&inner, parts, socket, sockets, started, begun);
            Box::pin(call.drive(&inner)).await
        }
        Err(why) => refuse(socket, &why).await,
    }
    drop(place);
}

/// What a call is built of.
struct Parts {
    record: Record,
    prepared: Prepared,
    epoch: i64,
    commands: mpsc::Receiver<Command>,
    log: CallLog,
    rebuilt: Option<Rebuilt>,
    recording: (Reel, Kept),
    ledger: Arc<Ledger>,
}

async fn parts(inner: &Arc<Inner>, id: ExecutionId, format: Format) -> Result<Parts, Refused> {
    // Before the call is ours: what it is told from then on waits for it.
    let commands = inner.store.signals().register(id);
    let Live { record, epoch, .. } = match inner.store.own_call(id, now()).await {
        Err(Error::Illegal(illegal)) => return Err(Refused::Over(illegal.from)),
        owned => owned?,
    };
    let prepared = match inner.waiting.take(id).await {
        Some(ready) if ready.format == format => ready,
        other => {
            let prepared = inner.prepare(&record, format).await?;
            if let Some(other) = other {
                prepared.ahead.bear(&other.ahead);
            }
            prepared
        }
    };
    let ledger = Arc::new(Ledger::default());
    let log = inner.store.call_log(id);
    // A call that nobody had before has no log.
    let lines = match record.status {
        Status::InProgress if epoch > 1 => inner.store.events(record.account, id).await?,
        _ => Vec::new(),
    };
    let rebuilt = if lines.len() > 1 {
        let llm = &prepared.agent.conversation.llm.config;
        let who = (llm.provider.as_str(), llm.model.as_str());
        Some(replay::rebuild(&lines, who, &mut ledger.books())?)
    } else {
        let head = Head {
            version: 1,
            started_at: now(),
            script: prepared.script.clone(),
        };
        if lines.is_empty() {
            log.event(journal::text(&head))?;
        }
        None
    };
    let path = inner.store.recordings().scratch_path(id);
    let resume_at = rebuilt.as_ref().map(|rebuilt| rebuilt.last.0);
    let recording = inner.scribes.begin(path, resume_at, format);
    Ok(Parts {
        record,
        prepared,
        epoch,
        commands,
        log,
        rebuilt,
        recording,
        ledger,
    })
}

/// A call ready to run, and what its end needs.
struct Ready {
    call: Box<Call<Conversation>>,
    first: Vec<Input>,
    clerk: AbortOnDropHandle<()>,
    closing: Closing,
    kept: Kept,
    limit: Instant,
    ledger: Arc<Ledger>,
}

impl Ready {
    async fn drive(self, inner: &Inner) {
        let Self {
            call,
            first,
            clerk,
            closing,
            kept,
            limit,
            ledger,
        } = self;
        let running = call.run(first).instrument(tracing::Span::current());
        let task = AbortOnDropHandle::new(tokio::spawn(running));
        // A blocked task keeps the clerk's queue open for ever: its line is hung up at once.
        let ended = supervisor::watch(task, limit, &ledger).await;
        if ended && tokio::time::timeout(CLERK, clerk).await.is_err() {
            tracing::error!("the record's last changes took too long");
        }
        closing.finish(kept, &inner.settings.prices).await;
    }
}

fn build(
    inner: &Arc<Inner>,
    parts: Parts,
    socket: Socket,
    sockets: mpsc::Receiver<Box<Socket>>,
    started: Started,
    begun: Instant,
) -> Ready {
    let Parts {
        record,
        prepared,
        epoch,
        commands,
        log,
        rebuilt,
        recording: (reel, kept),
        ledger,
    } = parts;
    let Prepared {
        agent,
        secrets,
        script,
        format,
        llm,
        routes,
        knowledge,
        transcriber,
        hearing,
        gives_interims,
        bills_open_time: _,
        voice,
        synthesizer,
        speaking,
        ahead,
    } = prepared;
    let web = is_web(&record.provider);
    let ears = Ears::new(transcriber, format, gives_interims, hearing.at_work.clone());
    let names = names(&record, hearing, speaking, &ledger);
    let task = &agent.conversation;
    let (rules, facts) = (script.rules.clone(), script.facts.clone());
    let (machine, first, started_at) = match rebuilt {
        // The call's clock ran on while no node had it: the machine itself skips what time it must.
        Some(Rebuilt {
            machine,
            first,
            last,
            started_at,
        }) => {
            let before = (now() - started_at).max(last.0 as i64 + 1) as u64;
            let started = begun
                .checked_sub(Duration::from_millis(before))
                .unwrap_or(begun);
            (machine, first, started)
        }
        None => {
            let start = Input::MediaStart {
                direction: record.direction,
                marks: socket.marks(),
                web,
                seed: rand::random::<u64>() >> 12, // exact in every JSON reader
            };
            (Conversation::new(script), vec![start], begun)
        }
    };
    let records = Arc::new(StoreRecords {
        store: inner.store.clone(),
        log: log.clone(),
        carriers: inner.carriers.clone(),
        ledger: ledger.clone(),
        id: record.id,
        attempt: record.attempt,
        epoch,
        standing: record.status,
        is_bound: record.carrier_call_id.is_some(),
        direction: record.direction,
        provider: record.provider.clone(),
        our_number: record.agent_number().to_owned(),
        carrier_call_id: Some(started.call_id)
            .filter(|id| !id.is_empty())
            .or(record.carrier_call_id.clone()),
        secrets,
    });
    let (news_sender, news) = mpsc::channel(INBOX);
    let (desk, clerk) = Desk::open(records.clone(), ledger.clone(), news_sender.clone());
    let llm_name = task.llm.config.provider.clone();
    let call_sid = records.carrier_call_id.clone().unwrap_or_default();
    let mut toolbox = Toolbox::new(
        agent.clone(),
        &facts,
        &record,
        &call_sid,
        inner.settings.public.clone(),
        Arc::new(log.clone()),
        news_sender.clone(),
        inner.tasks.clone(),
    );
    toolbox.streams(socket.stream_id());
    let mind = Mind::new(
        llm,
        task.llm.config.clone(),
        routes,
        record.agent.to_string(),
        news_sender,
    );
    let mind = match knowledge {
        Some(knowledge) => mind.knowing(knowledge.told_to(log.clone())),
        None => mind,
    };
    let call = Call {
        epoch,
        machine,
        started: started_at,
        socket: Some(socket),
        ears,
        mouth: Mouth::new(synthesizer, voice, inner.clips.clone(), begun),
        mind,
        playout: Playout::new(
            format,
            Lead::new(if web {
                rules.web_lead_ms
            } else {
                rules.lead_ms
            }),
            task.config.room.map(|room| Ambience::of(room, format)),
            begun,
        ),
        tape: Tape::new(reel, format, started_at),
        journal: Box::new(log),
        desk,
        toolbox,
        ahead,
        ledger: ledger.clone(),
        names: names.clone(),
        news,
        commands,
        sockets,
        stop: Box::pin(inner.stop.clone().cancelled_owned()),
        frozen: Duration::from_secs(rules.media_frozen_s),
        back: Duration::from_secs(rules.media_reattach_s),
        state: State::new(begun),
    };
    let limit =
        started_at + Duration::from_millis(task.config.call_terminate_ms) + supervisor::GRACE;
    let closing = Closing {
        records,
        record,
        names,
        llm: llm_name,
        has_tasks: !agent.post_call.is_empty(),
    };
    Ready {
        call: Box::new(call),
        first,
        clerk,
        closing,
        kept,
        limit,
        ledger,
    }
}

fn names(record: &Record, hearing: Crew, speaking: Crew, ledger: &Ledger) -> Names {
    let mut books = ledger.books();
    let before = record
        .answered_at
        .map_or(0, |answered| (now() - answered).max(0) as u64);
    books.latency.stream = Some(before);
    Names {
        hearing,
        speaking,
        answered_before: Some(before),
        characters_before: books.usage.synthesizer_characters,
        seconds_before: books.usage.transcriber_duration,
    }
}

/// Whether the far end is a browser.
pub(crate) fn is_web(provider: &str) -> bool {
    matches!(provider, "websocket" | "web-call" | "default")
}

#[cfg(test)]
mod tests;
