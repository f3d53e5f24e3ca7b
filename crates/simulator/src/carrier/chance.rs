//! Chance from a seed: the ids that a carrier makes up. The same seed makes up the same ones, call by call.

use std::sync::{Mutex, PoisonError};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// A source of numbers.
#[derive(Debug)]
pub(crate) struct Chance(Mutex<StdRng>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// The next number.
    pub fn draw(&self) -> u128 {
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.random()
    }

    /// A source for somebody who draws in an order of his own.
    pub fn part(&self) -> Self {
        Self::new(self.draw() as u64)
    }
}

/// An id in the form of a UUID.
pub(crate) fn uuid(number: u128) -> String {
    let id = uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid();
    id.to_string()
}

/// An id of two letters and 32 hex digits.
pub(crate) fn sid(kind: &str, number: u128) -> String {
    format!("{kind}{number:032x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::{
        caller::CallerScript,
        carrier::{FakeCarrier, Kind, Options},
    };

    /// The ids of two calls to a carrier.
    async fn called(kind: Kind, seed: u64) -> [String; 2] {
        let options = Options {
            seed: Some(seed),
            ..Options::default()
        };
        let carrier = FakeCarrier::start(kind, options).await.unwrap();
        ["+14155550199", "+14155550198"].map(|from| {
            let url = "http://127.0.0.1:9/nobody";
            let script = CallerScript::default();
            let call = carrier.call_in_to(from, "+14155550100", url, script);
            call.unwrap().id().to_owned()
        })
    }

    #[tokio::test]
    async fn a_seed_gives_a_carriers_calls_their_ids() {
        for kind in [
            Kind::Twilio,
            Kind::Plivo,
            Kind::Vobiz,
            Kind::Exotel,
            Kind::SipTrunk,
        ] {
            let ids = called(kind, 7).await;
            assert_ne!(ids[0], ids[1]);
            assert_eq!(ids, called(kind, 7).await);
            assert_ne!(ids, called(kind, 8).await);
        }
    }

    #[test]
    fn the_same_seed_makes_up_the_same_ids() {
        let ids = |seed| {
            let call = Chance::new(seed).part();
            [uuid(call.draw()), sid("CA", call.draw())]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert_eq!(ids(7)[1].len(), 34);
    }
}
