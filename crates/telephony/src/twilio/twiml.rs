//! Answer documents. Source: wire-telephony.md §1.6; attributes stand in the order of Twilio's own SDKs.

use std::time::Duration;

use super::FETCH_RULES;
use crate::{
    Instruction, Line, Voice,
    said::closest,
    xml::{attribute, escape},
};

/// Languages of `<Say>` (its page "Text-to-Speech"); of a language's kin the usual one comes first.
const LANGUAGES: [&str; 63] = [
    "af-ZA", "ar-XA", "ar-AE", "bg-BG", "bn-IN", "ca-ES", "cmn-CN", "cmn-TW", "cs-CZ", "cy-GB",
    "da-DK", "de-DE", "de-AT", "el-GR", "en-US", "en-AU", "en-GB", "en-IE", "en-IN", "en-NZ",
    "en-ZA", "es-ES", "es-MX", "es-US", "eu-ES", "fi-FI", "fil-PH", "fr-FR", "fr-BE", "fr-CA",
    "gl-ES", "gu-IN", "he-IL", "hi-IN", "hu-HU", "id-ID", "is-IS", "it-IT", "ja-JP", "kn-IN",
    "ko-KR", "lt-LT", "lv-LV", "ml-IN", "mr-IN", "ms-MY", "nb-NO", "nl-NL", "nl-BE", "pa-IN",
    "pl-PL", "pt-BR", "pt-PT", "ro-RO", "ru-RU", "sk-SK", "sv-SE", "ta-IN", "te-IN", "th-TH",
    "tr-TR", "vi-VN", "yue-HK",
];

