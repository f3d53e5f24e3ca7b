//! What a call needs before its media starts: agent, keys, vendors, their connections on the way, its
//! lines rendered ([`crate::ahead`]; R3, R14, R16). Made while the phone rings, so that it costs the caller nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bolo_agent::{Agent, ConversationTask, Fallbacks, Variables};
use bolo_audio::Format;
use bolo_conversation::{CallFacts, Script};
use bolo_execution::Record;
use bolo_providers::{
    Error, Hear, Heard, Keys, Llm, Session, Speak, Spoken, Synthesizer, SynthesizerSpec,
    Transcriber, TranscriberSpec, llm::Fallback,
};
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{
    Inner,
    ahead::Ahead,
    breakers::Breakers,
    clips::Clips,
    fallback::{Crew, Member, first_of},
    faults::NoLlm,
    library::KnowledgeSource,
    line::{Line, Opening, open_after},
    listening,
    routes::RouteSource,
    speaking::{self, Voice},
};

/// A call that can't be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// The store failed or does not know agent or account.
    #[error(transparent)]
    Store(#[from] bolo_store::Error),
    /// The stored agent does not parse: it was written by another version of this server.
    #[error("the agent can't be run: {0}")]
    Agent(#[from] bolo_agent::Faults),
}

/// Everything but the socket.
pub(crate) struct Prepared {
    pub(crate) agent: Arc<Agent>,
    pub(crate) secrets: HashMap<String, SecretString>,
    pub(crate) script: Script,
    pub(crate) format: Format,
    pub(crate) llm: Arc<dyn Llm>,
    pub(crate) routes: Option<RouteSource>,
    pub(crate) knowledge: Option<KnowledgeSource>,
    pub(crate) transcriber: Line<Hear, Heard>,
    /// Who hears.
    pub(crate) hearing: Crew,
    /// Whether it gives words while the caller speaks.
    pub(crate) gives_interims: bool,
    /// Whether it costs something while it waits for the caller.
    pub(crate) bills_open_time: bool,
    pub(crate) voice: Voice,
    pub(crate) synthesizer: Line<Speak, Spoken>,
    /// Who speaks.
    pub(crate) speaking: Crew,
    /// Renders lines and embeds routes ahead; ends with the call.
    pub(crate) ahead: Ahead,
}

/// A vendor and what is asked of it, or why it can't be had.
pub(crate) type Found<V, S> = (&'static str, Result<(Arc<V>, S), Error>);

/// The vendors of a call: the agent's own, then those that take over.
pub(crate) struct Team {
    pub(crate) llm: Arc<dyn Llm>,
    pub(crate) transcribers: Vec<Found<dyn Transcriber, TranscriberSpec>>,
    pub(crate) synthesizers: Vec<Found<dyn Synthesizer, SynthesizerSpec>>,
    pub(crate) breakers: Breakers,
}

impl Inner {
    /// Loads the agent and sets vendors up for `record`.
    pub(crate) async fn prepare(
        &self,
        record: &Record,
        format: Format,
    ) -> Result<Prepared, PrepareError> {
        let agent = self.agent(record).await?;
        let secrets = self.store.secrets(record.account).await?;
        let keys = Keys(secrets.clone());
        let task = &agent.conversation;
        let team = self.team(task, record, &keys, format).await?;
        let routes = task
            .llm
            .routes
            .as_ref()
            .filter(|routes| !routes.routes.is_empty())
            .and_then(|routes| {
                let embedder = self
                    .vendors
                    .embedder()
                    .inspect_err(
                        |error| tracing::error!(%error, "this call's routes can't be decided"),
                    )
                    .ok()?;
                let version = (record.agent, record.agent_version);
                Some(RouteSource::new(
                    self.routes.clone(),
                    version,
                    routes.routes.clone(),
                    embedder,
                ))
            });
        let knowledge =
            task.llm.knowledge.clone().map(|knowledge| {
                KnowledgeSource::new(self.library.clone(), record.account, knowledge)
            });
        let prepared = assemble(
            agent,
            secrets,
            record,
            format,
            team,
            routes,
            &self.settings.rules,
            &self.clips,
        );
        Ok(Prepared {
            knowledge,
            ..prepared
        })
    }

    /// The agent's vendors, and who takes over where the agent or its account says so.
    async fn team(
        &self,
        task: &ConversationTask,
        record: &Record,
        keys: &Keys,
        format: Format,
    ) -> Result<Team, PrepareError> {
        let of_account = match self.store.fallbacks(record.account).await? {
            Some(body) => Fallbacks::parse(&body).unwrap_or_else(|error| {
                tracing::error!(%error, "the account's fallbacks can't be used");
                Fallbacks::default()
            }),
            None => Fallbacks::default(),
        };
        let fallbacks = task.fallbacks.or(&of_account);
        let llm = |config| {
            (self.vendors.llm(config, keys)).unwrap_or_else(|error| Arc::new(NoLlm(error)))
        };
        let own = llm(&task.llm.config);
        let transcribers = [Some(&task.transcriber), fallbacks.transcriber.as_ref()];
        let transcribers = transcribers.into_iter().flatten().map(|transcriber| {
            let found = self.vendors.transcriber(transcriber, keys, format);
            let found = found.map(|(vendor, spec)| {
                let execution = record.id.to_string();
                (vendor, TranscriberSpec { execution, ..spec })
            });
            (transcriber.vendor.as_str(), found)
        });
        // The voice that a call asks for is one of the agent's own vendor.
        let synthesizers = [
            Some((&task.synthesizer, record.voice_id.as_deref())),
            fallbacks.synthesizer.as_ref().map(|other| (other, None)),
        ];
        let synthesizers = synthesizers
            .into_iter()
            .flatten()
            .map(|(synthesizer, voice)| {
                let found = self.vendors.synthesizer(synthesizer, keys, voice, format);
                (synthesizer.vendor.as_str(), found)
            });
        Ok(Team {
            llm: match &fallbacks.llm {
                Some(other) => Arc::new(Fallback::new(
                    (own, task.llm.config.clone()),
                    vec![(llm(other), other.clone())],
                    self.breakers.for_call(record.account, "llm"),
                )),
                None => own,
            },
            transcribers: transcribers.collect(),
            synthesizers: synthesizers.collect(),
            breakers: self.breakers.clone(),
        })
    }

    pub(crate) async fn agent(&self, record: &Record) -> Result<Arc<Agent>, PrepareError> {
        let version = (record.agent, record.agent_version);
        if let Some(agent) = self.agents.get(&version) {
            return Ok(agent);
        }
        let stored = self
            .store
            .agent_version(record.account, record.agent, record.agent_version)
            .await?;
        let agent = Arc::new(Agent::parse(&stored.body)?);
        self.agents.insert(version, agent.clone());
        Ok(agent)
    }
}

/// Puts a call's parts together and starts connecting.
#[allow(
    clippy::too_many_arguments,
    reason = "each is another source; a struct would only repeat them"
)]
pub(crate) fn assemble(
    agent: Arc<Agent>,
    secrets: HashMap<String, SecretString>,
    record: &Record,
    format: Format,
    team: Team,
    routes: Option<RouteSource>,
    rules: &bolo_conversation::Rules,
    clips: &Clips,
) -> Prepared {
    let task = &agent.conversation;
    let mut script = Script::new(&agent, facts(record, Utc::now()), rules);
    // Whoever of them listens must be waited for, and may be mute.
    let hearing = || (team.transcribers.iter()).flat_map(|(_, found)| found);
    script.transcriber_pause_ms = hearing()
        .map(|(vendor, spec)| vendor.longest_pause_ms(spec))
        .max()
        .unwrap_or_default();
    let gives_interims = hearing().all(|(vendor, spec)| vendor.gives_interims(spec));
    // The first one's connection is opened now.
    let first = hearing().next();
    let bills_open_time = first.is_some_and(|(vendor, _)| vendor.bills_open_time());
    let spec = match team.synthesizers.first() {
        Some((_, Ok((_, spec)))) => spec.clone(),
        _ => SynthesizerSpec {
            model: task.synthesizer.model.clone(),
            voice_id: task.synthesizer.voice_id.clone(),
            language: task.synthesizer.language.clone(),
            speed: task.synthesizer.speed,
            options: task.synthesizer.options.clone(),
            format,
        },
    };
    let gate = |role| team.breakers.for_call(record.account, role);
    let hearing = Crew::of(&team.transcribers, |spec| (&spec.model, ""));
    let speaking = Crew::of(&team.synthesizers, |spec| (&spec.model, &spec.voice_id));
    let hears = members(team.transcribers, |vendor, spec| {
        async move { vendor.open(&spec).await }.boxed()
    });
    let hear = first_of(hears, gate("transcriber"), hearing.at_work.clone());
    let warm = match team.synthesizers.first() {
        Some((_, Ok((vendor, spec)))) => vendor.warm(spec),
        _ => std::future::ready(()).boxed(),
    };
    let speaks = members(team.synthesizers, |vendor, spec| {
        async move { vendor.open(&spec).await }.boxed()
    });
    // What is rendered ahead is kept as the agent's own voice.
    let own_voice = speaks.first().map(|member| member.open.clone());
    let at_work = speaking.at_work.clone();
    let speak = first_of(speaks, gate("synthesizer"), at_work.clone());
    let voice = Voice {
        vendor: task.synthesizer.vendor.as_str(),
        spec: Arc::new(spec),
        caching: task.synthesizer.caching,
        at_work,
    };
    let own_voice = own_voice.unwrap_or_else(|| speak.clone());
    let opening: Opening<Hear, Heard> = open_after(&hear, Duration::ZERO);
    let transcriber = Line::new("transcriber", hear, listening::WAITS, opening);
    let opening: Opening<Speak, Spoken> = open_after(&speak, Duration::ZERO);
    let ahead = Ahead::start(
        &*team.llm,
        &script,
        &voice,
        &own_voice,
        clips,
        routes.clone(),
        warm,
    );
    Prepared {
        llm: team.llm,
        routes,
        knowledge: None,
        transcriber,
        hearing,
        gives_interims,
        bills_open_time,
        synthesizer: Line::new("synthesizer", speak, speaking::WAITS, opening),
        speaking,
        voice,
        ahead,
        script,
        format,
        secrets,
        agent,
    }
}

