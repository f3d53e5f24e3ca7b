//! A JSON array of any length, sent as it is read: memory holds one chunk of rows.

use std::future::Future;

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use bolo_store::Error;
use futures_util::{StreamExt, stream};
use serde_json::Value;

/// Answers `first`, then, unless that `is_all`, what `more` reads behind the last row until it reads
/// nothing. A failure after the first chunk cuts the body short, which clients see as an error.
pub fn array<R, M, F>(
    mut first: Vec<R>,
    is_all: bool,
    more: M,
    show: impl Fn(&R) -> Value + Send + 'static,
) -> Response
where
    R: Send + 'static,
    M: Fn(&R) -> F + Send + 'static,
    F: Future<Output = Result<Vec<R>, Error>> + Send,
{
    let opening = text("[", &first, &show);
    let last = match first.pop() {
        Some(last) if !is_all => last,
        _ => return ([(header::CONTENT_TYPE, "application/json")], opening + "]").into_response(),
    };
    let chunks = stream::unfold(Some((last, more, show)), |state| async move {
        let (last, more, show) = state?;
        match more(&last).await {
            Ok(mut rows) => {
                let text = text(",", &rows, &show);
                Some(match rows.pop() {
                    Some(last) => (Ok(Bytes::from(text)), Some((last, more, show))),
                    None => (Ok(Bytes::from_static(b"]")), None),
                })
            }
            Err(error) => {
                tracing::error!(%error, "a list was cut short");
                Some((Err(error), None))
            }
        }
    });
    let opening = stream::once(async move { Ok::<_, Error>(Bytes::from(opening)) });
    // A body may be asked once more after its end.
    let body = opening.chain(chunks).fuse();
    (
        [(header::CONTENT_TYPE, "application/json")],
        Body::from_stream(body),
    )
        .into_response()
}

fn text<R>(lead: &str, rows: &[R], show: impl Fn(&R) -> Value) -> String {
    let mut text = lead.to_owned();
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&show(row).to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Numbers up to `end`, three at a time.
    async fn sent(first: Vec<i32>, is_all: bool, end: i32) -> Value {
        let response = array(
            first,
            is_all,
            move |last| {
                let rows = (last + 1..=end).take(3).collect();
                async move { Ok(rows) }
            },
            |row| (*row).into(),
        );
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn all_chunks_make_one_array() {
        assert_eq!(sent(vec![], false, 0).await, serde_json::json!([]));
        assert_eq!(sent(vec![1, 2], true, 9).await, serde_json::json!([1, 2]));
        assert_eq!(
            sent(vec![1, 2], false, 7).await,
            serde_json::json!([1, 2, 3, 4, 5, 6, 7])
        );
        assert_eq!(sent(vec![1, 2], false, 2).await, serde_json::json!([1, 2]));
    }

    #[tokio::test]
    async fn the_end_may_be_asked_for_again() {
        let more = |last: &i32| {
            let rows: Vec<i32> = (*last == 1).then_some(2).into_iter().collect();
            async move { Ok(rows) }
        };
        let response = array(vec![1], false, more, |row| (*row).into());
        let mut body = response.into_body().into_data_stream();
        while body.next().await.is_some() {}
        assert!(body.next().await.is_none());
    }
}
