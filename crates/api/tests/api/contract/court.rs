//! Hears every answer and has it judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    bolo::Reply,
    operations::{Operation, document, is_plain},
};

/// Answers that nothing a client sends can bring about.
const NOT_ON_DEMAND: [u16; 2] = [500, 503];
/// Operations whose requests name something and are taken though it is unknown: what is put there is new; an
/// agent may name what is to come; of an unknown call no webhook is told again.
const TAKES_UNKNOWN: [&str; 4] = [
    "put /ingest-lists/{name}",
    "post /agent",
    "post /v2/agent",
    "post /webhooks/replay",
];
/// Operations whose query is never at fault: other values are unknown (404), or open nothing (401).
const ANY_QUERY: [&str; 2] = [
    "get /dispositions/{disposition_id}",
    "get /recordings/call/{execution_id}",
];

/// Reads the document's name from its arguments and answers from its input, and prints what is wrong.
const JUDGE: &str = r##"
import json, sys, jsonschema_rs
document = json.load(open(sys.argv[1]))
judges = {}
for line in sys.stdin:
    about, place, body = json.loads(line)
    if place not in judges:
        schema = {**document, "$ref": place}
        judges[place] = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for error in judges[place].iter_errors(body):
        print(f"{about}: {'/'.join(map(str, error.instance_path))}: {error.message}"[:600])
print("heard")
"##;

#[derive(Default)]
pub struct Court {
    /// Status codes by operation.
    seen: BTreeMap<String, BTreeSet<u16>>,
    /// For the judge, a line each.
    answers: BTreeSet<String>,
    faults: BTreeSet<String>,
}

impl Court {
    pub fn hear(&mut self, operation: &Operation, reply: &Reply) {
        let (what, status) = (&operation.what, reply.status.as_u16());
        let content = &operation.said["responses"][status.to_string()]["content"];
        self.seen.entry(what.clone()).or_default().insert(status);
        let Some((kind, _)) = content.as_object().and_then(|kinds| kinds.iter().next()) else {
            let fault = format!("{what}: {status} is not documented: {}", reply.text());
            self.faults.insert(fault);
            return;
        };
        if !reply.header("content-type").starts_with(kind) {
            let told = reply.header("content-type");
            self.faults
                .insert(format!("{what}: {status} is {told}, not {kind}"));
        }
        if kind == "application/json" {
            let escaped = |text: &str| text.replace('~', "~0").replace('/', "~1");
            let place = format!(
                "#/paths/{}/{}/responses/{status}/content/application~1json/schema",
                escaped(&operation.path),
                operation.method
            );
            let place = place.replace('{', "%7B").replace('}', "%7D");
            let answer = json!([format!("{what} {status}"), place, reply.json()]);
            self.answers.insert(answer.to_string());
        }
    }

    /// The answer to a request without a fault.
    pub fn hear_good(&mut self, operation: &Operation, reply: &Reply) {
        self.hear(operation, reply);
        if !reply.status.is_success() {
            let fault = format!("{}: {} {}", operation.what, reply.status, reply.text());
            self.faults.insert(fault);
        }
    }

    /// Everything that is promised was heard, and nothing heard is at fault.
    pub async fn close(mut self) {
        for operation in Operation::all() {
            let promised = operation.said["responses"].as_object().unwrap();
            let seen = self.seen.remove(&operation.what).unwrap_or_default();
            for status in promised.keys().map(|status| status.parse().unwrap()) {
                if !seen.contains(&status) && can_be_heard(&operation, status) {
                    let fault = format!("{}: {status} was not heard", operation.what);
                    self.faults.insert(fault);
                }
            }
        }
        println!("{} answers were judged", self.answers.len());
        let faults = tokio::task::spawn_blocking(move || judged(&self.answers));
        self.faults.extend(faults.await.unwrap());
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
    }
}

/// `Problems` promises 400 and 404 of all operations; those that read nothing can't be asked badly, those that
/// name nothing find all.
fn can_be_heard(operation: &Operation, status: u16) -> bool {
    let what = operation.what.as_str();
    let names = |name: &String| operation.thing(name).is_some() && !is_plain(name);
    match status {
        400 => {
            operation.has_body() || !(operation.queries().is_empty() || ANY_QUERY.contains(&what))
        }
        404 => {
            let in_path = operation.path.contains('{');
            let in_body = operation.has_body() && operation.parameters().iter().any(names);
            (in_path || in_body) && !TAKES_UNKNOWN.contains(&what)
        }
        _ => !NOT_ON_DEMAND.contains(&status) || what == "get /ready",
    }
}

fn judged(answers: &BTreeSet<String>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("openapi.json");
    std::fs::write(&place, document().to_string()).unwrap();
    let mut judge = Command::new("python3");
    judge.args(["-c", JUDGE]).arg(&place);
    if let Ok(modules) = std::env::var("BOLO_TEST_PYTHONPATH") {
        judge.env("PYTHONPATH", modules);
    }
    let mut judge = judge
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = judge.stdin.take().unwrap();
    let lines: Vec<&str> = answers.iter().map(String::as_str).collect();
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = judge.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut faults: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(faults.pop().as_deref(), Some("heard"), "{said}");
    faults
}

#[test]
fn the_judge_finds_what_does_not_fit() {
    let place = "#/components/schemas/ErrorBody";
    let good = json!(["good", place, { "error": 404, "message": "m", "detail": "d" }]);
    let bad = json!(["bad", place, { "error": "404", "message": "m" }]);
    let faults = judged(&BTreeSet::from([good.to_string(), bad.to_string()]));
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.starts_with("bad: ")));
}
