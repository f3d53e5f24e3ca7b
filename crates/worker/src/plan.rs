//! Before a dial: can this call be held at all? What is found wrong here costs nobody a ringing phone.

use std::{sync::Arc, time::Duration};

use bolo_agent::{Agent, Fallbacks, SipTrunk, Tool};
use bolo_execution::{AgentId, E164, Record};
use bolo_providers::{Format, Keys};
use bolo_store::{Error, Kind};
use bolo_telephony::{Carrier, Trunk};
use moka::sync::Cache;

use crate::{Worker, clock::now_ms, hours};

/// Added to `call_terminate` for the carrier's own cap (wire-telephony.md §1.2).
const LIMIT_SLACK: Duration = Duration::from_secs(60);
/// The same where the caller may be handed over: whom he talks with then `call_terminate` does not bind. What
/// Twilio, Plivo and Exotel take where none is told.
const TRANSFER_LIMIT: Duration = Duration::from_secs(14_400);

/// The carrier of trunks.
const SIP_TRUNK: &str = "sip-trunk";

/// Why transcriber, synthesizer and model refused their keys lately.
type Refusals = [Option<bolo_providers::Error>; 3];

/// How to place a call.
pub(crate) struct Plan {
    pub carrier: Arc<dyn Carrier>,
    pub to: E164,
    pub from: E164,
    /// The carrier's cap of the call.
    pub limit: Duration,
    /// Which of the account's trunks the number belongs to.
    pub trunk: Option<Trunk>,
    /// The agent wants to know whether a machine answers.
    pub seeks_machines: bool,
}

/// Why a call isn't placed now.
pub(crate) enum NoPlan {
    /// It can't be held; text names what to mend.
    Faulty(String),
    /// Outside the recipient's calling hours; they begin at this time, epoch ms.
    OutsideHours(i64),
    /// The account's wallet is empty.
    WalletEmpty,
    /// The database is away.
    Store(Error),
}

impl From<Error> for NoPlan {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::Faulty("the agent is no longer there".to_owned()),
            error => Self::Store(error),
        }
    }
}

/// Versions of agents kept parsed.
const AGENTS: u64 = 1000;

/// Agents by their versions, which never change.
#[derive(Clone)]
pub(crate) struct Agents(Cache<(AgentId, i64), Arc<Agent>>);

impl Default for Agents {
    fn default() -> Self {
        Self(Cache::new(AGENTS))
    }
}

impl Worker {
    /// Checks the agent, the hours, the wallet, the carrier and the vendors of a call (R196).
    pub(crate) async fn plan(&self, record: &Record, agents: &Agents) -> Result<Plan, NoPlan> {
        let agent = self.agent_of(record, agents).await?;
        if !record.bypass_guardrails
            && let Some(guardrails) = agent.guardrails
            && let Some(opens) =
                hours::next_opening(guardrails, record, now_ms()).map_err(NoPlan::Faulty)?
        {
            return Err(NoPlan::OutsideHours(opens));
        }
        if self.store.wallet(record.account).await? <= 0.0 {
            return Err(NoPlan::WalletEmpty);
        }
        let secrets = self.store.secrets(record.account).await?;
        let account = self
            .carriers
            .for_account(&record.provider, &secrets)
            .map_err(faulty(match record.provider.as_str() {
                SIP_TRUNK => "no Asterisk is set up that carries SIP trunks: ",
                _ => "",
            }))?;
        let from = match record.from.as_str() {
            "" => account.phone_number.ok_or_else(|| {
                let name = record.provider.to_uppercase();
                NoPlan::Faulty(format!(
                    "no number to call from: give from_phone_number, or set {name}_PHONE_NUMBER with POST /providers"
                ))
            })?,
            given => given.parse().map_err(faulty("from_phone_number "))?,
        };
        let trunk = self.trunk_of(record, &from).await?;
        let keys = Keys(secrets);
        let vendors = (self.check_vendors(&agent, record, &keys)).map_err(faulty(""))?;
        if vendors.iter().any(Option::is_some) {
            self.check_refused(&agent, record, vendors).await?;
        }
        let conversation = &agent.conversation;
        let own = Duration::from_millis(conversation.config.call_terminate_ms) + LIMIT_SLACK;
        let limit = match conversation.tools.iter().any(Tool::is_transfer) {
            true => own.max(TRANSFER_LIMIT),
            false => own,
        };
        Ok(Plan {
            carrier: account.carrier,
            to: record
                .to
                .parse()
                .map_err(faulty("recipient_phone_number "))?,
            from,
            trunk,
            seeks_machines: agent.conversation.config.voicemail.is_some(),
            limit,
        })
    }