/// Opens one connection of a vendor.
type Open<V, S, I, O> = fn(Arc<V>, S) -> BoxFuture<'static, Result<Session<I, O>, Error>>;

/// A member of a line for each vendor; one that can't be had fails with its reason.
fn members<V, S, I, O>(found: Vec<Found<V, S>>, open: Open<V, S, I, O>) -> Vec<Member<I, O>>
where
    V: ?Sized + Send + Sync + 'static,
    S: Clone + Send + Sync + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    let member = |(vendor, found): Found<V, S>| Member {
        vendor,
        open: Arc::new(move || match &found {
            Ok((vendor, spec)) => open(vendor.clone(), spec.clone()),
            Err(error) => std::future::ready(Err(error.clone())).boxed(),
        }),
    };
    found.into_iter().map(member).collect()
}

/// What is known of a call before its media starts; system variables of R80, times fixed now (R82).
pub(crate) fn facts(record: &Record, now: DateTime<Utc>) -> CallFacts {
    let zone = record
        .user_data
        .get("timezone")
        .and_then(Value::as_str)
        .and_then(|name| name.parse().ok())
        .unwrap_or(chrono_tz::UTC);
    let local = now.with_timezone(&zone);
    let mut recipient: Map<String, Value> = record.user_data.clone();
    let system = [
        ("agent_id", record.agent.to_string()),
        ("execution_id", record.id.to_string()),
        ("from_number", record.from.clone()),
        ("to_number", record.to.clone()),
        ("user_number", record.user_number().to_owned()),
        ("agent_number", record.agent_number().to_owned()),
        ("timezone", zone.name().to_owned()),
        ("current_date", local.format("%A, %B %d, %Y").to_string()),
        ("current_time", local.format("%I:%M:%S %p").to_string()),
        ("current_hour", local.format("%-H").to_string()),
        ("current_minute", local.format("%-M").to_string()),
        (
            "current_weekday",
            local.format("%A").to_string().to_lowercase(),
        ),
        ("current_day", local.format("%-d").to_string()),
        ("current_month", local.format("%-m").to_string()),
        ("current_year", local.format("%Y").to_string()),
        ("call_sid", String::new()),
        ("stream_sid", String::new()),
    ];
    recipient.extend(system.map(|(name, value)| (name.to_owned(), Value::String(value))));
    CallFacts {
        execution: record.id,
        agent: record.agent,
        direction: record.direction,
        user_number: record.user_number().to_owned(),
        agent_number: record.agent_number().to_owned(),
        variables: Variables {
            context: Map::new(),
            recipient,
        },
    }
}

#[cfg(test)]
mod tests;
