//! The one function that knows the machine's interface: a call written as lines, played in virtual
//! time, its decisions as lines.
//!
//! A line is `<ms> <what happened>`: an input as JSON (as in an event log), or one of the short forms
//! of [`input`]. Deadlines between the lines are met exactly. `# …` is a comment.

use std::fmt::Write;

use bolo_agent::Variables;
use bolo_execution::{AgentId, Direction, ExecutionId};
use serde_json::Map;
use uuid::Uuid;

use crate::{
    AnswerId, At, CallFacts, Conversation, Ending, Fault, FaultKind, Finish, Input, Names,
    OnlineCheck, Output, Rules, Script, TokenUse, ToolCall, ToolOutcome, ToolScript,
    TransferOutcome, TurnEndWhy, TurnId,
};

/// The fixture of runtime.md §18: marks, no line latency, an empty-handed agent with defaults.
pub(crate) fn script() -> Script {
    Script {
        template: String::new(),
        rules: Rules {
            link_ms: 0,
            // As the golden scripts have it; `dead_air` tests the default.
            filler_sure_ms: 4000,
            ..Rules::default()
        },
        facts: CallFacts {
            execution: ExecutionId(Uuid::nil()),
            agent: AgentId(Uuid::nil()),
            direction: Direction::Outbound,
            user_number: "+15550100".into(),
            agent_number: "+15550199".into(),
            variables: Variables::default(),
        },
        language: "en".into(),
        names: Names {
            model: "m".into(),
            transcriber: "t".into(),
            synthesizer: "s".into(),
        },
        welcome: "Hello from the shop".into(),
        welcome_delay_ms: 0,
        transcriber_pause_ms: 0,
        discard_pre_welcome: false,
        prompt: "You sell.".into(),
        temperature: 0.1,
        buffer_size: 250,
        normalize_numbers: false,
        hold_ms: 400,
        words_to_interrupt: 2,
        backoff_ms: 0,
        speculate: true,
        eager_threshold: Some(0.5),
        call_cap_ms: 300_000,
        hangup_after_silence_ms: 10_000,
        online_check: Some(OnlineCheck {
            after_ms: 6000,
            text: "Hey, are you still there".into(),
        }),
        goodbye: "Goodbye.".into(),
        interruptible_goodbye: false,
        ending: Ending::Never,
        use_fillers: false,
        dtmf: false,
        voicemail: None,
        routes: Vec::new(),
        tools: Vec::new(),
    }
}

/// A tool without arguments and without a line.
pub(crate) fn tool(name: &str) -> ToolScript {
    ToolScript {
        name: name.into(),
        description: "d".into(),
        parameters: Map::new(),
        line: String::new(),
        speak_result: true,
        limit_ms: 10_000,
        is_transfer: false,
        is_warm: false,
    }
}

/// Plays a call; decisions without logs and metrics.
pub(crate) fn play(script: Script, text: &str) -> String {
    lines(&play_all(script, text).0, false)
}

/// Plays a call; decisions and metrics.
pub(crate) fn play_metrics(script: Script, text: &str) -> String {
    lines(&play_all(script, text).0, true)
}

/// Plays a call; the machine as it stands at the end.
pub(crate) fn played(script: Script, text: &str) -> Conversation {
    play_all(script, text).1
}

/// Plays a call: all it decided, and itself.
pub(crate) fn play_all(script: Script, text: &str) -> (Vec<(At, Output)>, Conversation) {
    let mut call = Conversation::new(script);
    let mut out = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (at, what) = line.split_once(' ').unwrap();
        let at = At(at.parse().unwrap());
        while let Some(due) = call.deadline().filter(|due| *due < at) {
            out.extend(
                call.handle(due, Input::Tick)
                    .into_iter()
                    .map(|output| (due, output)),
            );
        }
        for input in input(what) {
            out.extend(
                call.handle(at, input)
                    .into_iter()
                    .map(|output| (at, output)),
            );
        }
    }
    (out, call)
}

pub(crate) fn lines(outputs: &[(At, Output)], metrics: bool) -> String {
    let mut text = String::new();
    for (at, output) in outputs {
        if let Some(line) = shown(output, metrics) {
            writeln!(text, "{} {line}", at.0).unwrap();
        }
    }
    text
}

fn fault(kind: &str) -> Fault {
    let kind: FaultKind = serde_json::from_value(kind.into()).unwrap();
    Fault {
        kind,
        message: format!("vendor: {kind:?}"),
        retry_after_ms: None,
    }
}

