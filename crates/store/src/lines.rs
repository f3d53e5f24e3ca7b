//! How many calls at once an account may still hold, alone and together with the accounts that it shares its
//! lines with. Source: api.md §5, §14.

use sqlx::AssertSqlSafe;

use crate::{
    Error,
    db::{Tx, on},
};

/// An account with so many lines does not have them counted with each claim: it is remembered what they were, and
/// what was claimed since. It is counted again after [`REMEMBERED_MS`], when half of them may be in use, and when there
/// might not be enough.
const MANY: i64 = 1000;
const REMEMBERED_MS: i64 = 1000;

/// An account that shares lines with others: a parent and its sub-accounts.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Member {
    id: String,
    /// Whose lines all of them share.
    parent: String,
    concurrency: i64,
    min_concurrency: i64,
    max_concurrency: Option<i64>,
    /// At most, if it is only remembered.
    live: i64,
    is_remembered: bool,
}

macro_rules! remembered {
    () => {
        "a.concurrency >= $2 AND a.lines_at_most <= a.concurrency / 2 AND a.lines_counted_at > $3"
    };
}

/// Whose lines account `$1` takes.
macro_rules! whose {
    () => {
        "(SELECT COALESCE(o.parent_id, o.id) FROM accounts o WHERE o.id = $1)"
    };
}

/// Account `$1` and those that it shares its lines with, with the lines they hold: counted, or remembered of those with
/// `$2` and more that were counted after `$3`.
pub(crate) const MEMBERS: &str = concat!(
    "SELECT id, COALESCE(parent_id, id) AS parent, concurrency, min_concurrency, max_concurrency, (",
    remembered!(),
    ") AS is_remembered,
    CASE WHEN ",
    remembered!(),
    " THEN a.lines_at_most ELSE
      (SELECT COUNT(*) FROM executions e WHERE e.account_id = a.id
        AND e.direction = 'outbound' AND e.status IN ('initiated', 'ringing', 'in-progress'))
    + (SELECT COUNT(*) FROM executions e WHERE e.account_id = a.id
        AND e.status = 'queued' AND e.claimed_by IS NOT NULL) END AS live
    FROM accounts a WHERE a.id = ",
    whose!(),
    " OR a.parent_id = ",
    whose!()
);

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
fn free_of(account: &str, members: &[Member]) -> i64 {
    let Some(own) = members.iter().find(|member| member.id == account) else {
        return 0;
    };
    let all = members
        .iter()
        .find(|member| member.id == own.parent)
        .map_or(0, |parent| parent.concurrency);
    let used: i64 = members.iter().map(|member| member.live).sum();
    let others = members.iter().filter(|member| member.id != account);
    let kept: i64 = others.map(Member::kept).sum();
    (own.cap() - own.live).min(all - used - kept)
}

/// The lines of an account while its calls are claimed.
pub(crate) struct Lines {
    /// That it may still take.
    pub(crate) free: i64,
    own: Option<Member>,
    now: i64,
}

impl Lines {
    /// Whose lines they are is locked, so that two nodes can't both take the last one; without blocking the creation
    /// of calls. What is remembered will do if it leaves as many as are `wanted`.
    pub(crate) async fn of(
        tx: &mut Tx,
        account: &str,
        wanted: i64,
        now: i64,
    ) -> Result<Self, Error> {
        let lock = tx.lock("FOR NO KEY UPDATE");
        // By a statement before: one that waits for the lock would count what it saw before it waited.
        if !lock.is_empty() {
            let sql = AssertSqlSafe(format!(
                "SELECT id FROM accounts WHERE id = {} {lock}",
                whose!()
            ));
            let _: String = on!(&mut *tx, |tx| sqlx::query_scalar(sql)
                .bind(account)
                .fetch_one(&mut **tx)
                .await)?;
        }
        let mut all = members(tx, account, now - REMEMBERED_MS).await?;
        if free_of(account, &all) < wanted && all.iter().any(|one| one.is_remembered) {
            all = members(tx, account, i64::MAX).await?;
        }
        let free = free_of(account, &all);
        let own = all.into_iter().find(|member| member.id == account);
        Ok(Self { free, own, now })
    }

    /// So many of them are taken.
    pub(crate) async fn take(&self, tx: &mut Tx, count: usize) -> Result<(), Error> {
        let Some(own) = self.own.as_ref().filter(|own| own.concurrency >= MANY) else {
            return Ok(());
        };
        Ok(on!(tx, |tx| {
            sqlx::query(
                "UPDATE accounts SET lines_at_most = $2,
                    lines_counted_at = CASE WHEN $3 THEN lines_counted_at ELSE $4 END WHERE id = $1",
            )
            .bind(&own.id)
            .bind(own.live + count as i64)
            .bind(own.is_remembered)
            .bind(self.now)
            .execute(&mut **tx)
            .await
            .map(|_| ())
        })?)
    }
}

async fn members(tx: &mut Tx, account: &str, counted_after: i64) -> Result<Vec<Member>, Error> {
    Ok(on!(tx, |tx| {
        sqlx::query_as(MEMBERS)
            .bind(account)
            .bind(MANY)
            .bind(counted_after)
            .fetch_all(&mut **tx)
            .await
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, concurrency: i64, min: i64, max: Option<i64>, live: i64) -> Member {
        Member {
            id: id.to_owned(),
            parent: "p".to_owned(),
            concurrency,
            min_concurrency: min,
            max_concurrency: max,
            live,
            is_remembered: false,
        }
    }

    #[test]
    fn an_account_of_its_own_has_what_it_does_not_use() {
        assert_eq!(free_of("p", &[member("p", 10, 0, None, 3)]), 7);
        assert_eq!(free_of("p", &[member("p", 10, 0, None, 12)]), -2);
        assert_eq!(free_of("x", &[member("p", 10, 0, None, 3)]), 0);
    }

    #[test]
    fn sub_accounts_share_the_lines_of_their_parent() {
        let all = [
            member("p", 10, 0, None, 2),
            member("a", 10, 0, None, 3),
            member("b", 4, 0, None, 1),
            member("paused", 10, 2, Some(0), 0),
        ];
        assert_eq!(free_of("p", &all), 4);
        assert_eq!(free_of("a", &all), 4);
        assert_eq!(free_of("b", &all), 3);
        assert_eq!(free_of("paused", &all), 0);
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
        assert_eq!(free_of("a", &all), 2);
        assert_eq!(free_of("p", &all), 2);
        assert_eq!(free_of("kept", &all), 5);
        assert_eq!(free_of("capped", &all), 2);
    }
}
