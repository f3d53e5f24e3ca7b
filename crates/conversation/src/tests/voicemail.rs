//! Machines that answer (R20, R158-R161).

use insta::assert_snapshot;

use super::play::{after_answer, play, play_all, script, since};
use crate::{Output, Script, VoicemailScript};

/// The defaults of an agent that looks for machines.
pub(crate) fn looking() -> VoicemailScript {
    VoicemailScript {
        window_ms: 30_000,
        interval_ms: 7_000,
        min_words: 7,
        first_ms: 2_500,
        message: String::new(),
    }
}

fn looks() -> Script {
    Script {
        voicemail: Some(looking()),
        ..script()
    }
}

fn leaves(message: &str) -> Script {
    Script {
        voicemail: Some(VoicemailScript {
            message: message.into(),
            ..looking()
        }),
        ..script()
    }
}

/// A welcome that lasts until 6000.
const WELCOME: &str = "
    0 start
    0 audio 1 6000
";

#[test] // R20, R159, G21
fn a_machine_in_the_welcome_ends_the_call_without_a_word() {
    let call = format!(
        "{WELCOME}
        2600 final please leave a message after the tone
        3000 judged 1 yes
    "
    );
    assert_snapshot!(since(1, &play(looks(), &call)), @r"
    2600 ask_judge 1: please leave a message after the tone
    3000 answered_by_machine
    3000 clear
    3000 hang_up voicemail_detected
    ");
    let (_, machine) = play_all(looks(), &call);
    assert_eq!(
        machine.end(),
        Some(crate::End::Ours(
            bolo_execution::EndReason::VoicemailDetected
        ))
    );
}

#[test] // R158
fn nobody_looks_before_there_was_time_to_say_anything() {
    let call = format!(
        "{WELCOME}
        900 final you have reached the Smiths
        2500 tick
    "
    );
    assert_snapshot!(since(1, &play(looks(), &call)), @r"
    2101 end_turn
    2500 ask_judge 1: you have reached the Smiths
    ");
}

#[test] // R158
fn text_that_may_still_change_is_looked_at_when_it_is_long_and_not_too_often() {
    let call = format!(
        "{WELCOME}
        3000 interim you have reached
        4000 interim you have reached the voice mail box of
        4300 judged 1 no
        5000 interim you have reached the voice mail box of John Smith at
        9000 interim you have reached the voice mail box of John Smith at number
        12000 tick
    "
    );
    assert_snapshot!(since(1, &play(looks(), &call)), @r"
    4000 ask_judge 1: you have reached the voice mail box of
    6201 end_turn
    6501 ask 2, user: you have reached the voice mail box of John Smith at
    9000 clip 3 OneMoment: Just a moment.
    9000 cancel_say 3
    9000 cancel_ask 2
    9000 cancel_say 2
    10201 end_turn
    10501 ask 4, user: you have reached the voice mail box of John Smith at number
    11000 ask_judge 2: you have reached the voice mail box of John Smith at number
    ");
}

#[test] // R158
fn one_question_at_a_time_and_the_next_knows_all_that_was_said() {
    let call = format!(
        "{WELCOME}
        3000 final hello this is John
        3200 final I can not take your call
        3900 judged 1 no
        4000 tick
    "
    );
    assert_snapshot!(since(1, &play(looks(), &call)), @r"
    3000 ask_judge 1: hello this is John
    3900 ask_judge 2: hello this is John I can not take your call
    ");
}

#[test] // R159
fn a_message_waits_for_the_end_of_the_greeting() {
    let call = format!(
        "{WELCOME}
        2000 voice
        2600 final please leave a message after the tone
        3000 judged 1 yes
        3500 final thank you
        4000 silence
        5600 audio 2 1500
        7100 mark 2:end
        7150 media_stop
    "
    );
    assert_snapshot!(since(1, &play(leaves("Please call Asha back."), &call)), @r"
    2600 ask_judge 1: please leave a message after the tone
    3000 answered_by_machine
    3000 clear
    5201 end_turn
    5500 clip 2 Goodbye: Please call Asha back.
    5600 play 2.1
    5600 play_end 2
    7100 hang_up voicemail_detected
    ");
}

#[test] // R160
fn who_answers_an_answer_is_a_person() {
    let call = after_answer(
        "
        6100 judged 1 no
        7000 end how much would it cost to have that
        7400 judged 2 no
        7500 token 3 Ten a month.
        7500 done 3
        7600 audio 3 900
        8500 mark 3:end
        9000 final and please leave a message after the tone
    ",
    );
    let asked = |script: Script| {
        let outputs = play_all(script, &call).0;
        outputs
            .iter()
            .filter(|(_, output)| matches!(output, Output::AskJudge { .. }))
            .count()
    };
    assert_eq!(asked(looks()), 2);
    assert_eq!(asked(script()), 0);
}

#[test] // R161
fn the_carrier_may_know_first() {
    let machine = format!(
        "{WELCOME}
        1200 answered_by machine
    "
    );
    assert_snapshot!(since(1, &play(looks(), &machine)), @r"
    1200 answered_by_machine
    1200 clear
    1200 hang_up voicemail_detected
    ");
    let person = format!(
        "{WELCOME}
        1200 answered_by person
        2600 final please leave a message after the tone
    "
    );
    assert_snapshot!(since(1, &play(looks(), &person)), @"");
    // Nobody asked to look: what the carrier says changes nothing.
    assert_snapshot!(since(1, &play(script(), &machine)), @"");
}
