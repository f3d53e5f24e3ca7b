//! Fetching from servers that break off, lie, or know no ranges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

use super::*;

/// What the model is.
fn content() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn model() -> Model {
    let sum: String = Sha256::digest(content())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    toml::from_str(&format!(
        "name = 'm'\nuse = 'a test'\nlicence = 'MIT'\n[[file]]\nname = 'f'\n\
         sha256 = '{sum}'\nbytes = {}\nsource = 'here'\nurl = 'http://127.0.0.1:1/none'",
        content().len()
    ))
    .unwrap()
}

/// Answers each request with the next of these; returns its address and what was asked.
fn server(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            heard
                .lock()
                .unwrap()
                .push(String::from_utf8(request).unwrap().to_lowercase());
            stream.write_all(&answer).unwrap();
        }
    });
    (address, asked)
}

/// An answer whose body ends after `sent` bytes, whatever its length says.
fn answer(head: &str, body: &[u8], sent: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(&body[..sent]);
    answer
}

fn rest(from: usize, sent: usize) -> Vec<u8> {
    let all = content();
    let head = format!(
        "206 Partial Content\r\ncontent-range: bytes {from}-{}/{}",
        all.len() - 1,
        all.len()
    );
    answer(&head, &all[from..], sent)
}

struct Lab {
    folder: TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let store = Store::with(Vec::new(), folder.path().join("unpacked"));
        Self { folder, store }
    }

    /// Fetches from a mirror; the model's own address answers nothing.
    fn pull(&self, mirror: &str) -> (Result<PathBuf, String>, Vec<u64>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let how = Pull {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            mirror: Some(mirror.to_owned()),
            into: Some(self.folder.path().to_owned()),
        };
        let _inside = runtime.enter();
        let mut begun = Vec::new();
        let mut last = "";
        let pulled = pull(&self.store, &model(), &how, &mut |step| {
            if let Progress::Received { bytes, .. } = step
                && last != "received"
            {
                begun.push(bytes);
            }
            last = match step {
                Progress::Received { .. } => "received",
                _ => "",
            };
        });
        (pulled.map_err(|error| error.to_string()), begun)
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("m")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let lab = Lab::new();
    let whole = answer("200 OK", &content(), 150_000);
    let (mirror, asked) = server(vec![whole, rest(150_000, 100_000), rest(250_000, 150_000)]);
    let (pulled, begun) = lab.pull(&format!("{mirror}/models/"));
    assert_eq!(fs::read(pulled.unwrap().join("f")).unwrap(), content());
    assert_eq!(begun, [0, 150_000, 250_000]);
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("get /models/m/f ") && !asked[0].contains("range:"));
    assert!(asked[1].contains("range: bytes=150000-"), "{}", asked[1]);
    assert!(asked[2].contains("range: bytes=250000-"), "{}", asked[2]);
    assert_eq!(lab.left(), [".lock", "f"]);
    // Nothing is asked again of what is there.
    let (again, begun) = lab.pull("http://127.0.0.1:1");
    assert_eq!((again.is_ok(), begun.len()), (true, 0));
}

#[test]
fn the_next_run_goes_on_and_a_server_without_ranges_begins_again() {
    let lab = Lab::new();
    let refused = || answer("404 Not Found", b"", 0);
    let (mirror, _) = server(vec![answer("200 OK", &content(), 60_000), refused()]);
    let (pulled, _) = lab.pull(&mirror);
    let told = pulled.unwrap_err();
    assert!(
        told.contains("404") && told.contains("127.0.0.1:1/none"),
        "{told}"
    );
    assert_eq!(lab.left(), [".f.part", ".lock"]);

    let (mirror, asked) = server(vec![answer("200 OK", &content(), content().len())]);
    let (pulled, begun) = lab.pull(&mirror);
    pulled.unwrap();
    assert_eq!(begun, [0]);
    assert!(asked.lock().unwrap()[0].contains("range: bytes=60000-"));
}

#[test]
fn another_file_is_refused_and_leaves_nothing() {
    let lab = Lab::new();
    let mut other = content();
    other[77] ^= 1;
    let (mirror, _) = server(vec![answer("200 OK", &other, other.len())]);
    let told = lab.pull(&mirror).0.unwrap_err();
    assert!(told.contains("SHA-256"), "{told}");
    other.push(0);
    let (mirror, _) = server(vec![answer("200 OK", &other, other.len())]);
    let told = lab.pull(&mirror).0.unwrap_err();
    assert!(told.contains("longer than 400000"), "{told}");
    let left = lab.left();
    assert!(!left.contains(&"f".to_owned()), "{left:?}");
    // What was left of it does no harm to the next one.
    let (mirror, _) = server(vec![answer("200 OK", &content(), content().len())]);
    lab.pull(&mirror).0.unwrap();
}

#[test]
fn two_at_once_do_not_write_into_each_other() {
    let lab = Lab::new();
    let folder = lab.folder.path().join("m");
    fs::create_dir_all(&folder).unwrap();
    let _held = lock(&folder).unwrap();
    let told = lab.pull("http://127.0.0.1:1").0.unwrap_err();
    assert!(told.contains("another"), "{told}");
}
