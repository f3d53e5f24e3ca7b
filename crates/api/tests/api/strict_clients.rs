//! What strict clients decode: a field that is missing or of another JSON type breaks a program in Go or a step
//! of a workflow, however right it may look. Source: api.md §3 to §20, field by field, spelled here again.

use serde_json::Value;

use crate::{bolo::Bolo, operations::Operation, tenant::Tenant};

/// An operation, and the fields of its answer with their types: `s` text, `n` number, `i` whole number (no
/// point: `123.0` is none in Go), `b` true or false, `o` object, `a` list; `?` = may be null. `[]` is each item
/// of a list, which must have one; `:` alone is the answer itself.
const READ: &[(&str, &str)] = &[
    // Go and TypeScript clients decode bare lists (§3).
    ("get /v2/agent/all", ":a [].id:s [].agent_name:s"),
    ("get /agent/all", ":a [].id:s [].agent_name:s"),
    ("get /agent/{agent_id}/executions", ":a [].id:s"),
    ("get /batches/{agent_id}/all", ":a [].batch_id:s"),
    (
        "get /batches/{batch_id}/executions",
        ":a [].id:s [].createdAt:s [].updatedAt:s",
    ),
    ("get /batch/{batch_id}/executions", ":a [].id:s"),
    ("get /phone-numbers/all", ":a"),
    ("post /phone-numbers/all", ":a"),
    ("get /knowledgebase/all", ":a"),
    ("get /providers", ":a"),
    ("get /sub-accounts", ":a"),
    ("get /sub-accounts/all", ":a"),
    ("get /sub-accounts/all/usage", ":a"),
    ("get /me/voices", ":a"),
    ("get /dispositions", ":a"),
    ("get /sip-trunks/trunks", ":a"),
    ("get /sip-trunks/trunks/{trunk_id}/numbers", ":a"),
    ("get /extractions", ":o data:a data[].id:s"),
    // The one envelope: Go and the MCP server page by it.
    (
        "get /v2/agent/{agent_id}/executions",
        ":o page_number:i page:i page_size:i total:i has_more:b data:a data[].id:s",
    ),
    (
        "get /violations/list",
        "total:i limit:i offset:i has_more:b page_number:i page:i page_size:i data[].id:s data[].status:s \
         data[].from_phone_number:s data[].to_phone_number:s data[].date_of_call:s data[].created_at:s \
         data[].updated_at:s data[].user_id:s data[].agent_id:s data[].execution_id:s data[].image_url:s? \
         data[].email:s?",
    ),
    // Agents (§6).
    ("post /v2/agent", "agent_id:s status:s state:s"),
    (
        "put /v2/agent/{agent_id}",
        "agent_id:s status:s message:s state:s",
    ),
    (
        "patch /v2/agent/{agent_id}",
        "agent_id:s status:s message:s state:s",
    ),
    ("get /v2/agent/{agent_id}", AGENT),
    ("get /agent/{agent_id}", AGENT),
    // Calls (§7).
    (
        "post /call",
        "message:s status:s execution_id:s run_id:s call_id:s id:s",
    ),
    ("post /v1/call/{run_id}/events", "status:s event:s run_id:s"),
    // Executions (§8).
    ("get /executions/{execution_id}", EXECUTION),
    ("get /call/{execution_id}", EXECUTION),
    (
        "get /v2/agent/{agent_id}/execution/{execution_id}",
        EXECUTION,
    ),
    (
        "get /executions/{execution_id}/log",
        "status:s execution_id:s data[].created_at:s data[].timestamp:s data[].type:s data[].component:s \
         data[].provider:s data[].data:s",
    ),
    // Batches (§9).
    ("post /batches", "batch_id:s id:s state:s"),
    (
        "post /batches/{batch_id}/schedule",
        "message:s state:s batch_id:s",
    ),
    ("post /batches/schedule", "message:s state:s batch_id:s"),
    (
        "get /batches/{batch_id}",
        "batch_id:s id:s humanized_created_at:s created_at:s updated_at:s status:s state:s scheduled_at:s? \
         from_phone_number:s? from_phone_numbers:a file_name:s valid_contacts:i total_contacts:i \
         execution_status:o queued_count:i in_progress_count:i completed_count:i failed_count:i \
         no_answer_count:i busy_count:i",
    ),
    // Numbers (§10, §11).
    (
        "get /phone-numbers/all",
        "[].id:s [].humanized_created_at:s [].created_at:s [].humanized_updated_at:s [].updated_at:s \
         [].renewal_at:s? [].phone_number:s [].agent_id:s? [].price:s? [].telephony_provider:s [].rented:b",
    ),
    (
        "get /phone-numbers/search",
        ":a [].region:s? [].friendly_name:s [].locality:s? [].phone_number:s [].provider:s [].price:n?",
    ),
    (
        "post /phone-numbers/buy",
        "id:s agent_id:s? bolna_owned:b deleted:b renewal:b payment_uuid:s phone_number:s price:i? \
         telephony_provider:s telephony_sid:s? created_at:s updated_at:s",
    ),
    ("post /inbound/setup", "url:s phone_number:s id:s"),
    ("post /inbound/unlink", "url:s? phone_number:s id:s"),
    // Knowledgebases (§12).
    (
        "post /knowledgebase",
        "rag_id:s vector_id:s file_name:s source_type:s status:s language_support:s?",
    ),
    (
        "get /knowledgebase/{rag_id}",
        "rag_id:s file_name:s humanized_created_at:s created_at:s updated_at:s vector_id:s status:s \
         chunk_size:i similarity_top_k:i overlapping:i language_support:s? source_type:s",
    ),
    // Providers (§13).
    ("post /providers", "message:s status:s"),
    (
        "get /providers",
        "[].provider_id:s [].provider_name:s [].provider_value:s [].humanized_created_at:s [].created_at:s",
    ),
    // Sub-accounts (§14).
    (
        "post /sub-accounts",
        "id:s name:s user_id:s organization_id:s api_key:s multi_tenant:b db_host:s? db_name:s? db_port:i? \
         db_user:s? db_password:s? allow_concurrent_calls:i created_at:s updated_at:s",
    ),
    (
        "get /sub-accounts/all",
        "[].id:s [].name:s [].organization_id:s [].api_key:s [].multi_tenant:b [].allow_concurrent_calls:i \
         [].min_concurrency:i [].max_concurrency:i?",
    ),
    ("patch /sub-accounts/{sub_account_id}", "message:s state:s"),
    ("get /sub-accounts/{sub_account_id}/usage", USAGE),
    // The account, voices, models (§15).
    (
        "get /user/me",
        "id:s name:s email:s wallet:n concurrency.max:i concurrency.current:i",
    ),
    (
        "get /me/voices",
        "[].id:s [].voice_id:s [].provider:s [].name:s [].model:s? [].accent:s?",
    ),
    ("post /user/custom-model", "message:s status:s"),
    // Extractions and dispositions (§16, §17).
    (
        "get /extractions/{template_id}",
        "data.id:s data.name:s data.json_schema:o data.instructions:s? data.model:s data.display:b \
         data.supports_custom_questions:b data.created_at:s data.updated_at:s",
    ),
    (
        "post /dispositions",
        "message:s id:s name:s question:s category:s",
    ),
    ("post /dispositions/bulk", "message:s ids:a ids[]:s"),
    ("put /dispositions/{disposition_id}", "message:s id:s"),
    (
        "get /dispositions/{disposition_id}",
        "id:s name:s question:s system_prompt:s? category:s model:s is_subjective:b is_objective:b \
         subjective_type:s? subjective_type_config:o? objective_options:a objective_options[].value:s \
         objective_options[].condition:s agent_ids:a agent_ids[]:s created_by:s created_at:s updated_at:s",
    ),
    // SIP trunks (§18).
    (
        "get /sip-trunks/trunks/{trunk_id}",
        "id:s name:s provider:s description:s? auth_type:s auth_username:s? gateways:a \
         gateways[].gateway_address:s gateways[].port:i gateways[].priority:i ip_identifiers:a allow:s disallow:s \
         transport:s direct_media:b rtp_symmetric:b force_rport:b media_encryption:s \
         media_encryption_optimistic:b qualify_frequency:i inbound_enabled:b outbound_leading_plus_enabled:b \
         phone_numbers:a is_active:b created_at:s updated_at:s",
    ),
    (
        "get /sip-trunks/trunks/{trunk_id}/numbers",
        "[].id:s [].phone_number:s [].name:s? [].byot_trunk_id:s [].telephony_provider:s [].deleted:b \
         [].created_at:s [].updated_at:s [].phone_number_id:s",
    ),
    ("post /violations/submit", "message:s state:s"),
    // Web calls (§20): the page reads these before it decides how to speak.
    (
        "post /web-call/session",
        "run_id:s agent_id:s sip_username:s? sip_password:s? sip_domain:s? wss_url:s sip_register:b expires_in:i \
         ice_servers:a",
    ),
    // What deletes comes last.
    (
        "post /call/{execution_id}/stop",
        "message:s status:s execution_id:s",
    ),
    ("post /batches/{batch_id}/stop", "message:s state:s"),
    ("post /v2/agent/{agent_id}/stop", "stopped_executions:a"),
    ("delete /batches/{batch_id}", "message:s state:s"),
    (
        "delete /sip-trunks/trunks/{trunk_id}/numbers/{phone_number_id}",
        "message:s",
    ),
    ("delete /sip-trunks/trunks/{trunk_id}", "message:s"),
    ("delete /dispositions/{disposition_id}", "message:s id:s"),
    ("delete /extractions/{template_id}", "message:s"),
    ("delete /providers/{provider_id}", "message:s status:s"),
    (
        "delete /phone-numbers/{phone_number_id}",
        "message:s state:s",
    ),
    ("delete /knowledgebase/{rag_id}", "message:s state:s"),
    ("delete /sub-accounts/{sub_account_id}", "message:s state:s"),
    ("delete /v2/agent/{agent_id}", "message:s state:s"),
];

