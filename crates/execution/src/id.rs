//! Typed ids. On the wire a dashed lower-case uuid; read dashed or undashed, in any case.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, ordered by time (version 7).
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Ok(Self(Uuid::try_parse(text)?))
            }
        }
    };
}

id!(
    /// A tenant. Every query of the store names one.
    AccountId
);
id!(
    /// One agent document.
    AgentId
);
id!(
    /// One call, from its request to its record; `execution_id`, `run_id` and `call_id` on the wire.
    ExecutionId
);
id!(
    /// A document that agents answer from; `rag_id` on the wire.
    KnowledgebaseId
);

/// Calls that were uploaded together. Always written as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(#[serde(with = "uuid::serde::simple")] pub Uuid);

impl BatchId {
    /// A new id. Random, so that it tells nothing of other batches.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}
impl std::fmt::Display for BatchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}
impl std::str::FromStr for BatchId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Ok(Self(Uuid::try_parse(text)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_dashed_or_not_and_written_undashed() {
        let bare = "3c90c3cc0d444b5088888dd25736052a";
        for text in ["3C90C3CC-0D44-4B50-8888-8DD25736052A", bare] {
            assert_eq!(
                text.parse::<BatchId>().map(|id| id.to_string()),
                Ok(bare.to_owned())
            );
        }
        let id: Result<BatchId, _> = bare.parse();
        assert_eq!(
            id.ok().and_then(|id| serde_json::to_value(id).ok()),
            Some(bare.into())
        );
    }

    #[test]
    fn ids_are_read_dashed_or_not_and_written_dashed() {
        let dashed = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
        for text in [dashed, "3C90C3CC0D444B5088888DD25736052A"] {
            assert_eq!(
                text.parse::<AgentId>().map(|id| id.to_string()),
                Ok(dashed.to_owned())
            );
        }
        assert!("3c90c3cc".parse::<AgentId>().is_err());
    }
}
