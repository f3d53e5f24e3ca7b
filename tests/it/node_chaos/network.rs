//! The network between each node and its servers, which fails now and then: for PostgreSQL, for Redis or for both, so
//! that a node may be cut off while the others go on without it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::link::{Fault, Link};

/// How long a fault lasts, ms: also longer than a node may be silent. Answers are lost often and for a short while, so
/// that many commits are.
fn lasting(fault: Fault) -> Range<u64> {
    match fault {
        Fault::LoseAnswers => 200..2000,
        _ => 500..8000,
    }
}

/// The links of a node that fail together: PostgreSQL's (mostly), Redis's.
const WHOSE: [[bool; 2]; 4] = [[true, false], [true, false], [false, true], [true, true]];

/// See the module.
pub struct Network {
    /// Each node's way to PostgreSQL and to Redis.
    links: RefCell<Vec<[Link; 2]>>,
    /// Nodes that start need their servers.
    spared: RefCell<BTreeSet<usize>>,
    is_over: Cell<bool>,
}

impl Network {
    pub async fn between(nodes: usize, postgres: &str, redis: &str) -> Self {
        let mut links = Vec::new();
        for _ in 0..nodes {
            links.push([Link::to(postgres).await, Link::to(redis).await]);
        }
        Self {
            links: RefCell::new(links),
            spared: RefCell::default(),
            is_over: Cell::new(false),
        }
    }

    /// Where a node finds PostgreSQL and Redis.
    pub fn addresses(&self, node: usize) -> [String; 2] {
        let links = self.links.borrow();
        [links[node][0].url.clone(), links[node][1].url.clone()]
    }

    /// Nothing happens to this node's links until it is exposed again.
    pub fn spare(&self, node: usize) {
        self.spared.borrow_mut().insert(node);
        self.links.borrow_mut()[node]
            .iter_mut()
            .for_each(Link::heal);
    }

    pub fn expose(&self, node: usize) {
        self.spared.borrow_mut().remove(&node);
    }

    /// Enough of it.
    pub fn end(&self) {
        self.is_over.set(true);
    }

    /// Until its end, and until each fault was there once; how often each was. All is well afterwards.
    pub async fn fail_now_and_then(&self, seed: u64) -> BTreeMap<Fault, usize> {
        // Its own: what happens here is not to depend on when nodes die.
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(1));
        let mut told: BTreeMap<Fault, usize> = BTreeMap::new();
        let mut firsts = Fault::ALL.into_iter();
        while !self.is_over.get() || told.len() < Fault::ALL.len() {
            let pause = Duration::from_millis(rng.random_range(500..4000));
            tokio::time::sleep(pause).await; // no-sleep-ok: trouble comes when it likes
            let node = rng.random_range(0..self.links.borrow().len());
            if self.spared.borrow().contains(&node) {
                continue;
            }
            let any = Fault::ALL[rng.random_range(0..Fault::ALL.len())];
            let whose = WHOSE[rng.random_range(0..WHOSE.len())];
            let fault = firsts.next().unwrap_or(any);
            let lasts = Duration::from_millis(rng.random_range(lasting(fault)));
            let links = &mut self.links.borrow_mut()[node];
            for (link, fails) in links.iter_mut().zip(whose) {
                if fails {
                    link.fail(fault, lasts);
                }
            }
            *told.entry(fault).or_default() += 1;
        }
        self.links
            .borrow_mut()
            .iter_mut()
            .flatten()
            .for_each(Link::heal);
        told
    }
}
