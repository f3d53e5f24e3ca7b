//! The account's numbers and those for sale, and who calls in on them.

use super::{DialFault, FakeCarrier, Kind, Number, Shared, call::Plan};
use crate::{
    Error, asterisk,
    caller::{CallHandle, CallerScript},
    exotel,
};

/// What holds the webhooks of numbers at carriers whose numbers hold none.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub id: String,
    pub name: String,
    pub answer_url: String,
    pub answer_method: String,
    pub fallback_answer_url: String,
    pub hangup_url: String,
}

impl Shared {
    pub fn numbers(&self) -> Vec<Number> {
        self.lock().numbers.clone()
    }

    /// Changes a number by its id; false if there is none.
    pub fn change_number(&self, id: &str, change: impl FnOnce(&mut Number)) -> bool {
        let mut state = self.lock();
        let number = state.numbers.iter_mut().find(|number| number.id == id);
        number.map(change).is_some()
    }

    pub fn for_sale(&self) -> Vec<String> {
        self.lock().for_sale.clone()
    }

    /// The account's from now on; `None` when it is not for sale.
    pub fn buy(&self, number: &str) -> Option<Number> {
        let mut state = self.lock();
        let place = state.for_sale.iter().position(|other| other == number)?;
        let bought = Number::new(&state.for_sale.remove(place));
        state.numbers.push(bought.clone());
        Some(bought)
    }

    /// For sale again; false when the account has none of this id.
    pub fn release(&self, id: &str) -> bool {
        let mut state = self.lock();
        let Some(place) = state.numbers.iter().position(|number| number.id == id) else {
            return false;
        };
        let released = state.numbers.remove(place);
        state.for_sale.push(released.phone_number);
        true
    }

    pub fn purchase_fault(&self) -> Option<DialFault> {
        self.lock().purchase_faults.pop_front()
    }

    /// The server's one address that somebody wrote into the carrier's configuration.
    pub fn by_hand(&self) -> String {
        self.lock().by_hand.clone()
    }

    pub fn applications(&self) -> Vec<Application> {
        self.lock().applications.clone()
    }

    pub fn add_application(&self, application: Application) {
        self.lock().applications.push(application);
    }
}

impl FakeCarrier {
    /// The numbers that the account has.
    pub fn numbers(&self) -> Vec<Number> {
        self.shared.numbers()
    }

    /// Does what a user of the real carrier does by hand, for a server with this public address: the applets of
    /// Exotel's flow ask it, and Asterisk's `websocket_client.conf` names its socket.
    pub fn set_up_for(&self, server: &str) {
        self.shared.lock().by_hand = match self.kind {
            Kind::SipTrunk => format!("{}/media/sip-trunk", server.replacen("http", "ws", 1)),
            kind => format!("{server}/telephony/{}/flow", kind.name()),
        };
    }

    /// The next purchases of numbers meet these faults, one each.
    pub fn fail_next_purchases(&self, faults: impl IntoIterator<Item = DialFault>) {
        self.shared.lock().purchase_faults.extend(faults);
    }

    /// Points one of the account's numbers at a voice webhook (and optionally a status callback).
    pub fn set_voice_url(&self, number: &str, voice_url: &str, status_callback: Option<&str>) {
        let mut state = self.shared.lock();
        if !state.numbers.iter().any(|own| own.phone_number == number) {
            state.numbers.push(Number::new(number));
        }
        for own in state
            .numbers
            .iter_mut()
            .filter(|own| own.phone_number == number)
        {
            own.voice_url = voice_url.to_owned();
            own.status_callback = status_callback.unwrap_or_default().to_owned();
        }
    }

    /// Someone calls. `to` is one of the account's numbers with a voice URL; the script's steps are
    /// the caller's. Returns at once; the call rings until the document is fetched.
    pub fn call_in(&self, from: &str, to: &str, script: CallerScript) -> Result<CallHandle, Error> {
        let number = self
            .shared
            .numbers()
            .into_iter()
            .find(|number| number.phone_number == to);
        let number = number
            .filter(|number| !number.voice_url.is_empty())
            .ok_or_else(|| Error::Peer(format!("{to} has no voice URL")))?;
        let plan = Plan {
            url: Some(number.voice_url),
            method: if self.kind == Kind::Exotel {
                "GET".to_owned()
            } else {
                number.voice_method
            },
            fallback_url: Some(number.voice_fallback_url).filter(|url| !url.is_empty()),
            fallback_method: "POST".into(),
            status_callback: Some(number.status_callback).filter(|url| !url.is_empty()),
            status_method: "POST".into(),
            time_limit_s: 14_400,
            ..Plan::default()
        };
        let call = self
            .shared
            .begin(to.to_owned(), from.to_owned(), true, plan, script);
        Ok(CallHandle::new(self.shared.clone(), call))
    }

    /// Someone calls, and the voice webhook is `voice_url`, whatever the number's own.
    pub fn call_in_to(
        &self,
        from: &str,
        to: &str,
        voice_url: &str,
        script: CallerScript,
    ) -> Result<CallHandle, Error> {
        let status = self
            .shared
            .numbers()
            .into_iter()
            .find(|number| number.phone_number == to);
        let status = status
            .map(|number| number.status_callback)
            .filter(|url| !url.is_empty());
        self.set_voice_url(to, voice_url, status.as_deref());
        self.call_in(from, to, script)
    }
}

impl FakeCarrier {
    /// Environment variables that send a server to this carrier, in the names that the real one's users know.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let [account, token, number, base_url] = match self.kind {
            Kind::Twilio => [
                "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN",
                "TWILIO_PHONE_NUMBER",
                "BOLO_TELEPHONY__TWILIO__BASE_URL",
            ],
            Kind::Plivo => [
                "PLIVO_AUTH_ID",
                "PLIVO_AUTH_TOKEN",
                "PLIVO_PHONE_NUMBER",
                "BOLO_TELEPHONY__PLIVO__BASE_URL",
            ],
            Kind::Vobiz => [
                "VOBIZ_AUTH_ID",
                "VOBIZ_AUTH_TOKEN",
                "VOBIZ_PHONE_NUMBER",
                "BOLO_TELEPHONY__VOBIZ__BASE_URL",
            ],
            Kind::SipTrunk => [
                "SIP_TRUNK_USER",
                "SIP_TRUNK_PASSWORD",
                "SIP_TRUNK_PHONE_NUMBER",
                "BOLO_TELEPHONY__SIP_TRUNK__BASE_URL",
            ],
            Kind::Exotel => [
                "EXOTEL_ACCOUNT_SID",
                "EXOTEL_API_TOKEN",
                "EXOTEL_PHONE_NUMBER",
                "BOLO_TELEPHONY__EXOTEL__BASE_URL",
            ],
        };
        let first = self.options().numbers.first();
        let mut environment = vec![
            (account, self.account().to_owned()),
            (token, self.token().to_owned()),
            (base_url, self.base_url()),
        ];
        environment.extend(first.map(|first| (number, first.phone_number.clone())));
        match self.kind {
            Kind::Twilio | Kind::Plivo | Kind::Vobiz => {}
            Kind::Exotel => environment.extend([
                ("EXOTEL_API_KEY", exotel::API_KEY.to_owned()),
                ("EXOTEL_OUTBOUND_APP_ID", exotel::APP.to_owned()),
            ]),
            Kind::SipTrunk => environment.push(("SIP_TRUNK_NAME", asterisk::TRUNK.to_owned())),
        }
        environment
    }
}
