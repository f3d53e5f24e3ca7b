//! The carriers' part of the settings: what is written there, checked, and in the words of `bolo_telephony`.

use std::collections::HashMap;

use anyhow::bail;
use bolo_execution::E164;
use bolo_telephony::{CarrierSettings, Credentials};
use serde::{Deserialize, Serialize};

/// `telephony`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telephony {
    pub verify_signatures: bool,
    pub ring_s: u64,
    pub lookup_s: u64,
    pub twilio: Carrier,
    pub plivo: Carrier,
    pub vobiz: Carrier,
    pub exotel: Exotel,
    #[serde(rename = "sip-trunk")]
    pub sip_trunk: SipTrunk,
}

/// A carrier that needs no more than most.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carrier {
    pub base_url: Option<String>,
    pub account: Option<String>,
    pub token: Option<String>,
    pub phone_number: Option<String>,
}

/// Exotel's keys are named apart from its account, and calls are led by flows.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exotel {
    pub base_url: Option<String>,
    pub account: Option<String>,
    pub api_key: Option<String>,
    pub token: Option<String>,
    pub outbound_app: Option<String>,
    pub phone_number: Option<String>,
}

/// A trunk behind an Asterisk, whose ARI the account and the token open.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipTrunk {
    pub base_url: Option<String>,
    pub account: Option<String>,
    pub token: Option<String>,
    pub trunk: Option<String>,
    pub phone_number: Option<String>,
}

impl Default for Telephony {
    fn default() -> Self {
        Self {
            verify_signatures: true,
            ring_s: 45,
            lookup_s: 60,
            twilio: Carrier::default(),
            plivo: Carrier::default(),
            vobiz: Carrier::default(),
            exotel: Exotel::default(),
            sip_trunk: SipTrunk::default(),
        }
    }
}

impl Telephony {
    /// Names what is wrong.
    pub fn check(&self) -> anyhow::Result<()> {
        self.carriers().map(drop)
    }

    /// Each carrier's settings by its name.
    pub fn carriers(&self) -> anyhow::Result<HashMap<String, CarrierSettings>> {
        let read = [
            ("twilio", self.twilio.read()),
            ("plivo", self.plivo.read()),
            ("vobiz", self.vobiz.read()),
            ("exotel", self.exotel.read()),
            ("sip-trunk", self.sip_trunk.read()),
        ];
        read.into_iter()
            .map(|(name, settings)| match settings {
                Ok(settings) => Ok((name.to_owned(), settings)),
                Err(error) => bail!("telephony.{name}{error}"),
            })
            .collect()
    }

    /// What is never shown.
    pub fn secrets(&mut self) -> [&mut Option<String>; 5] {
        [
            &mut self.twilio.token,
            &mut self.plivo.token,
            &mut self.vobiz.token,
            &mut self.exotel.token,
            &mut self.sip_trunk.token,
        ]
    }
}

impl Carrier {
    fn read(&self) -> anyhow::Result<CarrierSettings> {
        let credentials = match (&self.account, &self.token) {
            (Some(account), Some(token)) => Some(Credentials::new(account, token.clone().into())),
            (None, None) => None,
            _ => bail!(": account and token go together"),
        };
        Ok(CarrierSettings {
            base_url: self.base_url.clone(),
            credentials,
            phone_number: number(&self.phone_number)?,
        })
    }
}

impl Exotel {
    fn read(&self) -> anyhow::Result<CarrierSettings> {
        let credentials = match (&self.account, &self.api_key, &self.token) {
            (Some(account), Some(key), Some(token)) => Some(Credentials {
                user: Some(key.clone()),
                route: self.outbound_app.clone(),
                ..Credentials::new(account, token.clone().into())
            }),
            (None, None, None) => None,
            _ => bail!(": account, api_key and token go together"),
        };
        Ok(CarrierSettings {
            base_url: self.base_url.clone(),
            credentials,
            phone_number: number(&self.phone_number)?,
        })
    }
}

impl SipTrunk {
    fn read(&self) -> anyhow::Result<CarrierSettings> {
        let credentials = match (&self.account, &self.token, &self.trunk) {
            (Some(account), Some(token), Some(trunk)) => Some(Credentials {
                route: Some(trunk.clone()),
                ..Credentials::new(account, token.clone().into())
            }),
            (None, None, None) => None,
            _ => bail!(": account, token and trunk go together"),
        };
        Ok(CarrierSettings {
            base_url: self.base_url.clone(),
            credentials,
            phone_number: number(&self.phone_number)?,
        })
    }
}

fn number(text: &Option<String>) -> anyhow::Result<Option<E164>> {
    let parsed = text.as_deref().map(str::parse).transpose();
    parsed.map_err(|error| anyhow::anyhow!(".phone_number: {error}"))
}
