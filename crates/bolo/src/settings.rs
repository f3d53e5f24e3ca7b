//! The server's settings: defaults → file → environment (`BOLO_SECTION__KEY`) → flags, checked at
//! start with messages that name the key. `config/bolo.toml` documents every key.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use bolo_conversation::Rules;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map, Value},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::telephony::Telephony;

/// Everything a person can set. Secrets are wrapped when handed on; this struct has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the server listens and how carriers reach it.
    pub server: Server,
    /// SQLite file, recordings, unpacked models.
    pub data_dir: PathBuf,
    /// Where local speech models lie, if not with the program.
    pub models_dir: Option<PathBuf>,
    /// Where `bolo models pull` asks first.
    pub models_mirror: Option<String>,
    /// The database.
    pub database: Database,
    /// Coordination of many nodes.
    pub redis: Redis,
    /// Where recordings are kept.
    pub recordings: Recordings,
    /// Keys that encrypt secrets at rest.
    pub secrets: Secrets,
    /// Carriers.
    pub telephony: Telephony,
    /// Vendors by name.
    pub providers: BTreeMap<String, Provider>,
    /// What outgoing requests may reach.
    pub security: Security,
    /// Bounds of this node.
    pub limits: Limits,
    /// How calls behave.
    pub runtime: Rules,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub roles: Vec<Role>,
    pub strict_compat: bool,
    pub realtime: bool,
}

/// A part of the server that this process runs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// REST and carrier callbacks.
    Api,
    /// Media sockets.
    Media,
    /// Dialling, webhooks, finishing.
    Worker,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: Option<String>,
    pub migrate: bool,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub url: Option<String>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recordings {
    pub url: Option<String>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    #[serde(default, skip_serializing_if = "OneOrMany::is_none")]
    pub master_key: OneOrMany,
}

/// One text or a list of texts.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// Not set.
    #[default]
    None,
    /// One.
    One(String),
    /// The first encrypts, all decrypt.
    Many(Vec<String>),
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    #[serde(default)]
    pub base_url: Option<String>,
    #[serde(default)]
    pub api_key: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    pub allow_private_addresses: bool,
    pub private_hosts: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub mask_sub_account_keys: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub max_calls: usize,
    pub dials_per_second: u32,
    pub client_wait_s: u64,
    pub keep_alive_s: u64,
    pub max_body_bytes: usize,
    pub busy_requests_per_minute: u32,
    pub requests_per_minute: u32,
    pub max_upload_bytes: usize,
    pub clip_cache_mb: u64,
    pub speech_threads: usize,
    pub stop_inflight: bool,
    pub drain_s: u64,
    pub orphan_s: u64,
}

impl OneOrMany {
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: Server {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                public_url: None,
                roles: vec![Role::Api, Role::Media, Role::Worker],
                strict_compat: false,
                realtime: false,
            },
            data_dir: PathBuf::from("bolo-data"),
            models_dir: None,
            models_mirror: None,
            database: Database {
                url: None,
                migrate: true,
            },
            redis: Redis::default(),
            recordings: Recordings::default(),
            secrets: Secrets::default(),
            telephony: Telephony::default(),
            providers: BTreeMap::new(),
            security: Security {
                allow_private_addresses: false,
                private_hosts: Vec::new(),
                ca_file: None,
                mask_sub_account_keys: false,
            },
            limits: Limits {
                max_calls: 1000,
                dials_per_second: 1,
                client_wait_s: 30,
                keep_alive_s: 180,
                max_body_bytes: 20 << 20,
                busy_requests_per_minute: 500,
                requests_per_minute: 1000,
                max_upload_bytes: 512 << 20,
                clip_cache_mb: 200,
                speech_threads: 2,
                stop_inflight: true,
                drain_s: 600,
                orphan_s: 30,
            },
            runtime: Rules::default(),
        }
    }
}

