//! What a caller may talk about besides the booking, as data: how it is heard and what is said to it.

use super::words::Line;

/// How a topic is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The call is over.
    Farewell,
    /// The caller wants no call: the call is over too.
    Leave,
    /// Say the last answer again.
    Repeat,
    /// What places are free.
    Free,
    /// A booked appointment is to move.
    Move,
    /// Nothing is to be booked.
    Cancel,
    /// The caller corrects the model.
    Wrong,
    /// The caller wants to speak or think: no question follows.
    Listen,
    /// The wish to book, a greeting, thanks: weaker than anything else in the line.
    Book,
    Greeting,
    Thanks,
    /// A side question; one of the answers is said.
    Side,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Topic {
    pub kind: Kind,
    /// Patterns of [`Line::has`].
    heard: &'static [&'static str],
    /// Answers, varied in turn.
    pub says: &'static [&'static str],
    /// Whether days, times and names in the same line are meant for the booking.
    pub fills: bool,
}

/// The first topic whose pattern the line has.
pub(super) fn find(line: &Line) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| line.has(topic.heard))
}

const fn row(
    kind: Kind,
    fills: bool,
    heard: &'static [&'static str],
    says: &'static [&'static str],
) -> Topic {
    Topic {
        kind,
        heard,
        says,
        fills,
    }
}

