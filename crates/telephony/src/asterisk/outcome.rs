//! From `DIALSTATUS` and the Q.850 cause to our change and hang-up. Source: wire-telephony.md §5.2.

use bolo_execution::{Change, Direction, Hangup, HangupBy};

/// What the end of a call amounts to. Who ended an answered one is not told: the far end, unless the caller of
/// this knows better.
pub(super) fn ended(status: &str, cause: u64, direction: Direction) -> (Change, Hangup) {
    use HangupBy::{ApiRequest, Callee, Caller, Carrier, Error};
    let (change, by, reason, code) = match (status, cause) {
        ("ANSWER", _) => match direction {
            Direction::Outbound => (Change::MediaEnded, Callee, "Call recipient hung up", 4000),
            Direction::Inbound => (Change::MediaEnded, Caller, "Call ended", 4000),
        },
        ("CANCEL", _) => (Change::Canceled, ApiRequest, "Call canceled", 4000),
        (_, 21) => (Change::Busy, Callee, "Call recipient rejected", 3020),
        ("BUSY", _) | (_, 17) => (Change::Busy, Carrier, "Call recipient was busy", 3010),
        (_, 1 | 3 | 28) => (
            Change::CarrierFailed,
            Carrier,
            "Call recipient number invalid",
            2000,
        ),
        (_, 50 | 55 | 57) => (Change::CarrierFailed, Carrier, "Carrier declined", 3040),
        ("NOANSWER", _) | (_, 18..=20) => (Change::NoAnswer, Carrier, "Call unanswered", 3000),
        ("CONGESTION", _) | (_, 34 | 38 | 41 | 42 | 44) => (
            Change::CarrierFailed,
            Error,
            "Network Congestion From Carrier",
            3090,
        ),
        _ => (Change::CarrierFailed, Error, "failed", 5020),
    };
    let reason = reason.to_owned();
    (change, Hangup { by, reason, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        for (status, cause, change, code) in [
            ("ANSWER", 16, Change::MediaEnded, 4000),
            ("BUSY", 17, Change::Busy, 3010),
            ("BUSY", 21, Change::Busy, 3020),
            ("CONGESTION", 21, Change::Busy, 3020),
            ("NOANSWER", 0, Change::NoAnswer, 3000),
            ("CHANUNAVAIL", 20, Change::NoAnswer, 3000),
            ("CHANUNAVAIL", 1, Change::CarrierFailed, 2000),
            ("CONGESTION", 28, Change::CarrierFailed, 2000),
            ("CONGESTION", 34, Change::CarrierFailed, 3090),
            ("CHANUNAVAIL", 57, Change::CarrierFailed, 3040),
            ("CANCEL", 0, Change::Canceled, 4000),
            ("CHANUNAVAIL", 0, Change::CarrierFailed, 5020),
            ("", 0, Change::CarrierFailed, 5020),
        ] {
            let (found, hangup) = ended(status, cause, Direction::Outbound);
            assert_eq!((found, hangup.code), (change, code), "{status} {cause}");
        }
        let by = |direction| ended("ANSWER", 16, direction).1.by;
        assert_eq!(by(Direction::Outbound), HangupBy::Callee);
        assert_eq!(by(Direction::Inbound), HangupBy::Caller);
    }
}
