//! The voices that an account's agents may have; vendors' lists are remembered for an hour.

use std::{sync::Arc, time::Duration};

use bolo_execution::AccountId;
use bolo_providers::{Keys, Voice};
use futures_util::future::join_all;

use crate::{AskError, Calls, Inner};

const KEPT: Duration = Duration::from_secs(3600);
const LISTS: u64 = 10_000;

/// Lists by account and vendor.
pub(crate) type Lists = moka::sync::Cache<(AccountId, &'static str), Arc<Vec<Voice>>>;

pub(crate) fn lists() -> Lists {
    moka::sync::Cache::builder()
        .max_capacity(LISTS)
        .time_to_live(KEPT)
        .build()
}

impl Calls {
    /// Vendors whose voices the account can have.
    pub async fn voice_vendors(&self, account: AccountId) -> Result<Vec<&'static str>, AskError> {
        let keys = Keys(self.inner.store.secrets(account).await?);
        Ok(self.inner.vendors.voice_vendors(&keys))
    }

    /// The voices of these vendors, in their order. One that fails is left out, and logged.
    pub async fn voices(
        &self,
        account: AccountId,
        vendors: &[&'static str],
    ) -> Result<Vec<Voice>, AskError> {
        let keys = Keys(self.inner.store.secrets(account).await?);
        let lists = vendors
            .iter()
            .map(|vendor| list(&self.inner, account, vendor, &keys));
        let mut voices = Vec::new();
        for (vendor, listed) in vendors.iter().zip(join_all(lists).await) {
            match listed {
                Ok(listed) => voices.extend(listed.iter().cloned()),
                Err(error) => tracing::warn!(vendor, error, "a vendor does not list its voices"),
            }
        }
        Ok(voices)
    }
}

async fn list(
    inner: &Inner,
    account: AccountId,
    vendor: &'static str,
    keys: &Keys,
) -> Result<Arc<Vec<Voice>>, String> {
    if let Some(known) = inner.voices.get(&(account, vendor)) {
        return Ok(known);
    }
    let listed = Arc::new(inner.vendors.voices(vendor, keys).await?);
    inner.voices.insert((account, vendor), listed.clone());
    Ok(listed)
}
