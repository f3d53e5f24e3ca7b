//! Answer documents in Plivo XML. Source: wire-telephony.md §2.5; attributes stand in the order of Plivo's
//! own SDKs.

use super::dialect::Dialect;
use crate::{
    Instruction, Line, Voice,
    carrier::TAKE_KEY,
    said::closest,
    xml::{attribute, escape},
};

/// What a stream may last, s: Plivo's own most; the dial's `time_limit` is the real bound.
const STREAM_TIMEOUT: &str = "86400";
/// `extraHeaders` holds no more bytes than this.
const MOST_HEADERS: usize = 512;

/// Languages of `<Speak>` (its page "Audio output") that the voice speaks which it takes by itself, a woman's; and
/// those of [`INDIAN`]. One that does not fit the voice ends the call (8011).
const LANGUAGES: [&str; 17] = [
    "da-DK", "de-DE", "en-US", "en-AU", "en-GB", "en-IN", "es-ES", "es-US", "fr-FR", "fr-CA",
    "hi-IN", "it-IT", "nl-NL", "pl-PL", "pt-BR", "ru-RU", "sv-SE",
];
/// Speaks both Hindi and English, and is asked for by name.
const INDIAN: &str = "Polly.Aditi";

/// The document for an instruction, far below Plivo's 100 kB.
pub(super) fn render(dialect: Dialect, instruction: &Instruction) -> String {
    let mut xml = String::from(r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#);
    match instruction {
        Instruction::Stream {
            socket_url,
            resume_url,
            status_url,
            parameters,
        } => {
            xml.push_str("<Stream");
            attribute(&mut xml, "bidirectional", "true");
            attribute(&mut xml, "audioTrack", "inbound");
            attribute(&mut xml, "streamTimeout", STREAM_TIMEOUT);
            if !status_url.is_empty() {
                attribute(&mut xml, "statusCallbackUrl", status_url);
                attribute(&mut xml, "statusCallbackMethod", "POST");
            }
            // Plivo's pages disagree on the default.
            attribute(&mut xml, "contentType", "audio/x-mulaw;rate=8000");
            let headers = headers(parameters);
            if !headers.is_empty() {
                attribute(&mut xml, "extraHeaders", &headers);
            }
            // Without it the call ends with the socket, and nobody could take it up again.
            attribute(&mut xml, "keepCallAlive", "true");
            xml.push('>');
            escape(&mut xml, socket_url);
            xml.push_str(r#"</Stream><Redirect method="POST">"#);
            escape(&mut xml, resume_url);
            escape(&mut xml, dialect.fetch_rules());
            xml.push_str("</Redirect>");
        }
        Instruction::Dial {
            to,
            from,
            ring,
            outcome_url,
            status_url,
            offer,
        } => {
            xml.push_str("<Dial");
            let rules = dialect.fetch_rules();
            attribute(&mut xml, "action", &format!("{outcome_url}{rules}"));
            attribute(&mut xml, "method", "POST");
            attribute(&mut xml, "timeout", &ring.as_secs().max(5).to_string());
            attribute(&mut xml, "callerId", from.trim_start_matches('+'));
            if let Some(offer) = offer {
                attribute(&mut xml, "confirmSound", &format!("{}{rules}", offer.url));
                attribute(&mut xml, "confirmKey", TAKE_KEY);
                let limit = offer.limit.as_secs().max(1).to_string();
                attribute(&mut xml, "confirmTimeout", &limit);
            }
            attribute(&mut xml, "callbackUrl", &format!("{status_url}{rules}"));
            attribute(&mut xml, "callbackMethod", "POST");
            xml.push_str("><Number>");
            escape(&mut xml, to.trim_start_matches('+'));
            xml.push_str("</Number></Dial>");
        }
        // The key is the dial's own to wait for.
        Instruction::Offer { line, .. } => speak(&mut xml, dialect, line),
        Instruction::Connect => {}
        Instruction::Gather {
            say,
            voice,
            wait,
            most,
            finish,
            keys_url,
        } => {
            let url = format!("{keys_url}{}", dialect.fetch_rules());
            xml.push_str("<GetInput");
            attribute(&mut xml, "action", &url);
            attribute(&mut xml, "method", "POST");
            attribute(&mut xml, "inputType", "dtmf");
            let wait = wait.as_secs().clamp(5, 60).to_string();
            attribute(&mut xml, "executionTimeout", &wait);
            attribute(&mut xml, "finishOnKey", finish.encode_utf8(&mut [0; 4]));
            attribute(&mut xml, "numDigits", &most.to_string());
            xml.push('>');
            for text in say {
                xml.push_str("<Speak");
                attribute(&mut xml, "voice", voice);
                xml.push('>');
                escape(&mut xml, text);
                xml.push_str("</Speak>");
            }
            // Comes when no key did.
            xml.push_str(r#"</GetInput><Redirect method="POST">"#);
            escape(&mut xml, &url);
            xml.push_str("</Redirect>");
        }
        Instruction::HangUp => xml.push_str("<Hangup />"),
        Instruction::Reject => xml.push_str(r#"<Hangup reason="rejected" />"#),
        Instruction::Busy => xml.push_str(r#"<Hangup reason="busy" />"#),
        Instruction::Goodbye(line) => {
            speak(&mut xml, dialect, line);
            xml.push_str("<Hangup />");
        }
    }
    xml.push_str("</Response>");
    xml
}

fn speak(xml: &mut String, dialect: Dialect, line: &Line) {
    xml.push_str("<Speak");
    match &line.voice {
        None => {}
        Some(Voice::Named(name)) => attribute(xml, "voice", name),
        Some(Voice::Speaks(language)) => {
            let known = match dialect {
                Dialect::Plivo => &LANGUAGES[..],
                // It does not say which it speaks.
                Dialect::Vobiz => &[],
            };
            match closest(language, known) {
                Some("en-IN" | "hi-IN") => attribute(xml, "voice", INDIAN),
                Some(code) => attribute(xml, "language", code),
                None => {}
            }
        }
    }
    xml.push('>');
    escape(xml, &line.text);
    xml.push_str("</Speak>");
}

/// `a=1,b=2`. What would be read as another pair, or does not fit, is left out: the path of the socket
/// names the call, these only go with it.
fn headers(parameters: &[(String, String)]) -> String {
    let plain = |text: &str| !text.is_empty() && !text.contains(['=', ',', ';', '{', '}', ':']);
    let mut text = String::new();
    for (name, value) in parameters {
        let pair = format!("{name}={value}");
        if !plain(name) || !plain(value) || text.len() + 1 + pair.len() > MOST_HEADERS {
            continue;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&pair);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(instruction: &Instruction) -> String {
        render(Dialect::Plivo, instruction).replace(r#"<?xml version="1.0" encoding="UTF-8"?>"#, "")
    }

    #[test]
    fn a_stream_comes_back_to_us_when_its_socket_ends() {
        let xml = body(&Instruction::Stream {
            socket_url: "wss://h/media/plivo/7f1c".into(),
            resume_url: "https://h/telephony/plivo/resume/7f1c?n=1&k=2".into(),
            status_url: "https://h/s".into(),
            parameters: vec![("eid".into(), "7f1c".into()), ("run".into(), "1".into())],
        });
        assert_eq!(
            xml,
            concat!(
                r#"<Response><Stream bidirectional="true" audioTrack="inbound" streamTimeout="86400" "#,
                r#"statusCallbackUrl="https://h/s" statusCallbackMethod="POST" "#,
                r#"contentType="audio/x-mulaw;rate=8000" extraHeaders="eid=7f1c,run=1" keepCallAlive="true">"#,
                r#"wss://h/media/plivo/7f1c</Stream><Redirect method="POST">"#,
                r#"https://h/telephony/plivo/resume/7f1c?n=1&amp;k=2"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000</Redirect></Response>"#,
            )
        );
    }

    #[test]
    fn a_transfer_comes_back_to_us_with_its_outcome() {
        let xml = body(&Instruction::Dial {
            to: "+14155550177".into(),
            from: "+14155550100".into(),
            ring: std::time::Duration::from_secs(40),
            outcome_url: "https://h/telephony/plivo/outcome/7f1c".into(),
            status_url: "https://h/telephony/plivo/leg/7f1c".into(),
            offer: None,
        });
        assert_eq!(
            xml,
            concat!(
                r#"<Response><Dial action="https://h/telephony/plivo/outcome/7f1c"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" method="POST" timeout="40" "#,
                r#"callerId="14155550100" callbackUrl="https://h/telephony/plivo/leg/7f1c"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" callbackMethod="POST">"#,
                r#"<Number>14155550177</Number></Dial></Response>"#,
            )
        );
    }

    #[test] // R115
    fn an_offer_is_heard_at_the_other_leg_and_taken_by_the_dials_key() {
        let xml = body(&Instruction::Dial {
            to: "+14155550177".into(),
            from: "+14155550100".into(),
            ring: std::time::Duration::from_secs(40),
            outcome_url: "https://h/o".into(),
            status_url: "https://h/l".into(),
            offer: Some(crate::OfferUrl {
                url: "https://h/offer".into(),
                limit: std::time::Duration::from_secs(26),
            }),
        });
        let offered = concat!(
            r#"callerId="14155550100" confirmSound="https://h/offer#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" "#,
            r#"confirmKey="1" confirmTimeout="26" callbackUrl="https://h/l"#,
        );
        assert!(xml.contains(offered), "{xml}");
        let xml = body(&Instruction::Offer {
            line: Line {
                text: "Asha & order 7. Press 1.".into(),
                voice: Some(Voice::Speaks("fr".into())),
            },
            wait: std::time::Duration::from_secs(20),
            take_url: "https://h/take".into(),
        });
        assert_eq!(
            xml,
            r#"<Response><Speak language="fr-FR">Asha &amp; order 7. Press 1.</Speak></Response>"#
        );
    }

    #[test]
    fn a_menu_is_said_and_its_keys_are_told() {
        let xml = body(&Instruction::Gather {
            say: vec!["Press 1 & wait.".into()],
            voice: "Polly.Aditi".into(),
            wait: std::time::Duration::from_secs(7),
            most: 4,
            finish: '#',
            keys_url: "https://h/keys?step=a&tries=0".into(),
        });
        assert_eq!(
            xml,
            concat!(
                r#"<Response><GetInput action="https://h/keys?step=a&amp;tries=0"#,
                r##"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" method="POST" inputType="dtmf" "##,
                r##"executionTimeout="7" finishOnKey="#" numDigits="4"><Speak voice="Polly.Aditi">"##,
                r#"Press 1 &amp; wait.</Speak></GetInput><Redirect method="POST">https://h/keys?step=a&amp;tries=0"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000</Redirect></Response>"#,
            )
        );
    }

    #[test]
    fn headers_hold_what_can_be_told_apart_and_fits() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let long = "x".repeat(507);
        let all = [
            pair("a", "1"),
            pair("b", "2,c=3"),
            pair("", "4"),
            pair("d", &long),
            pair("e", "5"),
        ];
        assert_eq!(headers(&all), "a=1,e=5");
    }

    #[test]
    fn the_short_documents() {
        let goodbye = |dialect, voice| {
            let text = "We're sorry & out".into();
            let xml = render(dialect, &Instruction::Goodbye(Line { text, voice }));
            xml.split_once("?>").unwrap_or_default().1.to_owned()
        };
        assert_eq!(
            body(&Instruction::HangUp),
            "<Response><Hangup /></Response>"
        );
        assert_eq!(
            body(&Instruction::Reject),
            r#"<Response><Hangup reason="rejected" /></Response>"#
        );
        assert_eq!(
            body(&Instruction::Busy),
            r#"<Response><Hangup reason="busy" /></Response>"#
        );
        assert_eq!(
            goodbye(Dialect::Plivo, None),
            "<Response><Speak>We&apos;re sorry &amp; out</Speak><Hangup /></Response>"
        );
        let hindi = || Some(Voice::Speaks("hi".into()));
        assert_eq!(
            goodbye(Dialect::Plivo, hindi()),
            r#"<Response><Speak voice="Polly.Aditi">We&apos;re sorry &amp; out</Speak><Hangup /></Response>"#
        );
        assert_eq!(
            goodbye(Dialect::Vobiz, hindi()),
            goodbye(Dialect::Plivo, None)
        );
    }
}
