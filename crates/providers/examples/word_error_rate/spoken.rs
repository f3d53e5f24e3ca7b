//! A local voice that says the clips' texts, and how long it takes for it.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bolo_audio::Format;
use bolo_providers::{Session, Speak, Spoken, SynthesizerSpec, local::Speech};

/// Bytes of a second of mu-law.
const SECOND: f64 = 8000.0;

pub struct Speaker {
    session: Session<Speak, Spoken>,
    context: u32,
    /// From the text to the first sound.
    first: Vec<Duration>,
    took: Duration,
    bytes: usize,
}

impl Speaker {
    /// `None` without a voice.
    pub async fn new(speech: &Speech, voice: &str) -> Result<Option<Self>, Box<dyn Error>> {
        if voice.is_empty() {
            return Ok(None);
        }
        let spec = SynthesizerSpec {
            model: String::new(),
            voice_id: voice.to_owned(),
            language: String::new(),
            speed: 1.0,
            options: serde_json::Map::new(),
            format: Format::Mulaw8k,
        };
        Ok(Some(Self {
            session: speech.synthesizer().open(&spec).await?,
            context: 0,
            first: Vec::new(),
            took: Duration::ZERO,
            bytes: 0,
        }))
    }

    pub async fn say(&mut self, text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        self.context += 1;
        let began = Instant::now();
        let text = Speak::Text {
            context: self.context,
            piece: 0,
            text: text.to_owned(),
            last: true,
        };
        self.session.input.send(text).await?;
        let mut said = Vec::new();
        loop {
            match self.session.output.recv().await.ok_or("it ended")?? {
                Spoken::Audio { audio, .. } => {
                    if said.is_empty() {
                        self.first.push(began.elapsed());
                    }
                    said.extend_from_slice(&audio);
                }
                Spoken::Done { .. } => break,
                Spoken::PieceDone { .. } => {}
            }
        }
        self.took += began.elapsed();
        self.bytes += said.len();
        Ok(said)
    }

    pub fn tell(mut self) {
        self.first.sort_unstable();
        let at = |share: usize| self.first.get(self.first.len() * share / 100);
        let seconds = self.bytes as f64 / SECOND;
        println!(
            "the voice: {seconds:.0} s of sound in {:.1} s, real-time factor {:.3}; first sound p50/p90 {:?}/{:?}",
            self.took.as_secs_f64(),
            self.took.as_secs_f64() / seconds,
            at(50).copied().unwrap_or_default(),
            at(90).copied().unwrap_or_default(),
        );
    }
}
