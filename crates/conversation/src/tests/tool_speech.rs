//! What is said while tools run, by the caller and by the agent (G16-G18; R56, R59, R60, R97, R102).

use insta::assert_snapshot;

use super::play::{after_answer, play, since};
use super::tools::{asked, messages, shop, wordless};
use crate::{RouteScript, Script};

#[test]
fn g16_speech_during_a_tool() {
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10500 interim make it
        11000 end make it two
        11500 result 1 found
    ",
    );
    assert_snapshot!(since(10_001, &play(wordless(), &call)), @r"
    10200 run 1 look_up{}
    10900 clip 4 OneMoment: Just a moment.
    11500 ask 5, user: make it two
    ");
    assert_snapshot!(messages(wordless(), &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : - [c1 look_up]
    Tool c1: found
    User : make it two
    ");
}

#[test]
fn g17_a_slow_tool() {
    let call = asked(
        "
        10000 calls 3 look_up
        10000 done_tools 3
        10700 audio 4 1500
        12200 mark 4:end
        16200 tick
        16200 audio 5 800
        17000 mark 5:end
        20000 tool_fail 1 no answer within 10 s
    ",
    );
    assert_snapshot!(since(10_001, &play(wordless(), &call)), @r"
    10700 clip 4 OneMoment: Just a moment.
    10700 play 4.1
    10700 play_end 4
    16200 clip 5 OneMoment: One moment, please.
    16200 play 5.1
    16200 play_end 5
    20000 ask 6, tool: Error: no answer within 10 s
    ");
    assert_snapshot!(messages(wordless(), &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : Just a moment. [c1 look_up]
    Tool c1: Error: no answer within 10 s
    ");
}

#[test]
fn g18_cut_before_anything_was_heard_after_a_tool_ran() {
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10250 result 1 found
        10300 token 4 It comes on Monday.
        10300 done 4
        10350 audio 4 1000
        10360 interim wait stop
        11000 end wait stop
    ",
    );
    assert_snapshot!(since(10_001, &play(wordless(), &call)), @r"
    10200 run 1 look_up{}
    10250 ask 4, tool: found
    10300 say 4.0 last: It comes on Monday.
    10360 cancel_say 4
    11000 ask 5, user: wait stop
    ");
    assert_snapshot!(messages(wordless(), &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : - [c1 look_up]
    Tool c1: found
    User : wait stop
    ");
}

#[test] // R59, R60
fn a_cut_line_leaves_its_tool_running_and_drops_what_was_not_sent() {
    let call = asked(
        "
        10200 calls 3 look_up; book
        10200 done_tools 3
        10300 audio 4 2000
        11000 interim for two people
        11500 end for two people
        11600 result 1 found
    ",
    );
    assert_snapshot!(since(10_201, &play(shop(), &call)), @r"
    10400 play 4.1
    10400 play_end 4
    11000 clear
    11000 cancel_say 4
    11600 ask 5, user: for two people
    ");
    assert_snapshot!(messages(shop(), &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : Let me [c1 look_up]
    Tool c1: found
    User : for two people
    ");
}

#[test] // R59
fn results_wait_for_the_end_of_the_callers_words_but_not_for_long() {
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10600 voice
        10900 interim and please
        11000 result 1 found
    ",
    );
    let ended = format!("{call}\n11400 interim and please hurry\n11900 end and please hurry");
    assert_snapshot!(since(10_201, &play(wordless(), &ended)), @"11900 ask 4, user: and please hurry");
    assert_snapshot!(since(10_201, &play(wordless(), &format!("{call}\n12600 tick"))), @"12500 ask 4, user: and please");
}

#[test] // R48, R59
fn a_nod_while_a_tool_runs_is_no_turn() {
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10600 end okay
        11000 result 1 found
    ",
    );
    assert_snapshot!(since(10_201, &play(wordless(), &call)), @r"
    10900 clip 4 OneMoment: Just a moment.
    11000 ask 5, tool: found
    ");
}

#[test] // R162
fn keys_while_a_tool_runs_are_the_next_turn() {
    let mut shop = wordless();
    shop.dtmf = true;
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10500 key 7
        10600 key #
        11000 result 1 found
    ",
    );
    assert_snapshot!(since(10_201, &play(shop, &call)), @r"
    10900 clip 4 OneMoment: Just a moment.
    11000 cancel_say 4
    11000 ask 5, user: dtmf_number: 7
    ");
}

#[test] // R8, R10
fn nothing_is_sent_once_the_call_ends() {
    let call = asked(
        "
        10200 calls 3 look_up; book
        10200 done_tools 3
        10500 node_stopping
        11000 result 1 found
    ",
    );
    assert_snapshot!(since(10_201, &play(wordless(), &call)), @r"
    10500 fault bolo: the server was stopped during the call
    10500 clip 4 Goodbye: Goodbye.
    ");
    let call = asked(
        "
        10200 calls 3 look_up; book
        10200 done_tools 3
        10500 media_stop
    ",
    );
    assert_snapshot!(since(10_201, &play(wordless(), &call)), @"");
}

#[test] // R122
fn a_route_comes_before_a_tool() {
    let mut routed = wordless();
    routed.routes = vec![RouteScript {
        name: "hours".into(),
        responses: vec!["At nine.".into()],
    }];
    let call = asked(
        "
        10010 calls 3 look_up
        10010 done_tools 3
    ",
    );
    assert_snapshot!(since(10_001, &play(routed.clone(), &format!("{call}\n10030 route 2 0 0"))), @"10030 clip 4 Route: At nine.");
    assert_snapshot!(since(10_001, &play(routed, &format!("{call}\n10100 route 2 0 0"))), @"10060 run 1 look_up{}");
}

#[test] // G25
fn a_tool_called_ahead_is_run_once_the_turn_is_over() {
    let eager = Script {
        eager_threshold: Some(0.7),
        ..shop()
    };
    let call = after_answer(
        "
        9000 eager 0.8 book it for
        9100 named 3 look_up
        9200 calls 3 look_up
        9200 done_tools 3
        9300 resumed
        9400 interim book it for two
        9500 eager 0.9 book it for two
        9600 named 4 look_up
        9700 calls 4 look_up
        9700 done_tools 4
        10000 end book it for two
    ",
    );
    assert_snapshot!(since(6001, &play(eager, &call)), @r"
    9000 ask 3, user: book it for
    9500 ask 4, user: book it for two
    10000 clip 5 PreCall: Let me look that up for you.
    10000 run 1 look_up{}
    ");
}
