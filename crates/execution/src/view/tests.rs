//! The execution object in full, field by field (api.md §8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use insta::assert_json_snapshot;
use uuid::Uuid;

use super::*;
use crate::{AccountId, AgentId, Cost, Direction, ExecutionId, Hangup, HangupBy, LlmUsage, Status};

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
                        ..LlmUsage::default()
                    },
                ),
                (
                    "b",
                    LlmUsage {
                        input: 10,
                        output: 2,
                        estimated: true,
                        ..LlmUsage::default()
                    },
                ),
            ]
            .map(|(name, usage)| (name.to_owned(), usage))
            .into(),
            synthesizers: [(
                "elevenlabs:eleven_turbo_v2_5".to_owned(),
                SpeechTotal {
                    amount: 124.0,
                    cost: 6.5,
                },
            )]
            .into(),
            ..Usage::default()
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
        },
        "synthesizers": {
          "elevenlabs:eleven_turbo_v2_5": {
            "characters": 124.0,
            "cost": 6.5
          }
        },
        "transcribers": {}
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
