//! Who takes over when a vendor of the agent can't be had (R193-R195, R197). Ours: the hosted platform
//! has none. An agent's own stand in `tools_config.fallbacks`; an account may have some for all of its
//! agents.

use serde_json::Value;

use crate::{
    Faults, LlmConfig, Synthesizer, Transcriber,
    place::{FaultList, Place},
};

/// One for each kind of vendor, each as complete as the agent's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fallbacks {
    /// `transcriber`, in the shape of `tools_config.transcriber`.
    pub transcriber: Option<Transcriber>,
    /// `synthesizer`, likewise: another voice.
    pub synthesizer: Option<Synthesizer>,
    /// `llm_config`, in the shape of `llm_agent.llm_config`.
    pub llm: Option<LlmConfig>,
}

impl Fallbacks {
    /// Reads the fallbacks of an account. Paths of faults begin at the object's members.
    pub fn parse(body: &Value) -> Result<Self, Faults> {
        let faults = FaultList::default();
        let fallbacks = Self::read(&Place::new("", Some(body), &faults));
        let faults = faults.into_all();
        match faults.is_empty() {
            true => Ok(fallbacks),
            false => Err(Faults(faults)),
        }
    }

    /// None where nothing stands.
    pub(crate) fn read(place: &Place<'_>) -> Self {
        if place.is_present() && place.object().is_none() {
            return Self::default();
        }
        let given = |key| Some(place.at(key)).filter(Place::is_present);
        let transcriber = given("transcriber").and_then(|place| Transcriber::read(&place));
        let synthesizer =
            given("synthesizer").and_then(|place| Synthesizer::read(&place, transcriber.as_ref()));
        let llm = given("llm_config").and_then(|place| {
            place.object()?;
            Some(LlmConfig::read_alone(place))
        });
        Self {
            transcriber,
            synthesizer,
            llm,
        }
    }

    /// These, and `others` where there are none.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            transcriber: (self.transcriber.as_ref())
                .or(others.transcriber.as_ref())
                .cloned(),
            synthesizer: (self.synthesizer.as_ref())
                .or(others.synthesizer.as_ref())
                .cloned(),
            llm: self.llm.as_ref().or(others.llm.as_ref()).cloned(),
        }
    }
}
