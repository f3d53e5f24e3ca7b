//! One running node: wires the crates together, serves, and stops in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use bolo_api::App;
use bolo_orchestrator::Calls;
use bolo_store::{MasterKeys, Store};
use bolo_telephony::{Callbacks, Carriers};
use bolo_worker::Worker;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    http,
    settings::{Role, Settings},
};

/// Samples of figures are summed up this often; whether anybody reads them or not, they would pile up.
const SUM_UP: Duration = Duration::from_secs(5);
/// How long hang-ups at the carrier may still take at the end.
const HANG_UPS: Duration = Duration::from_secs(5);

/// A node that serves until it is stopped.
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its store.
    pub store: Store,
    calls: Calls,
    draining: bolo_api::Draining,
    /// The worker places no more calls; the rest of it goes on until `stop`.
    no_new_dials: CancellationToken,
    stop: CancellationToken,
    /// Each runs until `stop`.
    tasks: JoinSet<anyhow::Result<()>>,
    drain: Duration,
    // The scripted model of agents with provider `demo`; stops with the node.
    _demo: bolo_simulator::llm::FakeLlm,
}

impl Node {
    /// Opens the database, migrates, binds the socket and starts the roles.
    pub async fn start(mut settings: Settings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.server.listen)
            .await
            .with_context(|| {
                format!("server.listen: can't listen on {}", settings.server.listen)
            })?;
        let address = listener.local_addr()?;
        let public_url = match &settings.server.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{address}"),
        };
        let demo = bolo_simulator::llm::FakeLlm::demo()
            .await
            .context("can't start the demo model")?;
        settings
            .providers
            .entry("demo".to_owned())
            .or_default()
            .base_url
            .get_or_insert_with(|| demo.base_url());

        let tls = settings.tls()?;
        let store = open_store(&settings, &public_url, tls.clone()).await?;
        if settings.database.migrate {
            let applied = store
                .migrate()
                .await
                .context("database.url: migrations failed")?;
            if applied > 0 {
                tracing::info!(applied, "migrated the database");
            }
        }
        store
            .set_clock()
            .await
            .context("can't ask the database for its time")?;
        let http = bolo_providers::http::client(&tls).context("can't make the HTTP client")?;
        let models = bolo_models::Store::new(
            settings.models_dir.clone(),
            settings.data_dir.join("models"),
        );
        let reach = bolo_providers::Reach {
            all: settings.security.allow_private_addresses,
            hosts: settings.security.private_hosts.clone().into(),
        };
        let of_agents = bolo_providers::PublicClient::for_models(&tls, reach.clone())
            .context("can't make the client for agents' models")?;
        let vendors = bolo_providers::Vendors::new(
            settings.vendors(),
            models,
            settings.limits.speech_threads,
            http,
            of_agents,
            tls.clone(),
        );
        let rules = &settings.runtime;
        let llm_limits = bolo_providers::llm::Limits {
            first_token: Duration::from_secs(rules.llm_first_token_s),
            between: Duration::from_secs(rules.llm_between_s),
            total: Duration::from_secs(rules.llm_total_s),
            ..Default::default()
        };
        let vendors = vendors.with_llm_limits(llm_limits);
        let vendors = vendors.with_llm_hedge(Duration::from_millis(rules.llm_hedge_ms));
        let http = bolo_providers::http::carrier_client(&tls)
            .context("can't make the HTTP client of carriers")?;
        let carriers = Carriers::new(settings.telephony.carriers()?, http);
        let callbacks = Callbacks::new(public_url.clone(), callback_key(&settings)?);
        let public = bolo_providers::PublicClient::new(&tls, reach)
            .context("can't make the client for customers' addresses")?;
        let prices = bolo_orchestrator::Prices::shipped().context("config/prices.toml")?;
        let calls = Calls::new(
            store.clone(),
            vendors.clone(),
            carriers.clone(),
            bolo_orchestrator::Settings {
                rules: settings.runtime.clone(),
                prices: prices.clone(),
                clip_cache_bytes: settings.limits.clip_cache_mb << 20,
                max_calls: settings.limits.max_calls,
                public: public.clone(),
            },
        );
        let stop = CancellationToken::new();
        let no_new_dials = CancellationToken::new();
        let draining = bolo_api::Draining::default();
        let client_wait = Duration::from_secs(settings.limits.client_wait_s);
        let mut tasks = JoinSet::new();
        if settings.server.roles.contains(&Role::Worker) {
            let runs_calls = settings.server.roles.contains(&Role::Media);
            let to_prepare = Some(calls.clone()).filter(|_| runs_calls);
            let worker = Worker {
                store: store.clone(),
                carriers: carriers.clone(),
                callbacks: callbacks.clone(),
                vendors: vendors.with_llm_limits(llm_limits.patient()),
                webhooks: public.clone(),
                llm_cents: Arc::new(move |vendor, model, tokens| {
                    prices.llm_cents(vendor, model, tokens)
                }),
                // Whichever node its media reaches: preparing twice is harmless.
                rings: Arc::new(move |record| {
                    if let Some(calls) = &to_prepare {
                        calls.prepare(record);
                    }
                }),
                settings: bolo_worker::Settings {
                    ring_s: settings.telephony.ring_s,
                    dials_per_second: settings.limits.dials_per_second,
                    lookup_for: Duration::from_secs(settings.telephony.lookup_s),
                    orphan_ms: settings.limits.orphan_s as i64 * 1000,
                    ..Default::default()
                },
            };
            let working = worker.run_until(no_new_dials.clone(), stop.clone());
            tasks.spawn(async move { working.await.context("the worker failed") });
        }
        let metrics = crate::commands::metrics()?;
        tasks.spawn(sum_up(metrics.clone(), stop.clone()));
        let app = App {
            store: store.clone(),
            calls: calls.clone(),
            carriers,
            callbacks,
            metrics: Some(metrics),
            draining: draining.clone(),
            rates: Arc::new(bolo_api::Rates::new(bolo_api::PerMinute {
                busy: settings.limits.busy_requests_per_minute,
                other: settings.limits.requests_per_minute,
            })),
            settings: Arc::new(bolo_api::Settings {
                verify_signatures: settings.telephony.verify_signatures,
                stop_inflight: settings.limits.stop_inflight,
                mask_sub_account_keys: settings.security.mask_sub_account_keys,
                max_body_bytes: settings.limits.max_body_bytes,
                max_upload_bytes: settings.limits.max_upload_bytes,
                upload_wait: client_wait,
                uploads: settings.data_dir.join("uploads"),
                strict_compat: settings.server.strict_compat,
            }),
        };
        let router = bolo_api::router(app);
        let limits = http::Limits {
            client: client_wait,
            keep_alive: Duration::from_secs(settings.limits.keep_alive_s),
        };
        let serving = http::serve(listener, router, limits, stop.clone());
        tasks.spawn(async move {
            serving.await;
            Ok(())
        });
        tracing::info!(%address, %public_url, node = store.node(), "serving");
        let drain = Duration::from_secs(settings.limits.drain_s);
        Ok(Self {
            address,
            store,
            calls,
            draining,
            no_new_dials,
            stop,
            tasks,
            drain,
            _demo: demo,
        })
    }

    /// Returns when a part of the node has ended by itself, and why. A node that lacks a part must not
    /// go on as if it were well.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => match flat(ended) {
                Ok(()) => anyhow!("a part of the node ended by itself"),
                Err(error) => error,
            },
            () = self.store.call_log_ended() => anyhow!("the writer of call logs failed"),
        }
    }

    /// No new calls; waits for the live ones up to `limits.drain_s`, then stops everything (R201). Tells
    /// the first part of the node that failed meanwhile.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.draining.begin();
        self.no_new_dials.cancel();
        self.calls.drain(self.drain).await;
        self.draining.finished(HANG_UPS).await;
        self.stop.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            outcome = outcome.and(flat(ended));
        }
        self.store.close().await;
        outcome
    }
}

