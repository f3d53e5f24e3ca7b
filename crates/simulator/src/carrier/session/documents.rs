//! The session's documents: fetched, read, performed verb by verb.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{DOCUMENTS, Done, Session, Stage};
use crate::{
    caller::Event,
    carrier::{
        call::Status,
        dialect::Form,
        document::{Stream, Verb},
        life::{Ending, send_answer_again},
        stream::Media,
        webhook::{self, Reply, Webhook},
    },
};

impl Session {
    pub(super) fn first_document(&mut self) {
        let plan = self.call.plan();
        let what = match (&plan.leg_of, self.call.inbound) {
            (Some(_), _) => "whisper",
            (None, true) => "inbound",
            (None, false) => "answer",
        };
        if plan.leg_of.is_some() && plan.whisper.is_none() {
            return self.connect();
        }
        match (plan.url, plan.document) {
            (Some(url), _) => self.fetch(what, url, plan.method, None),
            (None, Some(text)) => self.document(&text),
            (None, None) => self.stage = Stage::Over(Ending::DocumentOver),
        }
    }

    /// `failed`: code and address of the document that this one stands in for.
    pub(super) fn fetch(
        &mut self,
        what: &'static str,
        url: String,
        method: String,
        failed: Option<(&str, &str)>,
    ) {
        self.fetch_with(what, url, method, failed, Form::new());
    }

    /// The same with more fields.
    pub(super) fn fetch_with(
        &mut self,
        what: &'static str,
        url: String,
        method: String,
        failed: Option<(&str, &str)>,
        more: Form,
    ) {
        self.documents += 1;
        if self.documents > DOCUMENTS {
            self.warn("too many documents in one call");
            self.stage = Stage::Over(Ending::DocumentOver);
            return;
        }
        let status = if self.answered.is_some() {
            Status::InProgress
        } else {
            Status::Ringing
        };
        let mut form = self
            .shared
            .dialect
            .ask_form(&self.call, what, status, failed);
        form.extend(more);
        let mut hook = Webhook::new(&self.call, what, url.clone(), method, form);
        hook.suffer(&self.faults);
        if let Some(ms) = self.faults.duplicate_answer_ms
            && what == "answer"
        {
            let (token, run) = (hook.token.clone(), self.faults.duplicate_answer_runs);
            let after = Duration::from_millis(ms);
            send_answer_again(&self.shared, &self.call, url.clone(), token, after, run);
        }
        let (shared, id) = (self.shared.clone(), self.call.id.clone());
        let is_lost = self.faults.no_answer_webhook && ["answer", "inbound"].contains(&what);
        let reply = Box::pin(async move {
            sleep(Duration::from_millis(shared.options.delays.webhook_ms)).await;
            match is_lost {
                true => Reply::default(),
                false => webhook::send(&shared, &id, &hook).await,
            }
        });
        self.stage = Stage::Fetching { what, url, reply };
    }

    fn fetched(&mut self, what: &'static str, url: String, reply: Reply) {
        self.call.timeline.note(Event::Fetched {
            what: what.to_owned(),
            status: reply.status,
        });
        let dialect = &self.shared.dialect;
        let answered = self.answered.is_some();
        let (fault, ending) = match reply.is_ok().then(|| dialect.read_document(&reply.body)) {
            Some(Ok(verbs)) => {
                return match self.confirm(verbs) {
                    Ok(()) => {}
                    Err(verbs) => self.perform_all(verbs),
                };
            }
            Some(Err(fault)) => (fault, Ending::BadDocument { answered }),
            None => {
                let fault = dialect.no_document(&url, reply.status);
                (fault, Ending::NoDocument { answered })
            }
        };
        self.warn(&fault);
        let plan = self.call.plan();
        match plan.fallback_url {
            Some(fallback) if !self.fallen_back => {
                self.fallen_back = true;
                let code = fault.split(' ').next().unwrap_or_default();
                self.fetch(
                    "fallback",
                    fallback,
                    plan.fallback_method,
                    Some((code, &url)),
                );
            }
            _ => {
                let said = "We are sorry, an application error has occurred. Goodbye.";
                self.call.timeline.note(Event::CarrierSaid(said.into()));
                self.stage = Stage::Over(ending);
            }
        }
    }