    async fn agent_of(&self, record: &Record, agents: &Agents) -> Result<Arc<Agent>, NoPlan> {
        let version = (record.agent, record.agent_version);
        if let Some(agent) = agents.0.get(&version) {
            return Ok(agent);
        }
        let stored = self
            .store
            .agent_version(record.account, record.agent, record.agent_version)
            .await?;
        let agent = Agent::parse(&stored.body).map_err(faulty("the agent does not run: "))?;
        let agent = Arc::new(agent);
        agents.0.insert(version, agent.clone());
        Ok(agent)
    }

    /// The trunk that a number belongs to, as Asterisk knows it.
    async fn trunk_of(&self, record: &Record, from: &E164) -> Result<Option<Trunk>, NoPlan> {
        if record.provider != SIP_TRUNK {
            return Ok(None);
        }
        let number = match self
            .store
            .phone_number_named(record.account, from.as_str())
            .await
        {
            Ok(number) => number,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(NoPlan::Store(error)),
        };
        let Some(id) = number.trunk else {
            return Ok(None);
        };
        let kept = match self
            .store
            .document(record.account, Kind::SipTrunk, id)
            .await
        {
            Ok(kept) => kept,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(NoPlan::Store(error)),
        };
        let trunk = SipTrunk::parse(&kept.body).map_err(faulty("the SIP trunk can't be used: "))?;
        if !trunk.is_active() {
            let fault = format!("the SIP trunk {:?} is switched off (is_active)", trunk.name);
            return Err(NoPlan::Faulty(fault));
        }
        Ok(Some(Trunk {
            endpoint: trunk.endpoint(id),
            plus: trunk.dials_plus(),
        }))
    }

    /// Keys are there, models too, and the languages can be done. Opens no connection: tells what the last calls
    /// found out, of transcriber, synthesizer and model.
    fn check_vendors(
        &self,
        agent: &Agent,
        record: &Record,
        keys: &Keys,
    ) -> Result<Refusals, bolo_providers::Error> {
        // Which format the call has is known when it is answered, and every vendor makes every format.
        let (task, format) = (&agent.conversation, Format::Mulaw8k);
        let (ears, _) = self.vendors.transcriber(&task.transcriber, keys, format)?;
        let (voice, _) = self.vendors.synthesizer(
            &task.synthesizer,
            keys,
            record.voice_id.as_deref(),
            format,
        )?;
        let llm = self.vendors.llm(&task.llm.config, keys)?;
        if task.llm.routes.is_some() {
            self.vendors.embedder()?;
        }
        Ok([ears.refused(), voice.refused(), llm.refused()])
    }

    /// A vendor that refused its key is at fault, unless another takes over.
    async fn check_refused(
        &self,
        agent: &Agent,
        record: &Record,
        [ears, voice, llm]: Refusals,
    ) -> Result<(), NoPlan> {
        let of_account = self.store.fallbacks(record.account).await?;
        let of_account = of_account.and_then(|body| Fallbacks::parse(&body).ok());
        let others = (agent.conversation.fallbacks).or(&of_account.unwrap_or_default());
        let ears = ears.filter(|_| others.transcriber.is_none());
        let voice = voice.filter(|_| others.synthesizer.is_none());
        let llm = llm.filter(|_| others.llm.is_none());
        match ears.or(voice).or(llm) {
            Some(error) => Err(NoPlan::Faulty(error.to_string())),
            None => Ok(()),
        }
    }
}

fn faulty<E: std::fmt::Display>(before: &'static str) -> impl FnOnce(E) -> NoPlan {
    move |error| NoPlan::Faulty(format!("{before}{error}"))
}