const AGENT: &str = "id:s agent_id:s agent_name:s agent_type:s agent_status:s agent_welcome_message:s? \
    webhook_url:s? created_at:s updated_at:s tasks:a tasks[].task_type:s tasks[].tools_config:o \
    ingest_source_config:o? calling_guardrails:o? agent_prompts:o gpt_assistants:a?";

const EXECUTION: &str = "id:s execution_id:s agent_id:s batch_id:s? status:s error_message:s? \
    conversation_duration:n? conversation_time:i? total_cost:n answered_by_voice_mail:b transcript:s? \
    recording_url:s created_at:s updated_at:s createdAt:s updatedAt:s cost_breakdown.llm:n \
    cost_breakdown.network:n cost_breakdown.platform:n cost_breakdown.synthesizer:n cost_breakdown.transcriber:n \
    usage_breakdown.synthesizer_characters:i usage_breakdown.synthesizer_model:s? \
    usage_breakdown.transcriber_duration:n usage_breakdown.transcriber_model:s? usage_breakdown.llm_tokens:i \
    usage_breakdown.llm_model:o usage_breakdown.synthesizerCharacters:i usage_breakdown.synthesizerModel:s? \
    usage_breakdown.transcriberDuration:n usage_breakdown.transcriberModel:s? usage_breakdown.llmTokens:i \
    usage_breakdown.llmModel:o telephony_data.duration:i? telephony_data.to_number:s \
    telephony_data.from_number:s telephony_data.recording_url:s telephony_data.hosted_telephony:b \
    telephony_data.provider_call_id:s? telephony_data.call_type:s telephony_data.provider:s \
    telephony_data.hangup_by:s? telephony_data.hangup_reason:s? telephony_data.hangup_provider_code:i? \
    telephony_data.hangup_code:i? telephony_data.ring_duration:i? telephony_data.post_dial_delay:i? \
    telephony_data.to_number_carrier:s? transfer_call_data:o? batch_run_details:o? extracted_data:o? \
    context_details:o context_details.recipient_phone_number:s context_details.recipient_data:o latency_data:o \
    user_number:s agent_number:s initiated_at:s? summary:s? provider:s retry_count:i retry_config:o? \
    retry_history:a";

