//! What `--script` and `--agent` hold, and the voice of callers who speak text.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use bolo_providers::{Format, Speak, Spoken, Synthesizer, SynthesizerSpec, local::Speech};
use bolo_simulator::{
    caller::{CallerScript, Line, Voice},
    load::{Agent, Callers, Delays},
};
use serde::Deserialize;

/// Rendering of one line may take this long.
const RENDER: Duration = Duration::from_secs(60);
/// Keys of `config/simulate.toml`; a caller's script may name the delays too.
const OWN: [&str; 6] = [
    "turns",
    "barge_ins",
    "result_ms",
    "first_token_ms",
    "first_audio_ms",
    "network_ms",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    turns: usize,
    barge_ins: usize,
    result_ms: u64,
    first_token_ms: u64,
    first_audio_ms: u64,
    network_ms: u64,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            turns: 4,
            barge_ins: 1,
            result_ms: 100,
            first_token_ms: 300,
            first_audio_ms: 100,
            network_ms: 0,
        }
    }
}

/// Reads a script: turns, or what one caller does (as in `config/callers/`), and the vendors' delays.
pub(super) fn parse(text: &str) -> anyhow::Result<(Callers, Delays)> {
    let mut caller: toml::Table = toml::from_str(text)?;
    let own: toml::Table = OWN
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), caller.remove(*key)?)))
        .collect();
    for key in ["turns", "barge_ins"] {
        if own.contains_key(key) && caller.contains_key("steps") {
            bail!("{key} and steps exclude each other");
        }
    }
    let own: Own = own.try_into()?;
    let callers = if caller.is_empty() {
        Callers::Turns {
            turns: own.turns,
            barge_ins: own.barge_ins,
        }
    } else {
        Callers::Script(Box::new(caller.try_into()?))
    };
    let delays = Delays {
        result: Duration::from_millis(own.result_ms),
        first_token: Duration::from_millis(own.first_token_ms),
        first_audio: Duration::from_millis(own.first_audio_ms),
        network: Duration::from_millis(own.network_ms),
    };
    Ok((callers, delays))
}

/// `--agent`: a file with an agent's document, else an agent's id.
pub(super) fn agent(given: Option<&str>) -> anyhow::Result<Agent> {
    let Some(given) = given else {
        return Ok(Agent::OfFakes);
    };
    if !Path::new(given).is_file() {
        return Ok(Agent::Known(given.to_owned()));
    }
    let text = std::fs::read_to_string(given).with_context(|| format!("--agent {given}"))?;
    let document = serde_json::from_str(&text).with_context(|| format!("--agent {given}"))?;
    Ok(Agent::New(document))
}

/// A local voice that has rendered all `text` lines of the script ahead; `None` where there are none.
pub(super) async fn voice(
    script: &CallerScript,
    models: bolo_models::Store,
) -> anyhow::Result<Option<Arc<dyn Voice>>> {
    let texts: Vec<&String> = script
        .lines()
        .filter_map(|line| match line {
            Line::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    if texts.is_empty() {
        return Ok(None);
    }
    let vendor = Speech::new(models, 1).synthesizer();
    let mut spoken = HashMap::new();
    for text in texts {
        let rendering = tokio::time::timeout(RENDER, render(vendor.as_ref(), text));
        let audio = rendering
            .await
            .map_err(|_| anyhow!("takes too long"))
            .flatten()
            .with_context(|| format!("the caller's line {text:?}"))?;
        spoken.insert(text.clone(), audio);
    }
    Ok(Some(Arc::new(move |text: String| {
        let audio = spoken.get(&text).cloned();
        std::future::ready(audio.ok_or_else(|| "was not rendered ahead".to_owned()))
    })))
}

async fn render(vendor: &dyn Synthesizer, text: &str) -> anyhow::Result<Vec<u8>> {
    let spec = SynthesizerSpec {
        model: String::new(),
        voice_id: String::new(),
        language: "en".into(),
        speed: 1.0,
        options: serde_json::Map::new(),
        format: Format::Mulaw8k,
    };
    let mut session = vendor.open(&spec).await?;
    let line = Speak::Text {
        context: 0,
        piece: 0,
        text: text.to_owned(),
        last: true,
    };
    session
        .input
        .send(line)
        .await
        .context("the voice is gone")?;
    let mut audio = Vec::new();
    while let Some(spoken) = session.output.recv().await {
        match spoken? {
            Spoken::Audio { audio: part, .. } => audio.extend_from_slice(&part),
            Spoken::PieceDone { .. } => {}
            Spoken::Done { .. } => return Ok(audio),
        }
    }
    bail!("the voice broke off")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_shipped_script_holds_the_defaults() {
        let (callers, delays) = parse(include_str!("../../../../../config/simulate.toml")).unwrap();
        let (default_callers, default_delays) = parse("").unwrap();
        assert_eq!(format!("{callers:?}"), format!("{default_callers:?}"));
        assert_eq!(format!("{delays:?}"), format!("{default_delays:?}"));
    }

    #[test]
    fn a_callers_script_may_name_delays_and_no_turns() {
        let script = "first_token_ms = 50\nring_ms = 9\n[[steps]]\nsay = { text = \"hi\" }";
        let (callers, delays) = parse(script).unwrap();
        let Callers::Script(script) = callers else {
            panic!("{callers:?}")
        };
        assert_eq!((script.ring_ms, script.steps.len()), (9, 1));
        assert_eq!(delays.first_token, Duration::from_millis(50));
        let fault = parse("turns = 3\n[[steps]]\nhang_up = {}").unwrap_err();
        assert_eq!(fault.to_string(), "turns and steps exclude each other");
        let fault = parse("turnz = 3").unwrap_err();
        assert!(fault.to_string().contains("turnz"), "{fault}");
    }
}
