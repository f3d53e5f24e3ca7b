//! A file over HTTP, in as many parts as the connection breaks it into: each request asks for what is still
//! missing, also in the next run of the program. Source: RFC 9110 §14 (ranges).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use reqwest::{
    Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, RANGE},
};
use tokio::runtime::Handle;

use super::{Progress, Tell};
use crate::catalogue::ModelFile;

/// Requests in a row that bring nothing.
const TRIES: u32 = 4;
/// Before the second of them; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// Without a byte.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) struct Download<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) runtime: &'a Handle,
    pub(super) url: &'a str,
    /// What came so far.
    pub(super) part: PathBuf,
    pub(super) file: &'a ModelFile,
}

/// Why a request ended too early.
enum Broken {
    /// Another may do better.
    Again(String),
    /// None will.
    Refused(String),
}

impl Download<'_> {
    /// Returns where the whole file lies, its sum unchecked.
    pub(super) fn run(&self, tell: Tell<'_>) -> Result<PathBuf, String> {
        let mut tries = 0;
        loop {
            let before = self.length();
            let broken = match self.runtime.block_on(self.request(before, tell)) {
                Ok(()) => return Ok(self.part.clone()),
                Err(Broken::Refused(cause)) => return Err(format!("{}: {cause}", self.url)),
                Err(Broken::Again(cause)) => cause,
            };
            tries = if self.length() > before { 1 } else { tries + 1 };
            if tries == TRIES {
                return Err(format!("{}: {broken}", self.url));
            }
            tell(Progress::Failed {
                file: &self.file.name,
                cause: &broken,
            });
            self.runtime
                .block_on(tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)));
        }
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |about| about.len())
    }

    /// One request for all that is missing.
    async fn request(&self, have: u64, tell: Tell<'_>) -> Result<(), Broken> {
        let mut request = self
            .http
            .get(self.url)
            // Packed on the way, a part would not fit the rest.
            .header(ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let again = |cause| Broken::Again(said(cause));
        let asked = tokio::time::timeout(SILENCE, request.send());
        let response = asked.await.map_err(|_| silent())?.map_err(again)?;
        let mut got = match response.status() {
            StatusCode::PARTIAL_CONTENT if first_byte(response.headers()) == Some(have) => have,
            StatusCode::OK => 0,
            // What lies here is no beginning of what lies there.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.begin(0).map_err(|cause| failed(&cause))?;
                return Err(Broken::Again("it can't be continued".to_owned()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Broken::Again(format!("answered {status}")));
            }
            status => return Err(Broken::Refused(format!("answered {status}"))),
        };
        let mut part = self.begin(got).map_err(|cause| failed(&cause))?;
        self.take(response, &mut got, &mut part, tell).await
    }

    async fn take(
        &self,
        mut response: Response,
        got: &mut u64,
        part: &mut File,
        tell: Tell<'_>,
    ) -> Result<(), Broken> {
        // A packaged file is as long as it is; only that of the finished one is known.
        let known = self.file.ort.is_none().then_some(self.file.bytes);
        let of = response.content_length().map(|rest| *got + rest);
        let of = known.or(of).unwrap_or_default();
        loop {
            tell(Progress::Received {
                file: &self.file.name,
                bytes: *got,
                of,
            });
            let chunk = tokio::time::timeout(SILENCE, response.chunk());
            match chunk.await.map_err(|_| silent())? {
                Ok(Some(bytes)) => {
                    *got += bytes.len() as u64;
                    if known.is_some_and(|known| *got > known) {
                        // Nothing of it is of use.
                        self.begin(0).map_err(|cause| failed(&cause))?;
                        let cause = format!("it is longer than {} bytes", self.file.bytes);
                        return Err(Broken::Refused(cause));
                    }
                    part.write_all(&bytes).map_err(|cause| failed(&cause))?;
                }
                Ok(None) if known.is_some_and(|known| *got < known) => {
                    return Err(Broken::Again(format!("it ended after {got} bytes")));
                }
                Ok(None) => return Ok(()),
                Err(cause) => return Err(Broken::Again(said(cause))),
            }
        }
    }

    /// The part, opened to be written on from `at`.
    fn begin(&self, at: u64) -> io::Result<File> {
        let part = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.part)?;
        part.set_len(at)?;
        Ok(part)
    }
}

fn silent() -> Broken {
    Broken::Again(format!("nothing came for {} s", SILENCE.as_secs()))
}

fn failed(cause: &io::Error) -> Broken {
    Broken::Refused(format!("it can't be kept: {cause}"))
}

/// An error with what is behind it, without the address, which is told beside it.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut said = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = match said.is_empty() {
                true => text,
                false => format!("{said}: {text}"),
            };
        }
        next = cause.source();
    }
    said
}

/// `Content-Range: bytes 100-199/200` → 100.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}
