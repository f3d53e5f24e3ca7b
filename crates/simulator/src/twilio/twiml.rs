//! TwiML: from a document to the verbs this fake performs (wire-telephony.md §1.6).

use crate::{
    carrier::document::{Dial, Gather, Stream, Then, Verb, Whisper},
    xml::{self, Element},
};

/// Some that `<Say>` speaks.
const LANGUAGES: [&str; 7] = [
    "de-DE", "en-GB", "en-IN", "en-US", "es-ES", "fr-FR", "hi-IN",
];

/// Reads a document. The error is what Twilio's debugger would complain of.
pub(crate) fn parse(document: &str) -> Result<Vec<Verb>, String> {
    if document.len() > 64 * 1024 {
        return Err("11750 document larger than 64 KB".into());
    }
    let root = xml::parse(document.trim()).map_err(|fault| format!("12100 {fault}"))?;
    if root.name != "Response" {
        return Err(format!(
            "12100 root element is <{}>, not <Response>",
            root.name
        ));
    }
    root.children.iter().map(verb).collect()
}

fn verb(element: &Element) -> Result<Verb, String> {
    let text = element.text.trim().to_owned();
    let method = || element.attribute("method").unwrap_or("POST").to_owned();
    Ok(match element.name.as_str() {
        "Connect" => match element.children.as_slice() {
            [stream] if stream.name == "Stream" => Verb::Stream(connect_stream(stream)?),
            _ => return Err("12200 <Connect> needs one <Stream>".into()),
        },
        "Redirect" if text.is_empty() => return Err("12200 <Redirect> needs a URL".into()),
        "Redirect" => Verb::Redirect {
            url: text,
            method: method(),
        },
        "Say" => Verb::Say {
            text,
            voice: voice(element)?,
        },
        "Play" => Verb::Play(text),
        "Pause" => {
            let length = element.attribute("length").unwrap_or("1");
            let seconds = length
                .parse()
                .map_err(|_| format!("12200 <Pause length=\"{length}\">"))?;
            Verb::Pause { seconds }
        }
        "Reject" => match element.attribute("reason").unwrap_or("rejected") {
            "rejected" => Verb::Reject { busy: false },
            "busy" => Verb::Reject { busy: true },
            other => return Err(format!("12200 <Reject reason=\"{other}\">")),
        },
        "Hangup" => Verb::Hangup,
        "Dial" => Verb::Dial(dial(element)?),
        "Gather" => Verb::Gather(gather(element)?),
        "Record" | "Start" | "Stop" | "Enqueue" | "Leave" | "Sms" | "Pay" | "Refer" | "Siprec"
        | "Prompt" | "Echo" | "Queue" => Verb::Unsupported(element.name.clone()),
        other => return Err(format!("12200 unknown verb <{other}>")),
    })
}

/// `en-UK` and the like are refused, however many a page has them.
fn voice(element: &Element) -> Result<String, String> {
    let language = element.attribute("language").unwrap_or("en-US");
    if !LANGUAGES.contains(&language) {
        return Err(format!("13511 <Say language=\"{language}\">"));
    }
    let asked = element.attribute("voice").or(element.attribute("language"));
    Ok(asked.unwrap_or_default().to_owned())
}

fn gather(element: &Element) -> Result<Gather, String> {
    let attribute = |name: &str, default: &'static str| element.attribute(name).unwrap_or(default);
    let number = |name: &str, default| {
        let text = attribute(name, default);
        text.parse()
            .map_err(|_| format!("12200 <Gather {name}=\"{text}\">"))
    };
    if !attribute("input", "dtmf")
        .split(' ')
        .any(|input| input == "dtmf")
    {
        return Err("12200 this fake gathers keys".into());
    }
    Ok(Gather {
        prompts: element
            .children
            .iter()
            .map(verb)
            .collect::<Result<_, _>>()?,
        digits: number("numDigits", "0")? as usize,
        finish: attribute("finishOnKey", "#").chars().next(),
        timeout_s: number("timeout", "5")?,
        then: Then::Ask {
            url: element
                .attribute("action")
                .ok_or("12200 this fake's <Gather> needs an action")?
                .to_owned(),
            method: attribute("method", "POST").to_owned(),
            on_empty: attribute("actionOnEmptyResult", "false") == "true",
        },
    })
}

fn dial(element: &Element) -> Result<Dial, String> {
    let number = match element.children.as_slice() {
        [number] if number.name == "Number" => number,
        _ => return Err("12200 this fake dials one <Number>".into()),
    };
    let text = |value: Option<&str>| value.map(str::to_owned);
    let timeout = element.attribute("timeout").unwrap_or("30");
    let timeout_s = timeout
        .parse()
        .ok()
        .filter(|seconds| (5..=600).contains(seconds));
    let events = number
        .attribute("statusCallbackEvent")
        .unwrap_or("completed");
    let events: Vec<String> = events.split_whitespace().map(str::to_owned).collect();
    let known = ["initiated", "ringing", "answered", "completed"];
    if let Some(event) = events.iter().find(|event| !known.contains(&event.as_str())) {
        return Err(format!("12200 <Number statusCallbackEvent=\"{event}\">"));
    }
    let dialled = number.text.trim().to_owned();
    if !dialled.starts_with('+') {
        return Err(format!("13223 invalid phone number `{dialled}`"));
    }
    Ok(Dial {
        number: dialled,
        caller_id: text(element.attribute("callerId")),
        timeout_s: timeout_s.ok_or_else(|| format!("13212 <Dial timeout=\"{timeout}\">"))?,
        action: text(element.attribute("action")),
        method: element.attribute("method").unwrap_or("POST").to_owned(),
        status_callback: text(number.attribute("statusCallback")),
        status_events: events,
        whisper: text(number.attribute("url")).map(|url| Whisper::Document {
            url,
            method: number.attribute("method").unwrap_or("POST").to_owned(),
        }),
    })
}

