//! The statement that changes a call's row.

use bolo_execution::{Change, ExecutionId, Status};
use sqlx::AssertSqlSafe;

use crate::{
    Error, Facts,
    db::{Db, Tx, clean, on, or_conflict},
    rows::{ExecutionRow, execution_columns, maybe_to_json},
};

/// What [`Update::sql`] asks for, bound.
macro_rules! bound {
    ($query:expr, $update:expr, $id:expr, $facts:expr, $documents:expr, $now:expr) => {
        $query
            .bind($id.to_string())
            .bind($update.from.map(Status::as_str))
            .bind($update.to.map(Status::as_str))
            .bind($now)
            .bind($documents.hangup)
            .bind($facts.error_message.as_deref().map(clean))
            .bind($facts.transcript.as_deref().map(clean))
            .bind($documents.usage)
            .bind($documents.cost)
            .bind($documents.latency)
            .bind($facts.has_recording)
            .bind($facts.carrier_call_id.as_deref().map(clean))
            .bind($facts.from.as_deref().map(clean))
            .bind($facts.due_at)
            .bind($facts.answered_by_voice_mail)
            .bind($update.initiated_at)
            .bind($update.ringing_at)
            .bind($update.answered_at)
            .bind($update.ended_at)
            .bind($update.to.map(|to| format!("%\"{to}\"%")))
            .bind($documents.transfer)
            .bind($facts.of_attempt)
            .bind($update.owner)
    };
}

/// What an update does besides writing facts. The default changes nothing.
#[derive(Default)]
pub(super) struct Update {
    /// Only if the call's owner is still that of this epoch.
    pub(super) owner: Option<i64>,
    /// Only if the status is still this.
    pub(super) from: Option<Status>,
    /// The call is complete: nobody's any more.
    pub(super) disowns: bool,
    /// Counted in the row's sequence if a webhook is to tell of it.
    pub(super) to: Option<Status>,
    pub(super) initiated_at: Option<i64>,
    pub(super) ringing_at: Option<i64>,
    pub(super) answered_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    /// The carrier's call was found or refused: no dial of unknown outcome any more.
    pub(super) dial_known: bool,
}

impl Update {
    pub(super) fn new(
        owner: Option<i64>,
        from: Status,
        to: Status,
        change: Change,
        facts: &Facts,
        now: i64,
    ) -> Self {
        use Change as C;
        let at = Some(facts.happened_at.unwrap_or(now));
        let only = |applies: bool| if applies { at } else { None };
        let reached = matches!(change, C::CarrierAccepted | C::Ringing | C::Answered);
        let told_over = matches!(
            change,
            C::Busy | C::NoAnswer | C::CarrierFailed | C::Canceled | C::MediaEnded
        );
        // Nobody looks for the call of a dial that counts as a fault, or as none.
        let given_up = matches!(change, C::Faulted | C::Postponed);
        // A call that never left has no leg that could end.
        let cut_off = matches!(change, C::StopAsked | C::Faulted) && !from.is_waiting();
        Self {
            owner,
            disowns: owner.is_some() && to.is_terminal(),
            from: Some(from),
            to: Some(to),
            initiated_at: only(reached),
            ringing_at: only(change == C::Ringing),
            answered_at: only(change == C::Answered),
            ended_at: only(told_over || cut_off),
            dial_known: reached || told_over || given_up || facts.carrier_call_id.is_some(),
        }
    }

    /// Names only what changes of the columns that are indexed: SQLite writes all indexes anew whose columns an
    /// update names.
    fn sql(&self, facts: &Facts) -> String {
        let unclaims = self.to.is_some_and(|to| to != Status::Queued);
        let ends = self.to.is_some_and(Status::is_terminal);
        let indexed = [
            (self.to.is_some(), "status = $3"),
            (
                facts.carrier_call_id.is_some(),
                "carrier_call_id = COALESCE(carrier_call_id, $12)",
            ),
            (facts.from.is_some(), "from_number = $13"),
            (facts.due_at.is_some(), "due_at = $14"),
            (self.dial_known, "dialing_since = NULL"),
            (unclaims, "claimed_by = NULL, lease_until = NULL"),
            (ends, "post_call_step = NULL"),
            (
                self.disowns,
                "owner_node = NULL, owner_instance = NULL, owner_since = NULL",
            ),
        ];
        let mut sql = String::from(
            "UPDATE executions SET
                updated_at = CASE WHEN updated_at > $4 THEN updated_at ELSE $4 END,
                hangup = COALESCE(hangup, $5),
                error_message = COALESCE(error_message, $6),
                transcript = COALESCE($7, transcript),
                usage = COALESCE($8, usage),
                cost = COALESCE($9, cost),
                latency = COALESCE($10, latency),
                has_recording = COALESCE($11, has_recording),
                answered_by_voice_mail = COALESCE($15, answered_by_voice_mail),
                initiated_at = COALESCE(initiated_at, $16),
                ringing_at = COALESCE(ringing_at, $17),
                answered_at = COALESCE(answered_at, $18),
                ended_at = COALESCE(ended_at, $19),
                sequence = sequence + CASE WHEN $20 IS NOT NULL AND webhook_url IS NOT NULL
                    AND (webhook_statuses IS NULL OR webhook_statuses LIKE $20) THEN 1 ELSE 0 END,
                transfer = COALESCE($21, transfer)",
        );
        for (_, set) in indexed.iter().filter(|(changes, _)| *changes) {
            sql.push_str(", ");
            sql.push_str(set);
        }
        sql.push_str(concat!(
            " WHERE id = $1 AND ($2 IS NULL OR status = $2) AND ($22 IS NULL OR attempt = $22)
                AND ($23 IS NULL OR owner_epoch = $23) RETURNING ",
            execution_columns!()
        ));
        sql
    }

