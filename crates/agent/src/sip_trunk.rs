//! A telephone system of the customer's own: where its calls come from and go to. Source: api.md §18.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::{
    Faults,
    place::{Place, read_whole},
};

/// What a trunk may say, as JSON, and what it says where it is silent.
const FIELDS: [(&str, &str); 19] = [
    ("name", "null"),
    ("provider", "null"),
    ("description", "null"),
    ("auth_type", "null"),
    ("auth_username", "null"),
    ("gateways", "[]"),
    ("ip_identifiers", "[]"),
    ("allow", "\"ulaw,alaw\""),
    ("disallow", "\"all\""),
    ("transport", "\"transport-udp\""),
    ("direct_media", "false"),
    ("rtp_symmetric", "true"),
    ("force_rport", "true"),
    ("media_encryption", "\"no\""),
    ("media_encryption_optimistic", "false"),
    ("qualify_frequency", "60"),
    ("inbound_enabled", "false"),
    ("outbound_leading_plus_enabled", "true"),
    ("is_active", "true"),
];

/// A trunk: its document with every field filled, without the password.
#[derive(Debug, Clone, PartialEq)]
pub struct SipTrunk {
    /// Unique in the account.
    pub name: String,
    /// Every field.
    pub body: Map<String, Value>,
    /// `sdes` over a transport that is not encrypted: the key would be readable on the way.
    pub shows_its_key: bool,
    /// It logs in with a name, so it needs a password.
    pub needs_password: bool,
}

impl SipTrunk {
    /// Reads a trunk.
    pub fn parse(document: &Value) -> Result<Self, Faults> {
        read_whole(document, |place| {
            place.object()?;
            let name = place.at("name").required_text();
            place.at("provider").required_text();
            place.at("description").text();
            let kind = place.at("auth_type").required();
            let kind = kind.and_then(|kind| kind.word(&["userpass", "ip-based"]));
            if kind == Some("userpass") {
                place.at("auth_username").required_text();
            }
            place.at("auth_password").text();
            gateways(&place.at("gateways"));
            let identifiers = place.at("ip_identifiers");
            if kind == Some("ip-based") && !identifiers.is_filled() {
                identifiers.fault("must hold at least one address, because auth_type is ip-based");
            }
            addresses(&identifiers);
            for key in ["allow", "disallow"] {
                place.at(key).text();
            }
            let transport = place.at("transport");
            let transport = transport.word(&["transport-udp", "transport-tcp", "transport-tls"]);
            // YAML turns `no` into false.
            let encryption = place.at("media_encryption");
            let encrypted = match encryption.value() {
                Some(Value::Bool(false)) => false,
                _ => encryption.word(&["no", "sdes"]) == Some("sdes"),
            };
            for key in [
                "direct_media",
                "rtp_symmetric",
                "force_rport",
                "media_encryption_optimistic",
                "inbound_enabled",
                "outbound_leading_plus_enabled",
                "is_active",
            ] {
                place.at(key).flag(false);
            }
            place.at("qualify_frequency").whole(0..=86_400);
            Some(Self {
                name: name?.to_owned(),
                body: filled(document),
                shows_its_key: encrypted && transport != Some("transport-tls"),
                needs_password: kind == Some("userpass"),
            })
        })
    }
}

