//! Phone numbers of an account: which agent answers them, and purchases whose outcome nobody knows yet.
//! Source: api.md §10, §11.

use bolo_execution::{AccountId, AgentId};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Error, Kind, Store,
    db::{Tx, clean, on, or_conflict},
    documents::locked,
    rows::{maybe_json, maybe_to_json, uuid},
};

/// A phone number.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneNumber {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account: AccountId,
    /// E.164.
    pub number: String,
    /// `twilio`, …
    pub provider: String,
    /// The carrier's id of it.
    pub carrier_id: Option<String>,
    /// Who answers calls to it.
    pub agent: Option<AgentId>,
    /// Its agent was taken away: nobody answers, whatever the address that it asks says.
    pub unlinked: bool,
    /// What is asked before that.
    pub ivr: Option<Value>,
    /// The SIP trunk it belongs to.
    pub trunk: Option<Uuid>,
    /// What it is called.
    pub name: Option<String>,
    /// It is the carrier account's; else it was only told to us.
    pub rented: bool,
    /// US cents a month.
    pub price_cents: Option<i64>,
    /// The day it is paid for until, as the carrier writes it.
    pub renews_on: Option<String>,
    /// A purchase of it is under way, or its outcome is not known.
    pub buying: bool,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
}

/// A number to keep.
#[derive(Debug, Clone, Default)]
pub struct NewPhoneNumber {
    /// E.164.
    pub number: String,
    /// `twilio`, …
    pub provider: String,
    /// The carrier's id of it.
    pub carrier_id: Option<String>,
    /// The SIP trunk it belongs to.
    pub trunk: Option<Uuid>,
    /// What it is called.
    pub name: Option<String>,
    /// It is the carrier account's.
    pub rented: bool,
    /// US cents a month.
    pub price_cents: Option<i64>,
    /// The day it is paid for until.
    pub renews_on: Option<String>,
    /// It is about to be bought.
    pub buying: bool,
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    id: String,
    account_id: String,
    number: String,
    provider: String,
    state: String,
    carrier_id: Option<String>,
    agent_id: Option<String>,
    unlinked: bool,
    ivr: Option<String>,
    trunk_id: Option<String>,
    name: Option<String>,
    rented: bool,
    price_cents: Option<i64>,
    renews_on: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<NumberRow> for PhoneNumber {
    type Error = Error;
    fn try_from(row: NumberRow) -> Result<Self, Error> {
        let agent = row.agent_id.map(|agent| uuid(&agent).map(AgentId));
        Ok(Self {
            id: uuid(&row.id)?,
            account: AccountId(uuid(&row.account_id)?),
            number: row.number,
            provider: row.provider,
            carrier_id: row.carrier_id,
            agent: agent.transpose()?,
            unlinked: row.unlinked,
            ivr: maybe_json("phone_numbers.ivr", row.ivr)?,
            trunk: row.trunk_id.map(|trunk| uuid(&trunk)).transpose()?,
            name: row.name,
            rented: row.rented,
            price_cents: row.price_cents,
            renews_on: row.renews_on,
            buying: row.state == "buying",
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account_id, number, provider, state, carrier_id, agent_id, unlinked, ivr, trunk_id, name,
                rented, price_cents, renews_on, created_at, updated_at FROM phone_numbers WHERE account_id = $1 ",
            $rest
        )
    };
}

pub(crate) const NUMBERS: &str = select!("AND state = 'owned' ORDER BY created_at DESC, id DESC");

pub(crate) const CLAIMED: &str =
    "SELECT COUNT(*) FROM phone_numbers WHERE number = $1 AND account_id <> $2";

impl Store {
    /// Keeps a number. `Conflict` when the account has it already, or is about to buy it.
    pub async fn create_phone_number(
        &self,
        account: AccountId,
        new: NewPhoneNumber,
        now: i64,
    ) -> Result<PhoneNumber, Error> {
        let id = Uuid::now_v7();
        let mut tx = self.db().begin().await?;
        write(&mut tx, INSERT, account, id, &new, now)
            .await
            .map_err(|error| or_conflict(error, "the account has this number already"))?;
        tx.commit().await?;
        self.phone_number(account, id).await
    }

    /// All numbers that the account has, newest first.
    pub async fn phone_numbers(&self, account: AccountId) -> Result<Vec<PhoneNumber>, Error> {
        let rows: Vec<NumberRow> = on!(self.db().read(), |pool| sqlx::query_as(NUMBERS)
            .bind(account.to_string())
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// One of them, also while it is being bought.
    pub async fn phone_number(&self, account: AccountId, id: Uuid) -> Result<PhoneNumber, Error> {
        let row: NumberRow = on!(self.db().read(), |pool| {
            sqlx::query_as(select!("AND id = $2"))
                .bind(account.to_string())
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        row.try_into()
    }

    /// One of them by the number itself, with or without its plus.
    pub async fn phone_number_named(
        &self,
        account: AccountId,
        number: &str,
    ) -> Result<PhoneNumber, Error> {
        let other = match number.strip_prefix('+') {
            Some(digits) => clean(digits),
            None => clean(&format!("+{number}")),
        };
        let row: NumberRow = on!(self.db().read(), |pool| {
            sqlx::query_as(select!("AND number IN ($2, $3)"))
                .bind(account.to_string())
                .bind(clean(number))
                .bind(&other)
                .fetch_one(pool)
                .await
        })?;
        row.try_into()
    }

    /// Whether another account has this number too.
    pub async fn number_is_claimed(&self, account: AccountId, number: &str) -> Result<bool, Error> {
        let others: i64 = on!(self.db().read(), |pool| sqlx::query_scalar(CLAIMED)
            .bind(clean(number))
            .bind(account.to_string())
            .fetch_one(pool)
            .await)?;
        Ok(others > 0)
    }

    /// A purchase succeeded: the number is the account's.
    pub async fn bought_phone_number(
        &self,
        account: AccountId,
        id: Uuid,
        carrier_id: &str,
        price_cents: Option<i64>,
        renews_on: Option<&str>,
        now: i64,
    ) -> Result<PhoneNumber, Error> {
        let written = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE phone_numbers SET state = 'owned', carrier_id = $3, price_cents = $4, renews_on = $5,
                    updated_at = $6 WHERE account_id = $1 AND id = $2",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(clean(carrier_id))
            .bind(price_cents)
            .bind(renews_on.map(clean))
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        match written {
            0 => Err(Error::NotFound),
            _ => self.phone_number(account, id).await,
        }
    }

    /// Who answers calls to a number: `None` = nobody. The menu that is asked before goes with it.
    pub async fn link_phone_number(
        &self,
        account: AccountId,
        id: Uuid,
        agent: Option<AgentId>,
        ivr: Option<&Value>,
        now: i64,
    ) -> Result<PhoneNumber, Error> {
        if let Some(agent) = agent {
            self.agent_exists(account, agent).await?;
        }
        let ivr = maybe_to_json("phone_numbers.ivr", ivr)?;
        let written = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE phone_numbers SET agent_id = $3, unlinked = $6, ivr = $4, updated_at = $5
                 WHERE account_id = $1 AND id = $2 AND state = 'owned'",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(agent.map(|agent| agent.to_string()))
            .bind(ivr.as_deref().map(clean))
            .bind(now)
            .bind(agent.is_none())
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        match written {
            0 => Err(Error::NotFound),
            _ => self.phone_number(account, id).await,
        }
    }

    /// The account has the number no more, or has not bought it after all.
    pub async fn remove_phone_number(&self, account: AccountId, id: Uuid) -> Result<(), Error> {
        let removed = on!(self.db().write(), |pool| {
            sqlx::query("DELETE FROM phone_numbers WHERE account_id = $1 AND id = $2")
                .bind(account.to_string())
                .bind(id.to_string())
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        match removed {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    /// Removes a SIP trunk with its numbers; how many there were.
    pub async fn remove_sip_trunk(&self, account: AccountId, id: Uuid) -> Result<u64, Error> {
        let mut tx = self.db().begin().await?;
        locked(&mut tx, account, Kind::SipTrunk, id).await?;
        let numbers = on!(&mut tx, |tx| {
            let numbers = sqlx::query("DELETE FROM phone_numbers WHERE trunk_id = $1")
                .bind(id.to_string())
                .execute(&mut **tx)
                .await?;
            sqlx::query("DELETE FROM documents WHERE id = $1")
                .bind(id.to_string())
                .execute(&mut **tx)
                .await?;
            numbers.rows_affected()
        });
        tx.commit().await?;
        Ok(numbers)
    }

    /// What the carrier's account holds: numbers that we don't know yet are kept, one that is being bought is
    /// there now.
    pub async fn note_phone_numbers(
        &self,
        account: AccountId,
        held: Vec<NewPhoneNumber>,
        now: i64,
    ) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        for number in held {
            let id = Uuid::now_v7();
            write(&mut tx, INSERT_OR_NOTE, account, id, &number, now).await?;
        }
        tx.commit().await
    }
}

fn state(new: &NewPhoneNumber) -> &'static str {
    if new.buying { "buying" } else { "owned" }
}

const INSERT: &str = "INSERT INTO phone_numbers (id, account_id, number, provider, state, carrier_id, trunk_id, name,
        rented, price_cents, renews_on, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)";

const INSERT_OR_NOTE: &str = "INSERT INTO phone_numbers (id, account_id, number, provider, state, carrier_id,
        trunk_id, name, rented, price_cents, renews_on, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
    ON CONFLICT (account_id, number) DO UPDATE SET state = 'owned', carrier_id = excluded.carrier_id,
        price_cents = COALESCE(excluded.price_cents, phone_numbers.price_cents),
        renews_on = COALESCE(excluded.renews_on, phone_numbers.renews_on)
    WHERE phone_numbers.provider = excluded.provider";

async fn write(
    tx: &mut Tx,
    sql: &'static str,
    account: AccountId,
    id: Uuid,
    new: &NewPhoneNumber,
    now: i64,
) -> Result<(), sqlx::Error> {
    on!(tx, |tx| {
        sqlx::query(sql)
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(clean(&new.number))
            .bind(clean(&new.provider))
            .bind(state(new))
            .bind(new.carrier_id.as_deref().map(clean))
            .bind(new.trunk.map(|trunk| trunk.to_string()))
            .bind(new.name.as_deref().map(clean))
            .bind(new.rented)
            .bind(new.price_cents)
            .bind(new.renews_on.as_deref().map(clean))
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|_| ())
    })
}
