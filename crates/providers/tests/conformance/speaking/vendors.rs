//! Each vendor of voices: its fake, how an agent names it, and what it can do.

use std::{sync::Arc, time::Duration};

use bolo_agent::{Synthesizer as Agent, SynthesizerVendor};
use bolo_audio::Format;
use bolo_providers::{ErrorKind, Synthesizer, SynthesizerLimits, SynthesizerSpec};
use bolo_simulator::{
    Outage,
    elevenlabs::{self, FakeElevenlabs},
    voices::{
        self, FakeVoice, aura, azure, cartesia, dialogue, openai, polly, rime, sarvam, smallest,
    },
};

pub(super) use bolo_simulator::voices::Fault;

use crate::{keys, vendors};

/// What a vendor makes for a line of mu-law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    /// The line's own bytes.
    Mulaw,
    /// Samples of the line's rate.
    Samples,
    /// Samples of another rate.
    Resampled,
}

/// A vendor under test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub vendor: SynthesizerVendor,
    pub model: &'static str,
    /// Speaks over a socket, so that a session has messages, and a refusal comes when it opens.
    pub socket: bool,
    pub sound: Sound,
    /// Tells the times of words.
    pub words: bool,
    /// Speaks over ElevenLabs' socket without contexts.
    stream_input: bool,
    key: &'static str,
}

const fn of(vendor: SynthesizerVendor, model: &'static str) -> Case {
    Case {
        vendor,
        model,
        socket: true,
        sound: Sound::Mulaw,
        words: false,
        stream_input: false,
        key: "voice-test-key",
    }
}

/// All vendors but `local`, which has tests of its own.
pub(super) static CASES: [Case; 11] = [
    Case {
        words: true,
        key: "elevenlabs-test-key",
        ..of(SynthesizerVendor::Elevenlabs, "eleven_turbo_v2_5")
    },
    Case {
        words: true,
        stream_input: true,
        key: "elevenlabs-test-key",
        ..of(SynthesizerVendor::Elevenlabs, "eleven_flash_v2_5")
    },
    Case {
        words: true,
        ..of(SynthesizerVendor::Elevenlabs, "eleven_v3")
    },
    of(SynthesizerVendor::Deepgram, "aura-2"),
    Case {
        words: true,
        ..of(SynthesizerVendor::Cartesia, "sonic-3")
    },
    Case {
        socket: false,
        sound: Sound::Resampled,
        ..of(SynthesizerVendor::Openai, "gpt-4o-mini-tts")
    },
    of(SynthesizerVendor::Sarvam, "bulbul:v3"),
    Case {
        socket: false,
        ..of(SynthesizerVendor::Azure, "Neural")
    },
    Case {
        socket: false,
        sound: Sound::Samples,
        key: "AKIDTEST:secret",
        ..of(SynthesizerVendor::Polly, "neural")
    },
    Case {
        words: true,
        ..of(SynthesizerVendor::Rime, "mistv2")
    },
    Case {
        words: true,
        sound: Sound::Samples,
        ..of(SynthesizerVendor::Smallest, "lightning_v3.1")
    },
];

/// The one with this model.
pub(super) fn case(model: &str) -> &'static Case {
    CASES.iter().find(|case| case.model == model).unwrap()
}

/// A fake that runs.
pub(super) enum Fake {
    Elevenlabs(FakeElevenlabs),
    Voice(FakeVoice),
}

