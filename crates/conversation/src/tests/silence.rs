//! Silence, and ends that are taken back (R63, R149-R153).

use insta::assert_snapshot;

use super::play::{after_answer, play, played, script, since};
use crate::{At, Script};

fn ended(call: &str) -> String {
    since(6001, &play(script(), &after_answer(call)))
}

#[test] // R151, R153
fn a_silent_caller_is_asked_once_then_left() {
    assert_snapshot!(ended("
        12000 audio 3 1000
        13000 mark 3:end
        16000 audio 4 500
        16500 mark 4:end
        16550 media_stop
        17000 tick
    "), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    12000 play 3.1
    12000 play_end 3
    16000 clip 4 Goodbye: Goodbye.
    16000 play 4.1
    16000 play_end 4
    16500 hang_up inactivity_timeout
    ");
}

#[test] // R151
fn another_silence_is_asked_about_again() {
    assert_snapshot!(ended("
        12000 audio 3 1000
        13000 mark 3:end
        14000 end I am here indeed
        14100 token 4 Good.
        14100 done 4
        14500 audio 4 1000
        15500 mark 4:end
        21501 tick
    "), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    12000 play 3.1
    12000 play_end 3
    14000 ask 4, user: I am here indeed
    14100 say 4.0 last: Good.
    14500 play 4.1
    14500 play_end 4
    21500 clip 5 OnlineCheck: Hey, are you still there
    ");
}

#[test] // R152, R153
fn silence_limits_can_be_off() {
    let never = Script {
        hangup_after_silence_ms: 0,
        online_check: None,
        ..script()
    };
    assert_snapshot!(since(6001, &play(never, &after_answer("290000 tick"))), @"");
    let late = crate::OnlineCheck {
        after_ms: 10_000,
        text: "Hello?".into(),
    };
    assert_snapshot!(
        since(6001, &play(Script { online_check: Some(late), ..script() }, &after_answer("16001 tick"))),
        @"16000 clip 3 Goodbye: Goodbye."
    );
}

#[test] // R153
fn a_check_that_is_being_heard_is_waited_for() {
    assert_snapshot!(ended("
        12000 audio 3 4500
        16500 mark 3:end
        18600 tick
    "), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    12000 play 3.1
    12000 play_end 3
    18500 clip 4 Goodbye: Goodbye.
    ");
    // One that never sounds is not.
    assert_snapshot!(ended("16001 tick"), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    ");
}

#[test] // R150
fn a_sound_of_the_caller_starts_the_clock_anew_unless_it_is_short() {
    let quiet = |call: &str| played(script(), &after_answer(call)).next_silence();
    assert_eq!(quiet("8000 voice\n8400 silence"), Some(At(18_400)));
    assert_eq!(quiet("8000 voice\n8200 silence"), Some(At(16_000)));
    assert_eq!(quiet("8000 key 5"), Some(At(18_000)));
    assert_eq!(quiet("8000 interim hm"), Some(At(18_000)));
}

#[test] // R149
fn a_noise_that_never_ends_does_not_keep_a_call() {
    assert_snapshot!(ended("
        8000 voice
        30000 tick
    "), @r"
    22000 clip 3 OnlineCheck: Hey, are you still there
    26000 cancel_say 3
    26000 clip 4 Goodbye: Goodbye.
    ");
}

#[test] // R149, livekit and Bolna field reports: hung up in the middle of a long answer
fn no_silence_while_the_agent_speaks_or_thinks() {
    assert_snapshot!(ended("
        9000 end tell me all
        9100 token 3 This is going to take a very long time.
        9100 done 3
        9500 audio 3 60000
        69000 tick
    "), @r"
    9000 ask 3, user: tell me all
    9100 say 3.0 last: This is going to take a very long time.
    9500 play 3.1
    9500 play_end 3
    ");
}

#[test] // R63, R153
fn a_word_before_the_goodbye_takes_a_silence_back() {
    let closing = "16001 tick\n";
    assert_snapshot!(ended(&format!("{closing}
        16100 interim wait
        17000 end wait please
    ")), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16100 cancel_say 4
    17000 ask 5, user: wait please
    ");
    // Not once the goodbye is heard, and a farewell takes nothing back.
    assert_snapshot!(ended(&format!("{closing}
        16050 audio 4 1000
        16200 end wait please a moment
        17050 mark 4:end
    ")), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16050 play 4.1
    16050 play_end 4
    17050 hang_up inactivity_timeout
    ");
    assert_snapshot!(ended(&format!("{closing}
        16020 end okay bye bye
        16050 audio 4 1000
        17050 mark 4:end
    ")), @r"
    12000 clip 3 OnlineCheck: Hey, are you still there
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16050 play 4.1
    16050 play_end 4
    17050 hang_up inactivity_timeout
    ");
}

#[test] // R63
fn an_interruptible_goodbye_is_cut_like_an_answer() {
    let open = Script {
        interruptible_goodbye: true,
        ..script()
    };
    assert_snapshot!(since(16_000, &play(open, &after_answer("
        16000 tick
        16050 audio 4 2000
        16500 end no wait a moment
        17000 token 5 Yes?
        17000 done 5
        17100 audio 5 300
    "))), @r"
    16000 cancel_say 3
    16000 clip 4 Goodbye: Goodbye.
    16050 play 4.1
    16050 play_end 4
    16500 clear
    16500 cancel_say 4
    16500 ask 5, user: no wait a moment
    17000 say 5.0 last: Yes?
    17100 play 5.1
    17100 play_end 5
    ");
}
