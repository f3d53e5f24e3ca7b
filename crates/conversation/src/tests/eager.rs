//! Eager end of turn (R41, R42): asked ahead, nothing of it heard or done before the turn's true end.

use insta::assert_snapshot;

use super::play::{after_answer, after_statement, play, play_metrics, played, script, since};
use crate::{Ending, Script};

#[test] // G25
fn g25_eager_with_a_tool() {
    let tool = Script {
        ending: Ending::Tool("All is said.".into()),
        ..script()
    };
    let log = play(
        tool,
        &after_answer(
            "
        9000 eager 0.8 book it for
        9200 calls 3 end_call
        9300 resumed
        9400 interim book it for two
        10000 end book it for two
        10300 token 4 Done, goodbye.
        10300 calls 4 end_call
        10310 done_tools 4
        10500 audio 4 800
        11300 mark 4:end
    ",
        ),
    );
    assert_snapshot!(since(6001, &log), @r"
    9000 ask 3, user: book it for
    9300 cancel_ask 3
    10000 ask 4, user: book it for two
    10300 say 4.0: Done, goodbye.
    10310 say 4.1 last: 
    10500 play 4.1
    10500 play_end 4
    11300 hang_up end_call_tool
    ");
}

#[test] // R41
fn a_confirmed_guess_is_asked_once_and_heard_at_the_turns_end() {
    let log = play(
        script(),
        &after_answer(
            "
        8500 interim what about my
        9000 eager 0.8 what about my order
        9300 token 3 It ships on Monday.
        9350 done 3
        9500 end What about my order?
        9700 audio 3 1000
        9901 tick
    ",
        ),
    );
    assert_snapshot!(since(6001, &log), @r"
    9000 ask 3, user: what about my order
    9500 say 3.0 last: It ships on Monday.
    9700 play 3.1
    9700 play_end 3
    ");
    // The model may be in the middle of its answer.
    let log = play(
        script(),
        &after_answer(
            "
        9000 eager 0.8 what about my order
        9300 token 3 It ships on Monday. And
        9500 end What about my order?
        9600 token 3  then it arrives.
        9700 done 3
    ",
        ),
    );
    assert_snapshot!(since(6001, &log), @r"
    9000 ask 3, user: what about my order
    9500 say 3.0: It ships on Monday.
    9700 say 3.1 last: And then it arrives.
    ");
}

#[test] // R41
fn another_text_at_the_end_is_asked_anew_and_the_guess_leaves_no_trace() {
    let story = after_answer(
        "
        9000 eager 0.8 book it for two
        9300 token 3 For two, yes.
        9350 done 3
        9500 end book it for ten
        9700 token 4 For ten, yes.
        9700 done 4
        9900 audio 4 1000
        10900 mark 4:end
    ",
    );
    assert_snapshot!(since(6001, &play(script(), &story)), @r"
    9000 ask 3, user: book it for two
    9500 ask 4, user: book it for ten
    9700 say 4.0 last: For ten, yes.
    9900 play 4.1
    9900 play_end 4
    ");
    assert_snapshot!(played(script(), &story).transcript(), @r"
    assistant: Hello from the shop
    user: I want to book
    assistant: Sure, when?
    user: book it for ten
    assistant: For ten, yes.
    ");
}

#[test] // R41
fn new_words_take_a_guess_back_even_without_a_word_of_the_transcriber() {
    let log = play_metrics(
        script(),
        &after_answer("9000 eager 0.8 book it\n9400 interim book it for two"),
    );
    assert_snapshot!(since(6001, &log), @r#"
    9000 ask 3, user: book it
    9400 cancel_ask 3
    9400 metric "eager_dropped"
    "#);
}

#[test] // R41
fn a_guess_wants_certainty_a_finished_welcome_and_a_silent_agent() {
    let unsure = play(script(), &after_answer("9000 eager 0.49 book it"));
    assert_eq!(since(6001, &unsure), "");
    let never = Script {
        eager_threshold: None,
        ..script()
    };
    let never = play(never, &after_answer("9000 eager 0.9 book it"));
    assert_eq!(since(6001, &never), "");
    let welcome = play(
        script(),
        "0 start\n0 audio 1 2000\n1500 eager 0.9 book a table for two",
    );
    assert_eq!(since(1, &welcome), "");
    let audible = play(script(), &after_statement("10500 eager 0.9 why"));
    assert_snapshot!(since(10_001, &audible), @"10500 pause");
    // The answer to the turn before is on its way: new words withdraw it, only the next guess counts.
    let pending = after_answer("9000 end book it\n9100 eager 0.9 for two\n9900 end for two");
    assert_snapshot!(since(6001, &play(script(), &pending)), @r"
    9000 ask 3, user: book it
    9100 cancel_ask 3
    9100 cancel_say 3
    9100 ask 4, user: book it for two
    ");
}

#[test] // R42
fn guesses_are_few_and_leave_an_ask_for_the_end() {
    let log = play(
        script(),
        &after_answer(
            "
        9000 eager 0.8 one
        9100 interim one two
        9200 eager 0.8 one two
        9300 resumed
        9400 eager 0.8 one two three
        9500 end one two three
    ",
        ),
    );
    assert_snapshot!(since(6001, &log), @r"
    9000 ask 3, user: one
    9100 cancel_ask 3
    9200 ask 4, user: one two
    9300 cancel_ask 4
    9500 ask 5, user: one two three
    ");
    let careful = Script {
        speculate: false,
        ..script()
    };
    let log = play(
        careful,
        &after_answer("9000 eager 0.8 one two\n9100 end one two"),
    );
    assert_eq!(since(6001, &log), "");
    // Ten seconds of speech: no guess.
    let log = play(
        script(),
        &after_answer(
            "9000 voice\n9000 interim one\n13500 interim one two\n18000 interim one two or\n19001 eager 0.8 one two three",
        ),
    );
    assert_eq!(since(6001, &log), "");
}

#[test] // R41, R194
fn a_guess_that_fails_is_forgotten() {
    let log = play(
        script(),
        &after_answer("9000 eager 0.8 book it\n9200 fail 3 server\n9500 end book it"),
    );
    assert_snapshot!(since(6001, &log), @r"
    9000 ask 3, user: book it
    9500 ask 4, user: book it
    ");
}

#[test] // R29
fn a_turn_that_has_to_be_ended_takes_its_guess_back_first() {
    let log = play(
        script(),
        &after_answer("9000 eager 0.8 book it\n10600 tick"),
    );
    assert_snapshot!(since(6001, &log), @r"
    9000 ask 3, user: book it
    10201 end_turn
    10501 cancel_ask 3
    10501 ask 4, user: book it
    ");
}

#[test] // R10
fn the_end_of_the_call_is_the_end_of_a_guess() {
    for end in ["media_stop", "stop_request"] {
        let log = play(
            script(),
            &after_answer(&format!("9000 eager 0.8 book it\n9100 {end}")),
        );
        assert!(log.contains("9100 cancel_ask 3"), "{end}: {log}");
    }
}
