//! A line's vendors in order of preference: where one can't be had, or breaks again and again, the next
//! takes over and stays for the rest of the call (R193, R195, R197).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bolo_providers::{Error, ErrorKind, Session, llm::Gate};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    line::{Open, Opener},
    prepare::Found,
};

/// How long a vendor that is not the last may take to connect: time for the next must be left within the
/// limit of the line.
const CONNECT: Duration = Duration::from_millis(1500);
/// Connections of one vendor, each broken within [`LIVED`], before the next takes over.
const BREAKS: u32 = 2;
const LIVED: Duration = Duration::from_secs(60);

/// One vendor of a line.
pub(crate) struct Member<I, O> {
    pub(crate) vendor: &'static str,
    pub(crate) open: Opener<I, O>,
}

/// Which member of a line is at work; shared with those who must not take its work for another's.
#[derive(Debug, Clone, Default)]
pub(crate) struct AtWork(Arc<AtomicUsize>);

impl AtWork {
    /// Its place in the line.
    pub(crate) fn place(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One that took over.
    pub(crate) fn is_fallback(&self) -> bool {
        self.place() > 0
    }
}

/// A member by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) vendor: &'static str,
    pub(crate) model: String,
    /// Of a synthesizer.
    pub(crate) voice: String,
}

impl Name {
    /// As usage names it.
    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.vendor, self.model)
    }
}

/// The members of a line and who of them is at work, as logs and usage name them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crew {
    pub(crate) members: Vec<Name>,
    pub(crate) at_work: AtWork,
}

impl Crew {
    /// `told` gives model and voice.
    pub(crate) fn of<V: ?Sized, S>(found: &[Found<V, S>], told: fn(&S) -> (&str, &str)) -> Self {
        let name = |(vendor, found): &Found<V, S>| {
            let (model, voice) = found.as_ref().map_or(("", ""), |(_, spec)| told(spec));
            Name {
                vendor,
                model: model.to_owned(),
                voice: voice.to_owned(),
            }
        };
        Self {
            members: found.iter().map(name).collect(),
            at_work: AtWork::default(),
        }
    }

    /// Who is at work.
    pub(crate) fn now(&self) -> Name {
        let member = self.members.get(self.at_work.place());
        member.cloned().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Place {
    at: usize,
    /// Connections made in a row that did not last, and when the last was made.
    opened: u32,
    opened_at: Option<Instant>,
}

struct Vendors<I, O> {
    members: Vec<Member<I, O>>,
    gate: Arc<dyn Gate>,
    place: Mutex<Place>,
    at_work: AtWork,
}

/// Opens with the first member that can be had. A line of one member opens with that.
pub(crate) fn first_of<I: Send + 'static, O: Send + 'static>(
    members: Vec<Member<I, O>>,
    gate: Arc<dyn Gate>,
    at_work: AtWork,
) -> Opener<I, O> {
    Arc::new(FirstOf(Arc::new(Vendors {
        members,
        gate,
        place: Mutex::default(),
        at_work,
    })))
}

/// See [`first_of`].
struct FirstOf<I, O>(Arc<Vendors<I, O>>);

impl<I: Send + 'static, O: Send + 'static> Open<I, O> for FirstOf<I, O> {
    fn open(&self) -> BoxFuture<'static, Result<Session<I, O>, Error>> {
        self.0.clone().connect().boxed()
    }

    fn refused(&self, error: &Error) -> bool {
        self.0.refused(error)
    }
}

impl<I, O> Vendors<I, O> {
    async fn connect(self: Arc<Self>) -> Result<Session<I, O>, Error> {
        let mut at = self.begin();
        loop {
            let Some(member) = self.members.get(at) else {
                return Err(nobody());
            };
            let is_last = at + 1 == self.members.len();
            let opened = match is_last {
                true => member.open.open().await,
                false => tokio::time::timeout(CONNECT, member.open.open())
                    .await
                    .unwrap_or_else(|_| Err(too_slow(member.vendor))),
            };
            match opened {
                Ok(session) => {
                    self.gate.note(member.vendor, Ok(()));
                    self.opened(at);
                    return Ok(session);
                }
                Err(error) => {
                    self.gate.note(member.vendor, Err(&error));
                    if is_last {
                        return Err(error);
                    }
                    tracing::warn!(vendor = member.vendor, %error, "the fallback takes over");
                    at += 1;
                }
            }
        }
    }

    /// Whom to try first: not those shut out, nor one whose connections do not last, but the last always.
    fn begin(&self) -> usize {
        let last = self.members.len().saturating_sub(1);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let lasted = place.opened_at.is_none_or(|at| at.elapsed() >= LIVED);
        if lasted {
            place.opened = 0;
        } else if place.opened >= BREAKS && place.at < last {
            let vendor = self.members[place.at].vendor;
            tracing::warn!(vendor, "its connections break: the fallback takes over");
            self.gate.note(vendor, Err(&broken(vendor)));
            place.at += 1;
            place.opened = 0;
        }
        while place.at < last && !self.gate.is_open(self.members[place.at].vendor) {
            place.at += 1;
        }
        place.at
    }

