//! Each vendor of transcription: its fake, and how an agent names it.

use bolo_agent::{Transcriber as Agent, TranscriberVendor};
use bolo_audio::Format;
use bolo_providers::{Error, Hear, Heard, HeardEnd, Session};
use bolo_simulator::{FakeVendor, assembly, deepgram, ears, hearing::Fault};

use crate::{keys, vendors};

/// A vendor's fake and what leads to it.
pub(super) struct Subject<O> {
    pub fake: FakeVendor<O, Fault>,
    /// `providers.<name>` of the settings.
    name: &'static str,
    base_url: String,
    pub key: String,
    agent: Agent,
    /// How the vendor ends a turn by itself.
    pub end: HeardEnd,
    /// Whether it gives words while the caller speaks.
    pub interims: bool,
    pub billed_ms: fn(&FakeVendor<O, Fault>) -> u64,
}

pub(super) async fn nova() -> Subject<deepgram::Options> {
    let fake = deepgram::FakeDeepgram::start(deepgram::Options::default())
        .await
        .unwrap();
    Subject {
        name: "deepgram",
        base_url: fake.base_url(),
        key: fake.api_key().to_owned(),
        agent: agent(TranscriberVendor::Deepgram, "nova-3"),
        end: HeardEnd::SpeechFinal,
        interims: true,
        billed_ms: deepgram::FakeDeepgram::billed_ms,
        fake,
    }
}

pub(super) async fn assembly() -> Subject<assembly::Options> {
    let fake = assembly::FakeAssembly::start(assembly::Options::default())
        .await
        .unwrap();
    Subject {
        name: "assembly",
        base_url: fake.base_url(),
        key: fake.api_key().to_owned(),
        agent: agent(TranscriberVendor::Assembly, "universal-streaming-english"),
        end: HeardEnd::EndOfTurn,
        interims: true,
        billed_ms: assembly::FakeAssembly::billed_ms,
        fake,
    }
}

pub(super) async fn flux() -> Subject<deepgram::Options> {
    let mut flux = nova().await;
    flux.end = HeardEnd::EndOfTurn;
    flux.agent.model = "flux-general-en".into();
    flux.agent.flux = Some(bolo_agent::Flux {
        eot_threshold: 0.7,
        eager_eot_threshold: Some(0.4),
        eot_timeout_ms: 500,
        language_hints: Vec::new(),
    });
    flux
}

pub(super) async fn ear(
    vendor: TranscriberVendor,
    model: &str,
    end: HeardEnd,
    interims: bool,
) -> Subject<ears::Options> {
    let fake = ears::FakeEars::start(ears::Options::default())
        .await
        .unwrap();
    let base_url = match vendor {
        TranscriberVendor::Openai => format!("{}/v1", fake.base_url()),
        _ => fake.base_url(),
    };
    Subject {
        name: vendor.as_str(),
        base_url,
        key: fake.api_key().to_owned(),
        agent: agent(vendor, model),
        end,
        interims,
        billed_ms: ears::FakeEars::billed_ms,
        fake,
    }
}

fn agent(vendor: TranscriberVendor, model: &str) -> Agent {
    Agent {
        vendor,
        model: model.into(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        flux: None,
        detector: None,
        mip_opt_out: false,
    }
}

impl<O> Subject<O> {
    pub async fn open_with(&self, key: &str) -> Result<Session<Hear, Heard>, Error> {
        let (transcriber, spec) = vendors(self.name, self.base_url.clone(), key)
            .transcriber(&self.agent, &keys(), Format::Mulaw8k)
            .unwrap();
        transcriber.open(&spec).await
    }

    pub async fn open(&self, fault: Option<Fault>) -> Session<Hear, Heard> {
        self.fake.fail_next(fault);
        self.open_with(&self.key).await.unwrap()
    }

    /// Whether turns end without our asking, with nothing but tones to tell them by.
    pub fn ends_turns(&self) -> bool {
        self.agent.model != "gpt-live-transcribe"
    }

    /// Until the vendor has no connection any more.
    pub async fn is_left(&self) {
        while self.fake.open_sessions() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
