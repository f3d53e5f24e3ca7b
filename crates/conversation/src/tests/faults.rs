//! Faults of vendors, stalls, bounds (R97, R154, R192-R195, R204, R205).

use bolo_execution::EndReason;
use insta::assert_snapshot;

use super::play::{after_answer, play, play_all, played, script, since};
use crate::{At, Conversation, End, Fault, FaultKind, Input, Output, Script};

fn later(call: &str) -> String {
    since(8900, &play(script(), &after_answer(call)))
}

// ---- the model ----

#[test] // R194
fn a_refused_key_is_not_tried_again_and_the_second_turn_ends_the_call() {
    let call = "
        9000 end tell me
        9100 fail 3 auth
        9150 audio 4 1000
        10150 mark 4:end
        11000 end tell me now
        11100 fail 5 auth
        11200 audio 6 2000
        13200 mark 6:end
    ";
    assert_snapshot!(later(call), @r"
    9000 ask 3, user: tell me
    9100 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?
    9150 play 4.1
    9150 play_end 4
    11000 ask 5, user: tell me now
    11100 fault vendor: Auth
    11100 clip 6 Apology: I'm sorry, we have a technical problem. Please call again later. Goodbye.
    11200 play 6.1
    11200 play_end 6
    13200 hang_up llm_error
    ");
    let call = played(script(), &after_answer(call));
    assert_eq!(call.end(), Some(End::Ours(EndReason::LlmError)));
    assert!(call.any_agent_audio());
}

#[test] // R194
fn a_refused_request_is_asked_once_more_with_less_history() {
    assert_snapshot!(later("
        9000 end tell me
        9100 fail 3 bad_request
        9200 fail 4 bad_request
    "), @r"
    9000 ask 3, user: tell me
    9100 ask 4, user: tell me
    9200 clip 5 Recovery: Sorry, I didn't get that. Could you say it again?
    ");
    assert_snapshot!(later("9000 end tell me\n9100 fail 3 not_found"), @r"
    9000 ask 3, user: tell me
    9100 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?
    ");
}

#[test] // R194
fn a_vendor_may_say_when_to_ask_again() {
    let asked_again = |ms: u64| {
        let mut call = played(script(), &after_answer("9000 end tell me"));
        let fault = Fault {
            kind: FaultKind::RateLimited,
            message: "m: busy".into(),
            retry_after_ms: Some(ms),
        };
        call.handle(
            At(9100),
            Input::AnswerFailed {
                answer: crate::AnswerId(3),
                fault,
            },
        );
        call.deadline().map(|at| at.0 - 9100)
    };
    assert_eq!(asked_again(900), Some(900));
    assert_eq!(asked_again(5000), Some(250));
}

#[test] // R194
fn a_slow_model_is_given_up() {
    // No token: asked again; "one moment" meanwhile.
    assert_snapshot!(later("9000 end tell me\n14300 tick"), @r"
    9000 ask 3, user: tell me
    13000 clip 4 OneMoment: Just a moment.
    14000 cancel_ask 3
    14250 ask 5, user: tell me
    ");
    // Tokens stop after a sentence: that was the answer.
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 We open at nine. And then we
        9300 audio 3 900
        9400 token 3  will
        17500 tick
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0: We open at nine.
    9400 play 3.1
    17400 cancel_ask 3
    17400 say 3.1 last:
    ");
}

#[test] // R97, R194
fn a_model_that_thinks_aloud_is_waited_for_while_it_does() {
    assert_snapshot!(later("
        9000 end tell me
        10000 thinks 3
        13050 audio 4 900
        13950 mark 4:end
        15000 thinks 3
        20000 thinks 3
        24000 token 3 We open at nine. And then we
    "), @r"
    9000 ask 3, user: tell me
    13000 clip 4 OneMoment: Just a moment.
    13050 play 4.1
    13050 play_end 4
    19000 clip 5 OneMoment: One moment, please.
    24000 say 3.0: We open at nine.
    ");
    // Not for longer than between words, and than for an answer.
    assert_snapshot!(later("
        9000 end tell me
        10000 thinks 3
        18000 tick
    "), @r"
    9000 ask 3, user: tell me
    13000 clip 4 OneMoment: Just a moment.
    18000 cancel_ask 3
    ");
}

#[test] // R194
fn a_dropped_answer_keeps_its_whole_sentences() {
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 We open at nine. And then we will
        9300 fail 3 dropped
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0: We open at nine.
    9300 say 3.1 last:
    ");
    // Half a sentence was said: nothing to keep.
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 We open at nine in the morning, and then
        9200 chunk 3 1 1000
        9500 fail 3 dropped
        9600 audio 4 1000
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0: We open at nine in the morning,
    9400 play 3.1
    9500 cancel_say 3
    9500 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?
    9500 play_end 3
    9600 play 4.1
    9600 play_end 4
    ");
}

#[test] // R194
fn a_refusal_has_a_line_of_its_own() {
    assert_snapshot!(later("9000 end tell me\n9100 fail 3 content"), @r"
    9000 ask 3, user: tell me
    9100 clip 4 Recovery: I'm afraid I can't help with that. Is there anything else?
    ");
    assert_snapshot!(later("9000 end tell me\n9100 done_filter 3"), @r"
    9000 ask 3, user: tell me
    9100 clip 4 Recovery: I'm afraid I can't help with that. Is there anything else?
    ");
}

#[test] // R97
fn a_wait_is_never_silent() {
    assert_snapshot!(later("
        9000 end tell me
        13000 tick
        13050 audio 4 900
        13900 token 3 We open
        13950 mark 4:end
        19000 tick
        19050 audio 5 900
    "), @r"
    9000 ask 3, user: tell me
    13000 clip 4 OneMoment: Just a moment.
    13050 play 4.1
    13050 play_end 4
    14150 say 3.0: We
    19000 clip 5 OneMoment: One moment, please.
    19050 play 5.1
    19050 play_end 5
    ");
}

// ---- the voice ----

#[test] // R195, R192
fn an_answer_that_can_not_be_spoken_is_apologised_for() {
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 We open at nine in the morning, and then
        9200 chunk 3 1 1000
        9500 speech_fail 3
        9600 audio 4 1000
        11300 mark 4:end
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0: We open at nine in the morning,
    9400 play 3.1
    9500 cancel_ask 3
    9500 cancel_say 3
    9500 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?
    9500 play_end 3
    9600 play 4.1
    9600 play_end 4
    ");
    // The apology can't be spoken either.
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 At nine.
        9100 done 3
        9200 speech_fail 3
        9300 speech_fail 4
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0 last: At nine.
    9200 cancel_say 3
    9200 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?
    9300 cancel_say 4
    9300 fault vendor: Dropped
    9300 hang_up synthesizer_error
    ");
}

#[test] // R195
fn a_welcome_that_fails_does_not_keep_the_caller_out() {
    assert_snapshot!(play(script(), "
        0 start
        500 speech_fail 1
        700 audio 2 1000
        1700 mark 2:end
        3000 end hello who is there
    "), @r"
    0 answered
    0 clip 1 Welcome: Hello from the shop
    500 cancel_say 1
    500 clip 2 Recovery: Sorry, the line was gone for a moment.
    700 play 2.1
    700 play_end 2
    3000 ask 3, user: hello who is there
    ");
}

#[test] // R195
fn a_goodbye_that_fails_still_ends_the_call() {
    assert_snapshot!(later("16000 tick\n16300 speech_fail 4"), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16300 cancel_say 4
    16300 hang_up inactivity_timeout
    ");
}

// ---- the transcriber ----

#[test] // R193
fn a_deaf_agent_says_so_each_time() {
    assert_snapshot!(later("
        9000 down
        9500 voice
        10600 silence
        10700 audio 3 900
        11600 mark 3:end
        12000 voice
        13500 silence
        13600 tick
    "), @r"
    10500 clip 3 Recovery: Sorry, I can't hear you well. Could you say that again?
    10700 play 3.1
    10700 play_end 3
    13000 clip 4 Recovery: Sorry, I can't hear you well. Could you say that again?
    ");
    assert_snapshot!(later("
        9000 down
        12800 lost
        12900 audio 3 900
        13800 mark 3:end
    "), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    12800 fault vendor: Connect
    12800 cancel_say 3
    12800 clip 4 Apology: I'm sorry, we have a technical problem. Please call again later. Goodbye.
    ");
}

#[test] // R193
fn a_turn_is_not_forced_while_nobody_listens() {
    assert_snapshot!(later("
        9000 interim my number is
        9500 down
        12000 up
        12500 end my number is nine
    "), @"12500 ask 3, user: my number is nine");
}

// ---- stalls ----

#[test] // R154
fn work_that_does_not_move_is_dropped_then_ends_the_call() {
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 At nine.
        9100 done 3
        33000 tick
        33100 audio 5 1000
        34100 mark 5:end
        35000 end tell me now
        35100 token 6 At nine.
        35100 done 6
        59001 tick
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0 last: At nine.
    13000 clip 4 OneMoment: Just a moment.
    33000 cancel_say 4
    33000 cancel_say 3
    33000 clip 5 Recovery: Sorry, I didn't get that. Could you say it again?
    33100 play 5.1
    33100 play_end 5
    35000 ask 6, user: tell me now
    35100 say 6.0 last: At nine.
    39000 clip 7 OneMoment: One moment, please.
    59000 cancel_say 7
    59000 cancel_say 6
    59000 fault call: stalled
    59000 clip 8 Apology: I'm sorry, we have a technical problem. Please call again later. Goodbye.
    ");
}

// ---- bounds ----

#[test] // R204
fn an_endless_answer_is_cut() {
    let words = "And so it goes on and on and on. ".repeat(150);
    let (outputs, _) = play_all(
        script(),
        &after_answer(&format!("9000 end tell me\n9100 token 3 {words}")),
    );
    let said: usize = outputs
        .iter()
        .map(|(_, output)| match output {
            Output::Say { answer, text, .. } if answer.0 == 3 => text.chars().count(),
            _ => 0,
        })
        .sum();
    assert!((3900..=4000).contains(&said), "{said}");
    assert!(
        outputs
            .iter()
            .any(|(_, output)| matches!(output, Output::CancelAsk { .. }))
    );
}

#[test] // R205
fn nothing_is_decided_before_the_media_or_after_the_end() {
    let mut call = Conversation::new(Script {
        welcome: String::new(),
        ..script()
    });
    for early in [
        "end hello",
        "token 1 x",
        "mark 1:end",
        "voice",
        "media_resumed",
        "key 1",
    ] {
        for input in super::play::input(early) {
            assert_eq!(call.handle(At(0), input), []);
        }
    }
    assert_eq!(call.deadline(), None);
    call.handle(At(1), Input::MediaStop);
    assert!(call.is_over() && call.end() == Some(End::Remote));
    for late in [
        "start",
        "end hello",
        "media_resumed",
        "stop_request",
        "media_stop",
    ] {
        for input in super::play::input(late) {
            assert_eq!(call.handle(At(2), input), []);
        }
    }
}
