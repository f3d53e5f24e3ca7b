//! From a carrier's name and an account's keys to a [`Carrier`].

use std::{collections::HashMap, sync::Arc};

use bolo_execution::E164;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Carrier, Credentials, Error, asterisk::SipTrunk, exotel::Exotel, plivo::Plivo, twilio::Twilio,
};

/// `telephony.<carrier>` of the server's configuration.
#[derive(Debug, Clone, Default)]
pub struct CarrierSettings {
    /// Replaces the carrier's REST address.
    pub base_url: Option<String>,
    /// Used where the account has no keys of its own (`TWILIO_ACCOUNT_SID`, …).
    pub credentials: Option<Credentials>,
    /// Number to call from where neither call nor account names one.
    pub phone_number: Option<E164>,
}

/// A carrier with an account's credentials.
#[derive(Clone)]
pub struct CarrierAccount {
    /// REST, webhooks, media.
    pub carrier: Arc<dyn Carrier>,
    /// Number to call from by default.
    pub phone_number: Option<E164>,
}

/// All carriers of this process: one HTTP client.
#[derive(Clone)]
pub struct Carriers {
    settings: Arc<HashMap<String, CarrierSettings>>,
    http: reqwest::Client,
}

impl Carriers {
    /// `settings` by carrier name.
    pub fn new(settings: HashMap<String, CarrierSettings>, http: reqwest::Client) -> Self {
        Self {
            settings: Arc::new(settings),
            http,
        }
    }

    /// The carrier `name` with the account's own keys (`TWILIO_ACCOUNT_SID`, `TWILIO_AUTH_TOKEN`,
    /// `TWILIO_PHONE_NUMBER` among `secrets`), else the server's. `Error::Account` names what is missing.
    ///
    /// The server's phone number goes with the server's keys only: an account's own keys can't call from it.
    pub fn for_account(
        &self,
        name: &str,
        secrets: &HashMap<String, SecretString>,
    ) -> Result<CarrierAccount, Error> {
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            let names = KNOWN.map(|known| format!("{:?}", known.name)).join(", ");
            return Err(Error::Account(format!(
                "{name:?} is no carrier we can call with; use one of {names}"
            )));
        };
        let settings = self.settings.get(name);
        let own = known.own_keys(secrets)?;
        let (credentials, phone_number) = match own {
            Some(own) => own,
            None => {
                let missing = || known.missing(known.account);
                let settings = settings.ok_or_else(missing)?;
                (
                    settings.credentials.clone().ok_or_else(missing)?,
                    settings.phone_number.clone(),
                )
            }
        };
        let base_url = settings.and_then(|settings| settings.base_url.as_deref());
        Ok(CarrierAccount {
            carrier: (known.open)(credentials, base_url, self.http.clone())?,
            phone_number,
        })
    }

    /// The carriers that the account has keys of its own for.
    pub fn own_names(&self, secrets: &HashMap<String, SecretString>) -> Vec<&'static str> {
        let own = |known: &&Known| matches!(known.own_keys(secrets), Ok(Some(_)));
        KNOWN.iter().filter(own).map(|known| known.name).collect()
    }

    /// The carrier of agents that name none: the first one that the account has keys for, of its own or the
    /// server's; without any, the first one there is.
    pub fn default_name(&self, secrets: &HashMap<String, SecretString>) -> &'static str {
        let usable = |known: &&Known| self.for_account(known.name, secrets).is_ok();
        KNOWN.iter().find(usable).unwrap_or(&KNOWN[0]).name
    }
}

type Open = fn(Credentials, Option<&str>, reqwest::Client) -> Result<Arc<dyn Carrier>, Error>;

/// A carrier, and what its keys are called.
struct Known {
    name: &'static str,
    account: &'static str,
    token: &'static str,
    phone_number: &'static str,
    more: More,
    open: Open,
}

/// What the further keys are called, where a carrier has such.
#[derive(Default)]
struct More {
    user: Option<&'static str>,
    route: Option<&'static str>,
    host: Option<&'static str>,
}

const NO_MORE: More = More {
    user: None,
    route: None,
    host: None,
};

const KNOWN: [Known; 5] = [
    Known {
        name: "twilio",
        account: "TWILIO_ACCOUNT_SID",
        token: "TWILIO_AUTH_TOKEN",
        phone_number: "TWILIO_PHONE_NUMBER",
        more: NO_MORE,
        open: |keys, base, http| Ok(Arc::new(Twilio::new(keys, base, http)?)),
    },
    Known {
        name: "plivo",
        account: "PLIVO_AUTH_ID",
        token: "PLIVO_AUTH_TOKEN",
        phone_number: "PLIVO_PHONE_NUMBER",
        more: NO_MORE,
        open: |keys, base, http| Ok(Arc::new(Plivo::new(keys, base, http)?)),
    },
    Known {
        name: "vobiz",
        account: "VOBIZ_AUTH_ID",
        token: "VOBIZ_AUTH_TOKEN",
        phone_number: "VOBIZ_PHONE_NUMBER",
        more: NO_MORE,
        open: |keys, base, http| Ok(Arc::new(Plivo::vobiz(keys, base, http)?)),
    },
    Known {
        name: "exotel",
        account: "EXOTEL_ACCOUNT_SID",
        token: "EXOTEL_API_TOKEN",
        phone_number: "EXOTEL_PHONE_NUMBER",
        more: More {
            user: Some("EXOTEL_API_KEY"),
            route: Some("EXOTEL_OUTBOUND_APP_ID"),
            host: Some("EXOTEL_DOMAIN"),
        },
        open: |keys, base, http| Ok(Arc::new(Exotel::new(keys, base, http)?)),
    },
    Known {
        name: "sip-trunk",
        account: "SIP_TRUNK_USER",
        token: "SIP_TRUNK_PASSWORD",
        phone_number: "SIP_TRUNK_PHONE_NUMBER",
        more: More {
            user: None,
            route: Some("SIP_TRUNK_NAME"),
            host: None,
        },
        open: |keys, base, http| Ok(Arc::new(SipTrunk::new(keys, base, http)?)),
    },
];

