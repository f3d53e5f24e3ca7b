//! Answers of a carrier's REST interface, read with bounds.

use std::time::Duration;

use reqwest::{Response, header::RETRY_AFTER};

/// A page of 100 calls is about 150 KB.
const LARGEST_BODY: usize = 4 << 20;
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// A whole request, connection included.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// When no connection could be made.
pub(crate) const CONNECT_RETRY: Duration = Duration::from_secs(2);
/// When the carrier has too many requests and does not say how long to wait.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(1);
/// Calls between one pair of numbers on one day fill no more pages than this.
pub(crate) const MOST_PAGES: usize = 50;
/// How far a carrier's clock may be behind ours.
pub(crate) const CLOCK_SLACK_MS: i64 = 2000;

/// The whole body of an answer, or why there is none.
pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| error.without_url().to_string())?
    {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err("the answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How long a carrier that has too much to do asks us to wait.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: f64 = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|wait| wait.min(LONGEST_RETRY))
}

/// Path and query of an address that may be whole or relative.
pub(crate) fn path_of(uri: &str) -> &str {
    match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => uri,
    }
}
