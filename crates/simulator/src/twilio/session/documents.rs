//! The session's documents: fetched, read, performed verb by verb.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{DOCUMENTS, Done, Session, Stage};
use crate::{
    caller::Event,
    twilio::{
        call::Status,
        life::{Ending, send_answer_again},
        stream::Media,
        twiml::{self, Verb},
        webhook::{self, Form, Reply, Webhook, base_form},
    },
};

impl Session {
    pub(super) fn first_document(&mut self) {
        let plan = self.call.plan();
        let what = if self.call.inbound {
            "inbound"
        } else {
            "answer"
        };
        match (plan.url, plan.twiml) {
            (Some(url), _) => self.fetch(what, url, plan.method, Vec::new()),
            (None, Some(twiml)) => self.document(&twiml),
            (None, None) => self.stage = Stage::Over(Ending::COMPLETED),
        }
    }

    pub(super) fn fetch(&mut self, what: &'static str, url: String, method: String, extra: Form) {
        self.documents += 1;
        if self.documents > DOCUMENTS {
            self.warn("11100 too many documents in one call");
            self.stage = Stage::Over(Ending::COMPLETED);
            return;
        }
        let status = if self.answered.is_some() {
            Status::InProgress
        } else {
            Status::Ringing
        };
        let mut form = base_form(&self.call, status);
        form.extend(extra);
        let mut hook = Webhook::new(what, url.clone(), method, form);
        hook.bad_signature = self.faults.bad_signature;
        if let Some(ms) = self.faults.duplicate_answer_ms
            && what == "answer"
        {
            let (token, run) = (hook.token.clone(), self.faults.duplicate_answer_runs);
            let after = Duration::from_millis(ms);
            send_answer_again(&self.shared, &self.call, url.clone(), token, after, run);
        }
        let (shared, sid) = (self.shared.clone(), self.call.sid.clone());
        let reply = Box::pin(async move {
            sleep(Duration::from_millis(shared.options.delays.webhook_ms)).await;
            webhook::send(&shared, &sid, &hook).await
        });
        self.stage = Stage::Fetching { what, url, reply };
    }

    fn fetched(&mut self, what: &'static str, url: String, reply: Reply) {
        self.call.timeline.note(Event::Fetched {
            what: what.to_owned(),
            status: reply.status,
        });
        let fault = match reply.is_ok().then(|| twiml::parse(&reply.body)) {
            Some(Ok(_)) => return self.document(&reply.body),
            Some(Err(fault)) => fault,
            None => format!("11200 {url} answered {:?}", reply.status),
        };
        self.warn(&fault);
        let plan = self.call.plan();
        match plan.fallback_url {
            Some(fallback) if !self.fallen_back => {
                self.fallen_back = true;
                let code = fault.split(' ').next().unwrap_or_default().to_owned();
                let extra = vec![("ErrorCode".into(), code), ("ErrorUrl".into(), url)];
                self.fetch("fallback", fallback, plan.fallback_method, extra);
            }
            _ => {
                let said = "We are sorry, an application error has occurred. Goodbye.";
                self.call.timeline.note(Event::CarrierSaid(said.into()));
                self.stage = Stage::Over(if self.answered.is_some() {
                    Ending::COMPLETED
                } else {
                    Ending::NO_ANSWER
                });
            }
        }
    }

    pub(super) fn document(&mut self, twiml: &str) {
        match twiml::parse(twiml) {
            Ok(verbs) => {
                self.verbs = verbs.into();
                if self.faults.hang_up_at_answer {
                    self.stage = Stage::Over(Ending::COMPLETED);
                } else {
                    self.next_verb();
                }
            }
            Err(fault) => {
                self.warn(&fault);
                self.stage = Stage::Over(Ending::COMPLETED);
            }
        }
    }

    pub(super) fn next_verb(&mut self) {
        let verb = self.verbs.pop_front();
        if let (Some(Verb::Reject { busy }), None) = (&verb, self.answered) {
            self.stage = Stage::Over(if *busy {
                Ending::BUSY
            } else {
                Ending::NO_ANSWER
            });
            return;
        }
        if self.answered.is_none() {
            self.call.set_status(Status::InProgress);
            self.pick_up();
        }
        let delays = &self.shared.options.delays;
        self.stage = match verb {
            None | Some(Verb::Hangup) => Stage::Over(Ending::COMPLETED),
            Some(Verb::Reject { .. }) => {
                self.warn("<Reject> of an answered call");
                Stage::Over(Ending::COMPLETED)
            }
            Some(Verb::Stream(_)) if self.faults.no_media => Stage::Streaming,
            Some(Verb::Stream(stream)) => Stage::Opening(self.opening(stream)),
            Some(Verb::Redirect { url, method }) => {
                return self.fetch("redirect", url, method, Vec::new());
            }
            Some(Verb::Say(text)) => {
                let ms = text.chars().count() as u64 * delays.say_char_ms;
                self.call.timeline.note(Event::CarrierSaid(text));
                Stage::Waiting(Box::pin(sleep(Duration::from_millis(ms))))
            }
            Some(Verb::Play(url)) => {
                self.call
                    .timeline
                    .note(Event::CarrierSaid(format!("[{url}]")));
                Stage::Waiting(Box::pin(sleep(Duration::from_millis(
                    delays.say_char_ms * 20,
                ))))
            }
            Some(Verb::Pause { seconds }) => {
                Stage::Waiting(Box::pin(sleep(Duration::from_secs(seconds))))
            }
            Some(Verb::Unsupported(name)) => {
                self.warn(&format!("<{name}> is not performed by this fake"));
                Stage::Waiting(Box::pin(sleep(Duration::ZERO)))
            }
        };
    }

    pub(super) fn opening(
        &self,
        stream: twiml::Stream,
    ) -> BoxFuture<'static, Result<Media, String>> {
        Box::pin(Media::open(
            self.shared.clone(),
            self.call.clone(),
            stream,
            self.faults.clone(),
        ))
    }

    pub(super) async fn staged(&mut self, done: Done) {
        match done {
            Done::Fetched { what, url, reply } => self.fetched(what, url, reply),
            Done::Waited => self.next_verb(),
            Done::Opened(opened) => match *opened {
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
