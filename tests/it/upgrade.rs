//! A rolling update: nodes of the version before and of this one side by side on one database. On demand, with
//! a binary of that version: `tests/upgrade COMMIT` builds it and runs this.

use std::path::PathBuf;

use bolo_simulator::{caller::CallHandle, caller::CallerScript, carrier::Kind, llm::Reply};
use serde_json::{Value, json};

use crate::support::{Fakes, agent, cluster::Cluster};

/// Whom the nodes call; each has one call.
fn number(nth: usize) -> String {
    format!("+1415555020{nth}")
}

/// A call asked for at one node: the execution, and the far end's handle.
async fn dial(cluster: &Cluster, node: usize, agent: &str, nth: usize) -> (String, CallHandle) {
    let carrier = &cluster.fakes.carrier;
    carrier.script(&number(nth), CallerScript::default());
    let execution = cluster.nodes[node].call(agent, &number(nth)).await;
    let call = carrier.dialled(&number(nth)).await.unwrap();
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    (execution, call)
}

/// A turn that goes well.
async fn talks(call: &CallHandle) {
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
}

async fn is_complete(cluster: &Cluster, node: usize, execution: &str) -> Value {
    let record = cluster.nodes[node].status(execution, "completed").await;
    let transcript = record["transcript"].as_str().unwrap();
    assert!(transcript.contains("It ships on Monday."), "{record:#}");
    record
}

#[ignore = "needs BOLO_PREVIOUS, see tests/upgrade"]
#[tokio::test]
async fn the_version_before_and_this_one_share_their_calls() {
    let previous = PathBuf::from(std::env::var_os("BOLO_PREVIOUS").expect("BOLO_PREVIOUS"));
    let fakes = Fakes::start(Kind::Twilio).await;
    let answer = || Reply::text("It ships on Monday.");
    fakes.llm.on("where is my order", answer());
    let mut cluster = Cluster::start(fakes, 0, &[]).await;

    // The old node makes its tables and has a call on the line.
    cluster.add_node_of(previous).await;
    let old_agent = cluster.nodes[0].create_agent(&agent()).await;
    let (talking, on_old) = dial(&cluster, 0, &old_agent, 1).await;
    talks(&on_old).await;

    // The new one migrates under it. The balancer gives calls to the old one as long as it takes any.
    cluster.add_node().await;
    talks(&on_old).await;
    let new_agent = cluster.nodes[1].create_agent(&agent()).await;
    let (of_new, second) = dial(&cluster, 1, &new_agent, 2).await;
    let (of_old, third) = dial(&cluster, 0, &new_agent, 3).await;
    for call in [&second, &third] {
        talks(call).await;
        call.hangs_up().await.unwrap();
    }
    is_complete(&cluster, 0, &of_new).await;
    is_complete(&cluster, 1, &of_old).await;
    // What one keeps the other changes.
    let path = format!("/v2/agent/{old_agent}");
    let renamed = json!({ "agent_config": { "agent_name": "renamed" } });
    let node = &cluster.nodes[1];
    let changed = node
        .send("PATCH", &path, Some(&node.key), Some(&renamed))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(cluster.nodes[0].get(&path).await["agent_name"], "renamed");

    // The old one queues a call and drains: the new one places and runs it.
    cluster
        .fakes
        .carrier
        .script(&number(4), CallerScript::default());
    let soon = chrono::Utc::now() + chrono::Duration::seconds(3);
    let later = json!({ "agent_id": old_agent, "recipient_phone_number": number(4),
        "scheduled_at": soon.to_rfc3339() });
    let queued = cluster.nodes[0].post("/call", later).await;
    let queued = queued["execution_id"].as_str().unwrap().to_owned();
    cluster.nodes[0].signal("TERM");
    cluster.nodes[0].says("stopping: no new calls").await;
    let fourth = cluster.fakes.carrier.dialled(&number(4)).await.unwrap();
    fourth.hears("Hello there").await.unwrap();
    fourth.agent_stopped().await.unwrap();
    talks(&fourth).await;
    // The first call is still the old one's, and ends there.
    talks(&on_old).await;
    for call in [&on_old, &fourth] {
        call.hangs_up().await.unwrap();
    }
    is_complete(&cluster, 1, &talking).await;
    is_complete(&cluster, 1, &queued).await;
    assert_eq!(cluster.fakes.carrier.ledger().placed(), 4);
    cluster.end(&[]).await;
}
