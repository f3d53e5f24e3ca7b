//! The addresses carriers call us at, each with a mac that nobody else can make. Source: wire-telephony.md §6.5.

use bolo_execution::ExecutionId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// An attempt to call, as carriers repeat it to us whose addresses can't name it: `execution.attempt.mac`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReference {
    /// The call.
    pub execution: ExecutionId,
    /// Which dial of it.
    pub attempt: i64,
    /// As in addresses.
    pub mac: String,
}

impl CallReference {
    /// The one in an address' query: Exotel's `CustomField`, Asterisk's `call`.
    pub fn in_query(query: &str) -> Option<Self> {
        let (_, text) = url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| matches!(&**name, "CustomField" | "call"))?;
        let mut parts = text.splitn(3, '.');
        Some(Self {
            execution: parts.next()?.parse().ok()?,
            attempt: parts.next()?.parse().ok()?,
            mac: parts.next()?.to_owned(),
        })
    }
}

/// What a callback address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallbackKind {
    /// The call was answered: what now?
    Answer,
    /// News of the call.
    Status,
    /// The media socket ended: what now?
    Resume,
    /// The leg of a transfer is over: what now?
    Outcome,
    /// News of that leg.
    Leg,
    /// Somebody picked up there: what do they hear first?
    Offer,
    /// They pressed a key, or none.
    Take,
    /// A caller pressed keys in a menu, or none.
    Keys,
    /// News of the media stream.
    Stream,
    /// A machine answered, or a person.
    AnsweredBy,
    /// The media socket itself.
    Media,
}

/// Addresses carriers call us at: `/telephony/{carrier}/{kind}/{execution}/{attempt}/{mac}` and
/// `wss://…/media/{carrier}/{execution}/{attempt}/{mac}`. The mac (16 hex digits of an HMAC with the
/// server's key) is a cheap first gate; the carrier's signature is the second.
#[derive(Debug, Clone)]
pub struct Callbacks {
    public_url: String,
    key: SecretString,
}

impl Callbacks {
    /// `public_url` without a trailing slash.
    pub fn new(public_url: String, key: SecretString) -> Self {
        Self { public_url, key }
    }

    /// The server's public address.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Full address; `https` becomes `wss` (`http`: `ws`) for `Media`.
    pub fn url(
        &self,
        kind: CallbackKind,
        carrier: &str,
        execution: ExecutionId,
        attempt: i64,
    ) -> String {
        let mac = self.mac(carrier, execution, attempt);
        let base = &self.public_url;
        let word = match kind {
            CallbackKind::Answer => "answer",
            CallbackKind::Status => "status",
            CallbackKind::Resume => "resume",
            CallbackKind::Outcome => "outcome",
            CallbackKind::Leg => "leg",
            CallbackKind::Offer => "offer",
            CallbackKind::Take => "take",
            CallbackKind::Keys => "keys",
            CallbackKind::Stream => "stream",
            CallbackKind::AnsweredBy => "amd",
            CallbackKind::Media => {
                // `https://…` → `wss://…`
                let base = match base.strip_prefix("http") {
                    Some(rest) => format!("ws{rest}"),
                    None => base.clone(),
                };
                return format!("{base}/media/{carrier}/{execution}/{attempt}/{mac}");
            }
        };
        format!("{base}/telephony/{carrier}/{word}/{execution}/{attempt}/{mac}")
    }

    /// A [`CallReference`] as text.
    pub fn reference(&self, carrier: &str, execution: ExecutionId, attempt: i64) -> String {
        let mac = self.mac(carrier, execution, attempt);
        format!("{execution}.{attempt}.{mac}")
    }

    /// Whether the mac in a path is ours, in constant time.
    pub fn check(&self, carrier: &str, execution: ExecutionId, attempt: i64, mac: &str) -> bool {
        self.mac(carrier, execution, attempt)
            .as_bytes()
            .ct_eq(mac.as_bytes())
            .into()
    }

    /// First 16 hex digits of HMAC-SHA256 over `carrier/execution/attempt`.
    fn mac(&self, carrier: &str, execution: ExecutionId, attempt: i64) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) =
            <Hmac<Sha256> as KeyInit>::new_from_slice(self.key.expose_secret().as_bytes())
        else {
            return String::new();
        };
        mac.update(format!("{carrier}/{execution}/{attempt}").as_bytes());
        let sum = mac.finalize().into_bytes();
        sum.iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn callbacks() -> Callbacks {
        Callbacks::new("https://h.example".into(), SecretString::from("key"))
    }

    fn id() -> ExecutionId {
        "0197a1b2-0000-7000-8000-000000000001".parse().unwrap()
    }

    #[test]
    fn addresses_name_call_attempt_and_mac() {
        let mac = "e7491b36c66914ca";
        assert_eq!(
            callbacks().url(CallbackKind::Answer, "twilio", id(), 2),
            format!("https://h.example/telephony/twilio/answer/{}/2/{mac}", id())
        );
        assert_eq!(
            callbacks().url(CallbackKind::Media, "twilio", id(), 2),
            format!("wss://h.example/media/twilio/{}/2/{mac}", id())
        );
        let plain = Callbacks::new("http://127.0.0.1:8080".into(), SecretString::from("key"));
        assert!(
            plain
                .url(CallbackKind::Media, "twilio", id(), 2)
                .starts_with("ws://127.0.0.1:8080/media/")
        );
        assert!(callbacks().check("twilio", id(), 2, mac));
    }

    #[test]
    fn a_reference_is_read_back() {
        let text = callbacks().reference("exotel", id(), 3);
        let found = CallReference::in_query(&format!("CallSid=c&CustomField={text}")).unwrap();
        assert_eq!((found.execution, found.attempt), (id(), 3));
        assert!(callbacks().check("exotel", id(), 3, &found.mac));
        for bad in ["", "CustomField=", "CustomField=1.2", "CustomField=x.1.m"] {
            assert_eq!(CallReference::in_query(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_mac_fits_one_call_one_attempt_one_key() {
        let url = callbacks().url(CallbackKind::Status, "twilio", id(), 1);
        let mac = url.rsplit('/').next().unwrap();
        assert_eq!(mac.len(), 16);
        assert!(callbacks().check("twilio", id(), 1, mac));
        assert!(!callbacks().check("twilio", id(), 2, mac));
        assert!(!callbacks().check("plivo", id(), 1, mac));
        assert!(!callbacks().check("twilio", ExecutionId::new(), 1, mac));
        assert!(!callbacks().check("twilio", id(), 1, &mac[..15]));
        assert!(!callbacks().check("twilio", id(), 1, ""));
        let other = Callbacks::new("https://h.example".into(), SecretString::from("other"));
        assert!(!other.check("twilio", id(), 1, mac));
    }
}
