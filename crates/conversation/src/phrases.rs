//! Word lists and spoken lines by language: what cuts the agent off, what doesn't count as words, and
//! what the agent says when the model can't. Built in for en, hi, es, de, fr; all configurable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Word lists of one language. Case and punctuation don't matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phrases {
    /// Cut the agent off whatever the number of words (R47).
    pub interrupt: Vec<String>,
    /// Never count as words (R48).
    pub fillers: Vec<String>,
    /// Don't count when the caller says nothing else (R48).
    pub backchannel: Vec<String>,
    /// Belong to a farewell, which never takes back a hang-up (R63).
    pub farewells: Vec<String>,
}

/// Lines of one language. An empty one is not spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lines {
    /// Short acknowledgements while the model thinks (R97).
    pub fillers: Vec<String>,
    /// While it thinks for long (R97).
    pub one_moment: Vec<String>,
    /// A turn could not be answered (R192).
    pub recovery: String,
    /// The caller made sounds that nobody could make out (R35).
    pub not_heard: String,
    /// The line was gone for a moment (R199).
    pub line_back: String,
    /// The model refused (R194).
    pub refused: String,
    /// Before a hang-up that a fault forces (R192).
    pub apology: String,
    /// Before a transfer whose tool has no line of its own (R102).
    pub transfer: String,
    /// To whoever is called by a warm transfer, where the model gives no summary (R115).
    pub offer: String,
    /// Behind it: how the call is taken.
    pub press_to_take: String,
}

fn list(words: &str) -> Vec<String> {
    words.split('|').map(str::to_owned).collect()
}

fn phrases(interrupt: &str, fillers: &str, backchannel: &str, farewells: &str) -> Phrases {
    Phrases {
        interrupt: list(interrupt),
        fillers: list(fillers),
        backchannel: list(backchannel),
        farewells: list(farewells),
    }
}

pub(crate) fn built_in_phrases() -> BTreeMap<String, Phrases> {
    let of = |code: &str, phrases: Phrases| (code.to_owned(), phrases);
    BTreeMap::from([
        of(
            "en",
            phrases(
                "stop|quit|bye|wait|no|wrong|incorrect|hold|pause|break|cease|halt|silence|enough|excuse|\
                 hold on|hang on|cut it|that's enough|shush|listen|excuse me|hold up|not now|stop there|\
                 stop speaking",
                "uh|um|uhm|umm|hmm|hm|mm|mmm|mhm|mm-hmm|ah|oh|er|huh",
                "yeah|yes|yep|yup|ok|okay|right|sure|haan|ji|achha|uh-huh",
                "bye|goodbye|good bye|bye bye|see you|take care|thanks bye|thank you|thanks|have a good day|\
                 have a nice day|that's all|talk to you later",
            ),
        ),
        of(
            "hi",
            phrases(
                "रुको|रुकिए|रुकिये|बस|नहीं|गलत|सुनो|सुनिए|चुप|एक मिनट|ruko|rukiye|bas|nahi|galat|suno|suniye|ek minute",
                "हम्म|अं|उम|ओह|आह",
                "हाँ|हां|जी|अच्छा|ठीक|ठीक है|सही|haan|han|ji|achha|accha|theek|theek hai",
                "अलविदा|नमस्ते|धन्यवाद|शुक्रिया|alvida|namaste|dhanyavaad|shukriya",
            ),
        ),
        of(
            "es",
            phrases(
                "para|pare|espera|espere|no|basta|silencio|alto|un momento|escucha|escuche|incorrecto|perdón",
                "eh|em|mmm|ah|oh|este",
                "sí|si|ya|vale|claro|bueno|ajá|correcto",
                "adiós|hasta luego|chao|gracias|hasta pronto",
            ),
        ),
        of(
            "de",
            phrases(
                "stopp|stop|halt|warte|warten sie|moment|nein|falsch|genug|ruhe|hör zu|hören sie|entschuldigung",
                "äh|ähm|hm|mhm|ah|oh|na",
                "ja|ok|okay|genau|gut|richtig|klar|jawohl",
                "tschüss|auf wiedersehen|auf wiederhören|danke|schönen tag",
            ),
        ),
        of(
            "fr",
            phrases(
                "stop|arrêtez|arrête|attendez|attends|non|faux|assez|silence|un instant|écoutez|écoute|pardon",
                "euh|heu|hum|mmh|ah|oh",
                "oui|ouais|ok|d'accord|bien|voilà|exact",
                "au revoir|adieu|merci|bonne journée|à bientôt",
            ),
        ),
    ])
}

