//! Plivo XML: from a document to the steps this fake performs (wire-telephony.md §2.5).

use crate::{
    carrier::document::{Dial, Gather, Stream, Then, Verb, Whisper},
    xml::{self, Element},
};

/// Reads a document. The error is what Plivo would hang up with.
pub(super) fn parse(document: &str) -> Result<Vec<Verb>, String> {
    if document.len() > 100_000 {
        return Err("8011 document larger than 100 kB".into());
    }
    let root = xml::parse(document.trim()).map_err(|fault| format!("8011 {fault}"))?;
    if root.name != "Response" {
        return Err(format!(
            "8011 root element is <{}>, not <Response>",
            root.name
        ));
    }
    root.children.iter().map(verb).collect()
}

fn verb(element: &Element) -> Result<Verb, String> {
    let text = element.text.trim().to_owned();
    Ok(match element.name.as_str() {
        "Stream" => Verb::Stream(stream(element)?),
        "Redirect" if text.is_empty() => return Err("8011 <Redirect> needs a URL".into()),
        "Redirect" => Verb::Redirect {
            url: text,
            method: element.attribute("method").unwrap_or("POST").to_owned(),
        },
        "Speak" => Verb::Say {
            text,
            voice: voice(element)?,
        },
        "Play" => Verb::Play(text),
        "Wait" => {
            let length = element.attribute("length").unwrap_or("1");
            let seconds = length
                .parse()
                .map_err(|_| format!("8011 <Wait length=\"{length}\">"))?;
            Verb::Pause { seconds }
        }
        "Hangup" => match element.attribute("reason") {
            None => Verb::Hangup,
            Some("rejected") => Verb::Reject { busy: false },
            Some("busy") => Verb::Reject { busy: true },
            Some(other) => return Err(format!("8011 <Hangup reason=\"{other}\">")),
        },
        // Twilio's; Plivo passes it over.
        "Say" => Verb::Unsupported("Say".into()),
        "Dial" => Verb::Dial(dial(element)?),
        "GetInput" => Verb::Gather(get_input(element)?),
        "GetDigits" | "Record" | "PreAnswer" | "DTMF" | "Conference" | "MultiPartyCall"
        | "Message" | "AudioStream" => Verb::Unsupported(element.name.clone()),
        other => return Err(format!("8011 unknown element <{other}>")),
    })
}

