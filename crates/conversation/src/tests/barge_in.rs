//! Barge-in: cuts, pauses, words spoken over the agent (R44-R66, R76).

use insta::assert_snapshot;

use super::play::{
    STATEMENT, after_answer, after_statement, play, play_metrics, played, script, since,
};
use crate::{Rules, Script};

#[test] // R45
fn small_words_over_a_long_answer_do_not_add_up() {
    let three = Script {
        words_to_interrupt: 3,
        ..script()
    };
    let call = "
        10100 final tomorrow
        11000 final maybe
        13000 final evening
        13100 tick
    ";
    let long = after_answer(&STATEMENT.replace("3 2000", "3 6000"));
    assert_snapshot!(since(10_001, &play(three.clone(), &format!("{long}{call}"))), @"12201 end_turn");
    assert_snapshot!(since(10_001, &play(three, &format!("{long}{}", call.replace("13000", "12000").replace("13100", "12100")))), @r"
    12000 clear
    12000 cancel_say 3
    ");
}

#[test] // R46
fn an_agent_that_may_not_be_cut_answers_later() {
    let deaf = Script {
        words_to_interrupt: 0,
        ..script()
    };
    assert_snapshot!(since(10_001, &play(deaf, &after_statement("
        11000 end no stop this at once
        12000 mark 3:end
    "))), @"12000 ask 4, user: no stop this at once");
}

#[test] // R48
fn one_nod_cuts_where_one_word_is_asked_for() {
    let one = Script {
        words_to_interrupt: 1,
        ..script()
    };
    assert_snapshot!(since(10_001, &play(one.clone(), &after_statement("10500 interim hmm"))), @"");
    assert_snapshot!(since(10_001, &play(one, &after_statement("10500 interim yes"))), @r"
    10500 clear
    10500 cancel_say 3
    ");
}

#[test] // R49, R51
fn a_first_word_pauses_and_a_second_cuts() {
    assert_snapshot!(since(10_001, &play(script(), &after_statement("
        10500 interim tomorrow
        10800 interim tomorrow morning
        11500 end tomorrow morning
    "))), @r"
    10500 pause
    10800 clear
    10800 cancel_say 3
    11500 ask 4, user: tomorrow morning
    ");
    assert_snapshot!(since(10_001, &play(script(), &after_statement("
        10500 interim tomorrow
        13000 tick
    "))), @r"
    10500 pause
    11500 resume 3.1 from 900
    11701 end_turn
    ");
}

#[test] // R51
fn the_longest_pause_ends_and_is_not_repeated_at_once() {
    let long = after_answer(&STATEMENT.replace("3 2000", "3 9000"));
    assert_snapshot!(since(10_001, &play(script(), &format!("{long}
        10500 voice
        14000 silence
        14500 voice
        15500 silence
        17000 voice
        17500 tick
    "))), @r"
    10900 pause
    13400 resume 3.1 from 1300
    17400 pause
    ");
    let stubborn = Rules {
        resume_false_interruption: false,
        ..script().rules
    };
    assert_snapshot!(since(10_001, &play(Script { rules: stubborn, ..script() }, &format!("{long}
        10500 voice
        11500 tick
    "))), @"");
}

#[test] // R52, R53
fn a_word_over_the_end_of_a_statement_counts_if_it_is_no_nod() {
    assert_snapshot!(since(10_001, &play(script(), &after_statement("
        11500 end okay
        12000 mark 3:end
        13000 tick
    "))), @"");
    let five = Script {
        words_to_interrupt: 5,
        ..script()
    };
    assert_snapshot!(since(10_001, &play(five.clone(), &after_statement("
        11500 end tomorrow please
        12000 mark 3:end
    "))), @"12000 ask 4, user: tomorrow please");
    // Too long before the end: forgotten.
    assert_snapshot!(since(10_001, &play(five, &after_statement("
        10300 end tomorrow please
        12000 mark 3:end
        13000 tick
    "))), @"");
}

#[test] // R53, R151
fn a_yes_to_the_online_check_is_a_turn() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        12000 tick
        12000 audio 3 1500
        13300 end yes
        13500 mark 3:end
    "))), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    12000 play 3.1
    12000 play_end 3
    13500 ask 4, user: yes
    ");
}

#[test] // R54
fn after_an_interruption_the_agent_keeps_still_for_the_backoff() {
    let polite = Script {
        backoff_ms: 3000,
        ..script()
    };
    assert_snapshot!(since(10_001, &play(polite, &after_statement("
        10500 interim but why
        10800 end but why
        10900 token 4 Because of the rain.
        10900 done 4
        11000 audio 4 900
        13600 tick
    "))), @r"
    10500 clear
    10500 cancel_say 3
    10800 ask 4, user: but why
    10900 say 4.0 last: Because of the rain.
    13500 play 4.1
    13500 play_end 4
    ");
}

#[test] // R56
fn an_answer_of_which_no_word_was_heard_leaves_no_message() {
    let call = after_statement(
        "
        10050 interim but why
        11000 end but why
    ",
    );
    assert_snapshot!(since(10_001, &play(script(), &call)), @r"
    10050 clear
    10050 cancel_say 3
    11000 ask 4, user: what about my order but why
    ");
    assert!(
        !played(script(), &call).transcript().contains("Your"),
        "{}",
        played(script(), &call).transcript()
    );
}

#[test] // R66, R87
fn late_chunks_of_a_cut_answer_stay_unheard() {
    let open = "
        9000 end what about my order
        9100 token 3 Your order will arrive on Monday. It comes with the others
        10000 chunk 3 1 800
        10500 interim but why
        10600 chunk 3 2 800
        10600 token 3 that you have ordered.
        10700 done 3
        10700 speech_done 3
        10800 mark 3:1
        10900 tick
    ";
    assert_snapshot!(since(10_000, &play_metrics(script(), &after_answer(open))), @r#"
    10000 metric {"turn":{"turn":2,"stt_final_ms":0,"route_ms":null,"llm_first_token_ms":100,"llm_total_ms":null,"tts_first_audio_ms":900,"hold_ms":0,"turn_to_play_ms":1000,"routed":false}}
    10000 play 3.1
    10500 clear
    10500 cancel_say 3
    10500 cancel_ask 3
    10500 metric "user_interrupted_agent"
    10600 metric "stale"
    10600 metric "stale"
    10700 metric "stale"
    10700 metric "stale"
    "#);
}

#[test] // R76
fn a_gap_in_the_speech_makes_room_for_the_caller() {
    assert_snapshot!(since(10_000, &play_metrics(script(), &after_answer("
        9000 end what about my order
        9100 token 3 Your order will arrive on Monday. It comes with the others
        10000 chunk 3 1 800
        11150 interim tomorrow
        11200 chunk 3 2 800
    "))), @r#"
    10000 metric {"turn":{"turn":2,"stt_final_ms":0,"route_ms":null,"llm_first_token_ms":100,"llm_total_ms":null,"tts_first_audio_ms":900,"hold_ms":0,"turn_to_play_ms":1000,"routed":false}}
    10000 play 3.1
    11100 metric "tts_underrun"
    11150 clear
    11150 cancel_say 3
    11150 cancel_ask 3
    11150 metric "user_interrupted_agent"
    11200 metric "stale"
    "#);
}
