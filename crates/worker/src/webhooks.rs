//! Delivers webhooks: at least once, in order per call, signed, with a schedule of retries.
//! Source: api.md §21.

use std::{sync::Arc, time::Duration};

use bolo_store::{Delivery, DeliveryOutcome, Error, Work};
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Worker,
    clock::{ms, now_ms},
    ledger::persist,
    signature,
};

/// Deliveries on their way at once, of this node.
const DELIVERIES_AT_ONCE: usize = 64;
/// Name of the account's signing secret among its provider keys; two, comma-separated, while one replaces
/// the other.
const SECRET: &str = "WEBHOOK_SECRET";

impl Worker {
    pub(crate) async fn webhook_loop(self: Arc<Self>, stop: CancellationToken) {
        let mut deliveries = JoinSet::new();
        loop {
            let wait = self.deliver_due(&mut deliveries).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(ended) = deliveries.join_next(), if !deliveries.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a webhook task failed");
                    }
                }
                () = self.store.signals().worker_woken(Work::Webhooks) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts what is due; tells how long to wait for more.
    async fn deliver_due(self: &Arc<Self>, deliveries: &mut JoinSet<()>) -> Duration {
        let poll = self.settings.timings.poll;
        let free = DELIVERIES_AT_ONCE - deliveries.len();
        if free == 0 {
            return poll;
        }
        // What this node does not settle in time is claimed again, by it or another.
        let lease = self.settings.timings.webhook_limit * 2;
        let due = match self
            .store
            .claim_deliveries(now_ms(), ms(lease), free as i64)
            .await
        {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "can't claim webhooks");
                return poll;
            }
        };
        for delivery in due {
            let worker = self.clone();
            deliveries.spawn(async move {
                let id = delivery.id;
                if let Err(error) = worker.deliver(delivery).await {
                    tracing::error!(webhook = %id, %error, "a webhook's delivery can't be written down");
                }
            });
        }
        match self.store.next_delivery().await {
            Ok(Some(due)) if due > now_ms() => {
                poll.min(Duration::from_millis((due - now_ms()).max(1) as u64))
            }
            Ok(_) => poll,
            Err(error) => {
                tracing::error!(%error, "can't tell when the next webhook is due");
                poll
            }
        }
    }

    async fn deliver(&self, delivery: Delivery) -> Result<(), Error> {
        // Who gives up here is followed by the next one when the lease has run out only.
        let is_off = || (self.store).is_endpoint_off(delivery.account, &delivery.url);
        let is_off = persist(is_off).await?;
        let tried = if is_off {
            Err("the receiver is switched off".to_owned())
        } else {
            self.send(&delivery).await?
        };
        let outcome = match tried {
            Err(error) if is_off => DeliveryOutcome::Exhausted { error },
            Ok(()) => DeliveryOutcome::Delivered,
            Err(error) => self.after_failure(delivery.tries, error),
        };
        let name = match &outcome {
            DeliveryOutcome::Delivered => "delivered",
            DeliveryOutcome::Retry { .. } => "retry",
            DeliveryOutcome::Exhausted { .. } => "exhausted",
        };
        metrics::counter!("bolo_webhooks_total", "outcome" => name).increment(1);
        if let DeliveryOutcome::Retry { error, .. } | DeliveryOutcome::Exhausted { error } =
            &outcome
        {
            // The address may hold a key of the receiver's: not logged.
            tracing::warn!(
                webhook = %delivery.id, execution = %delivery.execution, account = %delivery.account,
                tries = delivery.tries + 1, error, outcome = name, "a webhook was not delivered"
            );
        }
        let settle = || (self.store).settle_delivery(delivery.id, outcome.clone(), now_ms());
        let switched_off = persist(settle).await?;
        if switched_off {
            metrics::counter!("bolo_webhook_endpoints_off_total").increment(1);
            tracing::error!(
                account = %delivery.account, webhook = %delivery.id,
                "a receiver of webhooks has failed for five days and is switched off; see GET /webhooks/endpoints"
            );
        }
        Ok(())
    }

    fn after_failure(&self, tries_before: i64, error: String) -> DeliveryOutcome {
        let retries = &self.settings.timings.webhook_retries;
        match usize::try_from(tries_before)
            .ok()
            .and_then(|tries| retries.get(tries))
        {
            Some(wait) => {
                let wait = wait.mul_f64(rand::random_range(0.9..1.1));
                DeliveryOutcome::Retry {
                    at: now_ms() + ms(wait),
                    error,
                }
            }
            None => DeliveryOutcome::Exhausted { error },
        }
    }

    /// One try: `Ok(Err(text))` says why it failed.
    async fn send(&self, delivery: &Delivery) -> Result<Result<(), String>, Error> {
        let secrets = persist(|| self.store.secrets(delivery.account)).await?;
        let url: Url = match delivery.url.parse() {
            Ok(url) => url,
            Err(error) => return Ok(Err(format!("webhook_url can't be read: {error}"))),
        };
        let request = match self.webhooks.post(url) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (id, timestamp) = (delivery.id.to_string(), now_ms() / 1000);
        let signature = (secrets.get(SECRET)).and_then(|secrets| {
            signature::signatures(secrets.expose_secret(), &id, timestamp, &delivery.body)
        });
        let mut request = request
            .timeout(self.settings.timings.webhook_limit)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .body(delivery.body.clone());
        if let Some(signature) = signature {
            request = request.header("webhook-signature", signature);
        }
        // What the receiver answers beyond its status is not read, however long it is.
        Ok(match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("the receiver answered {}", response.status())),
            Err(error) => Err(describe(error)),
        })
    }
}

/// In words, without the address.
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "the receiver did not answer in time".to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
