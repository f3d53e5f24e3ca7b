//! From Plivo's hang-up codes to our change and hang-up. Source: wire-telephony.md §5.1.

use bolo_execution::{Change, Direction, Hangup, HangupBy};

use super::dialect::Dialect;

/// What the end of a call amounts to: its code, who the carrier says ended it, and whether it was answered.
pub(super) fn ended(
    dialect: Dialect,
    code: u16,
    source: &str,
    direction: Direction,
    answered: bool,
) -> (Change, Hangup) {
    let (by, reason, unanswered) = row(code, source, direction);
    let by = dialect.by(by);
    let change = if answered {
        Change::MediaEnded
    } else {
        unanswered
    };
    let reason = reason.to_owned();
    (change, Hangup { by, reason, code })
}

/// The code of a cause that came without one: its name, else the word for the call's state.
pub(super) fn code_of(cause: &str, status: &str) -> u16 {
    match cause {
        "NORMAL_CLEARING" => 4000,
        "USER_BUSY" => 3010,
        "NO_ANSWER" => 3000,
        "CALL_REJECTED" => 3020,
        "ORIGINATOR_CANCEL" => 1000,
        "UNALLOCATED_NUMBER" => 2000,
        _ => match status {
            "completed" => 4000,
            "busy" => 3010,
            "no-answer" | "timeout" => 3000,
            "cancel" => 1000,
            _ => 0,
        },
    }
}

