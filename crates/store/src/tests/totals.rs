//! How many rows a long list has: exact among its newest, kept for a while behind them.

use std::collections::HashSet;

use rstest::rstest;
use sqlx::AssertSqlSafe;

use super::{Lab, MASTER, NOW, On};
use crate::{Filter, Page, db::on, total::NEWEST};

#[path = "../../../../tests/support/past.rs"]
mod past;

/// Calls that were made before, one each ms.
const LONG: i64 = NEWEST + 2000;

impl Lab {
    async fn fill(&self) {
        let url = self.settings(MASTER, "past").database_url;
        past::fill(&url, "completed", LONG, "NULL", NOW).await;
    }

    /// Keeps only the newest of those calls.
    async fn forget_all_but(&self, newest: i64) {
        let sql = format!("DELETE FROM executions WHERE created_at < {}", NOW - newest);
        on!(self.store.db().write(), |pool| {
            let done = sqlx::query(AssertSqlSafe(sql)).execute(pool).await;
            done.map(drop).unwrap();
        });
    }

    async fn page(&self, number: i64, size: i64) -> Page {
        let all = Filter::default();
        let page = self.store.executions(self.account, &all, number, size);
        page.await.unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn pages_of_a_long_list_have_no_gap_while_calls_come(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.fill().await;
    let (mut seen, mut came) = (HashSet::new(), 0);
    for number in 1.. {
        let page = lab.page(number, 1000).await;
        assert_eq!(page.total, LONG + came);
        if page.rows.is_empty() {
            break;
        }
        let past = page.rows.iter().filter(|row| row.created_at < NOW);
        seen.extend(past.map(|row| row.id));
        // Enough to reach over the middle, from where on pages are read from the other end.
        for _ in 0..5 {
            lab.create(lab.call()).await;
        }
        came += 5;
    }
    assert_eq!(seen.len() as i64, LONG);
}

#[rstest]
#[tokio::test]
async fn what_stands_behind_the_newest_is_not_counted_each_time(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.fill().await;
    assert_eq!(lab.page(1, 50).await.total, LONG);
    lab.forget_all_but(LONG - 5).await;
    assert_eq!(lab.page(1, 50).await.total, LONG);
    // Where a page shows that it can't be so, it is counted anew.
    lab.forget_all_but(70).await;
    let page = lab.page(2, 50).await;
    assert_eq!((page.rows.len(), page.total), (20, 70));
    // Nothing is kept of a short list.
    lab.forget_all_but(30).await;
    let page = lab.page(1, 20).await;
    assert_eq!((page.rows.len(), page.total), (20, 30));
}
