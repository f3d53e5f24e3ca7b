//! Turn-taking: the welcome, turns, holds, barge-in, pauses, pieces (R14-R97).

use insta::assert_snapshot;

use super::play::{after_answer, play, play_all, play_metrics, played, script, since};
use crate::state::Speaking;
use crate::{AnswerId, Kind, Output, Rules, Script};

/// A statement (id 3) of 2000 ms, played from 10000 on.
const STATEMENT: &str = "
    9000 end what about my order
    9100 token 3 Your order will arrive on Monday.
    9100 done 3
    10000 audio 3 2000
";

fn after_statement(more: &str) -> String {
    after_answer(&format!("{STATEMENT}{more}"))
}

// ---- the welcome ----

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

// ---- turns ----

#[test] // R29
fn a_turn_without_news_is_ended() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 interim tomorrow at
        11000 tick
    "))), @"10201 ask 3, user: tomorrow at");
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        8900 voice
        9000 interim tomorrow at
        12000 silence
        14000 tick
    "))), @"13201 ask 3, user: tomorrow at");
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
        10300 tick
    ";
    assert_snapshot!(since(9000, &play(script(), &after_answer(&format!("{forced}
        10400 end my number is nine
    ")))), @r"
    10201 ask 3, user: my number is
    10400 cancel_ask 3
    10400 cancel_say 3
    10400 ask 4, user: my number is nine
    ");
    // Once the answer is heard it only corrects the transcript.
    let call = played(
        script(),
        &after_answer(&format!(
            "{forced}
        10400 token 3 Go on.
        10400 done 3
        10500 audio 3 3000
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

// ---- barge-in ----

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
    assert_snapshot!(since(10_001, &play(three.clone(), &format!("{long}{call}"))), @"");
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

// ---- the model's text ----

#[test] // R88, R99
fn text_goes_out_in_pieces_the_first_one_soon() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end tell me
        9100 token 3 Of course
        9120 token 3 , I can tell
        9130 token 3  you. We open at nine and we close at
        9140 token 3  ten. And more
        9150 done 3
    "))), @r"
    9000 ask 3, user: tell me
    9130 say 3.0: Of course, I can tell you.
    9150 say 3.1 last: We open at nine and we close at ten. And more
    ");
    // Nothing to cut at: after a quarter of a second what there is.
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end tell me
        9100 token 3 We open
        9150 token 3  at
        9400 token 3  nine.
        9500 done 3
    "))), @r"
    9000 ask 3, user: tell me
    9350 say 3.0: We open
    9500 say 3.1 last: at nine.
    ");
}

#[test] // R86
fn an_answer_that_ran_out_of_tokens_ends_with_a_sentence() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end tell me
        9100 token 3 We open at nine in the morning, every day of the week. On Sunda
        9150 done_length 3
    "))), @r"
    9000 ask 3, user: tell me
    9100 say 3.0: We open at nine in the morning,
    9150 say 3.1 last: every day of the week.
    ");
}

#[test] // R91
fn an_empty_answer_is_asked_for_once_more() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end tell me
        9100 done 3
        9200 token 4 🙂
        9200 done 4
    "))), @r"
    9000 ask 3, user: tell me
    9100 ask 4, user: tell me
    9200 clip 5 Recovery: Sorry, I didn't get that. Could you say it again?
    ");
}

#[test] // R93
fn an_agent_that_repeats_itself_is_asked_warmer() {
    let (outputs, _) = play_all(
        script(),
        &after_answer(
            "
        9000 end and then
        9100 token 3 Sure, when?
        9100 done 3
        9500 audio 3 1000
        10500 mark 3:end
        12000 end and now
    ",
        ),
    );
    let asks = outputs.iter().filter_map(|(_, output)| match output {
        Output::Ask { temperature, .. } => Some(*temperature),
        _ => None,
    });
    assert_eq!(asks.collect::<Vec<_>>(), [0.1, 0.1, 0.4]);
}

#[test] // R77, R97
fn a_filler_bridges_the_wait_and_makes_room() {
    let chatty = Script {
        use_fillers: true,
        ..script()
    };
    assert_snapshot!(since(9000, &play(chatty.clone(), &after_answer("
        9000 end tell me
        10200 tick
        10300 audio 4 400
        10400 tick
        13000 tick
        13000 audio 5 3000
        13400 token 3 No more waiting for you today.
        13400 done 3
        13500 audio 3 1000
        14300 tick
    "))), @r"
    9000 ask 3, user: tell me
    10200 clip 4 Filler: Sure.
    10300 play 4.1
    10300 play_end 4
    13000 clip 5 OneMoment: One moment, please.
    13000 play 5.1
    13000 play_end 5
    13400 say 3.0 last: No more waiting for you today.
    14200 clear
    14200 cancel_say 5
    14200 play 3.1
    14200 play_end 3
    ");
    // Not begun when the answer comes: it is not needed any more.
    assert_snapshot!(since(10_000, &play(chatty, &after_answer("
        9000 end tell me
        10200 tick
        10250 token 3 No more waiting for you today.
        10250 done 3
        10300 audio 3 1000
        10310 audio 4 400
    "))), @r"
    10200 clip 4 Filler: Sure.
    10250 say 3.0 last: No more waiting for you today.
    10300 cancel_say 4
    10300 play 3.1
    10300 play_end 3
    ");
}

#[test] // R96
fn each_answered_turn_is_measured() {
    assert_snapshot!(since(9000, &play_metrics(script(), &after_answer("
        8000 voice
        8800 interim tell me
        8850 silence
        9000 end tell me
        9100 token 3 At nine.
        9150 done 3
        9180 audio 3 900
        9200 tick
    "))), @r#"
    9000 ask 3, user: tell me
    9150 say 3.0 last: At nine.
    9200 metric {"turn":{"turn":2,"stt_final_ms":150,"route_ms":null,"llm_first_token_ms":100,"llm_total_ms":150,"tts_first_audio_ms":30,"hold_ms":20,"turn_to_play_ms":200,"routed":false}}
    9200 play 3.1
    9200 play_end 3
    "#);
}

#[test] // R84, R85
fn the_model_gets_the_system_message_then_the_call_as_it_was_heard() {
    let (outputs, _) = play_all(
        script(),
        &after_statement(
            "
        10900 interim but why
        12000 end but why
    ",
        ),
    );
    let asks: Vec<_> = outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Ask { messages, .. } => Some(crate::journal::as_lines(messages)),
            _ => None,
        })
        .collect();
    assert_snapshot!(asks.last().unwrap(), @r"
    system: You sell.
    assistant: Hello from the shop
    user: I want to book
    assistant: Sure, when?
    user: what about my order
    assistant: Your order
    user: but why
    ");
}

// ---- routes ----

#[test] // R120, R121, R122
fn a_route_answers_instead_of_the_model() {
    let routes = vec![crate::RouteScript {
        name: "hours".into(),
        responses: vec!["At nine.".into(), "Till ten.".into()],
    }];
    let routed = Script { routes, ..script() };
    let call = |decision: &str| {
        after_answer(&format!(
            "
        9000 end when do you close
        {decision}
        9070 token 3 We close late.
        9070 done 3
        9600 audio 4 800
        9600 audio 3 800
        9700 tick
    "
        ))
    };
    let log = |decision: &str| since(9000, &play(routed.clone(), &call(decision)));
    assert_snapshot!(log("9030 route 2 0 1"), @r"
    9000 ask_route 2: when do you close
    9000 ask 3, user: when do you close
    9030 cancel_ask 3
    9030 clip 4 Route: Till ten.
    9600 play 4.1
    9600 play_end 4
    ");
    assert_snapshot!(log("9030 route 2"), @r"
    9000 ask_route 2: when do you close
    9000 ask 3, user: when do you close
    9070 say 3.0 last: We close late.
    9600 play 3.1
    9600 play_end 3
    ");
    assert_snapshot!(log("9061 route 2 0 1"), @r"
    9000 ask_route 2: when do you close
    9000 ask 3, user: when do you close
    9070 say 3.0 last: We close late.
    9600 play 3.1
    9600 play_end 3
    ");
    let transcript = played(
        routed.clone(),
        &format!("{}\n10500 mark 4:end", call("9030 route 2 0 1")),
    )
    .transcript();
    assert!(
        transcript.ends_with("user: when do you close\nassistant: Till ten."),
        "{transcript}"
    );
    let said = play_all(routed, &call("9030 route 2 0 1")).0.into_iter();
    assert!(!said.map(|(_, output)| output).any(|o| matches!(
        o,
        Output::Say {
            kind: Kind::Route,
            ..
        }
    )));
}

// ---- keys ----

#[test] // R162
fn keys_are_a_turn_of_their_own() {
    let keypad = Script {
        dtmf: true,
        ..script()
    };
    let log = |call: &str| since(9000, &play(keypad.clone(), &after_statement(call)));
    assert_snapshot!(log("10500 key 1\n10600 key 2\n10700 key #"), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: Your order will arrive on Monday.
    10000 play 3.1
    10000 play_end 3
    10700 clear
    10700 cancel_say 3
    10700 ask 4, user: dtmf_number: 12
    ");
    assert_snapshot!(log("12000 mark 3:end\n13000 key 7\n13100 key *\n13200 key 5\n17300 tick"), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: Your order will arrive on Monday.
    10000 play 3.1
    10000 play_end 3
    17200 ask 4, user: dtmf_number: 5
    ");
    assert_snapshot!(log("12000 mark 3:end\n13000 interim my pin is\n13200 key 5\n13300 key #"), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: Your order will arrive on Monday.
    10000 play 3.1
    10000 play_end 3
    13300 ask 4, user: my pin is / dtmf_number: 5
    ");
    assert_snapshot!(since(9000, &play(script(), &after_statement("10500 key 1\n10700 key #"))), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: Your order will arrive on Monday.
    10000 play 3.1
    10000 play_end 3
    ");
    assert_snapshot!(since(1, &play(keypad, "0 start\n0 audio 1 2000\n500 key 4\n600 key #\n2000 mark 1:end")), @"2000 ask 2, user: dtmf_number: 4");
}
