//! Calls of tools and their results (G15; R99-R111, R117).

use insta::assert_snapshot;

use super::play::{after_answer, play, play_all, played, script, since, tool};
use crate::{At, Ending, Input, Message, Output, Role, Script, ToolChoice, ToolScript};

/// An agent that may look things up, book, and hand over to sales.
pub(super) fn shop() -> Script {
    let line = "Let me look that up for you.";
    Script {
        tools: vec![
            ToolScript {
                line: line.into(),
                ..tool("look_up")
            },
            tool("book"),
            ToolScript {
                line: "I'll put you through.".into(),
                is_transfer: true,
                is_warm: false,
                ..tool("sales")
            },
        ],
        ..script()
    }
}

/// The same without a word before a look-up.
pub(super) fn wordless() -> Script {
    let mut shop = shop();
    shop.tools[0].line.clear();
    shop
}

/// A turn (id 2) that the answer 3 is asked for.
pub(super) fn asked(more: &str) -> String {
    after_answer(&format!("10000 end where is my order\n{more}"))
}

/// The messages of the last ask, the system's left out.
pub(super) fn messages(script: Script, text: &str) -> String {
    let (out, _) = play_all(script, text);
    let mut asks = out.iter().rev().filter_map(|(_, output)| match output {
        Output::Ask { messages, .. } => Some(messages),
        _ => None,
    });
    let shown = |message: &Message| {
        let calls = message.tool_calls.iter();
        let calls: String = calls
            .map(|call| format!(" [{} {}]", call.id, call.name))
            .collect();
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let text = message.content.as_deref().unwrap_or("-");
        format!("{:?} {id}: {text}{calls}\n", message.role)
    };
    asks.next().unwrap()[3..].iter().map(shown).collect()
}

/// What the model was offered with each ask.
fn offers(script: Script, text: &str) -> Vec<(usize, ToolChoice)> {
    let (out, _) = play_all(script, text);
    let offers = out.into_iter().filter_map(|(_, output)| match output {
        Output::Ask {
            tools, tool_choice, ..
        } => Some((tools.len(), tool_choice)),
        _ => None,
    });
    offers.collect()
}

/// The same without tools.
fn offers_of_none() -> (usize, ToolChoice) {
    offers(script(), &asked("")).remove(0)
}

