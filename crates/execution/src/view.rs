//! The execution object as clients read it, on GET and in webhooks. Source: api.md §8 (both spellings of
//! every field that clients disagree on).

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use crate::{PastAttempt, Record, Transfer, Usage};

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
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use insta::assert_json_snapshot;
    use uuid::Uuid;

    use super::*;
    use crate::{
        AccountId, AgentId, Cost, Direction, ExecutionId, Hangup, HangupBy, LlmUsage, Status,
    };

    pub(crate) fn queued() -> Record {
        Record {
            id: ExecutionId(Uuid::from_u128(1)),
            account: AccountId(Uuid::from_u128(2)),
            agent: AgentId(Uuid::from_u128(3)),
            agent_version: 1,
            batch: None,
            status: Status::Queued,
            direction: Direction::Outbound,
            provider: "twilio".into(),
            to: "+14155550100".into(),
            from: "+14155550199".into(),
            user_data: Map::new(),
            voice_id: None,
            retry_config: None,
            bypass_guardrails: false,
            created_at: 1_705_972_477_123,
            updated_at: 1_705_972_477_123,
            due_at: 1_705_972_477_123,
            attempt: 0,
            carrier_call_id: None,
            initiated_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            hangup: None,
            error_message: None,
            transcript: None,
            answered_by_voice_mail: false,
            usage: None,
            cost: None,
            latency: None,
            has_recording: false,
            post_call_step: None,
            extraction_webhook_status: None,
            history: Vec::new(),
            summary: None,
            extracted: None,
            transfer: None,
        }
    }

    #[test]
    fn a_queued_call() {
        assert_json_snapshot!(view(&queued(), "https://bolo.example/recordings"), @r#"
        {
          "id": "00000000-0000-0000-0000-000000000001",
          "execution_id": "00000000-0000-0000-0000-000000000001",
          "agent_id": "00000000-0000-0000-0000-000000000003",
          "batch_id": null,
          "status": "queued",
          "error_message": null,
          "conversation_duration": null,
          "conversation_time": null,
          "total_cost": null,
          "answered_by_voice_mail": false,
          "transcript": null,
          "recording_url": null,
          "created_at": "2024-01-23T01:14:37.123Z",
          "createdAt": "2024-01-23T01:14:37.123Z",
          "updated_at": "2024-01-23T01:14:37.123Z",
          "updatedAt": "2024-01-23T01:14:37.123Z",
          "initiated_at": null,
          "cost_breakdown": null,
          "usage_breakdown": null,
          "telephony_data": {
            "duration": null,
            "to_number": "+14155550100",
            "from_number": "+14155550199",
            "recording_url": null,
            "hosted_telephony": false,
            "provider_call_id": null,
            "call_type": "outbound",
            "provider": "twilio",
            "hangup_by": null,
            "hangup_reason": null,
            "hangup_provider_code": null,
            "hangup_code": null,
            "ring_duration": null,
            "post_dial_delay": null,
            "to_number_carrier": null
          },
          "provider": "twilio",
          "user_number": "+14155550100",
          "agent_number": "+14155550199",
          "context_details": {
            "recipient_phone_number": "+14155550100",
            "recipient_data": {}
          },
          "latency_data": null,
          "summary": null,
          "extracted_data": null,
          "extraction_webhook_status": null,
          "transfer_call_data": null,
          "batch_run_details": null,
          "retry_count": 0,
          "retry_config": null,
          "retry_history": []
        }
        "#);
    }

    #[test]
    fn a_completed_inbound_call() {
        let start = 1_705_972_477_123;
        let record = Record {
            status: Status::Completed,
            direction: Direction::Inbound,
            user_data: json!({ "name": "Asha", "due": 12 })
                .as_object()
                .unwrap()
                .clone(),
            attempt: 3,
            carrier_call_id: Some("CA0123456789abcdef0123456789abcdef".into()),
            initiated_at: Some(start),
            ringing_at: Some(start + 1_400),
            answered_at: Some(start + 18_700),
            ended_at: Some(start + 61_250),
            updated_at: start + 62_000,
            hangup: Some(Hangup {
                by: HangupBy::ApiRequest,
                reason: "inactivity_timeout".into(),
                code: 4000,
            }),
            transcript: Some("assistant: Hello\nuser: Hi".into()),
            usage: Some(Usage {
                synthesizer_characters: 124,
                synthesizer_model: "elevenlabs:eleven_turbo_v2_5".into(),
                transcriber_duration: 42.5,
                transcriber_model: "deepgram:nova-3".into(),
                llm_model: [
                    (
                        "a",
                        LlmUsage {
                            input: 100,
                            output: 20,
                            cached: 64,
                            estimated: false,
                        },
                    ),
                    (
                        "b",
                        LlmUsage {
                            input: 10,
                            output: 2,
                            cached: 0,
                            estimated: true,
                        },
                    ),
                ]
                .map(|(name, usage)| (name.to_owned(), usage))
                .into(),
            }),
            cost: Some(Cost {
                llm: 4.25,
                network: 1.25,
                platform: 2.0,
                synthesizer: 6.5,
                transcriber: 0.75,
            }),
            latency: Some(json!({ "stream_id": 240 })),
            has_recording: true,
            summary: Some("Greeting.".into()),
            extracted: Some(json!({ "greeted": true })),
            ..queued()
        };
        assert_json_snapshot!(view(&record, "https://bolo.example/recordings"), @r#"
        {
          "id": "00000000-0000-0000-0000-000000000001",
          "execution_id": "00000000-0000-0000-0000-000000000001",
          "agent_id": "00000000-0000-0000-0000-000000000003",
          "batch_id": null,
          "status": "completed",
          "error_message": null,
          "conversation_duration": 42.55,
          "conversation_time": 43,
          "total_cost": 14.75,
          "answered_by_voice_mail": false,
          "transcript": "assistant: Hello\nuser: Hi",
          "recording_url": "https://bolo.example/recordings/call/00000000-0000-0000-0000-000000000001",
          "created_at": "2024-01-23T01:14:37.123Z",
          "createdAt": "2024-01-23T01:14:37.123Z",
          "updated_at": "2024-01-23T01:15:39.123Z",
          "updatedAt": "2024-01-23T01:15:39.123Z",
          "initiated_at": "2024-01-23T01:14:37.123Z",
          "cost_breakdown": {
            "llm": 4.25,
            "network": 1.25,
            "platform": 2.0,
            "synthesizer": 6.5,
            "transcriber": 0.75
          },
          "usage_breakdown": {
            "synthesizer_characters": 124,
            "synthesizer_model": "elevenlabs:eleven_turbo_v2_5",
            "transcriber_duration": 42.5,
            "transcriber_model": "deepgram:nova-3",
            "llm_tokens": 132,
            "llm_model": {
              "a": {
                "input": 100,
                "output": 20,
                "cached": 64
              },
              "b": {
                "input": 10,
                "output": 2,
                "estimated": true
              }
            },
            "synthesizerCharacters": 124,
            "synthesizerModel": "elevenlabs:eleven_turbo_v2_5",
            "transcriberDuration": 42.5,
            "transcriberModel": "deepgram:nova-3",
            "llmTokens": 132,
            "llmModel": {
              "a": {
                "input": 100,
                "output": 20,
                "cached": 64
              },
              "b": {
                "input": 10,
                "output": 2,
                "estimated": true
              }
            }
          },
          "telephony_data": {
            "duration": 43,
            "to_number": "+14155550100",
            "from_number": "+14155550199",
            "recording_url": "https://bolo.example/recordings/call/00000000-0000-0000-0000-000000000001",
            "hosted_telephony": false,
            "provider_call_id": "CA0123456789abcdef0123456789abcdef",
            "call_type": "inbound",
            "provider": "twilio",
            "hangup_by": "API Request",
            "hangup_reason": "inactivity_timeout",
            "hangup_provider_code": 4000,
            "hangup_code": 4000,
            "ring_duration": 17,
            "post_dial_delay": 1,
            "to_number_carrier": null
          },
          "provider": "twilio",
          "user_number": "+14155550199",
          "agent_number": "+14155550100",
          "context_details": {
            "recipient_phone_number": "+14155550199",
            "recipient_data": {
              "name": "Asha",
              "due": 12
            }
          },
          "latency_data": {
            "stream_id": 240
          },
          "summary": "Greeting.",
          "extracted_data": {
            "greeted": true
          },
          "extraction_webhook_status": null,
          "transfer_call_data": null,
          "batch_run_details": null,
          "retry_count": 0,
          "retry_config": null,
          "retry_history": []
        }
        "#);
    }

    #[test]
    fn a_call_that_is_tried_again() {
        let mut record = Record {
            status: Status::NoAnswer,
            cost: Some(Cost {
                network: 0.5,
                ..Cost::default()
            }),
            hangup: Some(Hangup {
                by: HangupBy::Carrier,
                reason: "No answer".into(),
                code: 3000,
            }),
            ..queued()
        };
        record.history = vec![record.past_attempt(1_705_972_500_000)];
        (record.status, record.cost, record.hangup) = (Status::Scheduled, None, None);
        let seen = view(&record, "");
        assert_eq!(
            (&seen["retry_count"], &seen["total_cost"]),
            (&json!(1), &json!(0.5))
        );
        assert_json_snapshot!(seen["retry_history"], @r#"
        [
          {
            "attempt": 1,
            "status": "no-answer",
            "at": "2024-01-23T01:15:00.000Z",
            "hangup_reason": "No answer",
            "error_message": null,
            "provider_call_id": null,
            "total_cost": 0.5
          }
        ]
        "#);
    }

    #[test]
    fn times_out_of_order_give_no_duration() {
        let record = Record {
            ringing_at: Some(9_000),
            answered_at: Some(8_000),
            ..queued()
        };
        assert_eq!(
            view(&record, "")["telephony_data"]["ring_duration"],
            Value::Null
        );
    }
}
