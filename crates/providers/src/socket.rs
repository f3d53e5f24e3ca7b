//! A client WebSocket to a vendor: connect under a limit, small buffers, no delay, and what a refused
//! upgrade means. Source: wire-providers.md §7.1, §10.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, Response},
        protocol::{CloseFrame, WebSocketConfig},
    },
};
use url::Url;

use crate::{Error, ErrorKind, dns, error::Origin, http::retry_after, proxy};

/// Largest message of a vendor; a second of base64 audio is about 64 KB.
const LARGEST_MESSAGE: usize = 4 << 20;

/// What is read at once; each try to read clears so much first, and a socket holds it. Transcribers say a line or two
/// at a time, synthesizers a second of audio.
const READ_TEXT: usize = 1 << 10;
const READ_AUDIO: usize = 8 << 10;

/// How long a vendor that does not read any more may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(100);
const MOST_LAST_WORDS: usize = 64;

/// An open socket, and whose it is.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    origin: Origin,
    write_limit: Duration,
}

/// What came from the vendor.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(String),
    Binary(Bytes),
    /// The vendor closed; no more comes. `None`: without a close frame.
    Closed(Option<(u16, String)>),
}

/// What a vendor said before it left.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    /// In order; a failure may be told in one.
    pub(crate) texts: Vec<String>,
    /// Code and reason of its close.
    pub(crate) reason: Option<(u16, String)>,
}

/// A refused upgrade.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) words: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// What the status says by itself.
    pub(crate) fn error(&self, origin: Origin) -> Error {
        origin.status(self.status, &self.words, self.retry_after)
    }
}

/// Connects within `limit`. `http` addresses are taken for `ws` ones. `refused` turns a refused upgrade
/// into an error.
pub(crate) async fn connect(
    origin: Origin,
    url: &Url,
    headers: &[(&'static str, &str)],
    tls: &Arc<rustls::ClientConfig>,
    (limit, write_limit): (Duration, Duration),
    refused: impl FnOnce(Refusal) -> Error,
) -> Result<Socket, Error> {
    let bad_address = || {
        origin.fault(
            ErrorKind::BadRequest,
            "base_url is not an address for a socket",
        )
    };
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|_| bad_address())?;
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| origin.bad_key())?;
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }

    let config = WebSocketConfig::default()
        .read_buffer_size(match origin.role {
            "transcriber" => READ_TEXT,
            _ => READ_AUDIO,
        })
        .write_buffer_size(0)
        .max_write_buffer_size(1 << 20)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let connector = Connector::Rustls(tls.clone());
    let (host, port) = url
        .host()
        .zip(url.port_or_known_default())
        .ok_or_else(bad_address)?;
    let connecting = Box::pin(async {
        let stream = proxy::connect(url.scheme(), &host, port).await?;
        stream.set_nodelay(true)?;
        client_async_tls_with_config(request, stream, Some(config), Some(connector)).await
    });
    match timeout(limit, connecting).await {
        Ok(Ok((stream, response))) => {
            let id = ["dg-request-id", "x-trace-id", "x-request-id", "request-id"]
                .iter()
                .find_map(|name| response.headers().get(*name)?.to_str().ok());
            tracing::info!(
                vendor = origin.vendor,
                role = origin.role,
                request_id = id,
                "vendor socket open"
            );
            Ok(Socket {
                stream,
                origin,
                write_limit,
            })
        }
        Ok(Err(WsError::Http(response))) => Err(refused(refusal(&response))),
        Ok(Err(WsError::Url(_) | WsError::HttpFormat(_))) => Err(bad_address()),
        Ok(Err(error)) => {
            let Origin { vendor, role, .. } = origin;
            match is_distrust(&error) {
                true => tracing::warn!(vendor, role, %error, "no trust in the vendor's server"),
                false => tracing::debug!(vendor, role, %error, "no vendor socket"),
            }
            Err(origin.unreachable())
        }
        Err(_) => {
            dns::forget(&host);
            Err(origin.unreachable())
        }
    }
}

