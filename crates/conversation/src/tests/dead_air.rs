//! Whatever fails, the caller is not left in silence for more than 2.5 s without a word (R97, R192-R195).

use insta::assert_snapshot;

use super::play::{after_answer, play, script, since};
use crate::{RouteScript, Rules, Script};

/// With the default of "one moment", after the first answer.
fn later(call: &str) -> String {
    of(script(), call)
}

fn of(plain: Script, call: &str) -> String {
    let script = Script {
        rules: Rules {
            filler_sure_ms: Rules::default().filler_sure_ms,
            ..plain.rules
        },
        ..plain
    };
    since(8900, &play(script, &after_answer(call)))
}

#[test] // R97
fn the_wait_counts_from_the_callers_last_sound() {
    assert_snapshot!(later("
        9000 voice
        9100 interim tell me
        10000 silence
        10600 end tell me
        12300 tick
    "), @r"
    10600 ask 3, user: tell me
    12200 clip 4 OneMoment: Just a moment.
    ");
}

#[test] // R97
fn lines_of_a_wait_do_not_follow_each_other_closely() {
    let fills = Script {
        use_fillers: true,
        ..script()
    };
    assert_snapshot!(of(fills, "
        9000 end tell me
        10300 audio 4 700
        11000 mark 4:end
        12600 audio 5 900
    "), @r"
    9000 ask 3, user: tell me
    10200 clip 4 Filler: Sure.
    10300 play 4.1
    10300 play_end 4
    12500 clip 5 OneMoment: One moment, please.
    12600 play 5.1
    12600 play_end 5
    ");
}

#[test] // R97, R122
fn a_route_that_hits_late_answers_behind_the_line() {
    let routed = Script {
        routes: vec![RouteScript {
            name: "hours".into(),
            responses: vec!["At nine.".into()],
        }],
        ..script()
    };
    assert_snapshot!(of(routed, "
        9000 end when do you open
        11300 audio 4 700
        11400 route 2 0 0
        11500 token 3 We open late.
        11600 audio 5 800
        12000 mark 4:end
        12500 tick
    "), @r"
    9000 ask_route 2: when do you open
    9000 ask 3, user: when do you open
    11200 clip 4 OneMoment: Just a moment.
    11300 play 4.1
    11300 play_end 4
    11400 cancel_ask 3
    11400 clip 5 Route: At nine.
    11600 play 5.1
    11600 play_end 5
    ");
}

#[test] // R97
fn a_voice_puts_a_line_off_but_not_for_ever() {
    assert_snapshot!(later("
        9000 end tell me
        11000 voice
        11600 silence
        12200 tick
    "), @r"
    9000 ask 3, user: tell me
    12100 clip 4 OneMoment: Just a moment.
    ");
    assert_snapshot!(later("
        9000 end tell me
        11000 voice
        13900 tick
        14000 tick
    "), @r"
    9000 ask 3, user: tell me
    14000 cancel_ask 3
    14000 clip 4 OneMoment: Just a moment.
    ");
}

#[test] // R193
fn a_caller_whom_a_mute_transcriber_did_not_hear_is_told() {
    assert_snapshot!(later("
        9000 voice
        10500 silence
        11300 down
        11400 up
        12400 audio 3 900
        13300 mark 3:end
        14000 voice
        15500 silence
        16300 down
        16350 up
        16900 interim where
        17300 end where is it
    "), @r"
    12300 clip 3 Recovery: Sorry, I can't hear you well. Could you say that again?
    12400 play 3.1
    12400 play_end 3
    17300 ask 4, user: where is it
    ");
}

#[test] // R192, R193
fn a_transcriber_that_never_hears_the_caller_ends_the_call() {
    assert_snapshot!(later("
        9000 voice
        10500 silence
        11300 down
        11400 up
        12400 audio 3 900
        13300 mark 3:end
        14000 voice
        15500 silence
        16300 down
        16400 up
        17400 audio 4 900
        18300 mark 4:end
        24400 audio 5 1000
        25400 mark 5:end
        26000 voice
        27500 silence
        28300 down
        28400 up
        29300 tick
    "), @r"
    12300 clip 3 Recovery: Sorry, I can't hear you well. Could you say that again?
    12400 play 3.1
    12400 play_end 3
    17300 clip 4 Recovery: Sorry, I can't hear you well. Could you say that again?
    17400 play 4.1
    17400 play_end 4
    24300 clip 5 OnlineCheck: Hey, are you still there
    24400 play 5.1
    24400 play_end 5
    29300 fault t: hears nothing
    29300 clip 6 Apology: I'm sorry, we have a technical problem. Please call again later. Goodbye.
    ");
}

#[test] // R193
fn half_a_turn_without_a_transcriber_is_asked_for_again() {
    assert_snapshot!(later("
        9000 voice
        9500 interim my number is
        9800 down
        10300 silence
        12200 audio 3 900
        13100 mark 3:end
        13200 up
        15000 end my number is nine
    "), @r"
    12100 clip 3 Recovery: Sorry, I can't hear you well. Could you say that again?
    12200 play 3.1
    12200 play_end 3
    15000 ask 4, user: my number is nine
    ");
}

#[test] // R97, R193
fn who_waits_for_a_replay_waits_since_his_own_last_sound() {
    assert_snapshot!(later("
        9000 interim where is my parcel
        9000 voice
        10500 silence
        11300 down
        11310 up
        13200 tick
    "), @r"
    12111 end_turn
    12411 ask 3, user: where is my parcel
    12700 clip 4 OneMoment: Just a moment.
    ");
}

#[test] // R194
fn a_model_that_stops_within_a_sentence_is_not_waited_for() {
    assert_snapshot!(later("
        9000 end tell me
        9100 token 3 We open at nine in the morning, and then
        9200 chunk 3 1 1000
        9200 piece_done 3 0
        12300 tick
    "), @r"
    9000 ask 3, user: tell me
    9100 say 3.0: We open at nine in the morning,
    9400 play 3.1
    12200 cancel_ask 3
    12200 cancel_say 3
    12200 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?
    12200 play_end 3
    ");
}

#[test] // R194
fn a_torn_sentence_behind_a_whole_one_is_owned_up_to() {
    let endless = "and on every day of the week that follows ".repeat(8);
    let heard = later(&format!(
        "
        9000 end tell me
        9100 token 3 We open at nine. Then {endless}
        9200 chunk 3 1 1000
        9300 fail 3 dropped
    "
    ));
    let last = heard.lines().rfind(|line| line.contains(" clip "));
    assert_eq!(
        last,
        Some("9300 clip 4 Recovery: Sorry, I didn't get that. Could you say it again?"),
        "{heard}"
    );
}
