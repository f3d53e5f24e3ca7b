//! What stands before many nodes: hands each request to the first node that is ready, as a load balancer does
//! that asks `/ready`. Requests are told apart, not connections: a node that is gone gets none of the next ones.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::DEADLINE;

/// A node is asked this often, and has so long to answer.
const ASKED: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest head of a request.
const HEAD: usize = 64 * 1024;

/// See the module; ends when dropped.
pub struct Balancer {
    pub base: String,
    nodes: Arc<Mutex<Vec<Node>>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct Node {
    port: u16,
    is_ready: bool,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let nodes: Arc<Mutex<Vec<Node>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, nodes.clone()));
        Self {
            base,
            nodes,
            _tasks: tasks,
        }
    }

    /// Another node behind those that are there: it gets what they can't take.
    pub fn add(&mut self, port: u16) {
        let mut nodes = self.nodes.lock().unwrap();
        nodes.push(Node {
            port,
            is_ready: true,
        });
        self._tasks.spawn(ask(port, self.nodes.clone()));
    }

    /// From now on this node comes first.
    pub fn prefer(&self, port: u16) {
        let mut nodes = self.nodes.lock().unwrap();
        nodes.sort_by_key(|node| node.port != port);
    }

    /// Waits until it has noticed that this many nodes are ready.
    pub async fn knows(&self, ready: usize) {
        let count = || {
            let nodes = self.nodes.lock().unwrap();
            nodes.iter().filter(|node| node.is_ready).count()
        };
        let started = tokio::time::Instant::now();
        while count() != ready {
            assert!(started.elapsed() < DEADLINE, "{} nodes are ready", count());
            tokio::time::sleep(ASKED).await; // no-sleep-ok: polling a condition under a deadline
        }
    }
}

/// Keeps an eye on one node.
async fn ask(port: u16, nodes: Arc<Mutex<Vec<Node>>>) {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}/ready");
    loop {
        let answer = client.get(&url).send().await;
        let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
        for node in nodes.lock().unwrap().iter_mut() {
            if node.port == port {
                node.is_ready = is_ready;
            }
        }
        tokio::time::sleep(ASKED).await; // no-sleep-ok: a balancer asks now and then
    }
}

async fn serve(listener: TcpListener, nodes: Arc<Mutex<Vec<Node>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let nodes = nodes.clone();
        connections.spawn(async move {
            // A connection that breaks is its two ends' to notice.
            let _ = forward(stream, &nodes).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut from: TcpStream, nodes: &Mutex<Vec<Node>>) -> std::io::Result<()> {
    from.set_nodelay(true)?;
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if head.len() > HEAD || from.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
    let Some(mut to) = connect(nodes).await else {
        return from
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
    };
    to.set_nodelay(true)?;
    to.write_all(&head[..end]).await?;
    if !text.contains("\r\nupgrade: websocket") {
        to.write_all(b"\r\nconnection: close").await?;
    }
    to.write_all(&head[end..]).await?;
    copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}

/// The first that is ready and can be reached; where none is ready, the first that can be reached.
async fn connect(nodes: &Mutex<Vec<Node>>) -> Option<TcpStream> {
    let mut ready: Vec<Node> = nodes.lock().unwrap().clone();
    ready.sort_by_key(|node| !node.is_ready);
    for node in ready {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", node.port)).await {
            return Some(stream);
        }
    }
    None
}
