//! Semantic routes of an agent's version: embedded once, kept, asked within a turn (R120, R122).

use std::sync::Arc;

use bolo_agent::Route;
use bolo_execution::AgentId;
use bolo_knowledge::RouteIndex;
use bolo_providers::Embedder;

/// Agent versions whose vectors are kept.
const KEPT: u64 = 1000;

/// An agent's routes, ready to be asked.
pub(crate) struct RouteTable {
    index: RouteIndex,
    embedder: Arc<dyn Embedder>,
}

/// What the routes say to a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    /// Route and its best utterance, when its threshold is reached.
    pub(crate) hit: Option<(u32, u32)>,
    /// Of the nearest utterance: raw, and on the reference scale.
    pub(crate) scores: Option<(f32, f32)>,
}

impl RouteTable {
    /// Embeds every utterance.
    pub(crate) async fn build(
        routes: &[Route],
        embedder: Arc<dyn Embedder>,
    ) -> Result<Self, RouteError> {
        let vectors = embedder.embed(&RouteIndex::texts(routes)).await?;
        let index = RouteIndex::new(routes, &vectors, |reference| {
            embedder.raw_threshold(reference)
        })?;
        Ok(Self { index, embedder })
    }

    /// Which route answers this text.
    pub(crate) async fn decide(&self, text: String) -> Result<Decision, RouteError> {
        let vectors = self.embedder.embed(&[text]).await?;
        let Some(vector) = vectors.first() else {
            return Ok(Decision {
                hit: None,
                scores: None,
            });
        };
        let hit = self.index.best(vector);
        let shown = hit.or_else(|| self.index.nearest(vector));
        Ok(Decision {
            hit: hit.map(|hit| (hit.route as u32, hit.utterance as u32)),
            scores: shown.map(|hit| (hit.score, self.embedder.reference_score(hit.score))),
        })
    }
}

/// Routes could not be made or asked: the turn goes to the model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error(transparent)]
    Embedder(#[from] bolo_providers::Error),
    #[error(transparent)]
    Index(#[from] bolo_knowledge::Error),
}

/// Where a call's table comes from: built by whoever asks first.
#[derive(Clone)]
pub(crate) struct RouteSource {
    tables: RouteTables,
    version: (AgentId, i64),
    routes: Arc<Vec<Route>>,
    embedder: Arc<dyn Embedder>,
}

impl RouteSource {
    pub(crate) fn new(
        tables: RouteTables,
        version: (AgentId, i64),
        routes: Vec<Route>,
        embedder: Arc<dyn Embedder>,
    ) -> Self {
        Self {
            tables,
            version,
            routes: Arc::new(routes),
            embedder,
        }
    }

    async fn table(&self) -> Result<Arc<RouteTable>, Arc<RouteError>> {
        self.tables
            .get(self.version, &self.routes, self.embedder.clone())
            .await
    }

    /// Builds the table now, if it is not there.
    pub(crate) async fn warm(&self) {
        if let Err(error) = self.table().await {
            tracing::error!(%error, "routes could not be embedded");
        }
    }

    /// Which route answers this text.
    pub(crate) async fn decide(&self, text: String) -> Result<Decision, Arc<RouteError>> {
        self.table().await?.decide(text).await.map_err(Arc::new)
    }
}

/// Tables by agent version. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RouteTables {
    tables: moka::future::Cache<(AgentId, i64), Arc<RouteTable>>,
}

impl RouteTables {
    pub(crate) fn new() -> Self {
        Self {
            tables: moka::future::Cache::new(KEPT),
        }
    }

    /// The table of this version; calls that ask at once build it once.
    pub(crate) async fn get(
        &self,
        version: (AgentId, i64),
        routes: &[Route],
        embedder: Arc<dyn Embedder>,
    ) -> Result<Arc<RouteTable>, Arc<RouteError>> {
        let build = async { RouteTable::build(routes, embedder).await.map(Arc::new) };
        self.tables.try_get_with(version, build).await
    }
}
