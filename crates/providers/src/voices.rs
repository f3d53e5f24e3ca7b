//! Which voices a synthesizer's vendor has. Sources: the vendors' own documents of `GET /v1/voices`
//! (ElevenLabs), `GET /voices` (Cartesia), `GET /v1/models` (Deepgram), `…/voices/list` (Azure).

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{Keys, Vendors, local, vendors::own_key};

/// A voice that an agent may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// The vendor's id of it: `voice_id` of an agent.
    pub voice_id: String,
    /// `elevenlabs`, …
    pub vendor: &'static str,
    /// For people.
    pub name: String,
    /// The vendor's model, where a voice belongs to one.
    pub model: String,
    /// Accent, language, who speaks: in the vendor's words.
    pub accent: String,
}

/// A list that takes longer is not waited for.
const LIMIT: Duration = Duration::from_secs(5);
/// Read of an answer.
const READ: usize = 8 << 20;

/// How a vendor lists its voices.
struct Source {
    vendor: &'static str,
    keys: &'static [&'static str],
    base: &'static str,
    path: &'static str,
    /// Header of the key, and what stands before the key in it.
    header: (&'static str, &'static str),
    read: fn(&Value) -> Vec<Voice>,
}

const SOURCES: [Source; 3] = [
    Source {
        vendor: "elevenlabs",
        keys: &["ELEVENLABS"],
        base: "https://api.elevenlabs.io",
        path: "/v1/voices",
        header: ("xi-api-key", ""),
        read: elevenlabs,
    },
    Source {
        vendor: "cartesia",
        keys: &["CARTESIA"],
        base: "https://api.cartesia.ai",
        path: "/voices?limit=100",
        header: ("authorization", "Bearer "),
        read: cartesia,
    },
    Source {
        vendor: "deepgram",
        keys: &["DEEPGRAM", "DEEPGRAM_AUTH_TOKEN"],
        base: "https://api.deepgram.com",
        path: "/v1/models",
        header: ("authorization", "Token "),
        read: deepgram,
    },
];

/// The voices of bulbul, which Sarvam lists nowhere but in its documents.
const SARVAM: [(&str, &str); 7] = [
    ("anushka", "female"),
    ("manisha", "female"),
    ("vidya", "female"),
    ("arya", "female"),
    ("abhilash", "male"),
    ("karun", "male"),
    ("hitesh", "male"),
];

impl Vendors {
    /// Vendors whose voices can be listed with these keys, the local engine first.
    pub fn voice_vendors(&self, keys: &Keys) -> Vec<&'static str> {
        let with_key = SOURCES
            .iter()
            .filter(|source| self.voice_key(source, keys).is_some());
        let mut vendors = vec!["local"];
        vendors.extend(with_key.map(|source| source.vendor));
        if own_key(&["SARVAM"], keys).is_some() || self.server_key("sarvam").is_some() {
            vendors.push("sarvam");
        }
        vendors
    }

    /// The voices of one vendor; why not, in words that hold no key.
    pub async fn voices(&self, vendor: &str, keys: &Keys) -> Result<Vec<Voice>, String> {
        match vendor {
            "local" => return Ok(local_voices()),
            "sarvam" => return Ok(sarvam()),
            _ => {}
        }
        let source = SOURCES.iter().find(|source| source.vendor == vendor);
        let source = source.ok_or_else(|| format!("{vendor} lists no voices"))?;
        let key = self
            .voice_key(source, keys)
            .ok_or_else(|| format!("{vendor}: no key"))?;
        let listing = self.list_voices(source, &key);
        let listed = tokio::time::timeout(LIMIT, listing).await;
        listed.unwrap_or_else(|_| Err(format!("{vendor} is slow to list its voices")))
    }

    fn voice_key(&self, source: &Source, keys: &Keys) -> Option<SecretString> {
        own_key(source.keys, keys).or_else(|| self.server_key(source.vendor))
    }

    async fn list_voices(&self, source: &Source, key: &SecretString) -> Result<Vec<Voice>, String> {
        let vendor = source.vendor;
        // Sockets and requests have the same host.
        let base = self.base_url(vendor).unwrap_or(source.base);
        let base = match base.strip_prefix("ws") {
            Some(rest) => format!("http{rest}"),
            None => base.to_owned(),
        };
        let (header, before) = source.header;
        let request = self
            .http
            .get(format!("{}{}", base.trim_end_matches('/'), source.path))
            .header(header, format!("{before}{}", key.expose_secret()))
            .header("cartesia-version", "2025-04-16");
        let failed = |error: reqwest::Error| format!("{vendor}: {}", error.without_url());
        let answer = request.send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("{vendor} answered {}", answer.status()));
        }
        let body = answer.bytes().await.map_err(failed)?;
        if body.len() > READ {
            return Err(format!("{vendor} lists more than we read"));
        }
        let body: Value =
            serde_json::from_slice(&body).map_err(|error| format!("{vendor}: {error}"))?;
        Ok((source.read)(&body))
    }
}

