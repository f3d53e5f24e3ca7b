//! Each carrier of ours against the simulator's, whose wires are written apart from ours: REST with its faults,
//! and a whole call through documents, signatures, callbacks and the media socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// The rules of a module, each with the carriers that are held to it: a test for each of them, and a row of the
/// table in `docs/carriers.md`.
macro_rules! rules {
    ($($rule:ident: $($carrier:ident)+;)+) => {
        pub(crate) const RULES: &[crate::Rule] =
            &[$((stringify!($rule), &[$(stringify!($carrier)),+])),+];

        $(mod $rule {
            $(#[tokio::test]
            async fn $carrier() {
                let test = super::$rule(crate::carrier(stringify!($carrier)));
                let ended = tokio::time::timeout(crate::LIMIT, test).await;
                ended.expect("it never ends");
            })+
        })+
    };
}

mod call;
mod dials;
mod numbers;
mod odd;
mod world;

use std::{collections::HashMap, time::Duration};

use bolo_simulator::{
    asterisk,
    carrier::{FakeCarrier, Kind},
    exotel,
};
use bolo_telephony::{CarrierAccount, CarrierSettings, Carriers, Credentials, Dial};
use secrecy::SecretString;

const TO: &str = "+14155550199";
/// No test takes as long.
const LIMIT: Duration = Duration::from_secs(120);

/// What a rule says, and who is held to it.
type Rule = (&'static str, &'static [&'static str]);

/// Every carrier, as it stands in rules and at the top of the table.
const CARRIERS: [(&str, &str, Kind); 5] = [
    ("twilio", "Twilio", Kind::Twilio),
    ("plivo", "Plivo", Kind::Plivo),
    ("vobiz", "Vobiz", Kind::Vobiz),
    ("exotel", "Exotel", Kind::Exotel),
    ("sip_trunk", "SIP trunk", Kind::SipTrunk),
];

fn carrier(name: &str) -> Kind {
    let mut carriers = CARRIERS.into_iter();
    carriers.find(|(rules, ..)| *rules == name).unwrap().2
}

/// Which carrier is held to what, in Markdown.
fn table() -> String {
    let titles = CARRIERS.map(|(_, title, _)| title);
    let mut table = format!("| rule | {} |\n|---|", titles.join(" | "));
    table += &"---|".repeat(titles.len());
    for (rule, held) in [call::RULES, odd::RULES, dials::RULES, numbers::RULES].concat() {
        table += &format!("\n| {} |", rule.replace('_', " "));
        for (name, ..) in CARRIERS {
            table += if held.contains(&name) {
                " yes |"
            } else {
                " – |"
            };
        }
    }
    table
}

#[test]
fn the_table_of_carriers_is_current() {
    let table = table();
    let docs = include_str!("../../../../docs/carriers.md");
    assert!(
        docs.contains(&table),
        "docs/carriers.md is to hold\n{table}"
    );
}

/// Our client with the fake's account.
fn account(fake: &FakeCarrier) -> CarrierAccount {
    account_with(fake, fake.token())
}

/// The same with this token.
fn account_with(fake: &FakeCarrier, token: &str) -> CarrierAccount {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let name = fake.kind().name();
    let settings = CarrierSettings {
        base_url: Some(fake.base_url()),
        credentials: Some(Credentials {
            user: Some(exotel::API_KEY.to_owned()),
            route: Some(match fake.kind() {
                Kind::SipTrunk => asterisk::TRUNK.to_owned(),
                _ => exotel::APP.to_owned(),
            }),
            ..Credentials::new(fake.account(), SecretString::from(token))
        }),
        phone_number: fake.options().numbers[0].phone_number.parse().ok(),
    };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let carriers = Carriers::new(HashMap::from([(name.to_owned(), settings)]), http);
    carriers.for_account(name, &HashMap::new()).unwrap()
}

/// A dial to `TO` with callbacks at these addresses.
fn dial(account: &CarrierAccount, answer_url: String, status_url: String) -> Dial {
    Dial {
        reference: "7f1c.1.ab".to_owned(),
        to: TO.parse().unwrap(),
        from: account.phone_number.clone().unwrap(),
        fallback_url: answer_url.clone(),
        answer_url,
        status_url,
        machine_url: None,
        ring: Duration::from_secs(45),
        limit: Duration::from_secs(600),
        trunk: None,
    }
}