impl SipTrunk {
    fn is(&self, key: &str) -> bool {
        self.body
            .get(key)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// Calls may go through it.
    pub fn is_active(&self) -> bool {
        self.is("is_active")
    }

    /// Calls that come in by it are answered.
    pub fn takes_calls(&self) -> bool {
        self.is_active() && self.is("inbound_enabled")
    }

    /// Numbers are dialled with their `+`.
    pub fn dials_plus(&self) -> bool {
        self.is("outbound_leading_plus_enabled")
    }

    /// What it is called in Asterisk: its name, where that can be the name of an endpoint, else its id.
    pub fn endpoint(&self, id: impl ToString) -> String {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        match self.name.bytes().all(fits) {
            true => self.name.clone(),
            false => id.to_string(),
        }
    }
}

fn gateways(place: &Place<'_>) {
    let items = place.clone().required().and_then(|place| place.items());
    let Some(items) = items else { return };
    if items.is_empty() {
        place.fault("must hold at least one gateway");
    }
    for gateway in items {
        gateway.object();
        let address = gateway.at("gateway_address");
        if address
            .required_text()
            .is_some_and(|text| text.contains(|c: char| c.is_whitespace() || c == '/'))
        {
            address.fault("must be a host or an address");
        }
        gateway.at("port").whole(1..=65_535);
        gateway.at("priority").whole(0..=65_535);
    }
}

fn addresses(place: &Place<'_>) {
    if !place.is_present() {
        return;
    }
    for identifier in place.items().unwrap_or_default() {
        identifier.object();
        let address = identifier.at("ip_address");
        if address
            .required_text()
            .is_some_and(|text| !is_network(text))
        {
            address.fault("must be an address or a range, such as 15.207.90.192/31");
        }
    }
}

/// An address, or a range with the length of its prefix.
fn is_network(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.trim().parse::<IpAddr>() else {
        return false;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| prefix.parse().is_ok_and(|bits: u8| bits <= longest))
}

/// Every field, what is silent with its default; never the password.
fn filled(document: &Value) -> Map<String, Value> {
    let mut body = Map::new();
    for (key, default) in FIELDS {
        let given = document.get(key).filter(|value| !value.is_null());
        let silent = || serde_json::from_str(default).unwrap_or_default();
        body.insert(key.to_owned(), given.cloned().unwrap_or_else(silent));
    }
    if body["media_encryption"] == json!(false) {
        body.insert("media_encryption".to_owned(), "no".into());
    }
    if let Some(Value::Array(gateways)) = body.get_mut("gateways") {
        for gateway in gateways.iter_mut().filter_map(Value::as_object_mut) {
            gateway.entry("port").or_insert_with(|| 5060.into());
            gateway.entry("priority").or_insert_with(|| 1.into());
        }
    }
    body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn trunk(change: &Value) -> Value {
        let mut document = json!({
            "name": "Zadarma", "provider": "zadarma", "auth_type": "userpass", "auth_username": "u",
            "auth_password": "secret", "gateways": [{"gateway_address": "sip.zadarma.com"}],
        });
        for (key, value) in change.as_object().unwrap() {
            document[key] = value.clone();
        }
        document
    }

    #[test]
    fn what_is_silent_has_its_default_and_the_password_is_left_out() {
        let read = SipTrunk::parse(&trunk(&json!({"media_encryption": false}))).unwrap();
        assert_eq!(
            read.body["gateways"][0],
            json!({"gateway_address": "sip.zadarma.com", "port": 5060, "priority": 1})
        );
        assert_eq!(
            (&read.body["allow"], &read.body["media_encryption"]),
            (&json!("ulaw,alaw"), &json!("no"))
        );
        assert!(read.needs_password && !read.body.contains_key("auth_password"));
        let sdes = json!({"media_encryption": "sdes"});
        assert!(SipTrunk::parse(&trunk(&sdes)).unwrap().shows_its_key);
        let tls = json!({"media_encryption": "sdes", "transport": "transport-tls"});
        assert!(!SipTrunk::parse(&trunk(&tls)).unwrap().shows_its_key);
    }

    #[test]
    fn faults_name_their_place() {
        for (change, path) in [
            (json!({"name": ""}), "name"),
            (json!({"auth_type": "none"}), "auth_type"),
            (json!({"auth_username": null}), "auth_username"),
            (json!({"gateways": []}), "gateways"),
            (
                json!({"gateways": [{"gateway_address": "a b"}]}),
                "gateways[0].gateway_address",
            ),
            (
                json!({"gateways": [{"gateway_address": "a", "port": 0}]}),
                "gateways[0].port",
            ),
            (json!({"auth_type": "ip-based"}), "ip_identifiers"),
            (
                json!({"ip_identifiers": [{"ip_address": "1.2.3.4/33"}]}),
                "ip_identifiers[0].ip_address",
            ),
            (json!({"transport": "udp"}), "transport"),
            (json!({"qualify_frequency": -1}), "qualify_frequency"),
        ] {
            let faults = SipTrunk::parse(&trunk(&change)).err().unwrap().0;
            assert_eq!(faults[0].path, path, "{change}");
        }
    }
}
