//! Media sockets: who may open one.

use bolo_execution::Change;
use bolo_store::Facts;
use bolo_telephony::CallbackKind::Media;
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest};

use crate::{bolo::Bolo, twilio};

/// The status of the upgrade's answer.
async fn upgrade(bolo: &Bolo, path: &str, signature: Option<&str>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = bolo.router.clone();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .unwrap();
    if let Some(signature) = signature {
        request
            .headers_mut()
            .insert("x-twilio-signature", signature.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

fn signed(path: &str) -> String {
    twilio::signature(&format!("wss://bolo.example.com{path}"), &[])
}

#[tokio::test]
async fn a_socket_opens_with_mac_and_signature_and_not_without() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    bolo.change(id, Change::Answered, Facts::default()).await;
    let path = bolo.callback(Media, id);
    assert_eq!(upgrade(&bolo, &path, Some(&signed(&path))).await, 101);
    assert_eq!(upgrade(&bolo, &path, None).await, 403);
    assert_eq!(upgrade(&bolo, &path, Some("AAAA")).await, 403);
    let wrong = format!("{}/0000000000000000", path.rsplit_once('/').unwrap().0);
    assert_eq!(upgrade(&bolo, &wrong, Some(&signed(&wrong))).await, 404);
}

#[tokio::test]
async fn a_call_that_is_over_gets_no_socket() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    bolo.change(id, Change::NoAnswer, Facts::default()).await;
    let path = bolo.callback(Media, id);
    assert_eq!(upgrade(&bolo, &path, Some(&signed(&path))).await, 404);
}
