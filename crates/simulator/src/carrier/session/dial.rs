//! `<Dial>`: the other leg is a call of its own, with the script of the number that is dialled.

use std::sync::Arc;

use super::{Session, Stage};
use crate::{
    caller::Event,
    carrier::{
        call::{Call, Command, Plan},
        dialect::{Form, Telling},
        document::{Dial, Whisper},
        webhook::{self, Webhook},
    },
};

/// A leg that is ended with the call it was dialled for.
pub(super) struct Leg(pub(super) Arc<Call>);

impl Drop for Leg {
    fn drop(&mut self) {
        // A full or closed channel belongs to a call that ends anyway.
        let _ = self.0.commands.try_send(Command::End);
    }
}

impl Session {
    pub(super) fn dial(&mut self, dial: Dial) {
        let heard_first = dial.whisper.clone().map(|whisper| match whisper {
            Whisper::Document { url, method } => (url, method),
            Whisper::Key { url, .. } => (url, "POST".to_owned()),
        });
        let (url, method) = heard_first.unzip();
        let plan = Plan {
            url,
            method: method.unwrap_or_default(),
            whisper: dial.whisper,
            status_callback: dial.status_callback,
            status_method: "POST".to_owned(),
            status_events: dial.status_events,
            leg_of: Some(self.call.id.clone()),
            timeout_s: dial.timeout_s,
            time_limit_s: 14_400,
            ..Plan::default()
        };
        let from = dial.caller_id.unwrap_or_else(|| self.call.from.clone());
        let script = self.shared.script_for(&dial.number);
        let leg = self
            .shared
            .begin(dial.number.clone(), from, false, plan, script);
        self.call.timeline.note(Event::Dialled(dial.number));
        let (waited, after) = (leg.clone(), dial.action.map(|action| (action, dial.method)));
        let shared = self.shared.clone();
        let over = Box::pin(async move {
            let status = waited.timeline.wait(|events| {
                events.iter().find_map(|timed| match &timed.event {
                    Event::Ended(status) => Some(status.clone()),
                    _ => None,
                })
            });
            let status = status.await;
            shared.dialect.dialled_form(&waited, &status)
        });
        self.stage = Stage::Dialling {
            _leg: Leg(leg),
            over,
            after,
        };
    }

    /// This leg and the call that it was dialled for hear each other.
    pub(super) fn connect(&mut self) {
        self.call.set_connected();
        self.stage = Stage::Streaming;
        if let Some(telling) = self.shared.dialect.connected(&self.call) {
            let (shared, id) = (self.shared.clone(), self.call.id.clone());
            let Telling { url, method, form } = telling;
            let hook = Webhook::new(&self.call, "status", url, method, form);
            self.shared.spawn(async move {
                tokio::time::sleep(shared.options.delays.callback()).await;
                webhook::send(&shared, &id, &hook).await;
            });
        }
    }

    /// The other leg is over.
    pub(super) fn dialled(&mut self, form: Form, after: Option<(String, String)>) {
        match after {
            Some((action, method)) => self.fetch_with("dial", action, method, None, form),
            None => self.next_verb(),
        }
    }
}
