//! Every list and claim finds its rows through an index.

use bolo_execution::{AgentId, BatchId, Direction, ExecutionId, Status};
use sqlx::AssertSqlSafe;

use super::{Lab, On};
use crate::{
    Db, Filter, ToldFilter, agents, audit, batch_guard, batches, claiming, deliveries,
    dispositions, documents,
    executions::{Found, Part},
    knowledge, limits, lines, outbox, ownership, phone_numbers, post_call, purge, queue,
    sub_accounts,
    total::Listed,
    usage,
};

/// Steps of SQLite's plan that read a whole table.
async fn scans(lab: &Lab, sql: &str) -> Vec<String> {
    let Db::Sqlite { read, .. } = lab.store.db() else {
        unreachable!()
    };
    let steps: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(read)
            .await
            .unwrap();
    assert!(!steps.is_empty(), "{sql}");
    steps
        .into_iter()
        .map(|step| step.3)
        .filter(|step| {
            step.starts_with("SCAN") && !step.contains("USING") && !step.contains("CONSTANT ROW")
                || step.contains("TEMP B-TREE FOR ORDER")
        })
        .collect()
}

/// The same of what counts a list.
async fn scans_of_total(lab: &Lab, list: &Listed) -> Vec<String> {
    let queries = [
        list.few_sql(),
        list.edge_sql(),
        list.beside_sql("<"),
        list.beside_sql(">="),
    ];
    let mut all = Vec::new();
    for sql in queries {
        all.extend(scans(lab, &sql).await);
    }
    all.retain(|step| step != "SCAN few");
    all
}

#[tokio::test]
async fn lists_of_executions_read_no_whole_table() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let agent = Some(AgentId::new());
    let filters = [
        Filter::default(),
        Filter {
            agent,
            ..Filter::default()
        },
        Filter {
            agent,
            behind: Some((1, ExecutionId::new())),
            ..Filter::default()
        },
        Filter {
            batch: Some(BatchId::random()),
            ..Filter::default()
        },
        Filter {
            batch: Some(BatchId::random()),
            agent,
            status: Some(Status::Completed),
            ..Filter::default()
        },
        Filter {
            agent,
            status: Some(Status::Completed),
            from: Some(1),
            to: Some(2),
            ..Filter::default()
        },
        Filter {
            direction: Some(Direction::Inbound),
            voicemail: Some(true),
            ..Filter::default()
        },
    ];
    for filter in filters {
        for uploading in [false, true] {
            let found = Found::new(lab.account, &filter, uploading);
            let counted = scans_of_total(&lab, &found.0).await;
            assert_eq!(counted, Vec::<String>::new(), "{filter:?}");
            for part in [Part::newest(20, 40), Part::nearest(20, 900, 1000)] {
                let list = found.list_sql(&part);
                assert_eq!(scans(&lab, &list).await, Vec::<String>::new(), "{filter:?}");
            }
        }
    }
    let uploading = scans(&lab, crate::executions::UPLOADING).await;
    assert_eq!(uploading, Vec::<String>::new());
}

#[tokio::test]
async fn the_logs_of_webhooks_and_of_requests_read_no_whole_table() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let filters = [
        ToldFilter::default(),
        ToldFilter {
            state: Some("exhausted"),
            from: Some(1),
            ..ToldFilter::default()
        },
        ToldFilter {
            id: Some(uuid::Uuid::now_v7()),
            ..ToldFilter::default()
        },
    ];
    for filter in filters {
        let chosen = deliveries::Chosen::new(lab.account, &filter);
        let list = chosen.list_sql(20, 40);
        assert_eq!(scans(&lab, &list).await, Vec::<String>::new(), "{filter:?}");
        let counted = scans_of_total(&lab, &chosen.0).await;
        assert_eq!(counted, Vec::<String>::new(), "{filter:?}");
    }
    let lines = audit::listed(lab.account, 1, 2);
    let counted = scans_of_total(&lab, &lines).await;
    assert_eq!(counted, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_worker_asks_reads_no_whole_table() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let queries = [
        queue::SCHEDULED,
        claiming::NEXT_DUE,
        claiming::LOOK,
        claiming::LANES_DUE,
        &claiming::claim_sql("(SELECT value FROM json_each($1))"),
        limits::LIVE_LANES,
        queue::LIVE_CALLS,
        queue::FREE_EXPIRED,
        queue::FREE_LOST,
        queue::FREE_FORMER,
        queue::FREE_OWN,
        queue::BOUND,
        ownership::AND_RINGING,
        queue::UNSETTLED,
        &claiming::due_sql(""),
        &outbox::claim_sql(""),
        outbox::HASTEN_NEXT,
        deliveries::HASTEN_FIRST,
        outbox::NEXT_DELIVERY,
        ownership::OPEN_CALLS,
        ownership::LOST_CALLS,
        ownership::OWNED_CALLS,
        ownership::TRANSFERS,
        agents::AGENTS,
        agents::VERSIONS,
        batches::OF_AGENT,
        batches::COUNTS,
        batches::COUNTS_OF_AGENT,
        batches::REJECTS,
        batches::work::AT_WORK,
        batches::work::CHUNK_OF,
        batches::work::DEAD_UPLOADS,
        batches::work::WAITING_OF_AGENT,
        audit::NEWEST,
        post_call::NEXT_POST_CALL,
        &post_call::claim_sql(""),
        lines::MEMBERS,
        batch_guard::PAUSED,
        batch_guard::COUNT,
        dispositions::LINKS,
        dispositions::OF_AGENT,
        dispositions::AT_END,
        documents::DOCUMENTS,
        phone_numbers::CLAIMED,
        phone_numbers::NUMBERS,
        purge::DELETED,
        sub_accounts::LIVE_OF,
        sub_accounts::SUB_ACCOUNTS,
        usage::USAGE,
        knowledge::KNOWLEDGEBASES,
        knowledge::KNOWLEDGEBASE,
        knowledge::CHUNKS,
        &knowledge::claim_sql(""),
    ];
    for sql in queries {
        let found = scans(&lab, sql).await;
        // Accounts and nodes are few, and all of them are asked; JSON that a claim gives holds its own calls; the others are
        // steps of a walk along an index, or what it has found.
        let walks = [
            "SCAN a",
            "SCAN json_each VIRTUAL TABLE INDEX 1:",
            "SCAN w",
            "SCAN waiting",
            "SCAN lanes",
            "SCAN lines",
            "SCAN instances",
        ];
        assert!(
            found.iter().all(|step| walks.contains(&step.as_str())),
            "{found:?}: {sql}"
        );
    }
}
