//! The welcome and the caller's turns (R14-R43).

use insta::assert_snapshot;

use super::play::{after_answer, after_statement, play, play_metrics, played, script, since};
use crate::state::Speaking;
use crate::{AnswerId, Rules, Script};

#[test] // R15
fn the_welcome_waits_for_its_delay() {
    let late = Script {
        welcome_delay_ms: 1500,
        ..script()
    };
    assert_snapshot!(play(late, "0 start\n1501 tick"), @r"
    0 answered
    1500 clip 1 Welcome: Hello from the shop
    ");
}

#[test] // R18
fn a_lost_mark_does_not_keep_the_welcome_open() {
    assert_snapshot!(since(1, &play(script(), "
        0 start
        0 audio 1 2000
        2499 end my order number is nine
        2600 tick
    ")), @"2500 ask 2, user: my order number is nine");
    assert_snapshot!(since(1, &play(script(), "
        0 start_without_marks
        0 audio 1 2000
        1000 end my order number is nine
        2001 tick
    ")), @"2000 ask 2, user: my order number is nine");
}

#[test] // R18
fn nothing_cuts_the_welcome() {
    assert_snapshot!(since(1, &play(script(), "
        0 start
        0 audio 1 2000
        500 voice
        1000 final stop stop stop
        1100 end stop it now please
        1200 silence
        1900 tick
    ")), @"");
}

#[test] // R19
fn a_caller_in_mid_sentence_at_the_welcomes_end_goes_on() {
    assert_snapshot!(since(1, &play(script(), "
        0 start
        0 audio 1 2000
        1500 voice
        1900 interim yes I
        2000 mark 1:end
        2600 interim yes I would like
        3000 end yes I would like tea
    ")), @"3000 ask 2, user: yes I would like tea");
    let discard = Script {
        discard_pre_welcome: true,
        ..script()
    };
    assert_snapshot!(since(1, &play(discard, "
        0 start
        0 audio 1 2000
        1500 voice
        1900 interim yes I
        2000 mark 1:end
        2600 interim yes I would like
        3000 end yes I would like tea
        3100 silence
        5000 end tea please
    ")), @"5000 ask 2, user: tea please");
}

#[test] // R23
fn the_agents_own_words_are_no_speech() {
    assert_snapshot!(since(1, &play(script(), "
        0 start
        0 audio 1 2000
        900 final hello
        1500 final hello from the shop
        2000 mark 1:end
        4000 tick
    ")), @"");
    assert_snapshot!(since(10_001, &play(script(), &after_statement("
        10900 interim your order
        11000 final your order
        12700 final on Monday
        12900 tick
    "))), @"");
}

#[test] // R29
fn a_turn_without_news_is_ended() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 interim tomorrow at
        11000 tick
    "))), @r"
    10201 end_turn
    10501 ask 3, user: tomorrow at
    ");
    // A transcriber that only had to be told.
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 interim tomorrow at
        10300 end tomorrow at nine
    "))), @r"
    10201 end_turn
    10300 ask 3, user: tomorrow at nine
    ");
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        8900 voice
        9000 interim tomorrow at
        12000 silence
        14000 tick
    "))), @r"
    13201 end_turn
    13501 ask 3, user: tomorrow at
    ");
}

#[test] // R29
fn a_transcriber_that_judges_pauses_is_not_overruled_while_it_waits() {
    let patient = || Script {
        transcriber_pause_ms: 4000,
        ..script()
    };
    let pause = "
        8000 voice
        9000 interim my number is
        9200 silence
        12300 end my number is
        14000 tick
    ";
    assert_snapshot!(since(9000, &play(patient(), &after_answer(pause))),
        @r"
    12300 ask 3, user: my number is
    13200 clip 4 OneMoment: Just a moment.
    ");
    // A transcriber that is stuck.
    let stuck = "
        8000 voice
        9000 interim my number is
        9200 silence
        14000 tick
    ";
    assert_snapshot!(since(9000, &play(patient(), &after_answer(stuck))),
        @r"
    13201 end_turn
    13501 ask 3, user: my number is
    13501 clip 4 OneMoment: Just a moment.
    ");
}

#[test] // R30
fn the_same_turn_twice_is_one() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end Tomorrow at nine.
        9100 end tomorrow at nine
        9150 interim Tomorrow at nine
    "))), @"9000 ask 3, user: Tomorrow at nine.");
}

#[test] // R31
fn a_late_final_completes_a_turn_that_was_forced() {
    let forced = "
        9000 interim my number is
        10600 tick
    ";
    assert_snapshot!(since(9000, &play(script(), &after_answer(&format!("{forced}
        10700 end my number is nine
    ")))), @r"
    10201 end_turn
    10501 ask 3, user: my number is
    10700 cancel_ask 3
    10700 cancel_say 3
    10700 ask 4, user: my number is nine
    ");
    // Once the answer is heard it only corrects the transcript.
    let call = played(
        script(),
        &after_answer(&format!(
            "{forced}
        10700 token 3 Go on.
        10700 done 3
        10800 audio 3 3000
        11000 end my number is nine
        12400 tick
    "
        )),
    );
    assert!(matches!(call.speaking(), Speaking::Audible(AnswerId(3))));
    assert!(
        call.transcript()
            .contains("user: my number is nine\nassistant:"),
        "{}",
        call.transcript()
    );
}

#[test] // R32, R38
fn words_before_the_answer_is_heard_withdraw_it() {
    assert_snapshot!(since(9000, &play_metrics(script(), &after_answer("
        9000 end my number is
        9100 token 3 Which number?
        9100 done 3
        9200 audio 3 900
        9300 end nine eight
    "))), @r#"
    9000 ask 3, user: my number is
    9100 say 3.0 last: Which number?
    9300 cancel_say 3
    9300 metric "agent_interrupted_user"
    9300 ask 4, user: my number is nine eight
    "#);
    // The same while its sound is on its way to the caller.
    let far = Script {
        rules: Rules {
            link_ms: 300,
            ..script().rules
        },
        ..script()
    };
    let call = "
        0 start_without_marks
        3000 end my number is
        3100 token 2 Which number?
        3100 done 2
        3200 audio 2 900
        3400 interim nine
        4000 end nine eight
    ";
    let silent = Script {
        welcome: String::new(),
        ..far
    };
    assert_snapshot!(since(3000, &play(silent.clone(), call)), @r"
    3000 ask 1, user: my number is
    3400 cancel_ask 1
    3400 cancel_say 1
    4000 ask 2, user: my number is nine eight
    ");
    assert_eq!(
        played(silent, call).transcript(),
        "user: my number is nine eight"
    );
}

#[test] // R39
fn a_nod_before_the_answer_only_delays_it() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end book it for two
        9100 token 3 For two then.
        9100 done 3
        9200 audio 3 900
        9300 interim hmm
        9350 end hmm
        9900 tick
    "))), @r"
    9000 ask 3, user: book it for two
    9100 say 3.0 last: For two then.
    9700 play 3.1
    9700 play_end 3
    ");
}

#[test] // R40
fn a_voice_before_the_answer_holds_it_back_for_a_while() {
    let answer = "
        9000 end book it for two
        9100 token 3 For two then.
        9100 done 3
        9200 audio 3 900
        9300 voice
    ";
    assert_snapshot!(since(9200, &play(script(), &after_answer(&format!("{answer} 9700 silence\n9701 tick")))), @r"
    9700 play 3.1
    9700 play_end 3
    ");
    assert_snapshot!(since(9200, &play(script(), &after_answer(&format!("{answer} 10801 tick")))), @r"
    10800 play 3.1
    10800 play_end 3
    ");
}

#[test] // R42
fn the_fourth_ask_of_a_turn_waits_for_the_hold() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end one
        9100 end two
        9200 end three
        9300 end four
        9800 tick
    "))), @r"
    9000 ask 3, user: one
    9100 cancel_ask 3
    9100 cancel_say 3
    9100 ask 4, user: one two
    9200 cancel_ask 4
    9200 cancel_say 4
    9200 ask 5, user: one two three
    9300 cancel_ask 5
    9300 cancel_say 5
    9700 ask 6, user: one two three four
    ");
    let patient = Script {
        speculate: false,
        ..script()
    };
    assert_snapshot!(since(9000, &play(patient, &after_answer("9000 end one two\n9500 tick"))), @"9400 ask 3, user: one two");
}

#[test] // R35
fn a_voice_that_nobody_can_make_out_is_told_so_once() {
    let noises: String = (0..4)
        .map(|n| format!("{} voice\n{} silence\n", 7000 + n * 3000, 7600 + n * 3000))
        .collect();
    assert_snapshot!(since(7000, &play_metrics(script(), &after_answer(&format!("{noises} 20000 tick")))), @r#"
    9000 metric "untranscribed_speech"
    12000 metric "untranscribed_speech"
    15000 metric "untranscribed_speech"
    15000 clip 3 Recovery: Sorry, I can't hear you well. Could you say that again?
    18000 metric "untranscribed_speech"
    "#);
}
