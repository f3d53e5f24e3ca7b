//! Reading `task_config`. Source: agent-config.md §8.

use crate::{EndCallTool, LocalText, Room, TaskConfig, Voicemail, place::Place};

/// Would change what a caller hears or whether a call happens, so they aren't passed over in silence.
const SWITCHES_TO_COME: [(&str, &str); 2] = [
    ("backchanneling", "acknowledging while the caller speaks"),
    ("auto_reschedule", "rescheduling by the conversation"),
];

/// Belong to switches above; read for their type and range alone.
const TIMES_TO_COME: [&str; 2] = ["backchanneling_message_gap", "backchanneling_start_delay"];

impl TaskConfig {
    /// The defaults where nothing stands; `None` where no object stands.
    pub(crate) fn read(place: &Place<'_>) -> Option<Self> {
        if place.is_present() {
            place.object()?;
        }
        let hangup_after_silence_ms = place
            .at("hangup_after_silence")
            .seconds_as_ms(0.0)
            .unwrap_or(10_000);
        let end_call = place.at("end_call_tool_mode").word(&["primary", "off"]);
        let text = |key| place.at(key).some_text().map(str::to_owned);
        let config = Self {
            hangup_after_silence_ms,
            incremental_delay_ms: place.at("incremental_delay").ms().unwrap_or(400),
            words_for_interruption: place
                .at("number_of_words_for_interruption")
                .whole(0..=1_000)
                .unwrap_or(2),
            interruption_backoff_ms: place.at("interruption_backoff_period").ms().unwrap_or(0),
            optimize_latency: place.at("optimize_latency").flag(true),
            hangup_after_llm_call: place.at("hangup_after_LLMCall").flag(false),
            call_cancellation_prompt: text("call_cancellation_prompt"),
            call_hangup_message: place.at("call_hangup_message").local_text(),
            call_terminate_ms: place
                .at("call_terminate")
                .seconds_as_ms(1.0)
                .unwrap_or(300_000),
            use_fillers: place.at("use_fillers").flag(false),
            check_if_user_online: place.at("check_if_user_online").flag(true),
            check_user_online_message: (place.at("check_user_online_message").local_text())
                .unwrap_or_else(|| LocalText::One("Hey, are you still there".to_owned())),
            trigger_user_online_ms: (place
                .at("trigger_user_online_message_after")
                .seconds_as_ms(0.0))
            .unwrap_or_else(|| default_trigger_ms(hangup_after_silence_ms)),
            voicemail: voicemail(place),
            dtmf_enabled: place.at("dtmf_enabled").flag(false),
            discard_pre_welcome_utterance: place.at("discard_pre_welcome_utterance").flag(false),
            welcome_message_delay_ms: welcome_delay_ms(&place.at("welcome_message_delay")),
            interruptible_hangup_message: place.at("interruptible_hangup_message").flag(false),
            end_call_tool_mode: if end_call == Some("off") {
                EndCallTool::Off
            } else {
                EndCallTool::Primary
            },
            room: room(place),
            normalize_numbers: place.at("normalize_numbers").flag(false),
            bolo: place.at("bolo").object().cloned().unwrap_or_default(),
        };
        refuse_what_does_not_run(place);
        Some(config)
    }
}

/// R152: early enough to be heard before the call ends.
fn default_trigger_ms(hangup_after_silence_ms: u64) -> u64 {
    match hangup_after_silence_ms {
        0 => 10_000,
        silence => (silence * 6 / 10).min(10_000),
    }
}

/// R15: up to 30 it is seconds, above it is ms.
fn welcome_delay_ms(place: &Place<'_>) -> u64 {
    let delay = place.number(0.0..=60_000.0).unwrap_or(0.0);
    if delay <= 30.0 {
        (delay * 1000.0).round() as u64
    } else {
        delay.round() as u64
    }
}

/// Its times are read, and their faults told, also where the switch is off.
fn voicemail(place: &Place<'_>) -> Option<Voicemail> {
    let ms = |key, default| place.at(key).seconds_as_ms(0.0).unwrap_or(default);
    let voicemail = Voicemail {
        window_ms: ms("voicemail_detection_duration", 30_000),
        interval_ms: ms("voicemail_check_interval", 7_000),
        min_words: (place.at("voicemail_min_transcript_length").whole(0..=1_000))
            .map_or(7, |words| words as usize),
        first_ms: ms("voicemail_detection_time", 2_500),
        message: place.at("voicemail_message").local_text(),
    };
    place.at("voicemail").flag(false).then_some(voicemail)
}

/// A sound without a name is the first of them. Of another name it is one of the account's own.
fn room(place: &Place<'_>) -> Option<Room> {
    let wanted = place.at("ambient_noise").flag(false);
    let track = place.at("ambient_noise_track");
    let name = track.some_text().filter(|_| wanted);
    match name.unwrap_or("coffee-shop") {
        "coffee-shop" => wanted.then_some(Room::CoffeeShop),
        "office-ambience" => Some(Room::Office),
        "call-center" => Some(Room::CallCenter),
        _ => {
            track.unsupported("ambient noise but coffee-shop, office-ambience and call-center");
            None
        }
    }
}

fn refuse_what_does_not_run(place: &Place<'_>) {
    for (key, what) in SWITCHES_TO_COME {
        if place.at(key).flag(false) {
            place.at(key).unsupported(what);
        }
    }
    for key in TIMES_TO_COME {
        place.at(key).seconds_as_ms(0.0);
    }
    place.at("language_detection_turns").whole(0..=1_000);
    if place
        .at("noise_cancellation_level")
        .number(0.0..=100.0)
        .is_some_and(|level| level > 0.0)
    {
        place
            .at("noise_cancellation_level")
            .unsupported("noise cancellation");
    }
    // Who may call is decided before a call runs: read there.
    place.at("inbound_limit").number(-1.0..=1e9);
    place.at("disallow_unknown_numbers").flag(false);
    for number in place
        .at("whitelist_phone_numbers")
        .items()
        .unwrap_or_default()
    {
        if number
            .required_text()
            .is_some_and(|number| !is_e164(number))
        {
            number.fault("must be a phone number in E.164 form, such as +14155550100");
        }
    }
}

pub(crate) fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
}
