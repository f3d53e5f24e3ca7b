//! The agent's model: its client, its key, its address.

use std::sync::Arc;

use bolo_agent::LlmConfig;

use super::{Keys, Vendors, own_key};
use crate::{
    Error, ErrorKind, Llm,
    llm::{DIALECTS, Hedged, Server, dialect},
};

impl Vendors {
    /// A model, or else another where that one can't be asked with these keys.
    pub fn llm_or(
        &self,
        (first, other): (LlmConfig, Option<LlmConfig>),
        keys: &Keys,
    ) -> Result<(Arc<dyn Llm>, LlmConfig), Error> {
        let llm = self.llm(&first, keys);
        match (llm, other) {
            (Ok(llm), _) => Ok((llm, first)),
            (Err(_), Some(other)) => Ok((self.llm(&other, keys)?, other)),
            (Err(error), None) => Err(error),
        }
    }

    /// The agent's model, likewise.
    ///
    /// The server's own key goes to the vendor's or the server's own address only: to one that an agent
    /// names, goes no key but the account's, and it must be public (R107).
    pub fn llm(&self, agent: &LlmConfig, keys: &Keys) -> Result<Arc<dyn Llm>, Error> {
        let Some(dialect) = dialect(&agent.provider) else {
            let names: Vec<_> = DIALECTS.iter().map(|dialect| dialect.name).collect();
            return Err(Error {
                kind: ErrorKind::BadRequest,
                vendor: "unknown",
                role: "llm",
                cause: format!(
                    "provider {:?} is none of {}",
                    agent.provider,
                    names.join(", ")
                ),
                retry_after: None,
            });
        };
        let origin = dialect.origin();
        let of_server = self
            .base_url(dialect.name)
            .or(Some(dialect.base_url).filter(|base| !base.is_empty()));
        let of_agent = agent.base_url.as_ref().map(url::Url::as_str);
        let base = of_agent.or(of_server).ok_or_else(|| {
            origin.fault(
                ErrorKind::BadRequest,
                format!(
                    "no address (set base_url in llm_config or providers.{}.base_url)",
                    dialect.name
                ),
            )
        })?;
        let trimmed = |base: &str| base.trim_end_matches('/').to_owned();
        let is_of_server = of_agent.is_none() || of_agent.map(trimmed) == of_server.map(trimmed);
        let http = match &agent.base_url {
            Some(named) if !is_of_server => self.of_agents.to(named).map_err(|error| {
                origin.fault(ErrorKind::BadRequest, format!("base_url: {error}"))
            })?,
            _ => &self.http,
        };
        let own = own_key(dialect.keys, keys);
        let key = own.or_else(|| self.server_key(dialect.name).filter(|_| is_of_server));
        if key.is_none() && dialect.needs_key {
            return Err(origin.no_key());
        }
        let server = Arc::new(Server::new(
            dialect,
            base,
            &agent.model,
            key,
            http.clone(),
            self.llm_limits,
        )?);
        let llm: Arc<dyn Llm> = match &self.llm_hedge {
            Some((after, allowance)) => Arc::new(Hedged::new(server, *after, allowance.clone())),
            None => server,
        };
        // Whose address it is matters too.
        let whose = format!("{} {base}", dialect.name);
        Ok(self.refused.watch(llm, ["llm", &whose, &agent.model], keys))
    }
}
