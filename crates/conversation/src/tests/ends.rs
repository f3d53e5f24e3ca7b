//! How calls end (R5-R11, R64, R117, R155-R157, R201).

use bolo_execution::{Direction, EndReason};
use insta::assert_snapshot;

use super::play::{after_answer, play, play_all, played, script, since};
use crate::{At, Conversation, End, Ending, Input, Output, Script};

fn ended(call: &str) -> String {
    since(6001, &play(script(), &after_answer(call)))
}

// ---- the tool ----

fn with_tool() -> Script {
    Script {
        ending: Ending::Tool("The caller said goodbye.".into()),
        ..script()
    }
}

#[test] // R117
fn the_model_says_goodbye_and_ends_the_call() {
    let call = after_answer(
        "
        9000 end that is all bye
        9100 token 3 Thank you and
        9110 token 3  goodbye!
        9150 calls 3 end_call
        9160 done_tools 3
        9600 audio 3 1000
        9700 end one more thing please
        10600 mark 3:end
        10700 media_stop
    ",
    );
    assert_snapshot!(since(9000, &play(with_tool(), &call)), @r"
    9000 ask 3, user: that is all bye
    9150 say 3.0: Thank you and goodbye!
    9160 say 3.1 last: 
    9600 play 3.1
    9600 play_end 3
    10600 hang_up end_call_tool
    ");
    assert_eq!(
        played(with_tool(), &call).end(),
        Some(End::Ours(EndReason::EndCallTool))
    );
    let (outputs, call) = play_all(with_tool(), &call);
    assert!(outputs.iter().any(
        |(_, output)| matches!(output, Output::Ask { tools, .. } if tools[0].name == "end_call")
    ));
    assert!(
        call.transcript()
            .ends_with("assistant: Thank you and goodbye!"),
        "{}",
        call.transcript()
    );
}

#[test] // R117
fn a_silent_end_call_gets_a_goodbye_of_its_own() {
    let call = "
        9000 end that is all bye
        9150 calls 3 end_call
        9160 done_tools 3
    ";
    assert_snapshot!(since(9000, &play(with_tool(), &after_answer(&format!("{call}
        9300 token 4 Take care.
        9310 done 4
        9400 audio 4 800
        10200 mark 4:end
    ")))), @r"
    9000 ask 3, user: that is all bye
    9160 ask 4, tool: The call will end now. Say one short goodbye.
    9310 say 4.0 last: Take care.
    9400 play 4.1
    9400 play_end 4
    10200 hang_up end_call_tool
    ");
    // The model fails: the agent's own line.
    assert_snapshot!(since(9160, &play(with_tool(), &after_answer(&format!("{call}
        9300 fail 4 server
        9400 audio 5 800
        10200 mark 5:end
    ")))), @r"
    9160 ask 4, tool: The call will end now. Say one short goodbye.
    9300 clip 5 Goodbye: Goodbye.
    9400 play 5.1
    9400 play_end 5
    10200 hang_up end_call_tool
    ");
    // It says nothing at all.
    assert_snapshot!(since(9160, &play(with_tool(), &after_answer(&format!("{call} 9300 done 4")))), @r"
    9160 ask 4, tool: The call will end now. Say one short goodbye.
    9300 hang_up end_call_tool
    ");
}

#[test] // R117
fn a_tool_that_was_not_offered_does_nothing() {
    assert_snapshot!(since(9000, &play(script(), &after_answer("
        9000 end that is all bye
        9100 token 3 Thank you and goodbye!
        9150 calls 3 end_call
        9160 done_tools 3
        9600 audio 3 1000
        10700 tick
    "))), @r"
    9000 ask 3, user: that is all bye
    9150 say 3.0: Thank you and goodbye!
    9160 say 3.1 last: 
    9600 play 3.1
    9600 play_end 3
    ");
}

// ---- the judge ----

#[test] // R155
fn the_judge_ends_the_call_when_the_answer_was_heard() {
    let judged = Script {
        ending: Ending::Judge("All is said.".into()),
        ..script()
    };
    let log = |more: &str| {
        since(
            9500,
            &play(
                judged.clone(),
                &after_answer(&format!(
                    "
        9000 end that was all
        9100 token 3 Bye then, take care.
        9100 done 3
        9500 audio 3 1000
        {more}
    "
                )),
            ),
        )
    };
    assert_snapshot!(log("9600 judged 2 yes\n10500 mark 3:end"), @r"
    9500 play 3.1
    9500 play_end 3
    10500 clip 4 Goodbye: Goodbye.
    ");
    assert_snapshot!(log("9600 judged 2 no\n10500 mark 3:end\n10600 tick"), @r"
    9500 play 3.1
    9500 play_end 3
    ");
    assert_snapshot!(log("10500 mark 3:end\n10600 judged 2 yes\n10700 tick"), @r"
    9500 play 3.1
    9500 play_end 3
    10600 clip 4 Goodbye: Goodbye.
    ");
    assert_snapshot!(log("10500 mark 3:end\n12101 judged 2 yes\n12200 tick"), @r"
    9500 play 3.1
    9500 play_end 3
    ");
    assert_snapshot!(log("9600 judged 1 yes\n10500 mark 3:end\n10600 tick"), @r"
    9500 play 3.1
    9500 play_end 3
    ");
}

// ---- hanging up ----

#[test] // R8
fn a_hang_up_is_repeated_until_the_carrier_listens() {
    let call = after_answer("16000 tick\n16000 audio 4 500\n16500 mark 4:end\n26000 tick");
    assert_snapshot!(since(16_001, &play(script(), &call)), @r"
    16500 hang_up inactivity_timeout
    19500 hang_up inactivity_timeout
    22500 hang_up inactivity_timeout
    ");
    let call = played(script(), &call);
    assert!(call.is_over());
    assert_eq!(call.end(), Some(End::Ours(EndReason::InactivityTimeout)));
}

#[test] // R9
fn a_goodbye_without_mark_or_sound_does_not_keep_the_call() {
    assert_snapshot!(ended("16000 tick\n16000 audio 4 12000\n30100 tick"), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16000 play 4.1
    16000 play_end 4
    30000 hang_up inactivity_timeout
    ");
    assert_snapshot!(ended("16000 tick\n26001 tick"), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    26000 cancel_say 4
    26000 hang_up inactivity_timeout
    ");
    assert_snapshot!(ended("16000 tick\n16000 chunk 4 1 1000\n28000 tick"), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16000 play 4.1
    27000 cancel_say 4
    27000 hang_up inactivity_timeout
    ");
}

#[test] // R10
fn the_far_end_hangs_up() {
    let call = after_answer(
        "
        9000 end what about my order
        9100 token 3 Your order will arrive on Monday. And
        10000 chunk 3 1 2000
        10010 piece_done 3 0
        10900 voice
        11000 media_stop
        11300 final okay then
    ",
    );
    assert_snapshot!(since(10_001, &play(script(), &call)), @r"
    11000 cancel_ask 3
    11000 cancel_say 3
    ");
    let over = played(script(), &call);
    assert!(over.is_over());
    assert_eq!(over.end(), Some(End::Remote));
    assert!(
        over.transcript()
            .ends_with("assistant: Your order will\nuser: okay then"),
        "{}",
        over.transcript()
    );
    // Nothing more was said: it ends by itself, at once where nobody spoke.
    assert!(
        !played(
            script(),
            &after_answer("9000 interim hm\n9100 media_stop\n11099 tick")
        )
        .is_over()
    );
    assert!(
        played(
            script(),
            &after_answer("9000 interim hm\n9100 media_stop\n11101 tick")
        )
        .is_over()
    );
    assert!(played(script(), &after_answer("9100 media_stop")).is_over());
}

#[test] // R11
fn the_cap_ends_every_call() {
    let short = Script {
        call_cap_ms: 10_000,
        ..script()
    };
    let log = |more: &str| {
        since(
            9000,
            &play(
                short.clone(),
                &after_answer(&format!("9000 end what about my order\n{more}")),
            ),
        )
    };
    // A model that has not answered will not.
    assert_snapshot!(log("10000 tick\n10100 audio 4 500\n10600 mark 4:end"), @r"
    9000 ask 3, user: what about my order
    10000 cancel_ask 3
    10000 clip 4 Goodbye: Goodbye.
    10100 play 4.1
    10100 play_end 4
    10600 hang_up max_duration_reached
    ");
    // Speech may end.
    assert_snapshot!(log("
        9100 token 3 It comes on Monday.
        9100 done 3
        9500 audio 3 2000
        11500 mark 3:end
        11600 audio 4 500
        12100 mark 4:end
    "), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: It comes on Monday.
    9500 play 3.1
    9500 play_end 3
    11500 clip 4 Goodbye: Goodbye.
    11600 play 4.1
    11600 play_end 4
    12100 hang_up max_duration_reached
    ");
    // But not for long; and no caller takes the cap back.
    assert_snapshot!(log("
        9100 token 3 It comes on Monday.
        9100 done 3
        9500 audio 3 9000
        11000 end no wait a moment please
        15000 tick
        15100 audio 4 500
        15600 mark 4:end
    "), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0 last: It comes on Monday.
    9500 play 3.1
    9500 play_end 3
    15000 clear
    15000 clip 4 Goodbye: Goodbye.
    15100 play 4.1
    15100 play_end 4
    15600 hang_up max_duration_reached
    ");
}

#[test] // R11
fn the_cap_of_a_web_call_has_its_own_name() {
    let mut call = Conversation::new(Script {
        call_cap_ms: 5000,
        ..script()
    });
    call.handle(
        At(0),
        Input::MediaStart {
            direction: Direction::Inbound,
            marks: false,
            web: true,
            seed: 1,
        },
    );
    call.handle(At(16_000), Input::Tick);
    assert_eq!(
        call.end(),
        Some(End::Ours(EndReason::WebCallMaxDurationReached))
    );
}

#[test] // R157
fn a_stop_request_ends_at_once() {
    assert_snapshot!(ended("
        9000 end what about my order
        9100 token 3 Your order will arrive on Monday. And
        10000 chunk 3 1 2000
        11000 stop_request
        11010 token 3 more
    "), @r"
    9000 ask 3, user: what about my order
    9100 say 3.0: Your order will arrive on Monday.
    10000 play 3.1
    11000 clear
    11000 cancel_ask 3
    11000 cancel_say 3
    11000 hang_up api_stopped
    ");
}

#[test] // R201
fn a_node_that_stops_says_goodbye() {
    assert_snapshot!(ended("
        9000 node_stopping
        9100 audio 3 500
        9600 mark 3:end
    "), @r"
    9000 fault bolo: the server was stopped during the call
    9000 clip 3 Goodbye: Goodbye.
    9100 play 3.1
    9100 play_end 3
    9600 hang_up internal_error
    ");
}

#[test] // R5
fn the_first_cause_counts() {
    let call = played(
        script(),
        &after_answer("16000 tick\n16100 audio 4 500\n16200 media_stop"),
    );
    assert_eq!(call.end(), Some(End::Ours(EndReason::InactivityTimeout)));
    let call = played(
        script(),
        &after_answer("9000 media_stop\n9010 stop_request"),
    );
    assert_eq!(call.end(), Some(End::Remote));
}

#[test] // R64
fn the_record_counts_interruptions_and_speech() {
    let stats = played(
        script(),
        &after_answer(
            "
        8000 voice
        9000 end what about my order
        9050 silence
        9100 token 3 Your order will arrive on Monday.
        9100 done 3
        10000 audio 3 4000
        11000 interim but why
        11500 end but why
        11600 token 4 It rains.
        11600 done 4
        12000 audio 4 1000
        13000 mark 4:end
        14000 end and
        14200 interim then
    ",
        ),
    )
    .stats();
    assert_eq!(
        (
            stats.user_interrupted_agent_count,
            stats.agent_interrupted_user_count,
            stats.barge_in_recovery_count
        ),
        (1, 1, 1)
    );
    assert_eq!((stats.user_turns, stats.user_speaking_ms), (4, 1050));
    assert_eq!(
        (stats.agent_speaking_ms, stats.longest_monologue_ms),
        (2000 + 1950 + 1000 + 1000, 2000)
    );
}
