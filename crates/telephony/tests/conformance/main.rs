//! Each carrier of ours against the simulator's, whose wires are written apart from ours: REST with its faults,
//! and a whole call through documents, signatures, callbacks and the media socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod call;
mod dials;
mod numbers;

use std::{collections::HashMap, time::Duration};

use bolo_simulator::{
    asterisk,
    carrier::{FakeCarrier, Kind},
    exotel,
};
use bolo_telephony::{CarrierAccount, CarrierSettings, Carriers, Credentials, Dial};
use secrecy::SecretString;

const TO: &str = "+14155550199";

/// Our client with the fake's account.
fn account(fake: &FakeCarrier) -> CarrierAccount {
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
            ..Credentials::new(fake.account(), SecretString::from(fake.token()))
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
