//! The scheduler in virtual time: zones all over the world, the days on which their clocks change, and a
//! clock that jumps. No call is placed outside its recipient's hours, and each is placed once.

use std::collections::BTreeMap;

use bolo_agent::Guardrails;
use bolo_execution::{Change, ExecutionId};
use bolo_store::Facts;
use chrono::{DateTime, Duration, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::{lab::Lab, record};
use crate::hours::next_opening;

/// Zones that change their clocks by an hour, by half an hour, or never, at whole, half and quarter hours
/// from UTC, and one that left out a day.
const ZONES: [&str; 12] = [
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Kiritimati",
];

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Days around which some of these zones change their clocks.
const CHANGES: [(i32, u32, u32); 6] = [
    (2026, 3, 8),
    (2026, 3, 29),
    (2026, 4, 5),
    (2026, 10, 4),
    (2026, 10, 25),
    (2026, 11, 1),
];

fn some_time(random: &mut StdRng) -> i64 {
    let (year, month, day) = CHANGES[random.random_range(0..CHANGES.len())];
    let midnight = Utc.with_ymd_and_hms(year, month, day, 0, 0, 0).unwrap();
    midnight.timestamp_millis() + random.random_range(-2 * DAY..2 * DAY)
}

fn hours(random: &mut StdRng) -> Guardrails {
    let start_hour = random.random_range(0..23);
    Guardrails {
        start_hour,
        end_hour: random.random_range(start_hour + 1..=23),
    }
}

/// What a clock on the recipient's wall shows, worked out apart from the code under test.
fn hour_at(zone: &str, at: i64) -> u32 {
    let zone: Tz = zone.parse().unwrap();
    let utc = DateTime::from_timestamp_millis(at).unwrap().naive_utc();
    let offset = chrono::Offset::fix(&chrono::TimeZone::offset_from_utc_datetime(&zone, &utc));
    let shown = utc + Duration::seconds(i64::from(offset.local_minus_utc()));
    shown.time().hour()
}

fn is_open(hours: Guardrails, zone: &str, at: i64) -> bool {
    (u32::from(hours.start_hour)..u32::from(hours.end_hour)).contains(&hour_at(zone, at))
}

#[test]
fn a_call_waits_for_the_first_moment_that_is_open_and_no_longer() {
    let cases = std::env::var("BOLO_PROPTEST_CASES").map_or(500, |text| text.parse().unwrap());
    for seed in 0..cases {
        let mut random = StdRng::seed_from_u64(seed);
        let (hours, now) = (hours(&mut random), some_time(&mut random));
        let zone = ZONES[random.random_range(0..ZONES.len())];
        let mut call = record();
        call.user_data.insert("timezone".into(), json!(zone));
        match next_opening(hours, &call, now).unwrap() {
            None => assert!(is_open(hours, zone, now), "seed {seed}: {zone} {hours:?}"),
            Some(at) => {
                assert!(
                    at > now && at - now <= 2 * DAY,
                    "seed {seed}: {zone} {hours:?}"
                );
                assert!(is_open(hours, zone, at), "seed {seed}: {zone} {hours:?}");
                let closed = (now..at).step_by(5 * MINUTE as usize);
                assert!(
                    closed.into_iter().all(|at| !is_open(hours, zone, at)),
                    "seed {seed}: {zone} {hours:?}"
                );
            }
        }
    }
}

/// Claims, and dials or moves, whatever is due, as the worker does; when each call was dialled.
async fn pass(
    lab: &Lab,
    now: i64,
    calls: &BTreeMap<ExecutionId, (Guardrails, &'static str)>,
    dialled: &mut BTreeMap<ExecutionId, i64>,
) {
    for claimed in lab.store.claim_due(now, DAY, 100).await.unwrap() {
        let id = claimed.record.id;
        match next_opening(calls[&id].0, &claimed.record, now).unwrap() {
            None => {
                let attempt = lab.store.intend_dial(id, "+14155550199", now).await;
                assert_eq!(attempt.unwrap(), 1);
                assert_eq!(dialled.insert(id, now), None, "dialled twice");
                let change = Change::CarrierAccepted;
                lab.store
                    .change(id, change, Facts::default(), now)
                    .await
                    .unwrap();
                let change = Change::NoAnswer;
                lab.store
                    .change(id, change, Facts::default(), now)
                    .await
                    .unwrap();
            }
            Some(opens) => {
                let facts = Facts {
                    due_at: Some(opens),
                    ..Facts::default()
                };
                let change = Change::OutsideHours;
                lab.store.change(id, change, facts, now).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn no_call_is_placed_outside_its_recipients_hours_whatever_the_clock_does() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let lab = Lab::start().await;
        lab.store
            .set_account("default", Some(1000), None)
            .await
            .unwrap();
        let begin = some_time(&mut random);
        let mut calls = BTreeMap::new();
        for n in 0..12 {
            let zone = ZONES[random.random_range(0..ZONES.len())];
            let mut new = lab.call();
            (new.webhook, new.to) = (None, format!("+1415555{n:04}"));
            new.user_data.insert("timezone".into(), json!(zone));
            new.due_at = begin + random.random_range(0..DAY / 2);
            let (call, _) = lab.store.create_execution(new, begin).await.unwrap();
            calls.insert(call.id, (hours(&mut random), zone));
        }
        let (mut now, mut dialled) = (begin, BTreeMap::new());
        while dialled.len() < calls.len() {
            assert!(
                now < begin + 5 * DAY,
                "seed {seed}: some call is never placed"
            );
            pass(&lab, now, &calls, &mut dialled).await;
            // Somebody sets the clock, an hour ahead or back.
            now += match random.random_range(0..20) {
                0 => 60 * MINUTE,
                1 => -60 * MINUTE,
                _ => random.random_range(1..40 * MINUTE),
            };
        }
        for (id, at) in dialled {
            let (hours, zone) = calls[&id];
            assert!(is_open(hours, zone, at), "seed {seed}: {zone} {hours:?}");
        }
    }
}
