//! Clients that keep the server waiting: a request head that does not end, a connection that asks nothing, an
//! answer that is not read and an upload that does not come on are left, whoever is only slow is served on.

use std::time::Duration;

use bolo_simulator::{caller::CallerScript, llm::Reply};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::support::{DEADLINE, Database, Server, Setup, World, agent};

/// Whole, answered without a body.
const REQUEST: &str = "HEAD /health HTTP/1.1\r\nHost: bolo\r\n\r\n";
/// So many answers are more than the buffers of two sockets hold, and take seconds to read slowly.
const MANY: usize = 45;
const HALF: &str = "POST /call HTTP/1.1\r\nHost: bolo\r\nX-Slow: ";

/// Asks for the largest answer that needs no key so often, and for no more.
fn ask(times: usize) -> String {
    let ask = "GET /openapi.json HTTP/1.1\r\nHost: bolo\r\n";
    let more = format!("{ask}\r\n").repeat(times - 1);
    format!("{more}{ask}Connection: close\r\n\r\n")
}

/// A client that sends what it likes when it likes.
struct Client(TcpStream);

impl Client {
    async fn of(server: &Server) -> Self {
        let address = server.base.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn sends(mut self, bytes: &str) -> Self {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
        self
    }

    async fn served(self) -> Self {
        let mut client = self.sends(REQUEST).await;
        client.answered("200").await;
        client
    }

    /// Reads the head of an answer at least.
    async fn answered(&mut self, status: &str) {
        let mut answer = Vec::new();
        while !answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            let more = timeout(DEADLINE, self.0.read_buf(&mut answer)).await;
            assert_ne!(more.unwrap().unwrap(), 0, "closed instead of an answer");
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }

    /// All that it is told, taken slowly, until the server closes.
    async fn reads_slowly(mut self) -> String {
        let mut pace = interval(Duration::from_millis(100)); // no-sleep-ok: the client's pace is the story
        let mut told = Vec::new();
        let mut some = vec![0; 128 * 1024];
        loop {
            pace.tick().await;
            match timeout(DEADLINE, self.0.read(&mut some)).await {
                Ok(Ok(0)) => return String::from_utf8(told).unwrap(),
                Ok(Ok(read)) => told.extend_from_slice(&some[..read]),
                broken => panic!("after {} bytes: {broken:?}", told.len()),
            }
        }
    }

    /// Reads nothing.
    async fn cut(self) {
        let cut = timeout(DEADLINE, self.0.ready(Interest::ERROR)).await;
        cut.expect("the connection is held").unwrap();
    }

    async fn closed(mut self) {
        let closed = timeout(DEADLINE, self.0.read(&mut [0])).await;
        // A reset is an end, too.
        let read = closed.expect("the connection is held").unwrap_or(0);
        assert_eq!(read, 0, "an answer to what was not asked");
    }

    /// Sends a byte now and then, for as long as the server takes them.
    async fn closed_though_it_drips(self) {
        let (mut reading, mut writing) = self.0.into_split();
        let dripping = async {
            let mut pace = interval(Duration::from_millis(100)); // no-sleep-ok: the client's pace is the story
            while writing.write_all(b"x").await.is_ok() {
                pace.tick().await;
            }
        };
        let mut answer = [0];
        let closed = async {
            tokio::select! {
                _ = reading.read(&mut answer) => {}
                () = dripping => {}
            }
        };
        let closed = timeout(DEADLINE, closed).await;
        closed.expect("the connection is held");
    }
}

/// The head and the beginning of an upload that is announced as longer than it will be.
fn upload(key: &str, header: &str) -> String {
    format!(
        "POST /batches HTTP/1.1\r\nHost: bolo\r\nAuthorization: Bearer {key}\r\n{header}\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n\
         --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\ncontact_number\n"
    )
}

async fn server(settings: &[(&str, &str)]) -> Server {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let settings = settings.iter().map(owned).collect();
    Server::start(Setup::new(Database::Sqlite, settings).await).await
}

#[tokio::test]
async fn a_first_request_that_does_not_come_whole_is_not_waited_for() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let silent = Client::of(&server).await;
    let stalled = Client::of(&server).await.sends(HALF).await;
    let dripping = Client::of(&server).await.sends(HALF).await;
    tokio::join!(
        silent.closed(),
        stalled.closed(),
        dripping.closed_though_it_drips(),
    );
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_requests_that_do_not_come_whole() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "600")]).await;
    let _silent = Client::of(&server).await;
    let _stalled = Client::of(&server).await.sends(HALF).await;
    let _resting = Client::of(&server).await.served().await;
    let later = Client::of(&server).await.served().await;
    let _later = later.sends(HALF).await;
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn a_connection_that_was_served_may_rest() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let resting = Client::of(&server).await.served().await;
    // The limit of a first request has passed since.
    Client::of(&server).await.closed().await;
    let _resting = resting.served().await.served().await;
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn a_connection_does_not_rest_for_ever() {
    let server = server(&[("BOLO_LIMITS__KEEP_ALIVE_S", "2")]).await;
    let resting = Client::of(&server).await.served().await;
    let stalled = Client::of(&server).await.served().await;
    let stalled = stalled.sends(HALF).await;
    let dripping = Client::of(&server).await.served().await;
    let dripping = dripping.sends(HALF).await;
    tokio::join!(
        resting.closed(),
        stalled.closed(),
        dripping.closed_though_it_drips(),
    );
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_left() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let deaf = Client::of(&server).await.sends(&ask(MANY)).await;
    deaf.cut().await;
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_is_whole() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let slow = Client::of(&server).await.sends(&ask(MANY)).await;
    let told = slow.reads_slowly().await;
    assert_eq!(told.matches("HTTP/1.1 200 OK").count(), MANY);
    assert!(told.ends_with('}'), "the last answer is cut");
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn an_upload_that_stops_midway_is_left_and_its_file_gone() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let stalled = Client::of(&server).await;
    let mut stalled = stalled.sends(&upload(&server.key, "")).await;
    let mut answer = String::new();
    let ended = timeout(DEADLINE, stalled.0.read_to_string(&mut answer)).await;
    ended.expect("the upload is held").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408 "), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["error"], &body["message"]),
        (&json!(408), &body["detail"])
    );
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let open = open.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let uploads: Vec<_> = open
        .filter(|file| file.to_string_lossy().contains("/uploads/"))
        .collect();
    assert!(uploads.is_empty(), "{uploads:?}");
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn an_upload_that_drips_does_not_hold_up_a_stop() {
    let server = server(&[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let dripping = Client::of(&server).await;
    let begun = upload(&server.key, "Expect: 100-continue\r\n");
    let mut dripping = dripping.sends(&begun).await;
    dripping.answered("100").await;
    tokio::join!(
        server.stop_cleanly(&["\"connections_cut\":1"]),
        dripping.closed_though_it_drips(),
    );
}

#[tokio::test]
async fn a_request_whose_head_came_before_the_stop_is_answered() {
    let server = server(&[]).await;
    let key = &server.key;
    let head = format!(
        "POST /v2/agent HTTP/1.1\r\nHost: bolo\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut begun = Client::of(&server).await.sends(&head).await;
    begun.answered("100").await;
    let resting = Client::of(&server).await.served().await;
    let goes_on = async {
        resting.closed().await;
        begun.sends("{}").await.answered("400").await;
    };
    tokio::join!(server.stop_cleanly(&[]), goes_on);
}

#[tokio::test]
async fn a_media_socket_outlives_the_limit_of_its_request() {
    let world = World::with(Database::Sqlite, &[("BOLO_LIMITS__CLIENT_WAIT_S", "2")]).await;
    let answer = Reply::text("It ships on Monday.");
    world.fakes.llm.on("where is my order", answer);
    let (_, call) = world.ring(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    Client::of(&world.server).await.closed().await;
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.hangs_up().await.unwrap();
    world.end(&[]).await;
}
