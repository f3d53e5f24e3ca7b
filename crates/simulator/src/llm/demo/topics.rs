//! What callers say besides their booking, as data: phrases, and what is answered.
//!
//! A phrase fits when its words stand together in what was heard; case, punctuation and apostrophes
//! don't count.

use super::hear::{has, words};

/// What the model does about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Says this, then comes back to its question.
    Say(&'static str),
    /// Repeats a sentence of its instructions that shows one of these signs; else says that it was
    /// not told.
    Told {
        signs: &'static [&'static str],
        else_say: &'static str,
    },
    /// Says its last words again.
    Repeat,
    /// Waits: says this and no question.
    Wait(&'static str),
    /// Says this and ends the call.
    End(&'static str),
}

pub(super) struct Topic {
    pub phrases: &'static [&'static str],
    pub answer: Answer,
}

pub(super) const GOODBYE: &str = "Thank you for calling. Goodbye!";

/// The first that fits is taken.
pub(super) const TOPICS: &[Topic] = &[
    Topic {
        phrases: &[
            "not interested",
            "remove me",
            "stop calling",
            "do not call",
            "dont call",
            "leave me alone",
        ],
        answer: Answer::End("I understand, I will not bother you any more. Goodbye!"),
    },
    Topic {
        phrases: &[
            "goodbye",
            "good bye",
            "bye",
            "bye bye",
            "see you then",
            "see you later",
            "have a nice day",
            "have a good day",
            "that is all",
            "thats all",
            "that will be all",
            "hang up",
            "nothing else",
        ],
        answer: Answer::End(GOODBYE),
    },
    Topic {
        phrases: &[
            "robot",
            "are you real",
            "real person",
            "are you human",
            "are you a human",
            "are you a person",
            "a machine",
            "are you a bot",
            "are you an ai",
            "artificial intelligence",
            "who are you",
            "what are you",
            "are you a computer",
            "chatbot",
        ],
        answer: Answer::Say(
            "I am a scripted demo model, neither a person nor a real language model. \
             I follow a short list of rules, so that you can try a whole call without any key. \
             Give this agent a language model and it will understand far more.",
        ),
    },
    Topic {
        phrases: &[
            "human agent",
            "speak to a human",
            "talk to a human",
            "to a person",
            "to someone",
            "an operator",
            "a manager",
        ],
        answer: Answer::Say(
            "There is nobody else here in this demo, but I can book the appointment for you.",
        ),
    },
    Topic {
        phrases: &[
            "repeat",
            "say that again",
            "pardon",
            "hear you",
            "more slowly",
            "go back",
            "what did you say",
            "come again",
            "did not understand",
            "didnt understand",
            "again please",
        ],
        answer: Answer::Repeat,
    },
    Topic {
        phrases: &[
            "let me check",
            "hold on",
            "one moment",
            "just a moment",
            "a second",
            "wait",
            "hang on",
            "let me see",
        ],
        answer: Answer::Wait("Sure, take your time."),
    },
    Topic {
        phrases: &[
            "how much",
            "price",
            "cost",
            "costs",
            "the fee",
            "charge",
            "expensive",
        ],
        answer: Answer::Told {
            signs: &[
                "cost",
                "costs",
                "price is",
                "fee is",
                "dollars",
                "euros",
                "rupees",
                "pounds",
                "free of charge",
            ],
            else_say: "I was not told the price.",
        },
    },
    Topic {
        phrases: &["discount", "cheaper", "student", "students"],
        answer: Answer::Told {
            signs: &["discount", "discounts", "students"],
            else_say: "I have not heard of any discount.",
        },
    },
    Topic {
        phrases: &[
            "opening hours",
            "your hours",
            "are you open",
            "do you open",
            "do you close",
            "opening times",
        ],
        answer: Answer::Told {
            signs: &[
                "open from",
                "opening hours are",
                "hours are",
                "we are open",
                "closed on",
            ],
            else_say: "I was not told the opening hours.",
        },
    },
    Topic {
        phrases: &[
            "where exactly",
            "where are you",
            "your office",
            "your address",
            "located",
            "where is",
            "find you",
            "parking",
        ],
        answer: Answer::Told {
            signs: &["located", "address is", "office is", "we are at", "find us"],
            else_say: "I was not told the address.",
        },
    },
    Topic {
        phrases: &[
            "bring my",
            "come with",
            "with my daughter",
            "with my son",
            "with my wife",
            "with my husband",
        ],
        answer: Answer::Say("Of course, you may bring someone along."),
    },
    Topic {
        phrases: &[
            "text message",
            "send me",
            "email me",
            "by email",
            "a message",
        ],
        answer: Answer::Say("I cannot send messages in this demo, so please note it down."),
    },
    Topic {
        phrases: &["call me back", "call back", "call me later", "call again"],
        answer: Answer::Say("I cannot call back in this demo, but we can settle it now."),
    },
    Topic {
        phrases: &[
            "reschedule",
            "change my appointment",
            "cancel my appointment",
            "cancel the appointment",
        ],
        answer: Answer::Say("I can only make new appointments in this demo."),
    },
    Topic {
        phrases: &[
            "my order",
            "delivery",
            "invoice",
            "refund",
            "my account",
            "subscription",
            "misunderstanding",
        ],
        answer: Answer::Say("I am afraid I know nothing about that. I only book appointments."),
    },
    Topic {
        phrases: &[
            "election",
            "elections",
            "vote for",
            "president",
            "politics",
            "religion",
            "weather",
            "football",
        ],
        answer: Answer::Say("I would rather not talk about that. I only book appointments."),
    },
    Topic {
        phrases: &["how are you"],
        answer: Answer::Say("I am fine, thank you."),
    },
];

/// The sentences of the instructions, as they may be said.
pub(super) fn sentences(text: &str) -> Vec<String> {
    text.split_inclusive(['.', '!', '?', '\n', ';'])
        .map(|sentence| {
            sentence
                .trim()
                .trim_start_matches(['-', '*', '#', ' '])
                .trim_end_matches(';')
                .to_owned()
        })
        .filter(|sentence| (2..=40).contains(&sentence.split_whitespace().count()))
        .collect()
}

/// The first sentence told that shows a sign and is no order to the model.
pub(super) fn told<'a>(sentences: &'a [String], signs: &[&str]) -> Option<&'a str> {
    const ORDERS: [&str; 12] = [
        "you", "never", "always", "do", "dont", "if", "ask", "tell", "say", "answer", "find",
        "when",
    ];
    sentences.iter().map(String::as_str).find(|sentence| {
        let words = words(sentence);
        let orders = words
            .first()
            .is_some_and(|first| ORDERS.contains(&first.as_str()));
        !orders && has(&words, signs)
    })
}
