//! AWS Signature Version 4 of a POST without a query. Source: AWS's guide "Create a signed AWS API request".

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

pub(super) const CONTENT_TYPE: &str = "application/json";

const SERVICE: &str = "polly";
const SIGNED: &str = "content-type;host;x-amz-date";

/// Who signs, and where.
pub(super) struct Signer<'a> {
    pub(super) region: &'a str,
    pub(super) key_id: &'a str,
    pub(super) secret: &'a SecretString,
}

impl Signer<'_> {
    /// `x-amz-date` and `authorization`.
    pub(super) fn sign(
        &self,
        host: &str,
        path: &str,
        body: &str,
        now: DateTime<Utc>,
    ) -> (String, String) {
        let date = now.format("%Y%m%dT%H%M%SZ").to_string();
        let body = hex(&Sha256::digest(body));
        let request = format!(
            "POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\n\n{SIGNED}\n{body}"
        );
        let scope = format!("{}/{}/{SERVICE}/aws4_request", &date[..8], self.region);
        let signature = signature(self.secret, &date, &scope, &request);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, Signature={signature}",
            self.key_id
        );
        (date, authorization)
    }
}

/// Of a canonical request, for a scope of day, region and service.
fn signature(secret: &SecretString, date: &str, scope: &str, request: &str) -> String {
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(request))
    );
    let secret = format!("AWS4{}", secret.expose_secret());
    let key = scope
        .split('/')
        .fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()));
    hex(&mac(&key, text.as_bytes()))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's guide: a GET of IAM's ListUsers.
    #[test]
    fn the_guides_example() {
        let request = "GET\n/\nAction=ListUsers&Version=2010-05-08\n\
            content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n\
            x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n\
            e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let secret = SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        assert_eq!(
            signature(
                &secret,
                "20150830T123600Z",
                "20150830/us-east-1/iam/aws4_request",
                request
            ),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    /// What botocore 1.43.11 makes of the same request.
    #[test]
    fn a_request_of_polly() {
        let secret = SecretString::from("sesame");
        let signer = Signer {
            region: "eu-west-1",
            key_id: "AKIDEXAMPLE",
            secret: &secret,
        };
        let now = DateTime::from_timestamp(1_795_694_400, 0).unwrap_or_default();
        let host = "polly.eu-west-1.amazonaws.com";
        let (date, authorization) = signer.sign(host, "/v1/speech", r#"{"Text":"Hola."}"#, now);
        assert_eq!(date, "20261126T120000Z");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261126/eu-west-1/polly/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=c1f2f4a14c650fcd6e037a6e2cae0ac671ef7405a2b2e0f3114b450925f15c37"
        );
    }
}
