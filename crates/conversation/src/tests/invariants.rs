//! What holds whatever happens (R66, R77, R205): random orders of events, the agent's vendors and the
//! caller at their worst. `BOLO_PROPTEST_CASES` sets how many are tried.

use std::sync::Arc;

use bolo_execution::Direction;
use proptest::prelude::*;

use super::driver::Checked;
use super::events::{CALLS, Event, SAID, TOKENS};
use super::play::{script, tool};
use crate::{At, Conversation, Ending, Input, RouteScript, Script, ToolScript, VoicemailScript};

fn event() -> impl Strategy<Value = Event> {
    let back = || 0..3_u32;
    prop_oneof![
        3 => any::<bool>().prop_map(Event::Voice),
        1 => Just(Event::Started),
        4 => (0..SAID.len()).prop_map(Event::Interim),
        2 => (0..SAID.len()).prop_map(Event::Final),
        5 => (0..SAID.len()).prop_map(Event::End),
        1 => Just(Event::Ended),
        3 => (0..SAID.len(), any::<bool>()).prop_map(|(text, sure)| Event::Eager(text, sure)),
        1 => Just(Event::Resumed),
        1 => (0..40_u8).prop_map(Event::Transcriber),
        6 => (back(), 0..TOKENS.len()).prop_map(|(back, token)| Event::Token(back, token)),
        1 => back().prop_map(Event::EndCall),
        1 => back().prop_map(Event::Thinks),
        1 => (0..2_u32, 0..CALLS.len()).prop_map(|(back, which)| Event::Named(back, which)),
        3 => (0..2_u32, 0..CALLS.len(), prop::option::of(0..CALLS.len()))
            .prop_map(|(back, first, second)| Event::Calls(back, first, second)),
        3 => (0..2_u32, any::<bool>()).prop_map(|(back, done)| Event::Result(back, done)),
        1 => any::<bool>().prop_map(Event::Transfer),
        4 => (back(), any::<bool>()).prop_map(|(back, whole)| Event::Done(back, whole)),
        1 => (back(), 0..9_u8).prop_map(|(back, kind)| Event::Failed(back, kind)),
        4 => (back(), 20..1000_u64).prop_map(|(back, ms)| Event::Chunk(back, ms)),
        6 => (back(), 20..4000_u64).prop_map(|(back, ms)| Event::Speech(back, ms)),
        2 => back().prop_map(Event::PieceDone),
        3 => back().prop_map(Event::SpeechDone),
        1 => back().prop_map(Event::SpeechFailed),
        3 => (back(), prop::option::of(0..4_u32)).prop_map(|(back, chunk)| Event::Mark(back, chunk)),
        1 => (0..2_u32, any::<bool>()).prop_map(|(back, hit)| Event::Routed(back, hit)),
        1 => (0..2_u32, any::<bool>()).prop_map(|(back, yes)| Event::Judged(back, yes)),
        1 => any::<bool>().prop_map(Event::AnsweredBy),
        2 => prop::sample::select(vec!['1', '2', '#', '*']).prop_map(Event::Key),
        1 => (0..12_u8).prop_map(Event::Media),
        1 => (0..11_000_u64).prop_map(Event::Frozen),
        3 => Just(Event::Tick),
    ]
}

/// The fixture, made once, with English lists only.
fn base() -> Script {
    static BASE: std::sync::LazyLock<Script> = std::sync::LazyLock::new(|| {
        let mut base = script();
        Arc::make_mut(&mut base.rules.phrases).retain(|code, _| code == "en");
        Arc::make_mut(&mut base.rules.lines).retain(|code, _| code == "en");
        base
    });
    BASE.clone()
}

fn tools() -> Vec<ToolScript> {
    vec![
        ToolScript {
            line: "One moment.".into(),
            ..tool("look_up")
        },
        ToolScript {
            speak_result: false,
            ..tool("book")
        },
        ToolScript {
            is_transfer: true,
            is_warm: false,
            line: "Hold the line.".into(),
            ..tool("sales")
        },
    ]
}

fn agent() -> impl Strategy<Value = Script> {
    let ending = prop::sample::select(vec![
        Ending::Never,
        Ending::Tool("All is said.".to_owned()),
        Ending::Judge("All is said.".to_owned()),
    ]);
    (ending, 0..4_u32, any::<[bool; 11]>(), 0..3_u64).prop_map(|(ending, words, flags, delay)| {
        Script {
            welcome: if flags[0] {
                String::new()
            } else {
                base().welcome
            },
            welcome_delay_ms: delay * 700,
            discard_pre_welcome: flags[1],
            words_to_interrupt: words,
            speculate: flags[2],
            use_fillers: flags[3],
            dtmf: flags[4],
            interruptible_goodbye: flags[5],
            goodbye: if flags[6] {
                String::new()
            } else {
                base().goodbye
            },
            routes: if flags[7] {
                Vec::new()
            } else {
                vec![RouteScript {
                    name: "r".into(),
                    responses: vec!["At nine.".into()],
                }]
            },
            voicemail: flags[8].then(|| VoicemailScript {
                message: if flags[9] { "Please call back." } else { "" }.into(),
                ..super::voicemail::looking()
            }),
            tools: if flags[10] { Vec::new() } else { tools() },
            ending,
            ..base()
        }
    })
}

fn cases() -> u32 {
    std::env::var("BOLO_PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(256)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None,
        max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        script in agent(),
        marks in any::<bool>(),
        seed in any::<u64>(),
        events in prop::collection::vec((0..900_u64, event()), 1..80),
        stop in prop::option::of(any::<bool>()),
        luck in prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 16..40)),
    ) {
        let mut checked = Checked::new(script.clone(), luck);
        checked.feed(At(0), Input::MediaStart { direction: Direction::Inbound, marks, web: false, seed });
        for (wait, event) in &events {
            // Most events come close together.
            let at = checked.now.plus(if wait % 3 == 0 { wait * 3 } else { wait % 50 });
            checked.wait(at);
            checked.happen(event);
        }
        checked.check_transcript();
        if script.words_to_interrupt > 0 && !script.discard_pre_welcome {
            checked.check_that_a_caller_is_answered();
        }
        match stop {
            Some(true) => checked.feed(checked.now, Input::MediaStop),
            Some(false) => checked.feed(checked.now, Input::StopRequested),
            None => {}
        }
        // Left alone, every call ends.
        checked.wait(checked.now.plus(400_000));
        prop_assert!(checked.call.is_over(), "the call never ends: {:?}", checked.call.deadline());
        checked.check_transcript();

        // The same inputs, the same decisions.
        let mut again = Conversation::new(script);
        for ((at, input), outputs) in checked.inputs.iter().zip(&checked.outputs) {
            let repeated = serde_json::to_string(&again.handle(*at, input.clone())).unwrap();
            prop_assert_eq!(repeated, serde_json::to_string(outputs).unwrap());
        }
        prop_assert_eq!(&again, &checked.call);
    }
}
