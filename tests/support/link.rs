//! The way between one node and PostgreSQL or Redis. It fails on command as networks do: connections end or are torn,
//! nobody is let in, nothing passes any more, questions pass and answers do not, or connections are forgotten.
//!
//! Included with `#[path]`; needs `tokio`, `tokio-util` and `url`.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{io, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// What a link can suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Connections end in good order.
    Cut,
    /// Connections are torn.
    Reset,
    /// The same, and for a while nobody is let in.
    Refuse,
    /// Nothing passes for a while; then all of it does.
    Stall,
    /// Nothing passes for a while, nor afterwards: connections are torn then.
    Swallow,
    /// Questions pass and are obeyed; for a while no answer does, then connections are torn.
    LoseAnswers,
    /// Nothing passes any more over the connections that there are, for ever, and neither end is told. New ones are
    /// sound: a firewall has forgotten, or another server has taken over the address.
    Forget,
}

impl Fault {
    pub const ALL: [Self; 7] = [
        Self::Cut,
        Self::Reset,
        Self::Refuse,
        Self::Stall,
        Self::Swallow,
        Self::LoseAnswers,
        Self::Forget,
    ];
}

/// See the module; ends when dropped.
pub struct Link {
    /// The server's address by this way.
    pub url: String,
    state: watch::Sender<State>,
    healing: Option<AbortOnDropHandle<()>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// That of the next connection.
    generation: u64,
    /// Connections before this generation are over.
    over: u64,
    /// How they end.
    is_torn: bool,
    /// Those before this one never are, and never carry anything.
    forgotten: u64,
    /// The question after one with these words begins [`Fault::LoseAnswers`].
    fatal: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Questions,
    Answers,
}

impl State {
    fn begin(&mut self, fault: Fault) {
        self.fault = Some(fault);
        if matches!(fault, Fault::Cut | Fault::Reset | Fault::Refuse) {
            self.end_connections(fault != Fault::Cut);
        }
        if fault == Fault::Forget {
            self.generation += 1;
            self.forgotten = self.generation;
        }
    }

    fn heal(&mut self) {
        let fault = self.fault.take();
        if matches!(fault, Some(Fault::Swallow | Fault::LoseAnswers)) {
            self.end_connections(true);
        }
    }

    /// Whether these words were waited for.
    fn prepares(&mut self, question: &[u8]) -> bool {
        let holds = |words: &mut &'static str| {
            let mut parts = question.windows(words.len());
            parts.any(|part| part == words.as_bytes())
        };
        self.fatal.take_if(holds).is_some()
    }

    fn end_connections(&mut self, is_torn: bool) {
        self.generation += 1;
        self.over = self.generation;
        self.is_torn = is_torn;
    }

    fn is_over(&self, born: u64) -> bool {
        (self.forgotten..self.over).contains(&born)
    }

    fn passes(&self, way: Way, born: u64) -> bool {
        match self.fault {
            _ if born < self.forgotten => false,
            Some(Fault::Stall | Fault::Swallow) => false,
            Some(Fault::LoseAnswers) => way == Way::Questions,
            _ => true,
        }
    }
}

impl Link {
    /// To the server at this address.
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = Url::parse(server).unwrap();
        let folder = url.query_pairs().find(|(key, _)| key == "host");
        let place = match folder {
            Some((_, folder)) => Place::Socket(format!("{folder}/.s.PGSQL.5432").into()),
            None => Place::Port(url.port().unwrap()),
        };
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        url.set_query(None);
        let state = watch::Sender::new(State::default());
        Self {
            url: url.into(),
            healing: None,
            _serving: AbortOnDropHandle::new(tokio::spawn(serve(listener, place, state.clone()))),
            state,
        }
    }

    /// Fails, for so long if it is a fault that lasts.
    pub fn fail(&mut self, fault: Fault, lasts: Duration) {
        self.heal();
        self.state.send_modify(|state| state.begin(fault));
        let state = self.state.clone();
        self.healing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            sleep(lasts).await; // no-sleep-ok: how long the network is away
            state.send_modify(State::heal);
        })));
    }

    /// Loses the answer to the next statement of PostgreSQL's with these words, and all from then on until it is healed.
    /// It is prepared, which is answered, and then executed: not one that was prepared before.
    pub fn lose_answer_to(&mut self, words: &'static str) {
        self.state.send_modify(|state| state.fatal = Some(words));
    }

    /// All is well again.
    pub fn heal(&mut self) {
        self.healing = None;
        self.state.send_modify(State::heal);
    }
}

/// Where the server is.
#[derive(Debug, Clone)]
enum Place {
    Socket(PathBuf),
    Port(u16),
}

async fn serve(listener: TcpListener, place: Place, state: watch::Sender<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        if state.borrow().fault == Some(Fault::Refuse) {
            // The client sees its connection torn before it has said anything.
            let _ = client.set_zero_linger();
            continue;
        }
        connections.spawn(carry(client, place.clone(), state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, to its end or its generation's.
async fn carry(mut client: TcpStream, place: Place, state: watch::Sender<State>) {
    let born = state.borrow().generation;
    let carried = async {
        client.set_nodelay(true)?;
        // Whoever knocks while nothing passes hears nothing.
        open(&mut state.subscribe(), born, Way::Questions).await?;
        match place {
            Place::Socket(path) => {
                let server = UnixStream::connect(path).await?;
                exchange(&mut client, server, &state, born).await
            }
            Place::Port(port) => {
                let server = TcpStream::connect(("127.0.0.1", port)).await?;
                server.set_nodelay(true)?;
                exchange(&mut client, server, &state, born).await
            }
        }
    };
    let mut watched = state.subscribe();
    let ended = tokio::select! {
        biased;
        _ = watched.wait_for(|state| state.is_over(born)) => Err(io::ErrorKind::ConnectionReset.into()),
        carried = carried => carried,
    };
    let now = state.borrow();
    if ended.is_err() && (now.is_torn || !now.is_over(born)) {
        // What breaks on one side breaks on the other.
        let _ = client.set_zero_linger();
    }
}

async fn exchange(
    client: &mut TcpStream,
    server: impl AsyncRead + AsyncWrite,
    state: &watch::Sender<State>,
    born: u64,
) -> io::Result<()> {
    let (questions, asker) = client.split();
    let (answers, obeyer) = tokio::io::split(server);
    tokio::try_join!(
        pass(questions, obeyer, Way::Questions, state, born),
        pass(answers, asker, Way::Answers, state, born),
    )
    .map(drop)
}

/// One direction: bytes in order, and their end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    state: &watch::Sender<State>,
    born: u64,
) -> io::Result<()> {
    let mut seen = state.subscribe();
    let mut bytes = vec![0; 16 * 1024];
    let mut is_fatal = false;
    loop {
        let read = from.read(&mut bytes).await;
        open(&mut seen, born, way).await?;
        let read = &bytes[..read?];
        if way == Way::Questions {
            state.send_if_modified(|state| {
                if is_fatal {
                    state.begin(Fault::LoseAnswers);
                }
                std::mem::replace(&mut is_fatal, state.prepares(read))
            });
        }
        match read {
            [] => return to.shutdown().await,
            read => to.write_all(read).await?,
        }
    }
}

/// Waits until something passes; an error when the connection is over.
async fn open(state: &mut watch::Receiver<State>, born: u64, way: Way) -> io::Result<()> {
    let is_next = |state: &State| state.is_over(born) || state.passes(way, born);
    match state.wait_for(is_next).await {
        Ok(state) if !state.is_over(born) => Ok(()),
        _ => Err(io::ErrorKind::ConnectionReset.into()),
    }
}
