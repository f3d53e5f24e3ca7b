//! Recordings in a bucket: a small S3 of our own on a local socket.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, sync::Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Objects by path; parts of an upload wait under `path?number`.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    uploads: Mutex<Vec<usize>>,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

async fn request(stream: &mut BufReader<TcpStream>) -> Request {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let mut words = head[0].split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let url = Url::parse(&format!("http://s3{target}")).unwrap();
    let headers: BTreeMap<String, String> = head[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let query = url.query_pairs().into_owned().collect();
    Request {
        method,
        path: url.path().to_owned(),
        query,
        headers,
        body,
    }
}

impl Bucket {
    /// Status, extra headers and body.
    fn answer(&self, request: Request) -> (u16, String, Vec<u8>) {
        assert!(request.headers["authorization"].starts_with("AWS4-HMAC-SHA256 Credential=key/"));
        let mut objects = self.objects.lock().unwrap();
        let part = |number: &str| format!("{}?{number:0>5}", request.path);
        match (request.method.as_str(), request.query.get("partNumber")) {
            ("POST", _) if request.query.contains_key("uploads") => (
                200,
                String::new(),
                b"<Init><UploadId>u1</UploadId></Init>".to_vec(),
            ),
            ("PUT", Some(number)) => {
                self.uploads.lock().unwrap().push(request.body.len());
                objects.insert(part(number), request.body);
                (200, "ETag: \"part\"\r\n".into(), Vec::new())
            }
            ("POST", _) => {
                let parts: Vec<String> = objects
                    .keys()
                    .filter(|key| key.starts_with(&format!("{}?", request.path)))
                    .cloned()
                    .collect();
                let whole = parts
                    .iter()
                    .flat_map(|key| objects.remove(key).unwrap())
                    .collect();
                objects.insert(request.path, whole);
                (
                    200,
                    String::new(),
                    b"<Done><ETag>\"whole\"</ETag></Done>".to_vec(),
                )
            }
            ("GET" | "HEAD", _) => {
                let common = "ETag: \"whole\"\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n";
                match (objects.get(&request.path), request.headers.get("range")) {
                    (None, _) => (
                        404,
                        String::new(),
                        b"<Error><Code>NoSuchKey</Code></Error>".to_vec(),
                    ),
                    (Some(object), None) => (200, common.into(), object.clone()),
                    (Some(object), Some(range)) => {
                        let (from, to) = range
                            .strip_prefix("bytes=")
                            .unwrap()
                            .split_once('-')
                            .unwrap();
                        let (from, to): (usize, usize) =
                            (from.parse().unwrap(), to.parse().unwrap());
                        let place = format!(
                            "{common}Content-Range: bytes {from}-{to}/{}\r\n",
                            object.len()
                        );
                        (206, place, object[from..=to].to_vec())
                    }
                }
            }
            (method, _) => panic!("{method} {} is not expected", request.path),
        }
    }
}

async fn serve(bucket: Arc<Bucket>, listener: TcpListener) {
    loop {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let request = request(&mut stream).await;
        let head_only = request.method == "HEAD";
        let (status, headers, body) = bucket.answer(request);
        let head = format!(
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        if !head_only {
            stream.write_all(&body).await.unwrap();
        }
        stream.shutdown().await.unwrap();
    }
}

fn bucket_at(listener: &TcpListener, scratch: &FilePath) -> Recordings {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let bucket = AmazonS3Builder::new()
        .with_bucket_name("calls")
        .with_endpoint(endpoint)
        .with_region("eu-central-1")
        .with_access_key_id("key")
        .with_secret_access_key("secret");
    Recordings {
        scratch: scratch.to_owned(),
        objects: connected(bucket, Arc::new(tls)).unwrap(),
        prefix: Path::from("2026"),
        folder: None,
        uploads: Arc::new(Semaphore::new(1)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let recordings = bucket_at(&listener, scratch.path());
    let id = ExecutionId::new();
    std::fs::write(recordings.scratch_path(id), [0; 1000]).unwrap();

    let hour = Duration::from_secs(3600);
    let finished = tokio::time::timeout(hour, recordings.finish(id));
    assert!(matches!(finished.await, Ok(Err(Error::Unavailable(_)))));
    assert!(recordings.scratch_path(id).exists());
}

#[tokio::test]
async fn a_recording_goes_to_a_bucket_in_parts_and_is_read_in_ranges() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let recordings = bucket_at(&listener, scratch.path());
    let bucket = Arc::new(Bucket::default());
    let _server = AbortOnDropHandle::new(tokio::spawn(serve(bucket.clone(), listener)));
    let id = ExecutionId::new();
    assert!(matches!(recordings.finish(id).await, Err(Error::NotFound)));

    let wav: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(recordings.scratch_path(id), &wav).unwrap();
    recordings.finish(id).await.unwrap();
    assert!(!recordings.scratch_path(id).exists());
    assert!(bucket.objects.lock().unwrap()[&format!("/calls/2026/{id}.wav")] == wav);
    let mut uploads = bucket.uploads.lock().unwrap().clone();
    uploads.sort_unstable();
    assert_eq!(uploads, [6_000_000 - PART, PART]);

    assert_eq!(recordings.size(id).await.unwrap(), 6_000_000);
    let part: Vec<Bytes> = recordings
        .read(id, Some(5..9))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(part.concat(), wav[5..9]);
    let whole: Vec<Bytes> = recordings
        .read(id, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(whole.concat() == wav);
}