/// Who, why, and what an unanswered call has come to.
fn row(code: u16, source: &str, direction: Direction) -> (HangupBy, &'static str, Change) {
    use HangupBy::{ApiRequest, Callee, Caller, Carrier, Error, Plivo, Unknown};
    let failed = |by, reason| (by, reason, Change::CarrierFailed);
    match code {
        0 => failed(Unknown, "Unknown"),
        1000 => (ApiRequest, "Call canceled", Change::Canceled),
        1010 | 1020 => failed(Plivo, "failed"),
        // Too many calls at once: this one was no dial.
        5030 if direction == Direction::Outbound => (Plivo, "failed", Change::Postponed),
        5030 => failed(Plivo, "failed"),
        2000 | 2010 | 2050 | 3050 | 3120 => failed(Carrier, "Call recipient number invalid"),
        2020 | 2060 => failed(Carrier, "failed"),
        2030 | 2040 | 3040 | 3130 | 3140 => failed(Carrier, "Carrier declined"),
        2070 | 3030 | 3110 => failed(Error, "Carrier declined"),
        3000 => (Carrier, "Call unanswered", Change::NoAnswer),
        3010 | 3100 => (Carrier, "Call recipient was busy", Change::Busy),
        3020 if source == "Carrier" => (Carrier, "Call recipient rejected", Change::Busy),
        3020 => (Callee, "Call recipient rejected", Change::Busy),
        3070 => failed(Carrier, "Call timed out"),
        3080 => failed(Error, "Carrier Internal Error"),
        3090 => failed(Error, "Network Congestion From Carrier"),
        4000 => match (source, direction) {
            ("API Request", _) => failed(ApiRequest, "Call ended"),
            ("Answer XML", _) => failed(ApiRequest, "End of inputs from Bolna"),
            ("Caller", _) => failed(Caller, "Call ended"),
            // "Callee", "Call recipient", or nothing: the far end.
            (_, Direction::Outbound) => failed(Callee, "Call recipient hung up"),
            (_, Direction::Inbound) => failed(Caller, "Call recipient hung up"),
        },
        4010 => failed(Plivo, "End of inputs from Bolna"),
        4020 => failed(
            ApiRequest,
            "Carrier ended call because MPC duration limit exceeded",
        ),
        5020 if matches!(source, "Plivo" | "Vobiz") => failed(Plivo, "Telephony Internal Error"),
        5000 | 5010 | 5020 => failed(Error, "Telephony Internal Error"),
        6000 => failed(Plivo, "Carrier ended call because call limit exceeded"),
        6010 => (Plivo, "Call unanswered", Change::NoAnswer),
        6020 => failed(Plivo, "Carrier unable to receive media"),
        7011..=7014 => failed(Error, "Carrier unable to reach bolna"),
        7022..=7034 | 8011..=8014 => (Error, "Bolna Error", Change::Faulted),
        9100 => failed(ApiRequest, "Call ended"),
        _ => failed(Carrier, "Call ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unanswered(code: u16, source: &str) -> (Change, HangupBy, String) {
        let (change, hangup) = ended(Dialect::Plivo, code, source, Direction::Outbound, false);
        assert_eq!(hangup.code, code);
        (change, hangup.by, hangup.reason)
    }

    #[test]
    fn every_row_of_the_table() {
        use HangupBy::{ApiRequest, Callee, Carrier, Error, Plivo, Unknown};
        let failed = Change::CarrierFailed;
        for (codes, source, change, by, reason) in [
            (&[0][..], "Unknown", failed, Unknown, "Unknown"),
            (
                &[1000],
                "API Request",
                Change::Canceled,
                ApiRequest,
                "Call canceled",
            ),
            (&[1010, 1020], "Plivo", failed, Plivo, "failed"),
            (&[5030], "Plivo", Change::Postponed, Plivo, "failed"),
            (
                &[2000, 2010, 2050, 3050, 3120],
                "Carrier",
                failed,
                Carrier,
                "Call recipient number invalid",
            ),
            (&[2020, 2060], "Carrier", failed, Carrier, "failed"),
            (
                &[2030, 2040, 3040, 3130, 3140],
                "Carrier",
                failed,
                Carrier,
                "Carrier declined",
            ),
            (
                &[2070, 3030, 3110],
                "Error",
                failed,
                Error,
                "Carrier declined",
            ),
            (
                &[3000],
                "Carrier",
                Change::NoAnswer,
                Carrier,
                "Call unanswered",
            ),
            (
                &[3010, 3100],
                "Carrier",
                Change::Busy,
                Carrier,
                "Call recipient was busy",
            ),
            (
                &[3020],
                "Carrier",
                Change::Busy,
                Carrier,
                "Call recipient rejected",
            ),
            (
                &[3020],
                "Callee",
                Change::Busy,
                Callee,
                "Call recipient rejected",
            ),
            (&[3070], "Carrier", failed, Carrier, "Call timed out"),
            (&[3080], "Error", failed, Error, "Carrier Internal Error"),
            (
                &[3090],
                "Error",
                failed,
                Error,
                "Network Congestion From Carrier",
            ),
            (&[4010], "Plivo", failed, Plivo, "End of inputs from Bolna"),
            (
                &[5000, 5010, 5020],
                "Error",
                failed,
                Error,
                "Telephony Internal Error",
            ),
            (&[5020], "Plivo", failed, Plivo, "Telephony Internal Error"),
            (&[6010], "Plivo", Change::NoAnswer, Plivo, "Call unanswered"),
            (
                &[7011, 7014],
                "Error",
                failed,
                Error,
                "Carrier unable to reach bolna",
            ),
            (
                &[8011, 8014, 7022, 7034],
                "Error",
                Change::Faulted,
                Error,
                "Bolna Error",
            ),
            (&[9000, 9110, 1], "Carrier", failed, Carrier, "Call ended"),
        ] {
            for code in codes {
                assert_eq!(
                    unanswered(*code, source),
                    (change, by, reason.to_owned()),
                    "{code} {source}"
                );
            }
        }
    }

    #[test]
    fn an_answered_call_has_ended_whatever_the_code() {
        for code in [0, 3080, 4000, 4010, 6000, 6020, 7011, 8011, 9100] {
            assert_eq!(
                ended(Dialect::Plivo, code, "", Direction::Outbound, true).0,
                Change::MediaEnded
            );
        }
    }

    #[test]
    fn a_normal_end_is_laid_at_whom_plivo_names() {
        let by = |source, direction| ended(Dialect::Plivo, 4000, source, direction, true).1.by;
        use Direction::{Inbound, Outbound};
        assert_eq!(by("API Request", Outbound), HangupBy::ApiRequest);
        assert_eq!(by("Callee", Outbound), HangupBy::Callee);
        assert_eq!(by("Call recipient", Outbound), HangupBy::Callee);
        assert_eq!(by("Caller", Inbound), HangupBy::Caller);
        assert_eq!(by("Callee", Inbound), HangupBy::Caller);
        assert_eq!(by("Answer XML", Outbound), HangupBy::ApiRequest);
    }

    #[test]
    fn a_cause_without_a_code_has_one_all_the_same() {
        assert_eq!(code_of("USER_BUSY", "busy"), 3010);
        assert_eq!(code_of("", "timeout"), 3000);
        assert_eq!(code_of("SOMETHING_NEW", "failed"), 0);
    }

    #[test]
    fn the_carriers_own_ends_are_called_plivos_at_plivo_only() {
        for code in [1010, 4010, 6000, 6010] {
            let by = |dialect| ended(dialect, code, "", Direction::Outbound, true).1.by;
            assert_eq!(by(Dialect::Plivo), HangupBy::Plivo, "{code}");
            assert_eq!(by(Dialect::Vobiz), HangupBy::Carrier, "{code}");
        }
    }
}
