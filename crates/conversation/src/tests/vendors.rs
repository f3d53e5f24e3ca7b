//! What vendors and carrier do by themselves in the random runs: answer, speak, echo marks, mostly.

use super::driver::Checked;
use super::events::{CALLS, TOKENS, fault};
use crate::{AnswerId, Finish, Input, Output, TokenUse, ToolCall, ToolOutcome, TransferOutcome};

impl Checked {
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let luck = self.luck.as_deref().unwrap_or(&[0]);
        u64::from(luck[self.drawn as usize % luck.len()])
    }

    fn comes(&mut self, after_ms: u64, input: Input) {
        self.drawn += 1;
        self.coming
            .insert((self.now.plus(after_ms), self.drawn), input);
    }

    /// Vendors and carrier at their usual work.
    pub(crate) fn react(&mut self, output: &Output) {
        if self.luck.is_none() {
            return;
        }
        let luck = self.draw();
        match output {
            Output::Ask { answer, tools, .. } => {
                let answer = *answer;
                match luck % 16 {
                    0 => {}
                    1 => self.comes(
                        luck * 10,
                        Input::AnswerFailed {
                            answer,
                            fault: fault(luck as u8),
                        },
                    ),
                    2 if !tools.is_empty() => self.comes(200, tool_call(answer)),
                    3..=6 if !tools.is_empty() => {
                        let back = self.last_answer - answer.0;
                        let calls = self.called(back, luck as usize % CALLS.len(), None);
                        self.comes(luck * 3 + 390, calls);
                    }
                    _ => {}
                }
                if luck % 16 > 1 {
                    for index in 0..=luck % 6 {
                        let text = TOKENS[(luck + index) as usize % TOKENS.len()].to_owned();
                        self.comes(luck * 3 + index * 50, Input::Token { answer, text });
                    }
                    let usage = TokenUse::default();
                    self.comes(
                        luck * 3 + 400,
                        Input::AnswerDone {
                            answer,
                            finish: Finish::Stop,
                            usage,
                        },
                    );
                }
            }
            Output::SayClip { answer, .. } => self.sound(*answer, 0, luck, true),
            Output::Say {
                answer,
                piece,
                text,
                last,
                ..
            } => {
                self.sound(
                    *answer,
                    *piece,
                    if text.is_empty() { 0 } else { luck + 1 },
                    *last,
                );
            }
            Output::PlayEnd { answer } if luck & 7 > 0 => {
                let ms = self.sound_ms.get(answer).copied().unwrap_or(0);
                self.comes(
                    ms + luck,
                    Input::Mark {
                        name: format!("{}:end", answer.0),
                    },
                );
            }
            Output::AskRoute { turn, .. } => {
                let hit = (luck < 85).then_some((0, 0));
                self.comes(
                    luck % 80,
                    Input::Routed {
                        turn: *turn,
                        hit,
                        scores: None,
                    },
                );
            }
            Output::RunTool { run, .. } if luck & 7 > 0 => {
                let outcome = match luck & 1 {
                    0 => ToolOutcome::Failed { why: "gone".into() },
                    _ => ToolOutcome::Answered {
                        body: format!("result of {run}"),
                    },
                };
                self.comes(luck * 20, Input::ToolReturned { run: *run, outcome });
            }
            Output::StartTransfer { .. } if luck & 7 > 0 => {
                self.comes(20, Input::MediaLost);
                let outcome = match luck & 8 {
                    0 => TransferOutcome::Connected,
                    _ => TransferOutcome::Failed { why: "busy".into() },
                };
                self.comes(luck * 50, Input::TransferChanged { outcome });
                self.comes(luck * 50 + 200, Input::MediaResumed);
            }
            Output::AskJudge { id, .. } => self.comes(
                luck * 10,
                Input::Judged {
                    id: *id,
                    yes: luck < 85,
                },
            ),
            Output::HangUp { .. } if luck & 3 > 0 => self.comes(luck, Input::MediaStop),
            _ => {}
        }
    }

    fn sound(&mut self, answer: AnswerId, piece: u32, luck: u64, last: bool) {
        let wait = 30 + luck;
        for _ in 0..luck % 5 {
            let made = self.made.entry(answer).or_insert(0);
            *made += 1;
            let chunk = *made;
            let ms = 20 + luck * 3;
            *self.sound_ms.entry(answer).or_insert(0) += ms;
            self.comes(
                wait,
                Input::Audio {
                    answer,
                    piece,
                    chunk,
                    ms,
                    words: vec![],
                },
            );
        }
        self.comes(wait, Input::PieceDone { answer, piece });
        if last && luck % 32 != 9 {
            self.comes(wait + 1, Input::SpeechDone { answer });
        }
    }
}

fn tool_call(answer: AnswerId) -> Input {
    let call = ToolCall {
        id: "c".into(),
        name: "end_call".into(),
        arguments: "{}".into(),
    };
    Input::ToolCalls {
        answer,
        calls: vec![call],
    }
}
