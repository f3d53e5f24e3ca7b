//! Batches over HTTP: every way to send a table, and what becomes of its lines.

use axum::{body::Body, http::Request};
use bolo_execution::{AgentId, ExecutionId};
use serde_json::{Value, json};

use crate::bolo::{Bolo, Reply};

const BOUNDARY: &str = "------------------------d74496d66958873e";

/// A form as curl sends it; a field named `file` is a file.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let file = match *name {
            "file" => "; filename=\"customers.csv\"\r\nContent-Type: text/csv",
            _ => "",
        };
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

impl Bolo {
    pub async fn post_form(&self, path: &str, fields: &[(&str, &[u8])]) -> Reply {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.key))
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .body(Body::from(form(fields)))
            .unwrap();
        self.send(request).await
    }

    /// Uploads a table; the batch's id.
    pub async fn upload(&self, agent: AgentId, table: &[u8]) -> String {
        let agent = agent.to_string();
        let fields = [("agent_id", agent.as_bytes()), ("file", table)];
        let answer = self.post_form("/batches", &fields).await.ok();
        assert_eq!(answer["state"], "created");
        assert_eq!(answer["id"], answer["batch_id"]);
        let id = answer["batch_id"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        id.to_owned()
    }

    pub async fn schedule(&self, batch: &str, at: &str) -> Reply {
        let fields = [("scheduled_at", at.as_bytes())];
        self.post_form(&format!("/batches/{batch}/schedule"), &fields)
            .await
    }

    /// Number called and variables, in the file's order.
    pub async fn calls_of(&self, batch: &str) -> Vec<(String, Value)> {
        let calls = self.get(&format!("/batches/{batch}/executions")).await.ok();
        let mut calls: Vec<_> = (calls.as_array().unwrap().iter())
            .map(|call| {
                let details = &call["context_details"];
                let number = details["recipient_phone_number"].as_str().unwrap();
                (number.to_owned(), details["recipient_data"].clone())
            })
            .collect();
        calls.reverse();
        calls
    }
}

#[tokio::test]
async fn good_lines_become_calls_and_bad_ones_are_named() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let table = b"\xef\xbb\xbf\"contact_number\", name ,city,name,\r\n\
        +14155550100,Asha,\"Pune, India\",Other,x\r\n\
        4155550101,No Plus,,,\r\n\
        +14155550102,,\"two\r\nlines\",Second,\r\n\
        \r\n\
        ,,,,\r\n\
        +14155550103,\"say \"\"hi\"\"\"\r\n\
        +14155550104,\xff,,,\r\n\
        +14155550105,a,b,c,d,e\r\n\
        +14155550100,Asha again,,,\r\n";
    let id = bolo.upload(agent, table).await;
    assert_eq!(
        bolo.calls_of(&id).await,
        [
            (
                "+14155550100".into(),
                json!({"name": "Asha", "city": "Pune, India"})
            ),
            (
                "+14155550102".into(),
                json!({"name": "Second", "city": "two\r\nlines"})
            ),
            ("+14155550103".into(), json!({"name": "say \"hi\""})),
            (
                "+14155550100".into(),
                json!({"name": "Asha again", "city": ""})
            ),
        ]
    );
    let rejected = bolo.get(&format!("/batches/{id}/rejected")).await.ok();
    assert_eq!(
        rejected,
        json!([
            {"line": 3, "contact_number": "4155550101",
                "reason": "contact_number must be a phone number in E.164 form, such as +14155550100"},
            {"line": 7, "contact_number": "", "reason": "contact_number is empty"},
            {"line": 9, "contact_number": "+14155550104", "reason": "name is not UTF-8"},
            {"line": 10, "contact_number": "+14155550105", "reason": "has 6 fields, the header 5"},
        ])
    );
    let batch = bolo.get(&format!("/batches/{id}")).await.ok();
    assert_eq!(batch["total_contacts"], 8);
    assert_eq!(batch["valid_contacts"], 4);
    assert_eq!(batch["file_name"], "customers.csv");
    assert_eq!(batch["execution_status"], json!({"prepared": 4}));
    assert_eq!(batch["queued_count"], 4);
    assert_eq!(
        (&batch["status"], &batch["state"]),
        (&json!("created"), &json!("created"))
    );
    assert_eq!(batch["scheduled_at"], Value::Null);
    assert_eq!(batch["from_phone_number"], Value::Null);
    assert_eq!(batch["humanized_created_at"], "just now");
}

