//! The audit log: an account's lines, newest first.

use rstest::rstest;
use uuid::Uuid;

use super::{Lab, NOW, On, tenant};
use crate::Audited;

#[rstest]
#[tokio::test]
async fn lines_come_back_newest_first_and_only_ones_own(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let (stranger, _) = tenant(store, "stranger").await;
    let line = |account, at| Audited {
        id: Uuid::now_v7(),
        account,
        key: Some(Uuid::now_v7()),
        at,
        method: "DELETE".into(),
        route: "/v2/agent/{agent_id}".into(),
        path: "/v2/agent/\0x".into(),
        status: 200,
        request_id: "r".into(),
        remote: Some("203.0.113.7".into()),
        forwarded_for: None,
    };
    let lines = [
        line(lab.account, NOW),
        line(stranger, NOW + 1),
        line(lab.account, NOW + 2),
        line(lab.account, NOW + 3),
    ];
    for line in &lines {
        store.audit(line).await.unwrap();
    }
    let all = (0, i64::MAX);
    let (page, total) = store.audited(lab.account, all, 1, 2).await.unwrap();
    assert_eq!(total, 3);
    let times: Vec<i64> = page.iter().map(|line| line.at).collect();
    assert_eq!(times, [NOW + 3, NOW + 2]);
    assert_eq!(page[0].key, lines[3].key);
    assert_eq!(
        page[0].path, "/v2/agent/\u{fffd}x",
        "what PostgreSQL can't hold"
    );
    let (page, total) = store.audited(lab.account, (NOW, NOW), 1, 20).await.unwrap();
    assert_eq!((page.len(), total, page[0].id), (1, 1, lines[0].id));
}