const USAGE: &str = "from:s to:s total_records:i total_duration:n total_cost:n total_platform_cost:n \
    total_telephony_cost:n status_map:o synthesizer_cost_map:o transcriber_cost_map:o llm_cost_map.cost:n \
    llm_cost_map.tokens:o";

/// Every error (§4): clients read `message`, then `detail`, then `error`.
const ERROR: &str = "error:i message:s detail:s";

#[tokio::test]
async fn clients_find_every_field_they_decode() {
    let bolo = Bolo::start().await;
    let owner = (bolo.account, bolo.key.clone());
    let tenant = Tenant::fill(&bolo, owner, "alpha", true).await;
    let mut faults = Vec::new();
    for (what, fields) in READ {
        let operation = Operation::named(what);
        let reply = tenant.ask(&bolo, &operation).await;
        if !reply.status.is_success() {
            faults.push(format!("{what}: {} {}", reply.status, reply.text()));
            continue;
        }
        faults.extend(missing(what, &reply.json(), fields));
        let refused = operation.request("bn-wrong", &|name| tenant.own(name));
        let refused = bolo.send(refused).await;
        faults.extend(missing(what, &refused.json(), ERROR));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What of the fields is not there, or is of another type.
fn missing(what: &str, answer: &Value, fields: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for field in fields.split_whitespace() {
        let (path, kind) = field.rsplit_once(':').unwrap();
        let found = at(answer, path);
        if found.is_empty()
            || !found
                .iter()
                .all(|one| one.is_some_and(|one| fits(one, kind)))
        {
            faults.push(format!("{what}: {field} in {answer}"));
        }
    }
    faults
}

/// The values at `data[].id`; `None` where there is none.
fn at<'a>(answer: &'a Value, path: &str) -> Vec<Option<&'a Value>> {
    let mut found = vec![Some(answer)];
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let key = step.trim_end_matches("[]");
        let one = |of: Option<&'a Value>| match key {
            "" => of,
            key => of?.get(key),
        };
        found = found.into_iter().map(one).collect();
        if step.ends_with("[]") {
            let items = |of: Option<&'a Value>| match of.and_then(Value::as_array) {
                Some(items) => items.iter().map(Some).collect(),
                None => vec![None],
            };
            found = found.into_iter().flat_map(items).collect();
        }
    }
    found
}

fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "s" => value.is_string(),
        "n" => value.is_number(),
        "i" => value.is_i64() || value.is_u64(),
        "b" => value.is_boolean(),
        "o" => value.is_object(),
        "a" => value.is_array(),
        nullable => value.is_null() || fits(value, nullable.strip_suffix('?').unwrap()),
    }
}

#[test]
fn another_type_a_missing_field_and_an_empty_list_are_seen() {
    let answer = serde_json::json!({ "id": 1, "time": 2.0, "none": null, "list": [], "data": [{ "id": "x" }] });
    let seen = |field| missing("", &answer, field).len();
    for wrong in [
        "id:s",
        "time:i",
        "none:s",
        "list[].id:s",
        "gone:s?",
        ":a",
        "data[].name:s",
    ] {
        assert_eq!(seen(wrong), 1, "{wrong}");
    }
    for right in ["id:i", "time:n", "none:s?", "list:a", ":o", "data[].id:s"] {
        assert_eq!(seen(right), 0, "{right}");
    }
}
