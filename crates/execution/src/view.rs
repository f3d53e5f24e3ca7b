//! The execution object as clients read it, on GET and in webhooks. Source: api.md §8 (both spellings of
//! every field that clients disagree on).

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use crate::{PastAttempt, Record, SpeechTotal, Transfer, Usage};

/// Renders a record; `recordings` is the public address below which recordings are served
/// (`https://host/recordings`). Times are ISO 8601 in UTC with milliseconds, durations are seconds, costs
/// cents. A field without a value is null.
pub fn view(record: &Record, recordings: &str) -> Value {
    let seconds = record.conversation_seconds();
    let whole_seconds = seconds.map(|seconds| seconds.round() as i64);
    let (created_at, updated_at) = (iso(record.created_at), iso(record.updated_at));
    let cost = record.whole_cost();
    let recording_url = record
        .has_recording
        .then(|| format!("{recordings}/call/{}", record.id));
    json!({
        "id": record.id,
        "execution_id": record.id,
        "agent_id": record.agent,
        "batch_id": record.batch,
        "status": record.status,
        "error_message": record.error_message,
        "conversation_duration": seconds,
        "conversation_time": whole_seconds,
        "total_cost": cost.map(|cost| cost.total()),
        "answered_by_voice_mail": record.answered_by_voice_mail,
        "transcript": record.transcript,
        "recording_url": recording_url,
        "created_at": created_at,
        "createdAt": created_at,
        "updated_at": updated_at,
        "updatedAt": updated_at,
        "initiated_at": record.initiated_at.map(iso),
        "cost_breakdown": cost,
        "usage_breakdown": record.whole_usage().as_ref().map(usage),
        "telephony_data": telephony(record, whole_seconds, recording_url.as_deref()),
        "provider": record.provider,
        "user_number": record.user_number(),
        "agent_number": record.agent_number(),
        "context_details": {
            "recipient_phone_number": record.user_number(),
            "recipient_data": record.user_data,
        },
        "latency_data": record.latency,
        "summary": record.summary,
        "extracted_data": record.extracted,
        "extraction_webhook_status": record.extraction_webhook_status,
        "transfer_call_data": record.transfer.as_ref().map(transfer),
        "batch_run_details": record.batch.map(|_| json!({
            "status": record.status,
            "created_at": created_at,
            "updated_at": updated_at,
            "retried": 0,
        })),
        // `attempt` also counts dials that the carrier asked to come back with: those are no retries.
        "retry_count": record.history.len(),
        "retry_config": record.retry_config,
        "retry_history": retry_history(&record.history),
    })
}

fn telephony(record: &Record, seconds: Option<i64>, recording_url: Option<&str>) -> Value {
    let hangup = record.hangup.as_ref();
    let code = hangup.map(|hangup| hangup.code);
    json!({
        "duration": seconds,
        "to_number": record.to,
        "from_number": record.from,
        "recording_url": recording_url,
        // The carrier's account is the customer's own, not one that comes with the service.
        "hosted_telephony": false,
        "provider_call_id": record.carrier_call_id,
        "call_type": record.direction,
        "provider": record.provider,
        "hangup_by": hangup.map(|hangup| hangup.by),
        "hangup_reason": hangup.map(|hangup| hangup.reason.as_str()),
        "hangup_provider_code": code,
        "hangup_code": code,
        "ring_duration": seconds_between(record.ringing_at, record.answered_at),
        "post_dial_delay": seconds_between(record.initiated_at, record.ringing_at),
        "to_number_carrier": null,
    })
}

fn transfer(transfer: &Transfer) -> Value {
    let hangup = transfer.hangup.as_ref();
    json!({
        "provider_call_id": transfer.carrier_call_id,
        "status": transfer.status,
        "duration": transfer.duration_s,
        // The carrier's charge for that leg is not known to us.
        "cost": null,
        "to_number": transfer.to,
        "from_number": transfer.from,
        "recording_url": null,
        "hangup_by": hangup.map(|hangup| hangup.by),
        "hangup_reason": hangup.map(|hangup| hangup.reason.as_str()),
        "hangup_provider_code": hangup.map(|hangup| hangup.code),
    })
}

fn retry_history(history: &[PastAttempt]) -> Vec<Value> {
    let one = |(index, past): (usize, &PastAttempt)| {
        json!({
            "attempt": index + 1,
            "status": past.status,
            "at": iso(past.at),
            "hangup_reason": past.hangup.as_ref().map(|hangup| hangup.reason.as_str()),
            "error_message": past.error_message,
            "provider_call_id": past.carrier_call_id,
            "total_cost": past.cost.map(|cost| cost.total()),
        })
    };
    history.iter().enumerate().map(one).collect()
}

/// In both spellings.
fn usage(usage: &Usage) -> Value {
    let models: Map<String, Value> = (usage.llm_model.iter())
        .map(|(name, model)| {
            let mut tokens = json!({ "input": model.input, "output": model.output });
            if model.cached > 0 {
                tokens["cached"] = model.cached.into();
            }
            if model.estimated {
                tokens["estimated"] = true.into();
            }
            (name.clone(), tokens)
        })
        .collect();
    let speech = |parts: &BTreeMap<String, SpeechTotal>, unit: &str| -> Map<String, Value> {
        let part = |(name, total): (&String, &SpeechTotal)| {
            (
                name.clone(),
                json!({ unit: total.amount, "cost": total.cost }),
            )
        };
        parts.iter().map(part).collect()
    };
    json!({
        "synthesizer_characters": usage.synthesizer_characters,
        "synthesizer_model": usage.synthesizer_model,
        "transcriber_duration": usage.transcriber_duration,
        "transcriber_model": usage.transcriber_model,
        "llm_tokens": usage.llm_tokens(),
        "llm_model": models,
        "synthesizerCharacters": usage.synthesizer_characters,
        "synthesizerModel": usage.synthesizer_model,
        "transcriberDuration": usage.transcriber_duration,
        "transcriberModel": usage.transcriber_model,
        "llmTokens": usage.llm_tokens(),
        "llmModel": models,
        "synthesizers": speech(&usage.synthesizers, "characters"),
        "transcribers": speech(&usage.transcribers, "duration"),
    })
}

/// Whole seconds; callbacks may come out of order, then nothing is known.
fn seconds_between(from: Option<i64>, to: Option<i64>) -> Option<i64> {
    let ms = to? - from?;
    (ms >= 0).then_some((ms + 500) / 1000)
}

/// `2024-01-23T01:14:37.123Z`.
fn iso(ms: i64) -> Option<String> {
    let time = DateTime::from_timestamp_millis(ms)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
pub(crate) mod tests;
