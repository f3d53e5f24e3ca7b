//! From Twilio's word for a call's state to our change and hang-up. Source: wire-telephony.md §5.2.

use bolo_execution::{Change, Direction, Hangup, HangupBy};

/// What a call's state amounts to: `status` as Twilio says it, the SIP code and Twilio's error code where
/// it gave them. A `completed` call is laid at the far end; the caller of this knows whether we ended it.
pub(super) fn outcome(
    status: &str,
    sip: Option<u16>,
    error: Option<u32>,
    direction: Direction,
) -> (Option<Change>, Option<Hangup>) {
    match status {
        "ringing" => (Some(Change::Ringing), None),
        "in-progress" => (Some(Change::Answered), None),
        "busy" => (Some(Change::Busy), Some(busy(sip))),
        "no-answer" => (
            Some(Change::NoAnswer),
            Some(hangup(HangupBy::Carrier, "Call unanswered", 3000)),
        ),
        "failed" => (Some(Change::CarrierFailed), Some(failed(sip, error))),
        "canceled" => (
            Some(Change::Canceled),
            Some(hangup(HangupBy::ApiRequest, "Call canceled", 4000)),
        ),
        "completed" => (Some(Change::MediaEnded), Some(far_end(direction))),
        // `queued` and `initiated` tell nothing new; what we don't know must not change a call.
        _ => (None, None),
    }
}

/// Why a dial that Twilio refused with this code can never ring; `None` when the number is not at fault.
pub(super) fn refused_number(code: u32) -> Option<Hangup> {
    match code {
        21201 | 21211 | 21217 | 13224 => Some(number_invalid()),
        21215 | 21216 | 21219 | 13225 | 13227 => Some(declined()),
        _ => None,
    }
}

fn busy(sip: Option<u16>) -> Hangup {
    if sip == Some(603) {
        hangup(HangupBy::Callee, "Call recipient rejected", 3020)
    } else {
        hangup(HangupBy::Carrier, "Call recipient was busy", 3010)
    }
}

fn failed(sip: Option<u16>, error: Option<u32>) -> Hangup {
    if let Some(known) = error.and_then(refused_number) {
        return known;
    }
    match sip {
        Some(404 | 484 | 604) => number_invalid(),
        Some(403 | 607 | 608) => declined(),
        Some(503) => hangup(HangupBy::Error, "Network Congestion From Carrier", 3090),
        Some(500..=599) => hangup(HangupBy::Error, "Carrier Internal Error", 3080),
        _ => hangup(HangupBy::Error, "failed", 5020),
    }
}

fn far_end(direction: Direction) -> Hangup {
    match direction {
        Direction::Outbound => hangup(HangupBy::Callee, "Call recipient hung up", 4000),
        Direction::Inbound => hangup(HangupBy::Caller, "Call ended", 4000),
    }
}

fn number_invalid() -> Hangup {
    hangup(HangupBy::Carrier, "Call recipient number invalid", 2000)
}

fn declined() -> Hangup {
    hangup(HangupBy::Carrier, "Carrier declined", 3040)
}

fn hangup(by: HangupBy, reason: &str, code: u16) -> Hangup {
    Hangup {
        by,
        reason: reason.to_owned(),
        code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: &str, sip: Option<u16>, error: Option<u32>) -> (Option<Change>, Option<u16>) {
        let (change, hangup) = outcome(status, sip, error, Direction::Outbound);
        (change, hangup.map(|hangup| hangup.code))
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(code("queued", None, None), (None, None));
        assert_eq!(code("initiated", None, None), (None, None));
        assert_eq!(code("teleported", None, None), (None, None));
        assert_eq!(code("ringing", None, None), (Some(Change::Ringing), None));
        assert_eq!(
            code("in-progress", None, None),
            (Some(Change::Answered), None)
        );
        for sip in [None, Some(486), Some(600)] {
            assert_eq!(code("busy", sip, None), (Some(Change::Busy), Some(3010)));
        }
        assert_eq!(
            code("busy", Some(603), None),
            (Some(Change::Busy), Some(3020))
        );
        for sip in [None, Some(408), Some(480), Some(487)] {
            assert_eq!(
                code("no-answer", sip, None),
                (Some(Change::NoAnswer), Some(3000))
            );
        }
        let failed = |sip, error| code("failed", sip, error).1;
        assert_eq!(failed(Some(404), None), Some(2000));
        assert_eq!(failed(None, Some(13224)), Some(2000));
        assert_eq!(failed(Some(403), None), Some(3040));
        assert_eq!(failed(None, Some(13227)), Some(3040));
        assert_eq!(failed(Some(503), None), Some(3090));
        assert_eq!(failed(Some(500), None), Some(3080));
        assert_eq!(failed(None, None), Some(5020));
        assert_eq!(
            code("canceled", Some(487), None),
            (Some(Change::Canceled), Some(4000))
        );
        assert_eq!(
            code("completed", Some(200), None),
            (Some(Change::MediaEnded), Some(4000))
        );
    }

    #[test]
    fn a_completed_call_is_laid_at_the_far_end() {
        let by = |direction| {
            outcome("completed", None, None, direction)
                .1
                .map(|hangup| hangup.by)
        };
        assert_eq!(by(Direction::Outbound), Some(HangupBy::Callee));
        assert_eq!(by(Direction::Inbound), Some(HangupBy::Caller));
    }
}
