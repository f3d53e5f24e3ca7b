//! Handing the caller over (G20; R63, R113, R114, R116).

use insta::assert_snapshot;

use super::play::{play, play_all, played, since};
use super::tools::{asked, messages, shop};
use crate::Output;

#[test]
fn g20_a_transfer_that_fails() {
    let call = asked(
        "
        10200 calls 3 sales; sales
        10200 done_tools 3
        10300 audio 4 2000
        11000 interim hello? are you there
        12300 mark 4:end
        12400 final hello?
        12900 end
        13000 media_lost
        20000 transfer_failed busy
        20200 media_resumed
        20400 token 5 Sales is busy. Shall I call you back?
        20400 done 5
        20600 audio 5 2000
        21000 interim yes please do
    ",
    );
    assert_snapshot!(since(10_001, &play(shop(), &call)), @r"
    10200 clip 4 PreCall: I'll put you through.
    10400 play 4.1
    10400 play_end 4
    12201 end_turn
    12300 transfer sales{}
    20000 ask 5, tool: Error: a transfer is already in progress
    20400 say 5.0: Sales is busy.
    20400 say 5.1 last: Shall I call you back?
    20600 play 5.1
    20600 play_end 5
    21000 clear
    21000 cancel_say 5
    ");
    assert_snapshot!(messages(shop(), &asked("
        10200 calls 3 sales; sales
        10200 done_tools 3
        10300 audio 4 2000
        12300 mark 4:end
        20000 transfer_failed busy
    ")), @r"
    Assistant : Sure, when?
    User : where is my order
    Assistant : I'll put you through. [c1 sales] [c2 sales]
    Tool c1: Error: the transfer failed: busy. The caller is still on the line with you.
    Tool c2: Error: a transfer is already in progress
    ");
}

#[test] // R114
fn what_the_model_says_before_the_caller_is_back_is_heard_then() {
    // The last mark is missing: the carrier's socket was given up before it came.
    let call = asked(
        "
        10200 calls 3 sales; sales
        10200 done_tools 3
        10300 audio 4 2000
        12900 media_lost
        20000 transfer_failed busy
        20100 token 5 Sales is busy.
        20100 done 5
        20200 audio 5 2000
        20300 media_resumed
    ",
    );
    assert_snapshot!(since(12_000, &play(shop(), &call)), @r"
    12400 transfer sales{}
    12900 pause
    20000 ask 5, tool: Error: a transfer is already in progress
    20100 say 5.0 last: Sales is busy.
    20300 clear
    20300 play 5.1
    20300 play_end 5
    ");
}

#[test] // R114
fn a_transfer_that_connects_ends_our_part() {
    let line = "
        10200 calls 3 sales
        10200 done_tools 3
        10300 audio 4 2000
        12300 mark 4:end
        12400 media_lost
    ";
    let connected = asked(&format!(
        "{line}\n25000 transfer_connected\n25100 media_stop"
    ));
    assert_snapshot!(since(12_001, &play(shop(), &connected)), @r"
    12300 transfer sales{}
    25000 hang_up call_transferred
    ");
    assert!(played(shop(), &connected).is_over());
    // Nobody answers, and no carrier tells: the socket has its usual time to come back.
    assert_snapshot!(since(12_350, &play(shop(), &asked(&format!("{line}\n57400 tick\n62400 tick")))), @r"
    57300 ask 5, tool: Error: the transfer failed: nobody answered in time. The caller is still on the line with you.
    62300 cancel_ask 5
    ");
    // The socket comes back before the news does.
    let back = asked(&format!(
        "{line}\n20000 media_resumed\n20010 transfer_failed busy"
    ));
    assert_snapshot!(since(12_350, &play(shop(), &back)), @"20000 ask 5, tool: Error: the transfer failed: it was not answered. The caller is still on the line with you.");
    // The caller is gone.
    let gone = asked(&format!("{line}\n20000 media_stop"));
    assert!(played(shop(), &gone).is_over());
}

#[test] // R116
fn a_web_call_has_no_line_to_transfer() {
    let start = r#"{"media_start":{"direction":"inbound","marks":true,"web":true,"seed":7}}"#;
    let call = asked(
        "
        10200 calls 3 sales
        10200 done_tools 3
    ",
    )
    .replacen("0 start", &format!("0 {start}"), 1);
    assert_snapshot!(since(10_001, &play(shop(), &call)), @r"
    10200 clip 4 PreCall: I'll put you through.
    10200 ask 5, tool: This call has no phone line: the transfer was not made, only noted. Tell the caller that they would be transferred now, and go on.
    ");
}

#[test] // R63
fn neither_keys_nor_words_stop_a_transfer() {
    let mut shop = shop();
    shop.dtmf = true;
    let call = asked(
        "
        10200 calls 3 sales
        10200 done_tools 3
        10300 audio 4 2000
        10500 key 1
        10600 key #
        10700 interim no wait please stop
        11500 end no wait please stop
        12300 mark 4:end
    ",
    );
    assert_snapshot!(since(10_201, &play(shop, &call)), @r"
    10400 play 4.1
    10400 play_end 4
    12300 transfer sales{}
    ");
}

#[test] // R114
fn the_other_phone_rings_for_less_than_the_call_waits() {
    let rings = |transfer_s: u64| {
        let mut script = shop();
        script.rules.transfer_s = transfer_s;
        let call =
            asked("10200 calls 3 sales\n10200 done_tools 3\n10300 audio 4 2000\n12300 mark 4:end");
        let (out, call) = play_all(script, &call);
        let ring = out.iter().find_map(|(_, output)| match output {
            Output::StartTransfer { ring_s, .. } => Some(*ring_s),
            _ => None,
        });
        (ring.unwrap(), call.deadline().unwrap().0 - 12_300)
    };
    assert_eq!(rings(45), (40, 45_000));
    assert_eq!(rings(20), (15, 20_000));
    assert_eq!(rings(1), (5, 10_000));
}

#[test] // R115
fn whoever_is_called_by_a_warm_transfer_hears_what_it_is_about() {
    let warm = || {
        let mut script = shop();
        let mut tools = script.tools.iter_mut();
        tools.find(|tool| tool.name == "sales").unwrap().is_warm = true;
        script
    };
    let call = |arguments: &str| {
        asked(&format!(
            "10200 calls 3 sales {arguments}
             10200 done_tools 3
             10300 audio 4 2000
             12300 mark 4:end"
        ))
    };
    let told = call(r#"{"summary":" Asha wants to return order 7. "}"#);
    assert_snapshot!(since(12_001, &play(warm(), &told)), @r#"12300 transfer sales{"summary":" Asha wants to return order 7. "} offering: Asha wants to return order 7. Press 1 to take the call."#);
    assert_snapshot!(since(12_001, &play(warm(), &call("{}"))), @"12300 transfer sales{} offering: A caller is on the line and would like to speak with you. Press 1 to take the call.");
    let long = call(&format!(r#"{{"summary":"{}"}}"#, "ab ".repeat(900)));
    let (out, machine) = play_all(warm(), &long);
    let offer = out.iter().find_map(|(_, output)| match output {
        Output::StartTransfer { offer, .. } => offer.clone(),
        _ => None,
    });
    let offer = offer.unwrap();
    assert_eq!((offer.text.chars().count(), offer.wait_s), (626, 20));
    // Its outcome is waited for as long as the ringing, the summary and the decision may take.
    let limit = machine.deadline().unwrap().0 - 12_300;
    assert_eq!(limit, (45 + offer.limit_s()) * 1000);
}