#[test]
fn g15_a_tool_and_its_line() {
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10300 audio 4 2000
        11000 result 1 {\"on\":\"Monday\"}
        11300 token 5 It comes on Monday.
        11300 done 5
        11500 audio 5 1000
        12350 mark 4:end
        13350 mark 5:end
    ",
    );
    assert_snapshot!(since(10_001, &play(shop(), &call)), @r#"
    10200 clip 4 PreCall: Let me look that up for you.
    10200 run 1 look_up{}
    10400 play 4.1
    10400 play_end 4
    11000 ask 5, tool: {"on":"Monday"}
    11300 say 5.0 last: It comes on Monday.
    11500 play 5.1
    11500 play_end 5
    "#);
    assert_snapshot!(messages(shop(), &call), @r#"
    Assistant : Sure, when?
    User : where is my order
    Assistant : Let me [c1 look_up]
    Tool c1: {"on":"Monday"}
    "#);
    assert_snapshot!(played(shop(), &call).transcript(), @r"
    assistant: Hello from the shop
    user: I want to book
    assistant: Sure, when?
    user: where is my order
    assistant: Let me look that up for you.
    assistant: It comes on Monday.
    ");
}

#[test] // R100, R101, R110
fn several_calls_run_one_after_the_other_and_faulty_ones_not_at_all() {
    let mut shop = wordless();
    let schema = r#"{"type":"object","properties":{"id":{}},"required":["id"]}"#;
    shop.tools[1].parameters = serde_json::from_str(schema).unwrap();
    let call = asked(
        r#"
        10200 calls 3 look_up {"a":1}; book {}; book {"id":7}; dance; look_up {"a":1}; look_up {"a":
        10200 done_tools 3
        10300 result 1 found
        10400 result 1 doubled
        10500 result 2 booked
    "#,
    );
    assert_snapshot!(since(10_001, &play(shop.clone(), &call)), @r#"
    10200 run 1 look_up{"a":1}
    10300 run 2 book{"id":7}
    10500 ask 4, tool: Error: the arguments are no JSON: EOF while parsing a value at line 1 column 5
    "#);
    assert_snapshot!(messages(shop, &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : - [c1 look_up] [c2 book] [c3 book] [c4 dance] [c5 look_up] [c6 look_up]
    Tool c1: found
    Tool c2: Error: these arguments are missing: id
    Tool c3: booked
    Tool c4: Error: there is no tool dance
    Tool c5: found
    Tool c6: Error: the arguments are no JSON: EOF while parsing a value at line 1 column 5
    ");
}

#[test] // R110
fn tools_are_offered_until_the_rounds_are_spent() {
    let mut ended = shop();
    ended.ending = Ending::Tool("All is said.".into());
    let mut call = asked("");
    for (round, answer) in (3..9).enumerate() {
        let at = 10_100 + round * 100;
        call.push_str(&format!(
            "
            {at} calls {answer} look_up {{\"round\":{round}}}
            {at} done_tools {answer}
            {at} result {} found
        ",
            round + 1
        ));
    }
    ended.tools[0].line.clear();
    let offers = offers(ended.clone(), &call);
    assert_eq!(offers[0], (4, ToolChoice::Auto));
    let (auto, none) = (&ToolChoice::Auto, &ToolChoice::None);
    let choices: Vec<_> = offers[1..].iter().map(|(_, choice)| choice).collect();
    assert_eq!(choices, [auto, auto, auto, auto, auto, none, none]);
    // The sixth calls were not run: the model is asked once more, as for an empty answer (R91).
    assert_eq!(play(ended, &call).matches(" run ").count(), 5);
    assert_eq!(offers_of_none(), (0, ToolChoice::None));
}

#[test] // R99
fn what_was_written_before_a_call_is_said_and_is_no_answer_yet() {
    let call = asked(
        "
        10200 token 3 Let me see
        10250 calls 3 look_up
        10250 done_tools 3
        10400 audio 3 1000
        10800 result 1 found
        11000 token 4 It is here.
        11000 done 4
        11200 audio 4 700
        11450 mark 3:end
        12150 mark 4:end
        12160 tick
    ",
    );
    assert_snapshot!(since(10_001, &play(shop(), &call)), @r"
    10250 say 3.0: Let me see
    10250 run 1 look_up{}
    10250 say 3.1 last: 
    10400 play 3.1
    10400 play_end 3
    10800 ask 4, tool: found
    11000 say 4.0 last: It is here.
    11200 play 4.1
    11200 play_end 4
    ");
    assert_snapshot!(messages(shop(), &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : Let [c1 look_up]
    Tool c1: found
    ");
    assert!(played(shop(), &call).pending.is_none());
    // Its end does not end the turn while the tool runs; silence waits for the answer (R112).
    let running = asked(
        "
        10200 token 3 Let me see
        10250 calls 3 look_up
        10250 done_tools 3
        10400 audio 3 1000
        11450 mark 3:end
        11500 tick
    ",
    );
    let call = played(shop(), &running);
    assert!(call.pending.is_some());
    assert_eq!(
        (call.next_online_check(), call.next_silence()),
        (None, None)
    );
}

#[test] // R102
fn the_line_comes_with_the_name_of_the_tool() {
    let call = asked(
        "
        10100 named 3 look_up
        10150 audio 4 800
        10600 calls 3 look_up
        10600 done_tools 3
        10700 result 1 found
    ",
    );
    assert_snapshot!(since(10_001, &play(shop(), &call)), @r"
    10100 clip 4 PreCall: Let me look that up for you.
    10400 play 4.1
    10400 play_end 4
    10600 run 1 look_up{}
    10700 ask 5, tool: found
    ");
    assert_snapshot!(messages(shop(), &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : Let me [c1 look_up]
    Tool c1: found
    ");
    // Neither the caller's nor the server's own tools have one.
    let none = asked("10100 named 3 end_call\n10110 named 3 dance\n10120 named 2 look_up");
    assert_snapshot!(since(10_001, &play(shop(), &none)), @"");
}

#[test] // R111
fn a_result_that_is_not_for_the_ear_ends_the_turn() {
    let mut quiet = shop();
    quiet.tools[0].speak_result = false;
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
        10300 audio 4 1000
        10500 result 1 noted
        11300 mark 4:end
        11310 tick
    ",
    );
    assert_snapshot!(since(10_201, &play(quiet.clone(), &call)), @r"
    10400 play 4.1
    10400 play_end 4
    ");
    let call = played(quiet, &call);
    assert!(call.pending.is_none());
    assert_eq!(call.next_silence(), Some(At(21_300)));
}

#[test] // R109
fn later_calls_know_what_earlier_results_told() {
    let call = asked(
        r#"
        10200 calls 3 look_up; book {"id":1}
        10200 done_tools 3
        10300 result 1 {"ref":9}
    "#,
    );
    assert_snapshot!(since(10_300, &play(wordless(), &call)), @r#"10300 run 2 book{"id":1} knowing {"tool":{"look_up":{"ref":9}}}"#);
}

#[test] // R117
fn an_end_among_other_calls_is_asked_for_again() {
    let mut ended = wordless();
    ended.ending = Ending::Tool("All is said.".into());
    let call = asked(
        "
        10200 calls 3 look_up; end_call
        10200 done_tools 3
        10300 result 1 found
    ",
    );
    assert_snapshot!(messages(ended, &call), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : - [c1 look_up] [c2 end_call]
    Tool c1: found
    Tool c2: Error: the call was not ended: end it in an answer that calls nothing else
    ");
}

#[test] // R106, R202
fn a_result_that_never_comes_is_given_up() {
    let call = asked(
        "
        10200 calls 3 look_up
        10200 done_tools 3
    ",
    );
    let (out, _) = play_all(wordless(), &format!("{call}\n23000 tick"));
    let told = out.iter().any(|(at, output)| {
        *at == At(22_200)
            && matches!(output, Output::Ask { messages, .. }
            if messages.iter().any(|message| message.role == Role::Tool
                && message.content.as_deref() == Some("Error: no answer in time")))
    });
    assert!(told);
    // A node that was lost with the call took the result along: it is not sent again.
    let rebuilt = format!("{call}\n15000 media_resumed");
    assert_snapshot!(since(10_201, &play(wordless(), &rebuilt)), @r"
    10900 clip 4 OneMoment: Just a moment.
    15000 clear
    15000 cancel_say 4
    15000 clip 5 Recovery: Sorry, the line was gone for a moment.
    15000 ask 6, tool: Error: the connection was lost; it is not known whether it was done
    ");
}

#[test] // R194
fn calls_count_though_the_answer_broke_off_behind_them() {
    let call = asked(
        "
        10200 calls 3 look_up
        10210 fail 3 dropped
        10300 result 1 found
    ",
    );
    assert_snapshot!(since(10_001, &play(wordless(), &call)), @r"
    10200 run 1 look_up{}
    10300 ask 4, tool: found
    ");
}

#[test] // R101
fn words_that_go_with_a_call_of_nothing_are_the_answer() {
    let call = asked(
        "
        10200 token 3 All is well.
        10200 calls 3 dance
        10200 done_tools 3
        10300 audio 3 700
        11150 mark 3:end
        11160 tick
    ",
    );
    assert_snapshot!(since(10_001, &play(shop(), &call)), @r"
    10200 say 3.0: All is well.
    10200 say 3.1 last: 
    10400 play 3.1
    10400 play_end 3
    ");
    assert!(played(shop(), &call).pending.is_none());
}

#[test] // R194, R99
fn a_retry_of_the_answer_outlives_the_words_before_the_call() {
    let call = asked(
        "
        10200 token 3 Let me see
        10250 calls 3 look_up
        10250 done_tools 3
        10400 audio 3 500
        10450 result 1 found
        10800 fail 4 rate_limited
        10950 mark 3:end
        11100 tick
    ",
    );
    assert_snapshot!(since(10_450, &play(shop(), &call)), @r"
    10450 ask 4, tool: found
    11050 ask 5, tool: found
    ");
}

#[test] // R205
fn news_of_what_was_never_asked_for_changes_nothing() {
    let call = asked(
        "
        10200 result 7 found
        10210 transfer_connected
        10220 transfer_failed busy
        10230 tool_fail 0 gone
    ",
    );
    assert_snapshot!(since(10_001, &play(shop(), &call)), @"");
    let mut call = played(shop(), &asked(""));
    assert!(call.handle(At(1), Input::Tick).is_empty());
}

#[test] // R101
fn a_call_that_was_written_as_text_is_made_where_it_is_whole() {
    let made = |text: &str| {
        let call = asked(&format!("10200 token 3 {text}\n10300 done 3"));
        let (out, _) = play_all(shop(), &call);
        let calls = out.iter().filter_map(|(_, output)| match output {
            Output::RunTool {
                tool, arguments, ..
            } => Some(format!(
                "{tool}{}",
                serde_json::to_string(arguments).unwrap()
            )),
            Output::Say { text, .. } if text.contains("functions") => Some(text.clone()),
            _ => None,
        });
        calls.collect::<Vec<_>>()
    };
    assert_eq!(
        made(r#"functions.look_up({"id": "A(1)"})"#),
        [r#"look_up{"id":"A(1)"}"#]
    );
    assert_eq!(
        made(r#"One moment, please. functions.book({})"#),
        ["book{}"]
    );
    for none in [
        r#"functions.look_up({"id": )"#,
        r#"functions.fly({})"#,
        r#"functions.look_up(id=1)"#,
    ] {
        assert!(made(none).is_empty(), "{none}");
    }
}