async fn sum_up(
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while stop
        .run_until_cancelled(tokio::time::sleep(SUM_UP))
        .await
        .is_some()
    {
        let metrics = metrics.clone();
        // Off the runtime: of a full node it takes 10 ms, for which all calls of a thread would wait.
        tokio::task::spawn_blocking(move || metrics.run_upkeep()).await?;
    }
    Ok(())
}

fn flat(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("a part of the node failed")?
}

/// Opens the store without migrating it.
pub async fn open_store(
    settings: &Settings,
    public_url: &str,
    tls: Arc<rustls::ClientConfig>,
) -> anyhow::Result<Store> {
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("data_dir: can't make {}", settings.data_dir.display()))?;
    let opened = Store::open(bolo_store::Settings {
        database_url: settings.database_url(),
        recordings_url: settings.recordings_url()?,
        scratch: settings.data_dir.join("scratch"),
        master_keys: MasterKeys(settings.master_keys()?),
        recordings_public_url: format!("{public_url}/recordings"),
        node: format!("{}-{}", std::process::id(), uuid::Uuid::now_v7().simple()),
        redis_url: settings.redis.url.clone().map(SecretString::from),
        tls: Some(tls),
    });
    opened
        .await
        .context("database.url: can't open the database")
}

/// Macs of callback addresses: the same on every node, so made from the oldest master key.
fn callback_key(settings: &Settings) -> anyhow::Result<SecretString> {
    let keys = settings.master_keys()?;
    let oldest = keys.last().context("secrets.master_key: none")?;
    Ok(SecretString::from(format!(
        "callbacks {}",
        oldest.expose_secret()
    )))
}

#[cfg(test)]
mod tests;