    pub(super) fn document(&mut self, text: &str) {
        match self.shared.dialect.read_document(text) {
            Ok(verbs) => self.perform_all(verbs),
            Err(fault) => {
                self.warn(&fault);
                let answered = self.answered.is_some();
                self.stage = Stage::Over(Ending::BadDocument { answered });
            }
        }
    }

    fn perform_all(&mut self, verbs: Vec<Verb>) {
        self.verbs = verbs.into();
        if self.faults.hang_up_at_answer {
            self.stage = Stage::Over(Ending::FarEnd);
        } else {
            self.next_verb();
        }
    }

    pub(super) fn next_verb(&mut self) {
        let verb = self.verbs.pop_front();
        if let (Some(Verb::Reject { busy }), None) = (&verb, self.answered) {
            self.stage = Stage::Over(if *busy {
                Ending::Busy
            } else {
                Ending::NoAnswer
            });
            return;
        }
        if self.answered.is_none() {
            self.call.set_status(Status::InProgress);
            self.pick_up();
        }
        self.stage = match verb {
            // The end of what whoever is called hears first.
            None if self.call.plan().whisper.is_some() => return self.connect(),
            None => Stage::Over(Ending::DocumentOver),
            Some(Verb::Hangup) => Stage::Over(Ending::Hangup),
            Some(Verb::Reject { .. }) => {
                self.warn("an answered call can't be rejected");
                Stage::Over(Ending::Hangup)
            }
            Some(Verb::Stream(_)) if self.faults.no_media => Stage::Streaming,
            Some(Verb::Stream(stream)) => Stage::Opening(self.opening(stream)),
            Some(Verb::Again) => {
                let plan = self.call.plan();
                return self.fetch("redirect", plan.url.unwrap_or_default(), plan.method, None);
            }
            Some(Verb::Redirect { url, method }) => {
                return self.fetch("redirect", url, method, None);
            }
            Some(Verb::Dial(dial)) => return self.dial(dial),
            Some(Verb::Gather(gather)) => return self.gather(gather),
            Some(spoken @ (Verb::Say { .. } | Verb::Play(_) | Verb::Pause { .. })) => {
                let ms = self.speak(&spoken);
                Stage::Waiting(Box::pin(sleep(Duration::from_millis(ms))))
            }
            Some(Verb::Unsupported(name)) => {
                self.warn(&format!("<{name}> is not performed by this fake"));
                Stage::Waiting(Box::pin(sleep(Duration::ZERO)))
            }
        };
    }

    pub(super) fn opening(&mut self, stream: Stream) -> BoxFuture<'static, Result<Media, String>> {
        let faults = self.faults.clone();
        let tries = self.shared.dialect.upgrade_tries();
        self.faults.lost_upgrades = faults.lost_upgrades.saturating_sub(tries);
        let (shared, call) = (self.shared.clone(), self.call.clone());
        let replay = self.replay.take();
        Box::pin(Media::open(shared, call, stream, faults, replay))
    }

    pub(super) async fn staged(&mut self, done: Done) {
        match done {
            Done::Fetched { what, url, reply } => self.fetched(what, url, reply),
            Done::Waited => self.next_verb(),
            Done::Gathered => self.gathered(),
            Done::Dialled { form, after } => self.dialled(form, after),
            Done::Opened(opened) => match *opened {
                Ok(media) if self.faults.hang_up_in_upgrade => {
                    media.end().await;
                    self.stage = Stage::Over(Ending::FarEnd);
                }
                Ok(media) => {
                    self.call.timeline.note(Event::MediaOpened);
                    if let Some(old) = self.media.replace(media) {
                        self.old = Some(old);
                    }
                    self.stage = Stage::Streaming;
                }
                Err(fault) => {
                    self.warn(&fault);
                    if self.media.is_some() {
                        self.stage = Stage::Streaming;
                    } else {
                        self.next_verb();
                    }
                }
            },
        }
    }
}
