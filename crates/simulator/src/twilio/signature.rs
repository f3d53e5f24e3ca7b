//! `X-Twilio-Signature`, as Twilio computes it (wire-telephony.md §1.10).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Signs a request: the full URL as requested, then for form posts each distinct `name` + `value`
/// pair, sorted. Pass no `form` for GET, JSON and socket upgrades.
pub fn sign(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut pairs: Vec<(&str, &str)> = form
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else {
        return String::new(); // HMAC takes keys of any length
    };
    mac.update(url.as_bytes());
    for (name, value) in pairs {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "12345678901234567890123456789012";

    fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn t1_form_post_with_and_without_the_port() {
        let form = form(&[
            ("CallSid", "CA1234567890abcdef1234567890abcdef"),
            ("AccountSid", "AC1234567890abcdef1234567890abcdef"),
            ("From", "+14155550100"),
            ("To", "+14155550199"),
            ("CallStatus", "in-progress"),
            ("Direction", "outbound-api"),
            ("ApiVersion", "2010-04-01"),
        ]);
        let url = "https://bolo.example.com/telephony/twilio/answer?eid=7f1c2b3a";
        assert_eq!(sign(TOKEN, url, &form), "38S5JnzaagNo1hOkZa9QdhSLffk=");
        let url = "https://bolo.example.com:443/telephony/twilio/answer?eid=7f1c2b3a";
        assert_eq!(sign(TOKEN, url, &form), "H6Xs+ZVKH9+13No6z6HFCGxs1Jw=");
    }

    #[test]
    fn t2_get() {
        let url = "https://bolo.example.com/telephony/twilio/status?eid=7f1c2b3a\
                   &CallSid=CA1234567890abcdef1234567890abcdef&CallStatus=completed&To=%2B14155550199";
        assert_eq!(sign(TOKEN, url, &[]), "tnqvFdT/h/1zaiSFLam6FiVz/7Q=");
    }

    #[test]
    fn t3_json_body_signs_the_url_alone() {
        let url = "https://bolo.example.com/telephony/twilio/json\
                   ?bodySHA256=c3ffad39e1f08f03f8eb8727bb4098e136f88d7d4f9d4842e2daaf2edf8d62f1";
        assert_eq!(sign(TOKEN, url, &[]), "5QeL/XIMovyDRKmHriisKDeF5Og=");
    }

    #[test]
    fn t4_socket_upgrade() {
        let url = "wss://bolo.example.com/media/twilio/7f1c2b3a";
        assert_eq!(sign(TOKEN, url, &[]), "X2FlyhSHmdr3k5dVHAlNojfZ+SU=");
    }

    #[test]
    fn t5_distinct_values_of_one_name_sorted() {
        let form = form(&[("b", "2"), ("b", "1"), ("b", "1"), ("a", "x")]);
        assert_eq!(
            sign(TOKEN, "https://h.example/x", &form),
            "4aIav0YD7UQCgbDx5LVd4uhKoFs="
        );
    }
}