/// Whether TLS failed: a matter of whoever runs this, or of who stands between.
fn is_distrust(error: &WsError) -> bool {
    let WsError::Io(error) = error else {
        return false;
    };
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

fn refusal(response: &Response<Option<Vec<u8>>>) -> Refusal {
    let words = words(response.body().as_deref().unwrap_or_default());
    let header = response
        .headers()
        .get("dg-error")
        .and_then(|value| value.to_str().ok());
    Refusal {
        status: response.status().as_u16(),
        words: words
            .or_else(|| header.map(str::to_owned))
            .unwrap_or_default(),
        retry_after: retry_after(response.headers()),
    }
}

/// What the JSON body of a refusal says.
pub(crate) fn words(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let names = ["err_msg", "message", "error", "detail"];
    names.iter().find_map(|name| Some(said(body.get(*name)?)))
}

/// A message that may be nested: `{"detail":{"status":…,"message":…}}`, `{"error":{"code":…,"message":…}}`.
fn said(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => {
            let part = |name: &str| other.get(name).and_then(serde_json::Value::as_str);
            match (part("status").or(part("code")), part("message")) {
                (Some(status), Some(message)) => format!("{status}: {message}"),
                (one, other) => one.or(other).unwrap_or_default().to_owned(),
            }
        }
    }
}

impl Socket {
    /// Sends at once; a vendor that does not take it in time counts as lost.
    pub(crate) async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        match timeout(self.write_limit, self.stream.send(message.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.origin.dropped()),
        }
    }

    /// After a failure: what the vendor may have said before it left. Waits but briefly.
    pub(crate) async fn last_words(&mut self) -> LastWords {
        let mut last = LastWords::default();
        let reading = async {
            while last.texts.len() < MOST_LAST_WORDS {
                match self.next().await {
                    Ok(Incoming::Text(text)) => last.texts.push(text),
                    Ok(Incoming::Binary(_)) => {}
                    Ok(Incoming::Closed(reason)) => {
                        last.reason = reason;
                        break;
                    }
                    Err(_) => break,
                }
            }
        };
        // What came in time is what there is.
        let _ = timeout(LAST_WORDS, reading).await;
        last
    }

    /// Says goodbye; whether the vendor hears it does not matter any more.
    pub(crate) async fn close(&mut self) {
        let closing = timeout(self.write_limit, self.stream.close(None)).await;
        if let Ok(Err(error)) = closing {
            let Origin { vendor, role, .. } = self.origin;
            tracing::debug!(vendor, role, %error, "vendor socket lost at its close");
        }
    }

    /// The next message or the end; safe to drop and call again. Pings are passed over.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(Incoming::Text(text.as_str().to_owned()));
                }
                Some(Ok(Message::Binary(bytes))) => return Ok(Incoming::Binary(bytes)),
                Some(Ok(Message::Close(frame))) => {
                    return Ok(Incoming::Closed(frame.map(close_reason)));
                }
                Some(Ok(_)) => {}
                None => return Ok(Incoming::Closed(None)),
                Some(Err(error)) => {
                    let Origin { vendor, role, .. } = self.origin;
                    tracing::debug!(vendor, role, %error, "vendor socket lost");
                    return Err(self.origin.dropped());
                }
            }
        }
    }
}

fn close_reason(frame: CloseFrame) -> (u16, String) {
    (frame.code.into(), frame.reason.to_string())
}

/// `base` with its scheme turned into that of a socket, and `path` after it.
pub(crate) fn address(origin: Origin, base: &str, path: &[&str]) -> Result<Url, Error> {
    let bad = || origin.fault(ErrorKind::BadRequest, "base_url is not an address");
    let base = match base.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => base.to_owned(),
    };
    let mut url = Url::parse(&base).map_err(|_| bad())?;
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(bad());
    }
    url.path_segments_mut()
        .map_err(|()| bad())?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::left_behind;

    #[tokio::test]
    async fn what_a_vendor_said_before_it_left_is_read_though_it_takes_no_more() {
        let origin = Origin {
            vendor: "acme",
            role: "transcriber",
            variable: "ACME_API_KEY",
        };
        let mut socket = left_behind(origin, "out of credit").await;
        let last = socket.last_words().await;
        assert_eq!(last.texts, ["out of credit"]);
        assert_eq!(last.reason, None);
    }
}