impl Case {
    pub fn name(&self) -> &'static str {
        self.vendor.as_str()
    }

    pub async fn start(&self) -> Fake {
        let options = voices::Options {
            api_key: self.key.into(),
            ..voices::Options::default()
        };
        Fake::Voice(match self.vendor {
            SynthesizerVendor::Elevenlabs if self.model == "eleven_v3" => {
                dialogue::start(options).await.unwrap()
            }
            SynthesizerVendor::Elevenlabs => {
                let options = elevenlabs::Options::default();
                return Fake::Elevenlabs(FakeElevenlabs::start(options).await.unwrap());
            }
            SynthesizerVendor::Deepgram => aura::start(options).await.unwrap(),
            SynthesizerVendor::Cartesia => cartesia::start(options).await.unwrap(),
            SynthesizerVendor::Openai => openai::start(options).await.unwrap(),
            SynthesizerVendor::Sarvam => sarvam::start(options).await.unwrap(),
            SynthesizerVendor::Azure => azure::start(options).await.unwrap(),
            SynthesizerVendor::Polly => polly::start(options).await.unwrap(),
            SynthesizerVendor::Rime => rime::start(options).await.unwrap(),
            SynthesizerVendor::Smallest => smallest::start(options).await.unwrap(),
            SynthesizerVendor::Local => panic!("has no fake"),
        })
    }

    /// Our client of the fake.
    pub fn client(
        &self,
        fake: &Fake,
        key: &str,
        format: Format,
    ) -> (Arc<dyn Synthesizer>, SynthesizerSpec) {
        self.client_within(fake, key, format, SynthesizerLimits::default())
    }

    /// One that soon loses patience: with a vendor that takes no connection, or with one that makes no
    /// audio.
    pub fn hasty_client(
        &self,
        fake: &Fake,
        fault: &Fault,
    ) -> (Arc<dyn Synthesizer>, SynthesizerSpec) {
        let (soon, late) = (Duration::from_millis(200), Duration::from_secs(20));
        let connects = *fault == Fault::HalfOpen && self.socket;
        let limits = SynthesizerLimits {
            connect: if connects { soon } else { late },
            audio: if connects { late } else { soon },
            ..SynthesizerLimits::default()
        };
        self.client_within(fake, self.key, Format::Mulaw8k, limits)
    }

    fn client_within(
        &self,
        fake: &Fake,
        key: &str,
        format: Format,
        limits: SynthesizerLimits,
    ) -> (Arc<dyn Synthesizer>, SynthesizerSpec) {
        let mut options = serde_json::Map::new();
        if self.stream_input {
            options.insert("endpoint".into(), "stream-input".into());
        }
        let agent = Agent {
            vendor: self.vendor,
            voice: "Nila".into(),
            voice_id: "Nila".into(),
            model: self.model.into(),
            language: "en-US".into(),
            speed: 1.0,
            buffer_size: 250,
            caching: false,
            options,
        };
        let base = match self.vendor {
            SynthesizerVendor::Openai => format!("{}/v1", fake.base_url()),
            _ => fake.base_url(),
        };
        vendors(self.name(), base, key)
            .with_synthesizer_limits(limits)
            .synthesizer(&agent, &keys(), None, format)
            .unwrap()
    }

    /// What a failure that it reports in mid-speech amounts to; ElevenLabs names those like lost
    /// connections, and over HTTP there is no other way to tell one.
    pub fn failure(&self) -> ErrorKind {
        match self.vendor {
            SynthesizerVendor::Elevenlabs => ErrorKind::Dropped,
            _ if !self.socket => ErrorKind::Dropped,
            _ => ErrorKind::Server,
        }
    }

    /// Its row of `docs/vendors.md`.
    pub fn row(&self) -> String {
        let way = if self.socket { "socket" } else { "HTTP" };
        let sound = match self.sound {
            Sound::Mulaw => "as it is",
            Sound::Samples => "from samples of its rate",
            Sound::Resampled => "resampled",
        };
        let words = if self.words { "yes" } else { "no" };
        format!("| `{}` | {way} | {sound} | {words} |", self.name())
    }

    /// A key of this name; of Amazon's, the public half.
    pub fn named(&self, name: &str) -> String {
        match self.vendor {
            SynthesizerVendor::Polly => format!("{name}:secret"),
            _ => name.to_owned(),
        }
    }

    pub fn key(&self) -> &'static str {
        self.key
    }
}

impl Fake {
    fn base_url(&self) -> String {
        match self {
            Self::Elevenlabs(fake) => fake.base_url(),
            Self::Voice(fake) => fake.base_url(),
        }
    }

    pub fn fail(&self, fault: Fault) {
        match self {
            Self::Elevenlabs(fake) => fake.fail_next([match fault {
                Fault::Status(status) => elevenlabs::Fault::Status(status),
                Fault::HalfOpen => elevenlabs::Fault::HalfOpen,
                Fault::KeyMessage => elevenlabs::Fault::AuthMessage,
                Fault::QuotaMessage => elevenlabs::Fault::QuotaMessage,
                Fault::StallAfter(count) => elevenlabs::Fault::StallAfter(count),
                Fault::LostAfter(count) => elevenlabs::Fault::LostAfter(count),
                Fault::CloseAfter(count, code) => elevenlabs::Fault::CloseAfter(count, code),
                Fault::FailsAfter(count) => elevenlabs::Fault::FailsAfter(count),
                Fault::Garbage => elevenlabs::Fault::Garbage,
                Fault::UnknownMessages => elevenlabs::Fault::UnknownMessages,
                Fault::DelayFirst(ms) => elevenlabs::Fault::DelayFirst(ms),
                Fault::PausesAfter(count, ms) => elevenlabs::Fault::PausesAfter(count, ms),
                Fault::Deaf(ms) => elevenlabs::Fault::Deaf(ms),
                Fault::NoEnd => elevenlabs::Fault::NeverFinal,
                Fault::WrongContext => elevenlabs::Fault::WrongContext,
                Fault::NoAudio => elevenlabs::Fault::Stall,
            }]),
            Self::Voice(fake) => fake.fail_next([fault]),
        }
    }

    pub fn outage(&self) -> &Outage {
        match self {
            Self::Elevenlabs(fake) => fake.outage(),
            Self::Voice(fake) => fake.outage(),
        }
    }

    pub fn characters(&self) -> u64 {
        match self {
            Self::Elevenlabs(fake) => fake.characters(),
            Self::Voice(fake) => fake.characters(),
        }
    }

    pub fn open_sessions(&self) -> u64 {
        match self {
            Self::Elevenlabs(fake) => fake.open_sessions(),
            Self::Voice(fake) => fake.open_sessions(),
        }
    }
}
