//! `X-Plivo-Signature-V3`, as Plivo computes it (wire-telephony.md §2.8).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::form_urlencoded;

/// Signs a request. `form` is empty for GET; a socket's upgrade is signed as a GET of its address with
/// `http` for `wss`.
pub fn sign(auth_token: &str, url: &str, form: &[(String, String)], nonce: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = query.join("&");
    let mut fields = form.to_vec();
    fields.sort();
    let fields: String = fields
        .into_iter()
        .map(|(name, value)| name + &value)
        .collect();
    let base = match (query.is_empty(), fields.is_empty()) {
        (true, true) => address.to_owned(),
        (false, true) => format!("{address}?{query}"),
        (true, false) => format!("{address}?{fields}"),
        (false, false) => format!("{address}?{query}.{fields}"),
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(auth_token.as_bytes()) else {
        return String::new(); // HMAC takes keys of any length
    };
    mac.update(format!("{base}.{nonce}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A nonce as Plivo makes them: twenty digits.
pub fn nonce(number: u64) -> String {
    format!("{number:020}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk";
    const NONCE: &str = "05429567804466091622";

    fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn answer() -> Vec<(String, String)> {
        form(&[
            ("CallUUID", "8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d"),
            ("From", "14155550100"),
            ("To", "14155550199"),
            ("CallStatus", "in-progress"),
            ("Direction", "outbound"),
            ("Event", "StartApp"),
        ])
    }

    #[test]
    fn vectors_p1_to_p6() {
        let host = "https://bolo.example.com/telephony/plivo";
        let several = form(&[("L", "b"), ("L", "a"), ("E", "")]);
        for (url, form, signature) in [
            (
                format!("{host}/answer"),
                answer(),
                "gTXd/kNtnNwX3yBilrjw/xL8Cs1+3lthZtpfxY+yP1o=",
            ),
            (
                format!("{host}/hangup?eid=7f1c2b3a&z=a%20b"),
                answer(),
                "l2MH4cKd+Bccsjm/NHQQjJatoTBo1AD25o6my9TfKsY=",
            ),
            (
                format!("{host}/answer?To=14155550199&From=14155550100&eid=7f1c2b3a&z=a%20b"),
                Vec::new(),
                "Bq3FVf2mVyVX741Ft/uhGdob+o0MqlEUilaOlJgbcrU=",
            ),
            (
                format!("{host}/ring?b=2&a=1"),
                Vec::new(),
                "M5M9dYXB5s3vGnRHS9lgE8i6YQveEdrIQkvM83pJQck=",
            ),
            (
                "http://bolo.example.com/media/plivo/7f1c2b3a".to_owned(),
                Vec::new(),
                "lmrFoQaf0B/XyV6yPPhQ33HU88pV91vfrmvg7N3QjjI=",
            ),
            (
                "https://bolo.example.com:8443/x?k=&a=2&a=1".to_owned(),
                several,
                "x8RTlu0oSbRiS4AZvoSr3f5ftXbx+c4QRHbS9FMsKlE=",
            ),
        ] {
            assert_eq!(sign(TOKEN, &url, &form, NONCE), signature, "{url}");
        }
    }
}