/// Variables that many tools share, and the key each one sets.
const SHARED_VARIABLES: [(&str, &str); 31] = [
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "redis.url"),
    ("OPENAI_API_KEY", "providers.openai.api_key"),
    ("DEEPGRAM_API_KEY", "providers.deepgram.api_key"),
    ("ASSEMBLY_API_KEY", "providers.assembly.api_key"),
    ("ELEVENLABS_API_KEY", "providers.elevenlabs.api_key"),
    ("CARTESIA_API_KEY", "providers.cartesia.api_key"),
    ("SARVAM_API_KEY", "providers.sarvam.api_key"),
    ("AZURE_SPEECH_KEY", "providers.azuretts.api_key"),
    ("RIME_API_KEY", "providers.rime.api_key"),
    ("SMALLEST_API_KEY", "providers.smallest.api_key"),
    ("SONIOX_API_KEY", "providers.soniox.api_key"),
    ("GLADIA_API_KEY", "providers.gladia.api_key"),
    ("TWILIO_ACCOUNT_SID", "telephony.twilio.account"),
    ("TWILIO_AUTH_TOKEN", "telephony.twilio.token"),
    ("TWILIO_PHONE_NUMBER", "telephony.twilio.phone_number"),
    ("PLIVO_AUTH_ID", "telephony.plivo.account"),
    ("PLIVO_AUTH_TOKEN", "telephony.plivo.token"),
    ("PLIVO_PHONE_NUMBER", "telephony.plivo.phone_number"),
    ("VOBIZ_AUTH_ID", "telephony.vobiz.account"),
    ("VOBIZ_AUTH_TOKEN", "telephony.vobiz.token"),
    ("VOBIZ_PHONE_NUMBER", "telephony.vobiz.phone_number"),
    ("EXOTEL_ACCOUNT_SID", "telephony.exotel.account"),
    ("EXOTEL_API_KEY", "telephony.exotel.api_key"),
    ("EXOTEL_API_TOKEN", "telephony.exotel.token"),
    ("EXOTEL_OUTBOUND_APP_ID", "telephony.exotel.outbound_app"),
    ("EXOTEL_PHONE_NUMBER", "telephony.exotel.phone_number"),
    ("SIP_TRUNK_USER", "telephony.sip-trunk.account"),
    ("SIP_TRUNK_PASSWORD", "telephony.sip-trunk.token"),
    ("SIP_TRUNK_NAME", "telephony.sip-trunk.trunk"),
    ("SIP_TRUNK_PHONE_NUMBER", "telephony.sip-trunk.phone_number"),
];

/// `SHARED_VARIABLES` as a layer that names the variable in errors.
struct Shared;

impl figment::Provider for Shared {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(
            "environment variables DATABASE_URL, REDIS_URL, OPENAI_API_KEY, TWILIO_…, PLIVO_…, VOBIZ_…, EXOTEL_…, SIP_TRUNK_…",
        )
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (variable, key) in SHARED_VARIABLES {
            if let Ok(text) = std::env::var(variable) {
                nest(&mut dict, key, Value::from(text));
            }
        }
        Ok(figment::Profile::Default.collect(dict))
    }
}

fn nest(dict: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            dict.insert(key.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = dict
                .entry(head.to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                nest(inner, rest, value);
            }
        }
    }
}

