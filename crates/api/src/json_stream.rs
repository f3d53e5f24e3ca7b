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

/// Answers `first`, then, where `rest` is given, what `more(rest, page)` reads from page `page` on until it
/// reads nothing. A failure after the first chunk cuts the body short, which clients see as an error.
pub fn array<R, Q, M, F>(
    first: Vec<R>,
    page: i64,
    rest: Option<Q>,
    more: M,
    show: impl Fn(&R) -> Value + Send + Clone + 'static,
) -> Response
where
    R: Send + 'static,
    Q: Clone + Send + 'static,
    M: Fn(Q, i64) -> F + Send + 'static,
    F: Future<Output = Result<Vec<R>, Error>> + Send,
{
    let opening = text("[", &first, &show);
    let Some(query) = rest else {
        return ([(header::CONTENT_TYPE, "application/json")], opening + "]").into_response();
    };
    let chunks = stream::unfold(Some((page, more, show)), move |state| {
        let query = query.clone();
        async move {
            let (page, more, show) = state?;
            match more(query, page).await {
                Ok(rows) if rows.is_empty() => Some((Ok(Bytes::from_static(b"]")), None)),
                Ok(rows) => Some((
                    Ok(Bytes::from(text(",", &rows, &show))),
                    Some((page + 1, more, show)),
                )),
                Err(error) => {
                    tracing::error!(%error, "a list was cut short");
                    Some((Err(error), None))
                }
            }
        }
    });
    let body = stream::once(async move { Ok::<_, Error>(Bytes::from(opening)) }).chain(chunks);
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

    async fn sent(first: Vec<i32>, rest: Option<()>, pages: &'static [&'static [i32]]) -> Value {
        let response = array(
            first,
            2,
            rest,
            move |(), page| async move {
                let index = usize::try_from(page - 2).unwrap();
                Ok(pages
                    .get(index)
                    .map(|page| page.to_vec())
                    .unwrap_or_default())
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
        assert_eq!(sent(vec![], None, &[]).await, serde_json::json!([]));
        assert_eq!(sent(vec![1, 2], None, &[]).await, serde_json::json!([1, 2]));
        assert_eq!(
            sent(vec![1, 2], Some(()), &[&[3, 4], &[5]]).await,
            serde_json::json!([1, 2, 3, 4, 5])
        );
        assert_eq!(
            sent(vec![1, 2], Some(()), &[]).await,
            serde_json::json!([1, 2])
        );
    }
}