#[allow(clippy::too_many_arguments)]
fn lines(
    fillers: &str,
    one_moment: &str,
    recovery: &str,
    not_heard: &str,
    line_back: &str,
    refused: &str,
    apology: &str,
    transfer: &str,
    offer: &str,
    press_to_take: &str,
) -> Lines {
    Lines {
        fillers: list(fillers),
        one_moment: list(one_moment),
        recovery: recovery.to_owned(),
        not_heard: not_heard.to_owned(),
        line_back: line_back.to_owned(),
        refused: refused.to_owned(),
        apology: apology.to_owned(),
        transfer: transfer.to_owned(),
        offer: offer.to_owned(),
        press_to_take: press_to_take.to_owned(),
    }
}

pub(crate) fn built_in_lines() -> BTreeMap<String, Lines> {
    let of = |code: &str, lines: Lines| (code.to_owned(), lines);
    BTreeMap::from([
        of(
            "en",
            lines(
                "Okay.|Alright.|I see.|Sure.",
                "One moment, please.|Just a moment.",
                "Sorry, I didn't get that. Could you say it again?",
                "Sorry, I can't hear you well. Could you say that again?",
                "Sorry, the line was gone for a moment.",
                "I'm afraid I can't help with that. Is there anything else?",
                "I'm sorry, we have a technical problem. Please call again later. Goodbye.",
                "I'll put you through now. Please hold the line.",
                "A caller is on the line and would like to speak with you.",
                "Press 1 to take the call.",
            ),
        ),
        of(
            "hi",
            lines(
                "ठीक है।|अच्छा।|जी।",
                "एक क्षण, कृपया।|बस एक मिनट।",
                "माफ़ कीजिए, मैं समझ नहीं पाया। क्या आप दोबारा कह सकते हैं?",
                "माफ़ कीजिए, आपकी आवाज़ साफ़ नहीं आ रही। क्या आप दोबारा कह सकते हैं?",
                "माफ़ कीजिए, लाइन थोड़ी देर के लिए कट गई थी।",
                "माफ़ कीजिए, इसमें मैं मदद नहीं कर सकता। क्या कुछ और है?",
                "माफ़ कीजिए, तकनीकी समस्या आ गई है। कृपया बाद में फ़ोन करें। नमस्ते।",
                "मैं आपकी कॉल आगे जोड़ रहा हूँ। कृपया लाइन पर बने रहें।",
                "एक कॉलर लाइन पर हैं और आपसे बात करना चाहते हैं।",
                "कॉल लेने के लिए 1 दबाएँ।",
            ),
        ),
        of(
            "es",
            lines(
                "De acuerdo.|Vale.|Entiendo.",
                "Un momento, por favor.|Deme un momento.",
                "Perdón, no le entendí. ¿Puede repetirlo?",
                "Perdón, no le oigo bien. ¿Puede repetirlo?",
                "Perdón, la línea se cortó un momento.",
                "Lo siento, no puedo ayudarle con eso. ¿Hay algo más?",
                "Lo siento, tenemos un problema técnico. Por favor, llame más tarde. Adiós.",
                "Le paso la llamada. Un momento, por favor.",
                "Hay una persona en línea que desea hablar con usted.",
                "Pulse 1 para atender la llamada.",
            ),
        ),
        of(
            "de",
            lines(
                "In Ordnung.|Verstehe.|Gut.",
                "Einen Moment, bitte.|Einen Augenblick.",
                "Entschuldigung, das habe ich nicht verstanden. Können Sie es bitte wiederholen?",
                "Entschuldigung, ich höre Sie schlecht. Können Sie es bitte wiederholen?",
                "Entschuldigung, die Leitung war kurz weg.",
                "Dabei kann ich leider nicht helfen. Gibt es sonst noch etwas?",
                "Es tut mir leid, wir haben eine technische Störung. Bitte rufen Sie später wieder an. Auf Wiederhören.",
                "Ich verbinde Sie jetzt. Bitte bleiben Sie am Apparat.",
                "Jemand ist in der Leitung und möchte mit Ihnen sprechen.",
                "Drücken Sie die 1, um das Gespräch anzunehmen.",
            ),
        ),
        of(
            "fr",
            lines(
                "D'accord.|Très bien.|Je vois.",
                "Un instant, s'il vous plaît.|Un petit moment.",
                "Pardon, je n'ai pas compris. Pouvez-vous répéter ?",
                "Pardon, je vous entends mal. Pouvez-vous répéter ?",
                "Pardon, la ligne a été coupée un instant.",
                "Désolé, je ne peux pas vous aider sur ce point. Y a-t-il autre chose ?",
                "Désolé, nous avons un problème technique. Veuillez rappeler plus tard. Au revoir.",
                "Je vous transfère. Restez en ligne, s'il vous plaît.",
                "Une personne est en ligne et souhaite vous parler.",
                "Appuyez sur 1 pour prendre l'appel.",
            ),
        ),
    ])
}