fn local_voices() -> Vec<Voice> {
    let voice = |voice: &local::Voice| Voice {
        voice_id: voice.id.to_owned(),
        vendor: "local",
        name: voice.id.to_owned(),
        model: String::new(),
        accent: voice.language.to_owned(),
    };
    local::VOICES.iter().map(voice).collect()
}

fn sarvam() -> Vec<Voice> {
    let voice = |(id, who): &(&str, &str)| Voice {
        voice_id: (*id).to_owned(),
        vendor: "sarvam",
        name: (*id).to_owned(),
        model: "bulbul:v2".to_owned(),
        accent: format!("India {who}"),
    };
    SARVAM.iter().map(voice).collect()
}

fn list<'v>(body: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    let items = body.get(key).unwrap_or(body).as_array();
    items.into_iter().flatten()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    Some(value.pointer(pointer)?.as_str()?.to_owned())
}

/// What is known of an accent, in one line.
fn joined(value: &Value, pointers: &[&str]) -> String {
    let words: Vec<String> = pointers
        .iter()
        .filter_map(|pointer| text(value, pointer))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn elevenlabs(body: &Value) -> Vec<Voice> {
    let voice = |voice: &Value| {
        Some(Voice {
            voice_id: text(voice, "/voice_id")?,
            vendor: "elevenlabs",
            name: text(voice, "/name")?,
            model: String::new(),
            accent: joined(voice, &["/labels/accent", "/labels/gender"]),
        })
    };
    list(body, "voices").filter_map(voice).collect()
}

fn cartesia(body: &Value) -> Vec<Voice> {
    let voice = |voice: &Value| {
        Some(Voice {
            voice_id: text(voice, "/id")?,
            vendor: "cartesia",
            name: text(voice, "/name")?,
            model: String::new(),
            accent: joined(voice, &["/language", "/gender"]),
        })
    };
    list(body, "data").filter_map(voice).collect()
}

fn deepgram(body: &Value) -> Vec<Voice> {
    let voice = |voice: &Value| {
        let id = text(voice, "/canonical_name")?;
        Some(Voice {
            name: text(voice, "/name").unwrap_or_else(|| id.clone()),
            vendor: "deepgram",
            model: id.clone(),
            voice_id: id,
            accent: joined(voice, &["/metadata/accent", "/language"]),
        })
    };
    body.get("tts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(voice)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn each_vendors_list_is_read() {
        let body = json!({"voices": [{"voice_id": "v1", "name": "Rachel", "labels": {"accent": "american", "gender": "female"}}, {"name": "odd"}]});
        let read = elevenlabs(&body);
        assert_eq!(read.len(), 1, "what can't be named is left out");
        assert_eq!(
            (read[0].name.as_str(), read[0].accent.as_str()),
            ("Rachel", "american female")
        );
        let item = json!({"id": "c1", "name": "Katie", "language": "en"});
        for body in [json!({"data": [item], "has_more": false}), json!([item])] {
            assert_eq!(cartesia(&body)[0].voice_id, "c1");
        }
        let body = json!({"stt": [{"canonical_name": "nova-3"}], "tts": [{"name": "zeus", "canonical_name": "aura-zeus-en", "metadata": {"accent": "American"}}]});
        let read = deepgram(&body);
        assert_eq!(
            (
                read.len(),
                read[0].voice_id.as_str(),
                read[0].accent.as_str()
            ),
            (1, "aura-zeus-en", "American")
        );
        for broken in [json!(null), json!({"voices": 1}), json!("x")] {
            assert!(
                elevenlabs(&broken).is_empty()
                    && cartesia(&broken).is_empty()
                    && deepgram(&broken).is_empty()
            );
        }
    }

    #[test]
    fn the_local_voices_need_no_key() {
        assert!(
            local_voices()
                .iter()
                .any(|voice| voice.voice_id.starts_with("en"))
        );
    }
}
