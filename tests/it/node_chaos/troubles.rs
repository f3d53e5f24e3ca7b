//! What happens to nodes and to their servers: one after another is killed, and meanwhile others are stopped for a while,
//! PostgreSQL and Redis restart. Their order is the seed's; who is up when they strike is not.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join, stream::FuturesUnordered};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::Sleep;

use super::{Chaos, Network};
use crate::support::{Server, postgres::Restartable, redis::Redis};

/// How often each was.
#[derive(Debug, Default)]
pub struct Told {
    pub kills: usize,
    pub stops: usize,
    pub postgres: usize,
    pub redis: usize,
}

/// See the module.
pub struct Troubles<'a> {
    /// Those that are up; one that was killed is away until it serves again.
    nodes: RefCell<Vec<Option<Server>>>,
    network: &'a Network,
    chaos: &'a Chaos,
    are_over: Cell<bool>,
}

/// Trouble comes when it likes.
fn some_time(rng: &mut StdRng) -> Sleep {
    tokio::time::sleep(Duration::from_millis(rng.random_range(1000..5000))) // no-sleep-ok: see above
}

impl<'a> Troubles<'a> {
    pub fn of(nodes: Vec<Server>, network: &'a Network, chaos: &'a Chaos) -> Self {
        Self {
            nodes: RefCell::new(nodes.into_iter().map(Some).collect()),
            network,
            chaos,
            are_over: Cell::new(false),
        }
    }

    /// For as long as it is to last; then all is well, and the nodes are up.
    pub async fn strike(
        self,
        postgres: Restartable,
        redis: Redis,
    ) -> (Told, Vec<Server>, Restartable, Redis) {
        let (kills, (mut told, postgres, redis)) =
            join(self.kill_nodes(), self.stop_others(postgres, redis)).await;
        told.kills = kills;
        self.network.end();
        let nodes = self.nodes.into_inner().into_iter().flatten().collect();
        (told, nodes, postgres, redis)
    }

    /// One that is up, if any is.
    fn any(&self, rng: &mut StdRng) -> Option<usize> {
        let nodes = self.nodes.borrow();
        let up: Vec<usize> = (0..nodes.len()).filter(|n| nodes[*n].is_some()).collect();
        (!up.is_empty()).then(|| up[rng.random_range(0..up.len())])
    }

    /// Each 1 to 5 s one, whether or not the last is up again. Tells how many.
    async fn kill_nodes(&self) -> usize {
        let mut rng = StdRng::seed_from_u64(self.chaos.seed.wrapping_add(2));
        let mut starting = FuturesUnordered::new();
        let mut kills = 0;
        while !self.are_over.get() {
            let pause = some_time(&mut rng);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some((node, server)) = starting.next() => self.is_up(node, server),
                }
            }
            let Some(node) = self.any(&mut rng) else {
                continue;
            };
            let Some(mut dying) = self.nodes.borrow_mut()[node].take() else {
                continue;
            };
            dying.kill();
            kills += 1;
            self.network.spare(node);
            starting.push(async move { (node, dying.start_until_it_serves().await) });
        }
        while let Some((node, server)) = starting.next().await {
            self.is_up(node, server);
        }
        kills
    }

    fn is_up(&self, node: usize, server: Server) {
        self.nodes.borrow_mut()[node] = Some(server);
        self.network.expose(node);
    }

    /// Of those that are not killed some stop for a while and go on; PostgreSQL and Redis restart.
    async fn stop_others(
        &self,
        mut postgres: Restartable,
        mut redis: Redis,
    ) -> (Told, Restartable, Redis) {
        let mut rng = StdRng::seed_from_u64(self.chaos.seed.wrapping_add(3));
        let mut told = Told::default();
        let until = Instant::now() + self.chaos.trouble;
        // Each kind once, then as it comes.
        let mut firsts = [2, 0, 3].into_iter();
        while Instant::now() < until || told.postgres.min(told.redis) < self.chaos.restarts {
            some_time(&mut rng).await;
            let any = rng.random_range(0..4);
            match firsts.next().unwrap_or(any) {
                0 | 1 => {
                    if self.stop_a_while(&mut rng).await {
                        told.stops += 1;
                    }
                }
                2 => {
                    postgres = on_a_thread(postgres, |postgres| {
                        postgres.stop();
                        postgres.start_again();
                    })
                    .await;
                    told.postgres += 1;
                }
                _ => {
                    redis = on_a_thread(redis, |redis| {
                        redis.stop();
                        redis.start_again();
                    })
                    .await;
                    told.redis += 1;
                }
            }
        }
        self.are_over.set(true);
        (told, postgres, redis)
    }

    /// A node that stands still for 0.5 to 6 s, if it is not killed before; whether one was up.
    async fn stop_a_while(&self, rng: &mut StdRng) -> bool {
        let asleep = Duration::from_millis(rng.random_range(500..6000));
        let Some(node) = self.any(rng) else {
            return false;
        };
        let pid = {
            let nodes = self.nodes.borrow();
            let Some(server) = &nodes[node] else {
                return false;
            };
            server.signal("STOP");
            server.pid()
        };
        tokio::time::sleep(asleep).await; // no-sleep-ok: as long as it stands still
        if let Some(server) = &self.nodes.borrow()[node]
            && server.pid() == pid
        {
            server.signal("CONT");
        }
        true
    }
}

/// Waits for what blocks, and nobody else does.
async fn on_a_thread<T: Send + 'static>(mut it: T, act: impl FnOnce(&mut T) + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(move || {
        act(&mut it);
        it
    });
    done.await.unwrap()
}