impl Known {
    /// An account's own keys and number; `None` when it has neither of the keys.
    fn own_keys(
        &self,
        secrets: &HashMap<String, SecretString>,
    ) -> Result<Option<(Credentials, Option<E164>)>, Error> {
        let secret = |key: &str| {
            secrets
                .get(key)
                .filter(|value| !value.expose_secret().is_empty())
        };
        let (account, token) = match (secret(self.account), secret(self.token)) {
            (Some(account), Some(token)) => (account, token),
            (Some(_), None) => return Err(self.missing(self.token)),
            (None, Some(_)) => return Err(self.missing(self.account)),
            (None, None) => return Ok(None),
        };
        let number = secret(self.phone_number).map(|number| number.expose_secret().trim().parse());
        let number = number
            .transpose()
            .map_err(|error| Error::Account(format!("{} {error}", self.phone_number)))?;
        let more = |key: Option<&str>| Some(secret(key?)?.expose_secret().trim().to_owned());
        let credentials = Credentials {
            account: account.expose_secret().trim().to_owned(),
            token: token.clone(),
            user: more(self.more.user),
            route: more(self.more.route),
            host: more(self.more.host),
        };
        Ok(Some((credentials, number)))
    }

    fn missing(&self, what: &str) -> Error {
        Error::Account(format!(
            "{}: no {what} (set it or add it with POST /providers)",
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn carriers(credentials: Option<Credentials>) -> Carriers {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = CarrierSettings {
            base_url: None,
            credentials,
            phone_number: "+14155550100".parse().ok(),
        };
        Carriers::new(
            HashMap::from([("twilio".into(), settings)]),
            reqwest::Client::new(),
        )
    }

    fn secrets(entries: &[(&str, &str)]) -> HashMap<String, SecretString> {
        entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect()
    }

    fn refused(carriers: &Carriers, name: &str, entries: &[(&str, &str)]) -> String {
        carriers
            .for_account(name, &secrets(entries))
            .err()
            .unwrap()
            .to_string()
    }

    #[test]
    fn an_accounts_own_keys_come_before_the_servers() {
        let server = Credentials::new("ACserver", SecretString::from("t"));
        let carriers = carriers(Some(server));
        let found = carriers.for_account("twilio", &HashMap::new()).unwrap();
        assert_eq!(found.phone_number, "+14155550100".parse().ok());
        let own = [("TWILIO_ACCOUNT_SID", "ACown"), ("TWILIO_AUTH_TOKEN", "t")];
        assert_eq!(
            carriers
                .for_account("twilio", &secrets(&own))
                .unwrap()
                .phone_number,
            None
        );
        let numbered = [own[0], own[1], ("TWILIO_PHONE_NUMBER", "+14155550199")];
        let found = carriers.for_account("twilio", &secrets(&numbered)).unwrap();
        assert_eq!(found.phone_number, "+14155550199".parse().ok());
        assert_eq!(found.carrier.name(), "twilio");
    }

    #[test]
    fn each_carrier_has_keys_of_its_own() {
        let carriers = carriers(None);
        let own = [("PLIVO_AUTH_ID", "MA1"), ("PLIVO_AUTH_TOKEN", "t")];
        let found = carriers.for_account("plivo", &secrets(&own)).unwrap();
        assert_eq!(found.carrier.name(), "plivo");
        assert!(refused(&carriers, "twilio", &own).contains("TWILIO_ACCOUNT_SID"));
        assert_eq!(carriers.default_name(&secrets(&own)), "plivo");
        assert_eq!(carriers.default_name(&HashMap::new()), "twilio");
        assert!(refused(&carriers, "plivo", &own[..1]).contains("PLIVO_AUTH_TOKEN"));
        assert!(refused(&carriers, "plivo", &[]).contains("PLIVO_AUTH_ID"));
        let bad_account = [("PLIVO_AUTH_ID", "MA1/../x"), own[1]];
        assert!(refused(&carriers, "plivo", &bad_account).contains("PLIVO_AUTH_ID"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let carriers = carriers(None);
        assert!(refused(&carriers, "twilio", &[]).contains("TWILIO_ACCOUNT_SID"));
        assert!(
            refused(&carriers, "twilio", &[("TWILIO_ACCOUNT_SID", "AC1")])
                .contains("TWILIO_AUTH_TOKEN")
        );
        assert!(
            refused(&carriers, "twilio", &[("TWILIO_AUTH_TOKEN", "t")])
                .contains("TWILIO_ACCOUNT_SID")
        );
        assert!(refused(&carriers, "pigeon", &[]).contains("pigeon"));
        let own = [
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("TWILIO_AUTH_TOKEN", "secret"),
        ];
        let bad_number = [own[0], own[1], ("TWILIO_PHONE_NUMBER", "555")];
        assert!(refused(&carriers, "twilio", &bad_number).contains("TWILIO_PHONE_NUMBER"));
        let bad_account = [("TWILIO_ACCOUNT_SID", "AC1/../x"), own[1]];
        let text = refused(&carriers, "twilio", &bad_account);
        assert!(
            text.contains("TWILIO_ACCOUNT_SID") && !text.contains("secret"),
            "{text}"
        );
    }
}
