//! Keys of vendors and carriers, encrypted at rest.

use bolo_execution::AccountId;
use secrecy::SecretString;
use uuid::Uuid;

use crate::{Error, Store};

/// A stored key without its value.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderKey {
    /// Its id.
    pub id: Uuid,
    /// As submitted: `OPENAI` or `OPENAI_API_KEY`.
    pub name: String,
    /// Last two characters of the value, for showing.
    pub tail: String,
    /// Epoch ms.
    pub created_at: i64,
}

impl Store {
    /// Stores or overwrites; the canonical name strips `_API_KEY`.
    pub async fn set_provider_key(&self, account: AccountId, name: &str, value: &SecretString, now: i64) -> Result<ProviderKey, Error> {
        let _ = (account, name, value, now);
        unreachable!()
    }
    /// All, newest first.
    pub async fn provider_keys(&self, account: AccountId) -> Result<Vec<ProviderKey>, Error> {
        let _ = account;
        unreachable!()
    }
    /// Removes by id or by either spelling of the name.
    pub async fn remove_provider_key(&self, account: AccountId, id_or_name: &str) -> Result<(), Error> {
        let _ = (account, id_or_name);
        unreachable!()
    }
    /// All values by canonical name, decrypted, for use in a call.
    pub async fn secrets(&self, account: AccountId) -> Result<std::collections::HashMap<String, SecretString>, Error> {
        let _ = account;
        unreachable!()
    }
}