/// `eager 0.8 so far` = the transcriber is that sure;
/// `audio 2 700` = the whole speech of answer 2, one chunk, complete; `chunk 2 1 700` = its chunk 1 only.
pub(crate) fn input(what: &str) -> Vec<Input> {
    if what.starts_with(['{', '"']) {
        return vec![serde_json::from_str(what).unwrap()];
    }
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = |text: &str| text.parse::<u32>().unwrap();
    let answer = || AnswerId(number(first));
    let text = rest.to_owned();
    let start = |marks| Input::MediaStart {
        direction: Direction::Outbound,
        marks,
        web: false,
        seed: 7,
    };
    let usage = TokenUse {
        input: 10,
        output: 5,
        cached: 0,
        estimated: false,
    };
    let one = match verb {
        "start" => start(true),
        "start_without_marks" => start(false),
        "media_stop" => Input::MediaStop,
        "media_lost" => Input::MediaLost,
        "media_resumed" => Input::MediaResumed,
        "voice" => Input::Vad { speech: true },
        "silence" => Input::Vad { speech: false },
        "interim" => Input::Interim { text },
        "final" => Input::Final { text },
        "end" => Input::TurnEnd {
            text,
            why: TurnEndWhy::SpeechFinal,
        },
        "eager" => Input::Eager {
            text: more.to_owned(),
            confidence: first.parse().unwrap(),
        },
        "resumed" => Input::Resumed,
        "down" => Input::TranscriberDown {
            fault: fault("dropped"),
        },
        "up" => Input::TranscriberUp,
        "lost" => Input::TranscriberLost {
            fault: fault("connect"),
        },
        "token" => Input::Token {
            answer: answer(),
            text: more.to_owned(),
        },
        "done" => Input::AnswerDone {
            answer: answer(),
            finish: Finish::Stop,
            usage,
        },
        "done_length" => Input::AnswerDone {
            answer: answer(),
            finish: Finish::Length,
            usage,
        },
        "done_tools" => Input::AnswerDone {
            answer: answer(),
            finish: Finish::ToolCalls,
            usage,
        },
        "done_filter" => Input::AnswerDone {
            answer: answer(),
            finish: Finish::ContentFilter,
            usage,
        },
        "thinks" => Input::Thinking { answer: answer() },
        "named" => Input::ToolNamed {
            answer: answer(),
            name: more.to_owned(),
        },
        // `calls 2 look_up {"id":1}; book` = two calls, c1 and c2.
        "calls" => {
            let calls = more.split("; ").enumerate().map(|(index, call)| {
                let (name, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
                ToolCall {
                    id: format!("c{}", index + 1),
                    name: name.to_owned(),
                    arguments: arguments.to_owned(),
                }
            });
            Input::ToolCalls {
                answer: answer(),
                calls: calls.collect(),
            }
        }
        "result" => {
            let body = more.to_owned();
            Input::ToolReturned {
                run: number(first),
                outcome: ToolOutcome::Answered { body },
            }
        }
        "tool_fail" => {
            let why = more.to_owned();
            Input::ToolReturned {
                run: number(first),
                outcome: ToolOutcome::Failed { why },
            }
        }
        "transfer_connected" => Input::TransferChanged {
            outcome: TransferOutcome::Connected,
        },
        "transfer_failed" => Input::TransferChanged {
            outcome: TransferOutcome::Failed { why: text },
        },
        "fail" => Input::AnswerFailed {
            answer: answer(),
            fault: fault(more),
        },
        "audio" => {
            let (answer, ms) = (answer(), u64::from(number(more)));
            return vec![
                Input::Audio {
                    answer,
                    piece: 0,
                    chunk: 1,
                    ms,
                    words: vec![],
                },
                Input::PieceDone { answer, piece: 0 },
                Input::SpeechDone { answer },
            ];
        }
        "chunk" => {
            let (chunk, ms) = more.split_once(' ').unwrap();
            let (chunk, ms) = (number(chunk), u64::from(number(ms)));
            Input::Audio {
                answer: answer(),
                piece: 0,
                chunk,
                ms,
                words: vec![],
            }
        }
        "piece_done" => Input::PieceDone {
            answer: answer(),
            piece: number(more),
        },
        "speech_done" => Input::SpeechDone { answer: answer() },
        "speech_fail" => Input::SpeechFailed {
            answer: answer(),
            fault: fault("dropped"),
        },
        "mark" => Input::Mark { name: text },
        "route" => {
            let hit = more
                .split_once(' ')
                .map(|(route, utterance)| (number(route), number(utterance)));
            Input::Routed {
                turn: TurnId(number(first)),
                hit,
                scores: None,
            }
        }
        "judged" => Input::Judged {
            id: number(first),
            yes: more == "yes",
        },
        "type" => Input::Typed { text: rest.into() },
        "key" => Input::Dtmf {
            digit: rest.chars().next().unwrap(),
        },
        "answered_by" => Input::AnsweredBy {
            is_machine: first == "machine",
        },
        "stop_request" => Input::StopRequested,
        "node_stopping" => Input::NodeStopping,
        "tick" => Input::Tick,
        other => panic!("no such input: {other}"),
    };
    vec![one]
}

fn shown(output: &Output, metrics: bool) -> Option<String> {
    Some(match output {
        Output::Log(_) => return None,
        Output::Metric(metric) if metrics => {
            format!("metric {}", serde_json::to_string(metric).unwrap())
        }
        Output::Metric(_) => return None,
        Output::Answered => "answered".into(),
        Output::EndTurn => "end_turn".into(),
        Output::Ask {
            answer, messages, ..
        } => {
            let last = messages.last().unwrap();
            let role = serde_json::to_value(last.role).unwrap();
            format!(
                "ask {}, {}: {}",
                answer.0,
                role.as_str().unwrap(),
                last.content.as_deref().unwrap_or("-").replace('\n', " / ")
            )
        }
        Output::RunTool {
            run,
            tool,
            arguments,
            context,
        } => {
            let context = match context.is_empty() {
                true => String::new(),
                false => format!(" knowing {}", serde_json::to_string(context).unwrap()),
            };
            let arguments = serde_json::to_string(arguments).unwrap();
            format!("run {run} {tool}{arguments}{context}")
        }
        Output::StartTransfer {
            tool,
            arguments,
            offer,
            ..
        } => {
            let arguments = serde_json::to_string(arguments).unwrap();
            let offer = offer.as_ref();
            let offer = offer.map_or(String::new(), |offer| format!(" offering: {}", offer.text));
            format!("transfer {tool}{arguments}{offer}")
        }
        Output::CancelAsk { answer } => format!("cancel_ask {}", answer.0),
        Output::AskRoute { turn, text } => format!("ask_route {}: {text}", turn.0),
        Output::AskJudge { id, messages, .. } => {
            format!(
                "ask_judge {id}: {}",
                messages[1].content.clone().unwrap().lines().last().unwrap()
            )
        }
        Output::Say {
            answer,
            piece,
            text,
            last,
            ..
        } => {
            format!(
                "say {}.{piece}{}: {text}",
                answer.0,
                if *last { " last" } else { "" }
            )
        }
        Output::SayClip { answer, clip, text } => format!("clip {} {clip:?}: {text}", answer.0),
        Output::CancelSay { answer } => format!("cancel_say {}", answer.0),
        Output::Play { answer, chunk } => format!("play {}.{chunk}", answer.0),
        Output::PlayEnd { answer } => format!("play_end {}", answer.0),
        Output::PausePlayback => "pause".into(),
        Output::ResumePlayback {
            answer,
            chunk,
            from_ms,
        } => format!("resume {}.{chunk} from {from_ms}", answer.0),
        Output::ClearPlayback => "clear".into(),
        Output::HangUp { reason } => format!("hang_up {}", reason.as_str()),
        Output::AnsweredByMachine => "answered_by_machine".into(),
        Output::Fault { message } => format!("fault {message}"),
    })
}

/// A call whose welcome was played and whose first turn was answered with `answer` (id 2), which ended
/// at 6000.
pub(crate) const ANSWERED: &str = "
    0 start
    0 audio 1 2000
    2000 mark 1:end
    3600 end I want to book
    3900 token 2 Sure, when?
    3900 done 2
    4050 audio 2 1950
    6000 mark 2:end
";

/// That call, going on.
pub(crate) fn after_answer(more: &str) -> String {
    format!("{ANSWERED}{more}")
}

/// The decisions from `from` on.
pub(crate) fn since(from: u64, log: &str) -> String {
    let late = log
        .lines()
        .filter(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap() >= from);
    late.map(|line| format!("{line}\n")).collect()
}

/// A statement (id 3) of 2000 ms, played from 10000 on.
pub(crate) const STATEMENT: &str = "
    9000 end what about my order
    9100 token 3 Your order will arrive on Monday.
    9100 done 3
    10000 audio 3 2000
";

/// That call, answered with it and going on.
pub(crate) fn after_statement(more: &str) -> String {
    after_answer(&format!("{STATEMENT}{more}"))
}