    /// `None` when there is no such row, or its owner, its status or its attempt is another by now.
    pub(super) async fn run(
        &self,
        tx: &mut Tx,
        id: ExecutionId,
        facts: &Facts,
        now: i64,
    ) -> Result<Option<ExecutionRow>, Error> {
        let sql = AssertSqlSafe(self.sql(facts));
        let documents = Documents::of(facts)?;
        on!(tx, |tx| {
            let query = bound!(sqlx::query_as(sql), self, id, facts, documents, now);
            query.fetch_optional(&mut **tx).await
        })
        .map_err(conflict)
    }

    /// The same as a transaction of its own.
    pub(super) async fn run_alone(
        &self,
        db: &Db,
        is_synced: bool,
        id: ExecutionId,
        facts: &Facts,
        now: i64,
    ) -> Result<Option<ExecutionRow>, Error> {
        let sql = AssertSqlSafe(self.sql(facts));
        let documents = Documents::of(facts)?;
        let write = match is_synced {
            true => db.write(),
            false => db.write_unsynced(),
        };
        on!(write, |pool| {
            let query = bound!(sqlx::query_as(sql), self, id, facts, documents, now);
            query.fetch_optional(pool).await
        })
        .map_err(conflict)
    }
}

fn conflict(error: sqlx::Error) -> Error {
    or_conflict(error, "the carrier's call belongs to another execution")
}

/// Facts that are kept as JSON.
struct Documents {
    hangup: Option<String>,
    usage: Option<String>,
    cost: Option<String>,
    latency: Option<String>,
    transfer: Option<String>,
}

impl Documents {
    fn of(facts: &Facts) -> Result<Self, Error> {
        Ok(Self {
            hangup: maybe_to_json("hangup", facts.hangup.as_ref())?,
            usage: maybe_to_json("usage", facts.usage.as_ref())?,
            cost: maybe_to_json("cost", facts.cost.as_ref())?,
            latency: maybe_to_json("latency", facts.latency.as_ref())?,
            transfer: maybe_to_json("transfer", facts.transfer.as_ref())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns that an index looks at.
    const INDEXED: [&str; 9] = [
        "status",
        "carrier_call_id",
        "from_number",
        "due_at",
        "dialing_since",
        "claimed_by",
        "lease_until",
        "post_call_step",
        "owner_instance",
    ];

    fn named(update: &Update, facts: &Facts) -> Vec<&'static str> {
        let sql = update.sql(facts);
        let (set, _) = sql.split_once(" WHERE ").unwrap_or_default();
        let names = |column: &&str| set.contains(&format!(" {column} = "));
        INDEXED.into_iter().filter(names).collect()
    }

    #[test]
    fn only_what_changes_of_the_indexed_columns_is_named() {
        let facts = Facts {
            transcript: Some("user: hi".into()),
            ..Facts::default()
        };
        assert!(named(&Update::default(), &facts).is_empty());
        let (from, to) = (Status::Ringing, Status::InProgress);
        let answered = Update::new(Some(1), from, to, Change::Answered, &facts, 1);
        assert_eq!(
            named(&answered, &facts),
            ["status", "dialing_since", "claimed_by", "lease_until"]
        );
        let facts = Facts {
            carrier_call_id: Some("CA1".into()),
            from: Some("+1".into()),
            due_at: Some(1),
            ..Facts::default()
        };
        let (from, to) = (Status::CallDisconnected, Status::Completed);
        let over = Update::new(Some(1), from, to, Change::Recorded, &facts, 1);
        assert_eq!(named(&over, &facts), INDEXED);
    }
}
