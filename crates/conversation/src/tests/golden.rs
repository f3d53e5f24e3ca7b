//! The golden scripts of runtime.md §18, with its times.

use insta::assert_snapshot;

use super::play::{ANSWERED, after_answer, play, play_metrics, played, script, since};
use crate::{At, Script};

#[test]
fn g1_open() {
    assert_snapshot!(play(script(), "
        0 start
        0 audio 1 2000
        2000 mark 1:end
        7999 tick
    "), @r"
    0 answered
    0 clip 1 Welcome: Hello from the shop
    0 play 1.1
    0 play_end 1
    ");
    let call = played(script(), "0 start\n0 audio 1 2000\n2000 mark 1:end");
    assert_eq!(call.deadline(), Some(At(8000)));
    assert_eq!(call.next_silence(), Some(At(12_000)));
}

#[test]
fn g2_first_turn_without_hold() {
    assert_snapshot!(since(3600, &play(script(), ANSWERED)), @r"
    3600 ask 2, user: I want to book
    3900 say 2.0 last: Sure, when?
    4050 play 2.1
    4050 play_end 2
    ");
}

#[test]
fn g3_hold_on_a_later_turn() {
    let log = play(
        script(),
        &after_answer(
            "
        9950 interim tomorrow at nine
        10000 end Tomorrow at nine.
        10150 token 3 At nine it is.
        10150 done 3
        10200 audio 3 1000
        10400 tick
    ",
        ),
    );
    assert_snapshot!(since(9000, &log), @r"
    10000 ask 3, user: Tomorrow at nine.
    10150 say 3.0 last: At nine it is.
    10350 play 3.1
    10350 play_end 3
    ");
}

#[test]
fn g4_split_utterance() {
    let log = play(
        script(),
        &after_answer(
            "
        10000 end my number is
        10300 interim nine eight
        11500 end nine eight seven
    ",
        ),
    );
    assert_snapshot!(since(9000, &log), @r"
    10000 ask 3, user: my number is
    10300 cancel_ask 3
    10300 cancel_say 3
    11500 ask 4, user: my number is nine eight seven
    ");
}

/// An answer (id 3) of 2000 ms that is played from 20000 on.
const ORDER: &str = "
    11000 key 1
    16000 key 1
    19000 end where is my order
    19100 token 3 Your order will arrive on Monday
    19100 done 3
    20000 audio 3 2000
";

#[test]
fn g5_barge_in_and_trim() {
    let text = after_answer(&format!(
        "{ORDER}
        20900 interim but why
        20910 mark 3:1
        22000 end but why
    "
    ));
    assert_snapshot!(since(20_000, &play(script(), &text)), @r"
    20000 play 3.1
    20000 play_end 3
    20900 clear
    20900 cancel_say 3
    22000 ask 4, user: but why
    ");
    assert_snapshot!(played(script(), &text).transcript(), @r"
    assistant: Hello from the shop
    user: I want to book
    assistant: Sure, when?
    user: where is my order
    assistant: Your order
    user: but why
    ");
}

#[test]
fn g6_a_phrase_beats_the_number_of_words() {
    let five = Script {
        words_to_interrupt: 5,
        ..script()
    };
    let log = play(five, &after_answer(&format!("{ORDER} 20900 final Stop.")));
    assert_snapshot!(since(20_900, &log), @r"
    20900 clear
    20900 cancel_say 3
    ");
}

#[test]
fn g7_backchannel() {
    let text = after_answer(&format!(
        "{ORDER}
        20900 interim hmm
        21000 final hmm
        22000 mark 3:end
        22010 tick
    "
    ));
    assert_snapshot!(since(20_001, &play(script(), &text)), @"");
    let call = played(script(), &text);
    assert_eq!(
        (call.next_online_check(), call.next_silence()),
        (Some(At(28_000)), Some(At(32_000)))
    );
}

#[test]
fn g8_yes_over_the_questions_end() {
    let log = play(
        script(),
        &after_answer(
            "
        11000 key 1
        16000 key 1
        21000 key 1
        26000 end book it
        27100 token 3 Shall I book it?
        27100 done 3
        28000 audio 3 2000
        29600 final yes
        30000 mark 3:end
        30001 tick
    ",
        ),
    );
    assert_snapshot!(since(28_001, &log), @"30000 ask 4, user: yes");
}

#[test]
fn g9_cough() {
    let text = "
        0 start
        0 audio 1 1000
        1000 mark 1:end
        1500 end tell me everything
        1600 token 2 It is a long and winding story that I will tell you now.
        1600 done 2
        1700 audio 2 8000
        3000 voice
        3500 silence
        4600 tick
    ";
    assert_snapshot!(since(3000, &play_metrics(script(), text)), @r#"
    3400 pause
    4500 metric "false_interruption"
    4500 resume 2.1 from 2100
    "#);
    let call = played(script(), text);
    assert_eq!(call.stats().false_interruption_count, 1);
    assert_eq!(call.stats().user_interrupted_agent_count, 0);
}

#[test]
fn g10_noise_of_a_dead_answer() {
    let before = after_answer(&format!("{ORDER} 20900 interim but why"));
    let noise = format!(
        "{before}
        20950 chunk 3 2 400
        20960 token 3 and more
        20970 done 3
        20980 mark 3:end
        20990 tick
    "
    );
    assert_snapshot!(since(20_901, &play(script(), &noise)), @"");
    assert_eq!(
        played(script(), &before).transcript(),
        played(script(), &noise).transcript()
    );
}

#[test]
fn g11_lost_marks() {
    let text = "
        0 start
        0 audio 1 1000
        1000 mark 1:end
        6000 key 1
        11000 key 1
        16000 key 1
        21000 key 1
        26000 key 1
        31000 key 1
        36000 key 1
        39000 end go on
        39100 token 2 That is it.
        39100 done 2
        40000 audio 2 1500
    ";
    assert_snapshot!(
        since(40_001, &play_metrics(script(), &format!("{text} 43600 tick"))),
        @r#"43500 metric "mark_missing""#
    );
    let call = played(script(), &format!("{text} 41500 tick"));
    assert_eq!(call.speaking(), crate::state::Speaking::No);
    assert_eq!(call.next_online_check(), Some(At(47_500)));
}

#[test]
fn g12_talk_during_the_welcome() {
    let call = |said: &str| {
        format!("0 start\n0 audio 1 2000\n800 final {said}\n2000 mark 1:end\n2001 tick")
    };
    assert_snapshot!(since(1, &play(script(), &call("hello?"))), @"");
    assert_snapshot!(
        since(1, &play(script(), &call("I am calling about my order"))),
        @"2000 ask 2, user: I am calling about my order"
    );
    let discard = Script {
        discard_pre_welcome: true,
        ..script()
    };
    assert_snapshot!(since(1, &play(discard, &call("I am calling about my order"))), @"");
}

/// An agent that waits for the caller.
fn without_welcome() -> Script {
    Script {
        welcome: String::new(),
        ..script()
    }
}

#[test]
fn g13_no_welcome_and_a_silent_caller() {
    assert_snapshot!(play(without_welcome(), "
        0 start
        6000 tick
        6000 audio 1 1500
        7500 mark 1:end
        10000 tick
        10000 audio 2 800
        10800 mark 2:end
        10900 media_stop
    "), @r"
    0 answered
    6000 clip 1 OnlineCheck: Hey, are you still there
    6000 play 1.1
    6000 play_end 1
    10000 clip 2 Goodbye: Goodbye.
    10000 play 2.1
    10000 play_end 2
    10800 hang_up inactivity_timeout
    ");
}

#[test]
fn g14_the_caller_saves_the_call() {
    let call = played(
        without_welcome(),
        "
        0 start
        6000 tick
        6000 audio 1 1500
        7500 mark 1:end
        9900 interim yes I am
        10050 tick
    ",
    );
    assert!(call.end().is_none() && call.next_silence() >= Some(At(19_900)));
}

#[test]
fn g19_the_judges_verdict_is_withdrawn() {
    let judged = Script {
        ending: crate::Ending::Judge("All is said.".into()),
        ..script()
    };
    let answer = after_answer(
        "
        48000 end that was all
        48100 token 3 Then I wish you a very nice day.
        48100 done 3
        49000 audio 3 2000
        50000 judged 2 yes
    ",
    );
    // The first turn's judge ran out of time; the caller is quiet for long, so no silence rules here.
    let judged = Script {
        hangup_after_silence_ms: 0,
        online_check: None,
        ..judged
    };
    let saved = play(
        judged.clone(),
        &format!(
            "{answer}
        50600 interim one more thing
        51000 tick
        51700 end one more thing
    "
        ),
    );
    assert_snapshot!(since(48_000, &saved), @r"
    48000 ask 3, user: that was all
    48100 say 3.0 last: Then I wish you a very nice day.
    48100 ask_judge 2: assistant: Then I wish you a very nice day.
    49000 play 3.1
    49000 play_end 3
    50600 clear
    50600 cancel_say 3
    51700 ask 4, user: one more thing
    ");
    let ended = play(
        judged,
        &format!(
            "{answer}
        51000 mark 3:end
        51000 audio 4 700
        51700 mark 4:end
    "
        ),
    );
    assert_snapshot!(since(49_001, &ended), @r"
    51000 clip 4 Goodbye: Goodbye.
    51000 play 4.1
    51000 play_end 4
    51700 hang_up llm_prompted_hangup
    ");
}

#[test]
fn g24_faults() {
    assert_snapshot!(since(3600, &play(script(), "
        0 start
        0 audio 1 2000
        2000 mark 1:end
        3600 end I want to book
        3700 fail 2 rate_limited
        4000 fail 3 rate_limited
        5100 tick
        5100 audio 5 900
        6000 mark 5:end
        7600 tick
        7600 audio 6 900
        8500 fail 4 rate_limited
        8550 audio 7 2000
    ")), @r"
    3600 ask 2, user: I want to book
    3950 ask 3, user: I want to book
    4750 ask 4, user: I want to book
    5100 clip 5 OneMoment: Just a moment.
    5100 play 5.1
    5100 play_end 5
    7600 clip 6 OneMoment: One moment, please.
    7600 play 6.1
    7600 play_end 6
    8500 clip 7 Recovery: Sorry, I didn't get that. Could you say it again?
    8550 play 7.1
    8550 play_end 7
    ");
    assert_snapshot!(since(3000, &play(script(), "
        0 start
        0 audio 1 2000
        2000 mark 1:end
        3600 final I want
        3700 down
        6500 up
        7000 end to book
    ")), @"7000 ask 2, user: I want to book");
}