/// The document for an instruction, UTF-8, far below Twilio's 64 KB.
pub(super) fn render(instruction: &Instruction) -> String {
    let mut xml = String::from(r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#);
    match instruction {
        Instruction::Stream {
            socket_url,
            resume_url,
            status_url,
            parameters,
        } => {
            xml.push_str("<Connect><Stream");
            if !status_url.is_empty() {
                attribute(&mut xml, "statusCallback", status_url);
                attribute(&mut xml, "statusCallbackMethod", "POST");
            }
            attribute(&mut xml, "url", socket_url);
            if parameters.is_empty() {
                xml.push_str(" />");
            } else {
                xml.push('>');
                for (name, value) in parameters {
                    xml.push_str("<Parameter");
                    attribute(&mut xml, "name", name);
                    attribute(&mut xml, "value", value);
                    xml.push_str(" />");
                }
                xml.push_str("</Stream>");
            }
            // Runs when the socket ends, whatever the cause: the one hook that survives our process.
            xml.push_str(r#"</Connect><Redirect method="POST">"#);
            escape(&mut xml, resume_url);
            escape(&mut xml, FETCH_RULES);
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
            attribute(&mut xml, "action", &format!("{outcome_url}{FETCH_RULES}"));
            if offer.is_some() {
                // The caller hears the ringing until then.
                attribute(&mut xml, "answerOnBridge", "true");
            }
            attribute(&mut xml, "callerId", from);
            attribute(&mut xml, "method", "POST");
            attribute(
                &mut xml,
                "timeout",
                &ring.as_secs().clamp(5, 600).to_string(),
            );
            xml.push_str("><Number");
            if offer.is_some() {
                attribute(&mut xml, "method", "POST");
            }
            // Without it a caller who was taken over would count as not.
            attribute(
                &mut xml,
                "statusCallback",
                &format!("{status_url}{FETCH_RULES}"),
            );
            attribute(&mut xml, "statusCallbackEvent", "answered completed");
            attribute(&mut xml, "statusCallbackMethod", "POST");
            if let Some(offer) = offer {
                attribute(&mut xml, "url", &format!("{}{FETCH_RULES}", offer.url));
            }
            xml.push('>');
            escape(&mut xml, to);
            xml.push_str("</Number></Dial>");
        }
        Instruction::Offer {
            line,
            wait,
            take_url,
        } => {
            gather(&mut xml, take_url, *wait, '#', 1);
            say(&mut xml, line);
            xml.push_str("</Gather><Hangup />");
        }
        Instruction::Gather {
            say,
            voice,
            wait,
            most,
            finish,
            keys_url,
        } => {
            gather(&mut xml, keys_url, *wait, *finish, *most);
            for text in say {
                xml.push_str("<Say");
                attribute(&mut xml, "voice", voice);
                xml.push('>');
                escape(&mut xml, text);
                xml.push_str("</Say>");
            }
            xml.push_str("</Gather>");
        }
        // The end of the document that the other leg hears connects the two.
        Instruction::Connect => {}
        Instruction::HangUp => xml.push_str("<Hangup />"),
        Instruction::Reject => xml.push_str("<Reject />"),
        Instruction::Busy => xml.push_str(r#"<Reject reason="busy" />"#),
        Instruction::Goodbye(line) => {
            say(&mut xml, line);
            xml.push_str("<Hangup />");
        }
    }
    xml.push_str("</Response>");
    xml
}

fn say(xml: &mut String, line: &Line) {
    xml.push_str("<Say");
    match &line.voice {
        None => {}
        Some(Voice::Named(name)) => attribute(xml, "voice", name),
        Some(Voice::Speaks(language)) => {
            if let Some(code) = closest(language, &LANGUAGES) {
                attribute(xml, "language", code);
            }
        }
    }
    xml.push('>');
    escape(xml, &line.text);
    xml.push_str("</Say>");
}

/// Opens a `<Gather>`, whose action is asked in any case.
fn gather(xml: &mut String, url: &str, wait: Duration, finish: char, most: u64) {
    xml.push_str("<Gather");
    attribute(xml, "action", &format!("{url}{FETCH_RULES}"));
    attribute(xml, "actionOnEmptyResult", "true");
    attribute(xml, "finishOnKey", finish.encode_utf8(&mut [0; 4]));
    attribute(xml, "input", "dtmf");
    attribute(xml, "method", "POST");
    attribute(xml, "numDigits", &most.to_string());
    attribute(xml, "timeout", &wait.as_secs().max(1).to_string());
    xml.push('>');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OfferUrl;

    #[test]
    fn a_stream_comes_back_to_us_when_its_socket_ends() {
        let xml = render(&Instruction::Stream {
            socket_url: "wss://h.example/media/twilio/7f1c/1/ab".into(),
            resume_url: "https://h.example/telephony/twilio/resume/7f1c/1/ab?n=1&k=2".into(),
            status_url: "https://h.example/telephony/twilio/stream/7f1c/1/ab".into(),
            parameters: vec![("eid".into(), "7f\"1c<'>\u{0}\n".into())],
        });
        assert_eq!(
            xml,
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response><Connect>"#,
                r#"<Stream statusCallback="https://h.example/telephony/twilio/stream/7f1c/1/ab" "#,
                r#"statusCallbackMethod="POST" url="wss://h.example/media/twilio/7f1c/1/ab">"#,
                r#"<Parameter name="eid" value="7f&quot;1c&lt;&apos;&gt;&#10;" /></Stream></Connect>"#,
                r#"<Redirect method="POST">https://h.example/telephony/twilio/resume/7f1c/1/ab?n=1&amp;k=2"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000</Redirect></Response>"#,
            )
        );
    }

    #[test]
    fn a_transfer_comes_back_to_us_with_its_outcome() {
        let xml = render(&Instruction::Dial {
            to: "+14155550177".into(),
            from: "+14155550100".into(),
            ring: std::time::Duration::from_secs(40),
            outcome_url: "https://h.example/telephony/twilio/outcome/7f1c/1/ab".into(),
            status_url: "https://h.example/telephony/twilio/leg/7f1c/1/ab".into(),
            offer: None,
        });
        assert_eq!(
            xml,
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response><Dial "#,
                r#"action="https://h.example/telephony/twilio/outcome/7f1c/1/ab"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" "#,
                r#"callerId="+14155550100" method="POST" timeout="40">"#,
                r#"<Number statusCallback="https://h.example/telephony/twilio/leg/7f1c/1/ab"#,
                r#"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" "#,
                r#"statusCallbackEvent="answered completed" statusCallbackMethod="POST">"#,
                r#"+14155550177</Number></Dial></Response>"#,
            )
        );
    }

    #[test] // R115
    fn an_offer_is_heard_and_taken_at_the_other_leg() {
        let limit = std::time::Duration::from_secs(26);
        let xml = render(&Instruction::Dial {
            to: "+14155550177".into(),
            from: "+14155550100".into(),
            ring: std::time::Duration::from_secs(40),
            outcome_url: "https://h.example/o".into(),
            status_url: "https://h.example/l".into(),
            offer: Some(OfferUrl {
                url: "https://h.example/offer".into(),
                limit,
            }),
        });
        let rules = "#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000";
        assert_eq!(
            xml,
            format!(
                concat!(
                    r#"<?xml version="1.0" encoding="UTF-8"?><Response><Dial action="https://h.example/o{0}" "#,
                    r#"answerOnBridge="true" callerId="+14155550100" method="POST" timeout="40">"#,
                    r#"<Number method="POST" statusCallback="https://h.example/l{0}" "#,
                    r#"statusCallbackEvent="answered completed" statusCallbackMethod="POST" "#,
                    r#"url="https://h.example/offer{0}">+14155550177</Number></Dial></Response>"#,
                ),
                rules
            )
        );
        let xml = render(&Instruction::Offer {
            line: Line {
                text: "Asha & order 7. Press 1.".into(),
                voice: Some(Voice::Speaks("hi".into())),
            },
            wait: std::time::Duration::from_secs(20),
            take_url: "https://h.example/take".into(),
        });
        assert_eq!(
            xml,
            format!(
                concat!(
                    r#"<?xml version="1.0" encoding="UTF-8"?><Response><Gather action="https://h.example/take{0}" "#,
                    r##"actionOnEmptyResult="true" finishOnKey="#" input="dtmf" method="POST" numDigits="1" timeout="20">"##,
                    r#"<Say language="hi-IN">Asha &amp; order 7. Press 1.</Say></Gather><Hangup /></Response>"#,
                ),
                rules
            )
        );
        let xml = render(&Instruction::Connect);
        assert!(xml.ends_with("<Response></Response>"), "{xml}");
    }

    #[test]
    fn a_menu_is_said_and_its_keys_are_told() {
        let xml = render(&Instruction::Gather {
            say: vec!["Welcome.".into(), "Press 1 & wait.".into()],
            voice: "Polly.Aditi".into(),
            wait: Duration::from_secs(7),
            most: 4,
            finish: '*',
            keys_url: "https://h.example/keys?step=a&tries=0".into(),
        });
        assert_eq!(
            xml,
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response><Gather action="https://h.example/keys?step=a&amp;tries=0"#,
                r##"#rc=2&amp;rp=ct,rt,5xx&amp;ct=2000&amp;rt=4000" actionOnEmptyResult="true" finishOnKey="*" "##,
                r#"input="dtmf" method="POST" numDigits="4" timeout="7"><Say voice="Polly.Aditi">Welcome.</Say>"#,
                r#"<Say voice="Polly.Aditi">Press 1 &amp; wait.</Say></Gather></Response>"#,
            )
        );
    }

    #[test]
    fn the_short_documents() {
        let body = |instruction: Instruction| {
            let xml = render(&instruction);
            xml.strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?>"#)
                .map(str::to_owned)
        };
        let goodbye = |voice| {
            let text = "We're sorry & out".into();
            body(Instruction::Goodbye(Line { text, voice })).unwrap_or_default()
        };
        assert_eq!(
            body(Instruction::HangUp).as_deref(),
            Some("<Response><Hangup /></Response>")
        );
        assert_eq!(
            body(Instruction::Reject).as_deref(),
            Some("<Response><Reject /></Response>")
        );
        assert_eq!(
            body(Instruction::Busy).as_deref(),
            Some(r#"<Response><Reject reason="busy" /></Response>"#)
        );
        assert_eq!(
            goodbye(None),
            "<Response><Say>We&apos;re sorry &amp; out</Say><Hangup /></Response>"
        );
        assert_eq!(
            goodbye(Some(Voice::Named("Polly.Aditi".into()))),
            r#"<Response><Say voice="Polly.Aditi">We&apos;re sorry &amp; out</Say><Hangup /></Response>"#
        );
        // A language that Twilio does not speak is not asked for.
        assert_eq!(goodbye(Some(Voice::Speaks("multi".into()))), goodbye(None));
    }
}