#[tokio::test]
async fn the_fields_come_in_any_order_and_spelling() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let table: &[u8] = b"contact_number\n+14155550100\n+14155550101\n+14155550102";
    let retry = br#"{"enabled":true,"max_retries":2,"retry_intervals_minutes":[15,30]}"#;
    for (name, values) in [
        ("from_phone_numbers", vec!["+919876543210", "+919876543211"]),
        ("from_phone_number", vec!["+919876543210,+919876543211"]),
        (
            "from_phone_numbers[]",
            vec!["+919876543210", "+919876543211"],
        ),
        (
            "from_phone_numbers",
            vec!["['+919876543210', '+919876543211']"],
        ),
    ] {
        let mut fields: Vec<(&str, &[u8])> = vec![("file", table), ("retry_config", retry)];
        fields.extend(values.iter().map(|value| (name, value.as_bytes())));
        fields.push(("webhook_url", b"https://ignored.example"));
        fields.push(("agent_id", agent.as_bytes()));
        let answer = bolo.post_form("/batches", &fields).await.ok();
        let id = answer["batch_id"].as_str().unwrap();
        let batch = bolo.get(&format!("/batches/{id}")).await.ok();
        assert_eq!(
            batch["from_phone_numbers"],
            json!(["+919876543210", "+919876543211"])
        );
        assert_eq!(batch["from_phone_number"], "+919876543210");
        let calls = bolo.get(&format!("/batches/{id}/executions")).await.ok();
        let from: Vec<&str> = (calls.as_array().unwrap().iter())
            .map(|call| call["agent_number"].as_str().unwrap())
            .collect();
        assert_eq!(from, ["+919876543210", "+919876543211", "+919876543210"]);
        assert_eq!(calls[0]["retry_config"]["max_retries"], 2);
        assert_eq!(calls[0]["batch_id"], id);
        assert_eq!(calls[0]["batch_run_details"]["status"], "prepared");
        assert_eq!(calls[0]["batch_run_details"]["retried"], 0);
    }
}

#[tokio::test]
async fn what_makes_no_batch_says_why() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let agent = agent.as_bytes();
    let table: &[u8] = b"contact_number\n+14155550100";
    let unknown = ExecutionId::new().to_string();
    type Parts<'a> = &'a [(&'a str, &'a [u8])];
    let cases: &[(Parts<'_>, u16, &str)] = &[
        (&[("file", table)], 400, "agent_id: field required"),
        (&[("agent_id", agent)], 400, "file: field required"),
        (
            &[("agent_id", b"x"), ("file", table)],
            400,
            "agent_id: must be",
        ),
        (
            &[("agent_id", unknown.as_bytes()), ("file", table)],
            404,
            "Agent not found",
        ),
        (&[("agent_id", agent), ("file", b"")], 400, "file: is empty"),
        (
            &[("agent_id", agent), ("file", b"\n\r\n")],
            400,
            "file: is empty",
        ),
        (
            &[("agent_id", agent), ("file", b"phone,name\n+1415555,x")],
            400,
            "file: has no column contact_number",
        ),
        (
            &[("agent_id", agent), ("file", b"contact_number\n")],
            400,
            "file: has no row",
        ),
        (
            &[("agent_id", agent), ("file", b"contact_number\nabc\ndef")],
            400,
            "file: has no valid row; line 2: contact_number must be",
        ),
        (
            &[
                ("agent_id", agent),
                ("file", table),
                ("from_phone_numbers", b"123"),
            ],
            400,
            "from_phone_numbers: must be",
        ),
        (
            &[
                ("agent_id", agent),
                ("file", table),
                ("retry_config", b"{\"max_retries\": 9}"),
            ],
            400,
            "retry_config.max_retries: must be",
        ),
        (
            &[("agent_id", agent), ("file", table), ("retry_config", b"{")],
            400,
            "retry_config: malformed JSON",
        ),
    ];
    for (fields, status, message) in cases {
        let answer = bolo.post_form("/batches", fields).await.error(*status);
        assert!(answer.starts_with(message), "{answer:?} for {message:?}");
    }
    let large = vec![b'x'; 9 << 20];
    let fields = [("agent_id", agent), ("file", &large[..])];
    bolo.post_form("/batches", &fields).await.error(413);
    bolo.post("/batches", json!({"agent_id": "x"}))
        .await
        .error(400);
    let agent: AgentId = std::str::from_utf8(agent).unwrap().parse().unwrap();
    let all = bolo.get(&format!("/batches/{agent}/all")).await.ok();
    assert_eq!(all, json!([]));
    let calls = bolo.get(&format!("/agent/{agent}/executions")).await.ok();
    assert_eq!(calls, json!([]));
}

#[tokio::test]
async fn a_table_of_many_chunks_is_read_and_listed_whole() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let mut table = "contact_number,n\n".to_owned();
    for n in 0..2_500 {
        table.push_str(&format!("+1415555{n:04},{n}\n"));
        if n % 2 == 0 {
            table.push_str("bad\n");
        }
    }
    let id = bolo.upload(agent, table.as_bytes()).await;
    let calls = bolo.calls_of(&id).await;
    assert_eq!(calls.len(), 2_500);
    for (n, (number, data)) in calls.iter().enumerate() {
        assert_eq!(
            (number, data),
            (&format!("+1415555{n:04}"), &json!({"n": n.to_string()}))
        );
    }
    let rejected = bolo.get(&format!("/batches/{id}/rejected")).await.ok();
    let lines: Vec<i64> = (rejected.as_array().unwrap().iter())
        .map(|reject| reject["line"].as_i64().unwrap())
        .collect();
    assert_eq!(lines, (0..1_250).map(|n| 3 + 3 * n).collect::<Vec<_>>());
}