static TOPICS: [Topic; 31] = [
    row(
        Kind::Farewell,
        true,
        &[
            "goodbye|bye|farewell",
            "good by|buy",
            "thank|thanks * by|buy $",
            "^ by|buy $",
            "see you",
            "that is all $",
            "that is all for|thank|thanks",
            "that will be all",
            "thank|thanks * for * help",
            "have a good|nice|great",
            "talk to you later",
        ],
        &["Thank you for calling, and goodbye!"],
    ),
    row(
        Kind::Leave,
        false,
        &[
            "not interested",
            "remove me",
            "take me off",
            "do not call",
            "stop calling",
        ],
        &["I understand, you will not be called again. Goodbye!"],
    ),
    row(
        Kind::Side,
        true,
        &[
            "robot|robots|robotic",
            "are you * human|person|real|machine|computer|bot|ai|recording|alive",
            "am i talking|speaking * human|person|machine|computer|bot|ai",
            "is this a machine|recording|bot",
            "real person or",
        ],
        &[
            "I am a robot, and I would rather say so plainly: I am the scripted model of this demo. I run without \
             any key and without any outside service, so that you can try the whole voice line at once. First I \
             listen to what you say and turn it into text. Then a small set of rules looks for a day, a time and \
             a name in it and picks what to say next. After that my words are turned into speech and played to \
             you, piece by piece. I do not understand more than those rules do, but you may interrupt me at any \
             point, just as you would interrupt a person.",
            "No person is here, I am only a scripted demo. My answers come from fixed rules and not from a large \
             language model, which is why no key is needed. Your voice is turned into text, the rules choose an \
             answer, and the answer is turned back into speech. If you put a real model in my place, the rest of \
             the line stays exactly the same. You can stop me whenever you like, simply by speaking.",
        ],
    ),
    row(
        Kind::Side,
        true,
        &[
            "speak|talk|transfer|connect|put * human|person|someone|somebody|agent|operator|doctor",
            "want|need|get * human|person|agent|operator",
            "human agent",
        ],
        &[
            "I am sorry, there is no human agent in this demo.",
            "Unfortunately nobody else can take this call, since it is a demo.",
        ],
    ),
    row(
        Kind::Side,
        false,
        &["call|ring|phone me back", "call back"],
        &["I am sorry, this demo cannot call back, but I can book a visit for you."],
    ),
    row(
        Kind::Side,
        false,
        &["order|orders|invoice|invoices|delivery|parcel|package|refund|subscription"],
        &[
            "I am sorry, orders and invoices are not part of this demo.",
            "I cannot look that up, this demo only books appointments.",
        ],
    ),
    row(
        Kind::Side,
        false,
        &[
            "account number|code",
            "my|the number|code is",
            "phone number",
            "date of birth",
            "email address|is",
        ],
        &["Thank you, but I do not need that, your name is enough."],
    ),
    row(
        Kind::Side,
        false,
        &["send * text|message|email|mail|details", "text message"],
        &["I am sorry, this demo cannot send messages."],
    ),
    row(
        Kind::Side,
        true,
        &["can you hear"],
        &["Yes, I can hear you."],
    ),
    row(
        Kind::Side,
        false,
        &[
            "not * hear",
            "speak up",
            "louder",
            "bad|poor line|connection",
            "breaking up",
            "are you there",
        ],
        &[
            "I am sorry about that, I hope this is better.",
            "Sorry, let me try again.",
        ],
    ),
    row(
        Kind::Repeat,
        false,
        &[
            "repeat",
            "say * again",
            "once more",
            "come again",
            "pardon",
            "go back",
            "what did you say",
            "more slowly",
        ],
        &["Of course."],
    ),
    row(
        Kind::Side,
        true,
        &[
            "discount|discounts",
            "for students|student",
            "student|students price|rate",
        ],
        &["Yes, students pay half the price."],
    ),
    row(
        Kind::Side,
        true,
        &[
            "price|prices|prize|prizes|pricing|cost|costs|fee|fees|expensive",
            "how much * $",
            "how much is|does|do|will",
        ],
        &[
            "A visit costs forty dollars.",
            "The price of a visit is forty dollars.",
            "It is forty dollars for a visit.",
        ],
    ),
    row(
        Kind::Side,
        false,
        &[
            "opening|business|office|working hours|hour|times",
            "your hours",
            "when|what * open|close",
            "are you open|closed",
            "how late|early|long * open",
        ],
        &[
            "We are open from eight to six on weekdays and from nine to one on Saturday.",
            "On weekdays we are open from eight to six, on Saturday from nine to one, and on Sunday we are closed.",
        ],
    ),
    row(
        Kind::Side,
        true,
        &[
            "where * you|office|clinic|located|place|find",
            "what|your * address|location",
            "directions",
        ],
        &["Our office is at twelve Garden Street, right beside the library."],
    ),
    row(
        Kind::Side,
        true,
        &[
            "bring * with|along|daughter|son|child|wife|husband|friend|dog",
            "two|three|2|3 people",
        ],
        &["Of course, you are welcome to bring somebody along."],
    ),
    row(
        Kind::Side,
        false,
        &["election|elections", "vote|voting"],
        &["I would rather leave politics aside."],
    ),
    row(
        Kind::Cancel,
        false,
        &["cancel", "do not book|want|need"],
        &["All right, then nothing is booked."],
    ),
    row(
        Kind::Move,
        true,
        &[
            "reschedule|postpone",
            "move|change|shift * appointment|booking",
        ],
        &[
            "Of course, it can be moved.",
            "No problem, we can find another time.",
        ],
    ),
    row(
        Kind::Free,
        true,
        &[
            "earlier|sooner|earliest|soonest",
            "next one|available|free|opening|slot",
            "what|which|any|other * available|free|slots|slot|times",
            "what do you have",
            "anything|something * later",
        ],
        &[
            "Yes, {on_day} I have free places from {first} to {last}.",
            "There is still room {on_day}, from {first} to {last}.",
        ],
    ),
    row(
        Kind::Wrong,
        true,
        &[
            "not right|correct|true",
            "wrong|misunderstanding|misunderstood",
            "not what i",
        ],
        &[
            "I am sorry, let me get it right.",
            "I am sorry about the mistake.",
        ],
    ),
    row(
        Kind::Side,
        true,
        &["already told|said"],
        &["I am sorry, please bear with me."],
    ),
    row(
        Kind::Side,
        false,
        &["never mind"],
        &["No problem.", "That is all right."],
    ),
    row(
        Kind::Side,
        false,
        &["how are you", "how is it going"],
        &["I am very well, thank you."],
    ),
    row(
        Kind::Listen,
        true,
        &["ask * something|question|you", "have * question"],
        &[
            "Of course, what would you like to know?",
            "Please do, I am listening.",
        ],
    ),
    row(
        Kind::Listen,
        true,
        &[
            "wait",
            "hold on",
            "one|a moment|second|minute|sec",
            "let me check|see|think|look",
        ],
        &["Of course, take your time.", "No hurry, I am here."],
    ),
    row(
        Kind::Listen,
        true,
        &["stop", "excuse me"],
        &["Yes, I am listening.", "All right, please go on."],
    ),
    row(
        Kind::Side,
        false,
        &["what can you do", "what can i do|say|ask", "can you help"],
        &["I can book an appointment at the clinic and tell you the price and the opening hours."],
    ),
    row(
        Kind::Book,
        true,
        &[
            "appointment|appointments|booking|visit",
            "book|schedule",
            "like|want|need to come|see",
        ],
        &["Gladly.", "With pleasure."],
    ),
    row(
        Kind::Thanks,
        true,
        &["thank|thanks"],
        &["You are welcome.", "My pleasure."],
    ),
    row(
        Kind::Greeting,
        true,
        &[
            "^ hello|hi|hey|greetings",
            "good morning|afternoon|evening|day",
        ],
        &["Hello!"],
    ),
];