/// A language must fit the voice; the usual one, a woman's, speaks these.
fn voice(element: &Element) -> Result<String, String> {
    let known = ["de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "pt-BR"];
    match (element.attribute("voice"), element.attribute("language")) {
        (None, None) => Ok(String::new()),
        (None, Some(language)) if known.contains(&language) => Ok(language.to_owned()),
        (Some(named), None) => Ok(named.to_owned()),
        (voice, language) => Err(format!("8011 <Speak> by {voice:?} in {language:?}")),
    }
}

/// One number; a dial of several at once is not performed.
fn dial(element: &Element) -> Result<Dial, String> {
    let [number] = element.children.as_slice() else {
        return Err("8011 this fake dials one <Number> only".into());
    };
    let digits = number.text.trim().trim_start_matches('+');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if number.name != "Number" || !is_number {
        return Err(format!("8011 <Dial> of <{}>{}", number.name, number.text));
    }
    let attribute = |name: &str| element.attribute(name).map(str::to_owned);
    let timeout = attribute("timeout").unwrap_or_else(|| "120".into());
    let e164 = |digits: &str| format!("+{}", digits.trim_start_matches('+'));
    Ok(Dial {
        number: e164(digits),
        caller_id: attribute("callerId").map(|id| e164(&id)),
        timeout_s: timeout
            .parse()
            .map_err(|_| format!("8011 <Dial timeout=\"{timeout}\">"))?,
        action: attribute("action"),
        method: attribute("method").unwrap_or_else(|| "POST".into()),
        status_callback: attribute("callbackUrl"),
        status_events: Vec::new(),
        whisper: attribute("confirmSound")
            .map(|url| confirmed(element, url))
            .transpose()?,
    })
}

fn get_input(element: &Element) -> Result<Gather, String> {
    let number = |name: &str, default: &str| {
        let text = element.attribute(name).unwrap_or(default);
        text.parse()
            .map_err(|_| format!("8011 <GetInput {name}=\"{text}\">"))
    };
    if element.attribute("inputType") != Some("dtmf") {
        return Err("8011 this fake gathers keys".into());
    }
    let patience: u64 = number("executionTimeout", "15")?;
    if !(5..=60).contains(&patience) {
        return Err(format!("8011 <GetInput executionTimeout=\"{patience}\">"));
    }
    let spoken = |child: &Element| match verb(child)? {
        spoken @ (Verb::Say { .. } | Verb::Play(_)) => Ok(spoken),
        _ => Err(format!("8011 <{}> in <GetInput>", child.name)),
    };
    Ok(Gather {
        prompts: element
            .children
            .iter()
            .map(spoken)
            .collect::<Result<_, String>>()?,
        digits: number("numDigits", "0")? as usize,
        finish: element
            .attribute("finishOnKey")
            .unwrap_or("#")
            .chars()
            .next(),
        timeout_s: patience,
        then: Then::Ask {
            url: element
                .attribute("action")
                .ok_or("8011 <GetInput> needs an action")?
                .to_owned(),
            method: element.attribute("method").unwrap_or("POST").to_owned(),
            on_empty: false,
        },
    })
}

/// A dial that whoever is called has to confirm; without a key it is only told something.
fn confirmed(element: &Element, url: String) -> Result<Whisper, String> {
    let Some(key) = element.attribute("confirmKey") else {
        let method = "POST".to_owned();
        return Ok(Whisper::Document { url, method });
    };
    let limit = element.attribute("confirmTimeout").unwrap_or("120");
    let one = |text: &str| {
        text.parse()
            .ok()
            .filter(|key| "0123456789#*".contains(*key))
    };
    Ok(Whisper::Key {
        url,
        key: one(key).ok_or_else(|| format!("8011 <Dial confirmKey=\"{key}\">"))?,
        limit_s: limit
            .parse()
            .map_err(|_| format!("8011 <Dial confirmTimeout=\"{limit}\">"))?,
    })
}

fn stream(element: &Element) -> Result<Stream, String> {
    let url = element.text.trim().to_owned();
    if !(url.starts_with("wss://") || url.starts_with("ws://")) || url.len() > 2048 {
        return Err(format!("8011 stream url must be wss://, got `{url}`"));
    }
    let is = |name: &str, value: &str| element.attribute(name) == Some(value);
    // What the fake performs is one kind of stream: that which a voice agent needs.
    for (name, value) in [
        ("bidirectional", "true"),
        ("keepCallAlive", "true"),
        ("contentType", "audio/x-mulaw;rate=8000"),
    ] {
        if !is(name, value) {
            return Err(format!(
                "8011 this fake performs streams with {name}=\"{value}\" only"
            ));
        }
    }
    let track = element.attribute("audioTrack");
    if track.is_some_and(|track| track != "inbound") {
        return Err("8011 audioTrack of a bidirectional stream must be inbound".into());
    }
    let headers = element.attribute("extraHeaders").unwrap_or_default();
    if headers.len() > 512 {
        return Err("8011 extraHeaders longer than 512 bytes".into());
    }
    let parameters = headers
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    Ok(Stream {
        url,
        name: String::new(),
        status_callback: element.attribute("statusCallbackUrl").map(str::to_owned),
        parameters,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_document_of_an_answered_call() {
        let verbs = parse(
            r#"<Response><Stream bidirectional="true" audioTrack="inbound" streamTimeout="86400" statusCallbackUrl="https://h/s" statusCallbackMethod="POST" contentType="audio/x-mulaw;rate=8000" extraHeaders="eid=7f1c,run=1" keepCallAlive="true">wss://h/media/plivo/7f1c</Stream><Redirect method="POST">https://h/telephony/plivo/resume/7f1c</Redirect></Response>"#,
        )
        .unwrap();
        assert_eq!(
            verbs,
            [
                Verb::Stream(Stream {
                    url: "wss://h/media/plivo/7f1c".into(),
                    name: String::new(),
                    status_callback: Some("https://h/s".into()),
                    parameters: vec![("eid".into(), "7f1c".into()), ("run".into(), "1".into())],
                }),
                Verb::Redirect {
                    url: "https://h/telephony/plivo/resume/7f1c".into(),
                    method: "POST".into()
                }
            ]
        );
    }

    #[test]
    fn what_plivo_refuses() {
        for document in [
            "<Response><Reject/></Response>",
            "<Response><Stream bidirectional=\"true\">wss://h/x</Stream></Response>",
            "<Response><Redirect/></Response>",
            "<Response><Hangup reason=\"bored\"/></Response>",
            "<Other/>",
            "{}",
        ] {
            assert!(
                parse(document).unwrap_err().starts_with("8011 "),
                "{document}"
            );
        }
        assert_eq!(parse("<Response/>").unwrap(), []);
        assert_eq!(
            parse("<Response><Hangup reason=\"rejected\"/></Response>").unwrap(),
            [Verb::Reject { busy: false }]
        );
    }
}
