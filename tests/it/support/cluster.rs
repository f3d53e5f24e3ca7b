//! Many nodes on one PostgreSQL and one Redis, behind a balancer.

use std::path::PathBuf;

use bolo_simulator::caller::{CallHandle, CallerScript};
use serde_json::Value;

use super::{
    DEADLINE, Fakes, OURS, THEIRS,
    balancer::Balancer,
    postgres, redis,
    server::{Database, Server, Setup},
};

/// The same on every node.
const MASTER_KEY: &str = "0123456789abcdef0123456789abcdef";

/// See the module. The first node that is ready gets all that it can take.
pub struct Cluster {
    pub nodes: Vec<Server>,
    pub balancer: Balancer,
    pub fakes: Fakes,
    environment: Vec<(String, String)>,
    _database: Option<postgres::Database>,
}

impl Cluster {
    /// Nodes on the databases that tests share.
    pub async fn start(fakes: Fakes, nodes: usize, more: &[(&str, &str)]) -> Self {
        let database = postgres::database().await.expect("PostgreSQL is left out");
        let mut cluster = Self::on(fakes, &database.url, &redis::shared(), nodes, more).await;
        cluster._database = Some(database);
        cluster
    }

    /// Nodes on databases of the test's own.
    pub async fn on(
        fakes: Fakes,
        postgres: &str,
        redis: &str,
        nodes: usize,
        more: &[(&str, &str)],
    ) -> Self {
        let balancer = Balancer::start().await;
        let mut environment = fakes.environment();
        let ours = [
            ("DATABASE_URL", postgres),
            ("REDIS_URL", redis),
            ("BOLO_SECRETS__MASTER_KEY", MASTER_KEY),
            ("BOLO_SERVER__PUBLIC_URL", &balancer.base),
        ];
        for (key, value) in ours.iter().chain(more) {
            environment.push(((*key).to_owned(), (*value).to_owned()));
        }
        let mut cluster = Self {
            nodes: Vec::new(),
            balancer,
            fakes,
            environment,
            _database: None,
        };
        for _ in 0..nodes {
            cluster.add_node().await;
        }
        cluster
    }

    /// One more node, behind the others.
    pub async fn add_node(&mut self) {
        self.add_node_with(&[]).await;
    }

    /// One more node, with settings of its own.
    pub async fn add_node_with(&mut self, more: &[(&str, &str)]) {
        let mut environment = self.environment.clone();
        // The last one counts.
        for (key, value) in more {
            environment.push(((*key).to_owned(), (*value).to_owned()));
        }
        self.add(Setup::new(Database::Sqlite, environment).await)
            .await;
    }

    /// One more node, of another version.
    pub async fn add_node_of(&mut self, binary: PathBuf) {
        let setup = Setup::new(Database::Sqlite, self.environment.clone()).await;
        self.add(setup.running(binary)).await;
    }

    async fn add(&mut self, setup: Setup) {
        let port = setup.public_port;
        self.nodes.push(Server::start(setup).await);
        self.balancer.add(port);
    }

    /// The node that runs the one call there is, and one that does not.
    pub async fn runner(&self) -> (usize, usize) {
        let started = tokio::time::Instant::now();
        loop {
            for (nth, node) in self.nodes.iter().enumerate() {
                let figures = node.bytes("/metrics").await;
                let figures = String::from_utf8(figures).unwrap();
                if figures.lines().any(|line| line == "bolo_calls_live 1") {
                    return (nth, (nth + 1) % self.nodes.len());
                }
            }
            assert!(started.elapsed() < DEADLINE, "no node runs the call");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
        }
    }

    /// What all nodes have said.
    pub fn logs(&self) -> String {
        let logs: Vec<String> = self.nodes.iter().map(Server::log).collect();
        logs.join("\n")
    }

    /// An agent calls somebody who follows a script: the execution, and the far end's handle.
    pub async fn dial(&self, agent: &Value, script: CallerScript) -> (String, CallHandle) {
        self.fakes.carrier.script(THEIRS, script);
        let agent = self.nodes[0].create_agent(agent).await;
        let execution = self.nodes[0].call(&agent, THEIRS).await;
        let call = self.fakes.carrier.dialled(THEIRS).await.unwrap();
        (execution, call)
    }

    /// Somebody calls an agent.
    pub fn ring(&self, agent: &str, from: &str, script: CallerScript) -> CallHandle {
        let url = format!("{}/inbound_call?agent_id={agent}", self.balancer.base);
        let carrier = &self.fakes.carrier;
        carrier.call_in_to(from, OURS, &url, script).unwrap()
    }

    /// Stops what still runs and fails on unexpected complaints in its log.
    pub async fn end(self, expected: &[&str]) {
        for node in self.nodes {
            node.stop_cleanly(expected).await;
        }
    }
}