fn connect_stream(element: &Element) -> Result<Stream, String> {
    let url = element.attribute("url").unwrap_or_default().to_owned();
    if !(url.starts_with("wss://") || url.starts_with("ws://")) {
        return Err(format!("31920 stream url must be wss://, got `{url}`"));
    }
    if url.contains('?') {
        return Err(format!("31920 stream url must have no query: `{url}`"));
    }
    if let Some(track) = element
        .attribute("track")
        .filter(|track| *track != "inbound_track")
    {
        return Err(format!("31941 <Connect><Stream track=\"{track}\">"));
    }
    let mut stream = Stream {
        url,
        name: element.attribute("name").unwrap_or_default().to_owned(),
        status_callback: element.attribute("statusCallback").map(str::to_owned),
        parameters: Vec::new(),
    };
    for parameter in element
        .children
        .iter()
        .filter(|child| child.name == "Parameter")
    {
        let name = parameter.attribute("name").unwrap_or_default();
        let value = parameter.attribute("value").unwrap_or_default();
        if name.is_empty() || name.len() + value.len() >= 500 {
            return Err(
                "12200 <Parameter> needs a name, and name and value under 500 characters".into(),
            );
        }
        stream.parameters.push((name.to_owned(), value.to_owned()));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_document_of_an_answered_call() {
        let verbs = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream name="s1" statusCallback="https://h/scb" statusCallbackMethod="POST" url="wss://h/media/twilio/7f1c"><Parameter name="eid" value="7f1c" /></Stream></Connect><Redirect method="POST">https://h/telephony/twilio/resume/7f1c?n=1&amp;k=2</Redirect></Response>"#,
        )
        .unwrap();
        assert_eq!(
            verbs,
            [
                Verb::Stream(Stream {
                    url: "wss://h/media/twilio/7f1c".into(),
                    name: "s1".into(),
                    status_callback: Some("https://h/scb".into()),
                    parameters: vec![("eid".into(), "7f1c".into())],
                }),
                Verb::Redirect {
                    url: "https://h/telephony/twilio/resume/7f1c?n=1&k=2".into(),
                    method: "POST".into()
                }
            ]
        );
    }

    #[test]
    fn what_twilio_refuses() {
        for (document, fault) in [
            (
                "<Response><Connect/></Response>",
                "12200 <Connect> needs one <Stream>",
            ),
            (
                "<Response><Connect><Stream url=\"wss://h/x?a=1\"/></Connect></Response>",
                "31920 stream url must have no query: `wss://h/x?a=1`",
            ),
            (
                "<Response><Connect><Stream url=\"https://h/x\"/></Connect></Response>",
                "31920 stream url must be wss://, got `https://h/x`",
            ),
            (
                "<Response><Dance/></Response>",
                "12200 unknown verb <Dance>",
            ),
            ("{\"ok\":true}", "12100 expected `<` at byte 0"),
        ] {
            assert_eq!(parse(document).unwrap_err(), fault);
        }
        assert_eq!(parse("<Response/>").unwrap(), []);
    }

    #[test]
    fn keys_are_gathered_behind_what_is_said() {
        let document = r#"<Response><Gather action="https://h/a" actionOnEmptyResult="true" input="dtmf" numDigits="1" timeout="20"><Say>Press 1</Say></Gather></Response>"#;
        let gather = Gather {
            prompts: vec![Verb::Say {
                text: "Press 1".into(),
                voice: String::new(),
            }],
            digits: 1,
            finish: Some('#'),
            timeout_s: 20,
            then: Then::Ask {
                url: "https://h/a".into(),
                method: "POST".into(),
                on_empty: true,
            },
        };
        assert_eq!(parse(document).unwrap(), [Verb::Gather(gather)]);
        let speech = r#"<Response><Gather action="https://h/a" input="speech"/></Response>"#;
        assert!(parse(speech).is_err());
    }

    #[test]
    fn a_dial_names_one_number() {
        let document = r#"<Response><Dial action="https://h/a" callerId="+1415" timeout="40"><Number statusCallback="https://h/s" statusCallbackEvent="answered completed">+14155550177</Number></Dial></Response>"#;
        let dial = Dial {
            number: "+14155550177".into(),
            caller_id: Some("+1415".into()),
            timeout_s: 40,
            action: Some("https://h/a".into()),
            method: "POST".into(),
            status_callback: Some("https://h/s".into()),
            status_events: vec!["answered".into(), "completed".into()],
            whisper: None,
        };
        assert_eq!(parse(document).unwrap(), [Verb::Dial(dial)]);
        for (document, fault) in [
            ("<Dial/>", "12200 this fake dials one <Number>"),
            (
                "<Dial timeout=\"1\"><Number>+1</Number></Dial>",
                "13212 <Dial timeout=\"1\">",
            ),
            (
                "<Dial><Number>911</Number></Dial>",
                "13223 invalid phone number `911`",
            ),
        ] {
            let document = format!("<Response>{document}</Response>");
            assert_eq!(parse(&document).unwrap_err(), fault);
        }
    }
}
