//! What the model and the routes say, keys, dead air (R77-R97, R120-R122, R162).

use insta::assert_snapshot;

use super::play::{
    after_answer, after_statement, play, play_all, play_metrics, played, script, since,
};
use crate::{Kind, Output, Script};

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
    // Late, but nothing of the model's answer is there to be heard.
    assert_snapshot!(log("9061 route 2 0 1"), @r"
    9000 ask_route 2: when do you close
    9000 ask 3, user: when do you close
    9061 cancel_ask 3
    9061 clip 4 Route: Till ten.
    9600 play 4.1
    9600 play_end 4
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
    let said = play_all(routed.clone(), &call("9030 route 2 0 1"))
        .0
        .into_iter();
    assert!(!said.map(|(_, output)| output).any(|o| matches!(
        o,
        Output::Say {
            kind: Kind::Route,
            ..
        }
    )));
    // Too late: it can be heard already.
    let call = after_answer(
        "
        9000 end when do you close
        9020 token 3 We close late.
        9020 done 3
        9040 audio 3 800
        9401 route 2 0 1
    ",
    );
    assert_snapshot!(since(9000, &play(routed, &call)), @r"
    9000 ask_route 2: when do you close
    9000 ask 3, user: when do you close
    9020 say 3.0 last: We close late.
    9400 play 3.1
    9400 play_end 3
    ");
}

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

#[test]
fn what_is_typed_is_a_turn_of_its_own() {
    let log = |call: &str| since(9000, &play(script(), &after_statement(call)));
    assert_snapshot!(log("10500 type no"), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: Your order will arrive on Monday.
    10000 play 3.1
    10000 play_end 3
    10500 clear
    10500 cancel_say 3
    10500 ask 4, user: no
    ");
    // Before the welcome's end it waits, and so does all of it.
    let early = "0 start\n0 audio 1 2000\n500 type hi\n900 type are you there\n2000 mark 1:end";
    assert_snapshot!(since(1, &play(script(), early)), @"2000 ask 2, user: hi / are you there");
}
