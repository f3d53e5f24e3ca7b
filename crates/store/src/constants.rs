//! What never changes of a call: remembered since its row was last read, so that it need not be asked for again.

use bolo_execution::{AccountId, ExecutionId, Record};
use moka::sync::Cache;

use crate::{Error, Store};

/// Of so many calls.
const CALLS: u64 = 1000;

#[derive(Clone)]
struct Constant {
    account: AccountId,
    provider: String,
    is_plain: bool,
}

pub(crate) struct Constants(Cache<ExecutionId, Constant>);

impl Constants {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CALLS))
    }

    /// `is_plain`: the call is of no batch, and nobody is told of it.
    pub(crate) fn keep(&self, record: &Record, is_plain: bool) {
        let constant = Constant {
            account: record.account,
            provider: record.provider.clone(),
            is_plain,
        };
        self.0.insert(record.id, constant);
    }
}

impl Store {
    /// The account and the carrier of a call.
    pub async fn whose_call(&self, id: ExecutionId) -> Result<(AccountId, String), Error> {
        if let Some(known) = self.inner.constants.0.get(&id) {
            return Ok((known.account, known.provider));
        }
        let record = self.execution_unscoped(id).await?;
        Ok((record.account, record.provider))
    }

    /// Whether the call is known to be of no batch and to have nobody who is told of it.
    pub(crate) fn is_plain(&self, id: ExecutionId) -> bool {
        (self.inner.constants.0.get(&id)).is_some_and(|known| known.is_plain)
    }
}
