//! How many calls at once an account may still hold, alone and together with the accounts that it shares its
//! lines with. Source: api.md §5, §14.

use sqlx::AssertSqlSafe;

use crate::{
    Error,
    db::{Tx, on},
};

/// An account that shares lines with others: a parent and its sub-accounts.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Member {
    id: String,
    concurrency: i64,
    min_concurrency: i64,
    max_concurrency: Option<i64>,
    live: i64,
}

/// Account `$1` and its sub-accounts, with the lines they hold.
pub(crate) const MEMBERS: &str = "SELECT id, concurrency, min_concurrency, max_concurrency,
      (SELECT COUNT(*) FROM executions e WHERE e.account_id = a.id
        AND e.direction = 'outbound' AND e.status IN ('initiated', 'ringing', 'in-progress'))
    + (SELECT COUNT(*) FROM executions e WHERE e.account_id = a.id
        AND e.status = 'queued' AND e.claimed_by IS NOT NULL) AS live
    FROM accounts a WHERE a.id = $1 OR a.parent_id = $1";

impl Member {
    /// Most calls at once of this account alone.
    fn cap(&self) -> i64 {
        self.max_concurrency
            .map_or(self.concurrency, |most| most.min(self.concurrency))
    }

    /// Lines that are kept for it and that it does not use.
    fn kept(&self) -> i64 {
        (self.min_concurrency.min(self.cap()) - self.live).max(0)
    }
}

/// Lines that `account` may still take: of its own, and of all lines those that neither are in use nor kept
/// for others. The parent's `concurrency` is what all have together.
fn free_of(account: &str, parent: &str, members: &[Member]) -> i64 {
    let Some(own) = members.iter().find(|member| member.id == account) else {
        return 0;
    };
    let all = members
        .iter()
        .find(|member| member.id == parent)
        .map_or(0, |parent| parent.concurrency);
    let used: i64 = members.iter().map(|member| member.live).sum();
    let others = members.iter().filter(|member| member.id != account);
    let kept: i64 = others.map(Member::kept).sum();
    (own.cap() - own.live).min(all - used - kept)
}

/// Lines that the account may still take. Whose lines they are is locked, so that two nodes can't both take
/// the last one; without blocking the creation of calls.
pub(crate) async fn free_lines(tx: &mut Tx, account: &str) -> Result<i64, Error> {
    let lock = AssertSqlSafe(format!(
        "SELECT id FROM accounts
         WHERE id = (SELECT COALESCE(a.parent_id, a.id) FROM accounts a WHERE a.id = $1) {}",
        tx.lock("FOR NO KEY UPDATE")
    ));
    let (parent, members): (String, Vec<Member>) = on!(tx, |tx| {
        let parent: String = sqlx::query_scalar(lock)
            .bind(account)
            .fetch_one(&mut **tx)
            .await?;
        let members = sqlx::query_as(MEMBERS)
            .bind(&parent)
            .fetch_all(&mut **tx)
            .await?;
        (parent, members)
    });
    Ok(free_of(account, &parent, &members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, concurrency: i64, min: i64, max: Option<i64>, live: i64) -> Member {
        Member {
            id: id.to_owned(),
            concurrency,
            min_concurrency: min,
            max_concurrency: max,
            live,
        }
    }

    #[test]
    fn an_account_of_its_own_has_what_it_does_not_use() {
        assert_eq!(free_of("p", "p", &[member("p", 10, 0, None, 3)]), 7);
        assert_eq!(free_of("p", "p", &[member("p", 10, 0, None, 12)]), -2);
        assert_eq!(free_of("x", "p", &[member("p", 10, 0, None, 3)]), 0);
    }

    #[test]
    fn sub_accounts_share_the_lines_of_their_parent() {
        let all = [
            member("p", 10, 0, None, 2),
            member("a", 10, 0, None, 3),
            member("b", 4, 0, None, 1),
            member("paused", 10, 2, Some(0), 0),
        ];
        assert_eq!(free_of("p", "p", &all), 4);
        assert_eq!(free_of("a", "p", &all), 4);
        assert_eq!(free_of("b", "p", &all), 3);
        assert_eq!(free_of("paused", "p", &all), 0);
    }

    #[test]
    fn lines_that_are_kept_for_one_are_taken_by_no_other() {
        let all = [
            member("p", 10, 0, None, 0),
            member("kept", 10, 4, None, 1),
            member("capped", 10, 5, Some(2), 0),
            member("a", 10, 0, None, 2),
        ];
        // 10 lines, 3 in use, 3 kept for the one and 2 for the other.
        assert_eq!(free_of("a", "p", &all), 2);
        assert_eq!(free_of("p", "p", &all), 2);
        assert_eq!(free_of("kept", "p", &all), 5);
        assert_eq!(free_of("capped", "p", &all), 2);
    }
}