    /// Who refuses a connection that it let in would refuse the next one, too.
    fn refused(&self, error: &Error) -> bool {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(member) = self.members.get(place.at) else {
            return false;
        };
        self.gate.note(member.vendor, Err(error));
        let is_last = place.at + 1 == self.members.len();
        if !is_last {
            tracing::warn!(vendor = member.vendor, %error, "the fallback takes over");
            place.at += 1;
            place.opened = 0;
        }
        !is_last
    }

    fn opened(&self, at: usize) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.at != at {
            place.at = at;
            place.opened = 0;
        }
        place.opened += 1;
        place.opened_at = Some(Instant::now());
        self.at_work.0.store(at, Ordering::Relaxed);
    }
}

fn error(kind: ErrorKind, vendor: &'static str, cause: &str) -> Error {
    Error {
        kind,
        vendor,
        role: "connection",
        cause: cause.to_owned(),
        retry_after: None,
    }
}

fn too_slow(vendor: &'static str) -> Error {
    error(ErrorKind::Timeout, vendor, "slow to connect")
}

fn broken(vendor: &'static str) -> Error {
    error(ErrorKind::Dropped, vendor, "connection lost")
}

fn nobody() -> Error {
    error(ErrorKind::BadRequest, "vendor", "none is set up")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::VecDeque;

    use bolo_execution::AccountId;
    use tokio::{sync::mpsc, time::advance};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::breakers::Breakers;

    type Tried = Arc<Mutex<Vec<&'static str>>>;

    /// A vendor whose connections turn out like this, in turn; then all are good.
    fn member(vendor: &'static str, fates: &[Option<ErrorKind>], tried: &Tried) -> Member<u8, u8> {
        let fates = Mutex::new(fates.iter().copied().collect::<VecDeque<_>>());
        let tried = tried.clone();
        let open: Opener<u8, u8> = Arc::new(move || {
            tried.lock().unwrap().push(vendor);
            let fate = fates.lock().unwrap().pop_front().flatten();
            let opened = match fate {
                Some(kind) => Err(error(kind, vendor, "down")),
                None => Ok(Session {
                    input: mpsc::channel(1).0,
                    output: mpsc::channel(1).1,
                    task: AbortOnDropHandle::new(tokio::spawn(async {})),
                }),
            };
            std::future::ready(opened).boxed()
        });
        Member { vendor, open }
    }

    fn gate() -> Arc<dyn Gate> {
        Breakers::default().for_call(AccountId::new(), "transcriber")
    }

    #[tokio::test(start_paused = true)] // R193
    async fn who_can_not_be_had_is_replaced_at_once_and_for_good() {
        let tried = Tried::default();
        let at_work = AtWork::default();
        let members = vec![
            member("one", &[Some(ErrorKind::Auth)], &tried),
            member("two", &[], &tried),
        ];
        let open = first_of(members, gate(), at_work.clone());
        open.open().await.unwrap();
        assert_eq!(at_work.place(), 1);
        open.open().await.unwrap();
        assert_eq!(*tried.lock().unwrap(), ["one", "two", "two"]);
    }

    #[tokio::test(start_paused = true)] // R193, R195
    async fn who_refuses_after_it_let_in_is_replaced_unless_it_is_the_last() {
        let tried = Tried::default();
        let at_work = AtWork::default();
        let members = vec![member("one", &[], &tried), member("two", &[], &tried)];
        let open = first_of(members, gate(), at_work.clone());
        open.open().await.unwrap();
        assert!(open.refused(&error(ErrorKind::Quota, "one", "out of credit")));
        open.open().await.unwrap();
        assert_eq!(at_work.place(), 1);
        assert!(!open.refused(&error(ErrorKind::Auth, "two", "wrong key")));
        assert_eq!(*tried.lock().unwrap(), ["one", "two"]);
    }

    #[tokio::test(start_paused = true)] // R195
    async fn whose_connections_break_is_replaced_unless_they_lasted() {
        let tried = Tried::default();
        let members = vec![member("one", &[], &tried), member("two", &[], &tried)];
        let open = first_of(members, gate(), AtWork::default());
        open.open().await.unwrap();
        advance(LIVED).await;
        for _ in 0..3 {
            open.open().await.unwrap();
        }
        assert_eq!(*tried.lock().unwrap(), ["one", "one", "one", "two"]);
    }

    #[tokio::test(start_paused = true)] // R197
    async fn who_is_shut_out_is_not_tried_but_the_last_always_is() {
        let (breakers, account) = (Breakers::default(), AccountId::new());
        for _ in 0..5 {
            let call = breakers.for_call(account, "transcriber");
            call.note("one", Err(&broken("one")));
        }
        let gate = breakers.for_call(account, "transcriber");
        let tried = Tried::default();
        let members = vec![member("one", &[], &tried), member("two", &[], &tried)];
        let alone = vec![member("one", &[], &tried)];
        for members in [members, alone] {
            let open = first_of(members, gate.clone(), AtWork::default());
            open.open().await.unwrap();
        }
        assert_eq!(*tried.lock().unwrap(), ["two", "one"]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_fail_the_last_one_says_why() {
        let tried = Tried::default();
        let members = vec![
            member("one", &[Some(ErrorKind::Auth)], &tried),
            member("two", &[Some(ErrorKind::Connect)], &tried),
        ];
        let open = first_of(members, gate(), AtWork::default());
        let refused = open.open().await.err().unwrap();
        assert_eq!((refused.vendor, refused.kind), ("two", ErrorKind::Connect));
    }
}