impl Settings {
    /// Reads all layers. Without `file`, `bolo.toml` of the working directory if it is there.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        match file {
            Some(path) if !path.is_file() => bail!("--config: no file at {}", path.display()),
            Some(path) => figment = figment.merge(Toml::file_exact(path)),
            None if Path::new("bolo.toml").is_file() => {
                figment = figment.merge(Toml::file_exact("bolo.toml"))
            }
            None => {}
        }
        // BOLO_API_KEY is the client commands; test runners set BOLO_TEST_… and BOLO_PROPTEST_….
        let environment = Env::prefixed("BOLO_")
            .filter(|key| {
                key != "api_key" && !key.starts_with("test_") && !key.starts_with("proptest_")
            })
            // Names of variables have no `-`.
            .map(|key| {
                let key = key.as_str().to_ascii_lowercase();
                key.replace("sip_trunk", "sip-trunk").into()
            })
            .split("__");
        let settings: Self = figment
            .merge(Shared)
            .merge(environment)
            .extract()
            .map_err(readable)?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        if let Some(url) = &self.redis.url {
            if !["redis://", "rediss://", "redis+unix://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                bail!("redis.url: must start with redis://, rediss:// or redis+unix://");
            }
            if !self.uses_postgres() {
                bail!("redis.url: many nodes share a PostgreSQL (database.url)");
            }
        }
        if let Some(url) = &self.database.url
            && !["postgres://", "postgresql://", "sqlite:"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
        {
            bail!("database.url: must start with postgres:// or sqlite:");
        }
        if let Some(url) = &self.server.public_url {
            let url: url::Url = url.parse().context("server.public_url: not an address")?;
            if !["http", "https"].contains(&url.scheme()) {
                bail!("server.public_url: must be http:// or https://");
            }
        }
        if let Some(mirror) = &self.models_mirror
            && !["http://", "https://"]
                .iter()
                .any(|scheme| mirror.starts_with(scheme))
        {
            bail!("models_mirror: must be http:// or https://");
        }
        self.telephony.check()?;
        if self.uses_postgres() && matches!(self.secrets.master_key, OneOrMany::None) {
            bail!(
                "secrets.master_key: must be given with PostgreSQL, the same on every node (BOLO_SECRETS__MASTER_KEY)"
            );
        }
        let limits = &self.limits;
        for (key, value) in [
            ("limits.max_calls", limits.max_calls as u64),
            ("limits.speech_threads", limits.speech_threads as u64),
            ("limits.dials_per_second", limits.dials_per_second.into()),
            ("limits.client_wait_s", limits.client_wait_s),
            ("limits.keep_alive_s", limits.keep_alive_s),
        ] {
            if value == 0 {
                bail!("{key}: must be at least 1");
            }
        }
        Ok(())
    }

    /// As TOML, secrets hidden.
    pub fn shown(&self) -> anyhow::Result<String> {
        const HIDDEN: &str = "(set)";
        let mut shown = self.clone();
        if !matches!(shown.secrets.master_key, OneOrMany::None) {
            shown.secrets.master_key = OneOrMany::One(HIDDEN.to_owned());
        }
        let keys = shown
            .providers
            .values_mut()
            .map(|provider| &mut provider.api_key);
        let others = [&mut shown.database.url, &mut shown.redis.url];
        for secret in keys.chain(others).chain(shown.telephony.secrets()) {
            *secret = secret.take().map(|_| HIDDEN.to_owned());
        }
        toml::to_string_pretty(&shown).context("the settings can't be written")
    }

    /// Whether the database is PostgreSQL.
    pub fn uses_postgres(&self) -> bool {
        self.database
            .url
            .as_deref()
            .is_some_and(|url| url.starts_with("postgres"))
    }

    /// The database's address; by default the file `bolo.db` in `data_dir`.
    pub fn database_url(&self) -> String {
        let file = || format!("sqlite://{}", self.data_dir.join("bolo.db").display());
        self.database.url.clone().unwrap_or_else(file)
    }

    /// Where recordings are kept; by default `data_dir/recordings`.
    pub fn recordings_url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.recordings.url {
            return Ok(url.clone());
        }
        let folder = std::path::absolute(self.data_dir.join("recordings"))
            .context("data_dir: not a usable path")?;
        Ok(format!("file://{}", folder.display()))
    }

    /// The master keys, made on first start with SQLite.
    pub fn master_keys(&self) -> anyhow::Result<Vec<SecretString>> {
        let given = match &self.secrets.master_key {
            OneOrMany::None => vec![crate::master_key::load_or_make(&self.data_dir)?],
            OneOrMany::One(key) => key.split(',').map(|key| key.trim().to_owned()).collect(),
            OneOrMany::Many(keys) => keys.clone(),
        };
        if given.iter().any(|key| key.len() < 16) {
            bail!("secrets.master_key: a key must have at least 16 characters");
        }
        Ok(given.into_iter().map(SecretString::from).collect())
    }

    /// How others are spoken to by TLS.
    pub fn tls(&self) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let Some(file) = &self.security.ca_file else {
            return bolo_providers::http::tls_config(&[]).context("no usable TLS");
        };
        let key = || format!("security.ca_file: {}", file.display());
        let own = CertificateDer::pem_file_iter(file).with_context(key)?;
        let own: Vec<_> = own.collect::<Result<_, _>>().with_context(key)?;
        if own.is_empty() {
            bail!("{}: holds no certificate in PEM", key());
        }
        bolo_providers::http::tls_config(&own).with_context(key)
    }

    /// Vendor settings in the words of `providers`.
    pub fn vendors(&self) -> HashMap<String, bolo_providers::VendorSettings> {
        let convert = |provider: &Provider| bolo_providers::VendorSettings {
            base_url: provider.base_url.clone(),
            api_key: provider.api_key.clone().map(SecretString::from),
        };
        self.providers
            .iter()
            .map(|(name, provider)| (name.clone(), convert(provider)))
            .collect()
    }
}

/// One line that names the key and where it was set.
fn readable(error: figment::Error) -> anyhow::Error {
    let lines: Vec<String> = error
        .into_iter()
        .map(|error| {
            let source = error
                .metadata
                .as_ref()
                .map(|metadata| format!(" (in {})", metadata.name));
            format!(
                "{}: {}{}",
                error.path.join("."),
                error.kind,
                source.unwrap_or_default()
            )
        })
        .collect();
    anyhow::anyhow!("{}", lines.join("; "))
}
