//! The entry points for reading.

use async_graphql::{Context, ID, Object, SimpleObject};

use super::block::{BlockInput, BlockKind, BlockReport, blocks, kinds};
use super::compare::{self, CkaMatrix};
use super::connection::{ListConnection, Total, connection, page};
use super::dataset::{Dataset, ProbeSet};
use super::error::{ApiError, Result};
use super::id::GlobalId;
use super::job::Job;
use super::layer::Layer;
use super::layer_match::Measure;
use super::limits::{entries_cost, list_cost, page_cost};
use super::loader::load;
use super::model::{Model, ModelFilter, ModelOrder};
use super::node::{self, Node};
use super::token::{AuditEntry, Token, Viewer};
use super::version::Version;
use crate::config::Limits;
use scv_domain::access::Scope;
use scv_domain::block::MAX_BLOCKS;
use scv_domain::id::{JobId, LayerId, ModelId, ProbeSetId, VersionId};
use scv_domain::page::{MAX_PAGE, Page};
use scv_domain::probe::DEFAULT_PROBES;
use scv_domain::vector::{MAX_PROBES, MIN_PROBES};
use scv_service::{CacheStatistics, Library};
use scv_store::ModelCursor;

/// What can be read.
#[derive(Debug, async_graphql::Description)]
pub struct Query;

#[Object(use_type_description)]
impl Query {
    /// Anything by its global id. Null if there is no such thing.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "A global id.")] id: ID) -> Result<Option<Node>> {
        node::node(ctx, &id).await
    }

    /// Many things by their global ids, in the same order, null where there is no such thing. At most 100.
    #[graphql(complexity = "entries_cost(ids.len(), child_complexity)")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        if ids.len() > MAX_PAGE {
            return Err(ApiError::bad_input(format!(
                "`ids` must have at most {MAX_PAGE} entries, got {}",
                ids.len()
            )));
        }
        futures::future::try_join_all(ids.iter().map(|id| node::node(ctx, id))).await
    }

    /// All models that a filter admits.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn models(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which models.")] filter: Option<ModelFilter>,
        #[graphql(desc = "In which order; as registered if left out.")] order_by: Option<ModelOrder>,
    ) -> Result<ListConnection<Model>> {
        let page: Page<ModelCursor> = page(first, after, last, before)?;
        let filter = filter.unwrap_or_default().into();
        let order = order_by.unwrap_or_default().into();
        if [&page.after, &page.before]
            .into_iter()
            .flatten()
            .any(|cursor| !cursor.fits(order))
        {
            return Err(ApiError::bad_input(
                "the cursor is of a list in another order: begin this list anew, without it",
            ));
        }
        let slice = ctx
            .data_unchecked::<Library>()
            .store()
            .models_page(&filter, order, &page)
            .await?;
        Ok(connection(
            slice,
            Total::Models(filter),
            |model| ModelCursor::of(model, order),
            Model,
        ))
    }

    /// A model by its id or by its name. Null if there is none.
    async fn model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id; finds a deleted model too.")] id: Option<ID>,
        #[graphql(desc = "Its name.")] name: Option<String>,
    ) -> Result<Option<Model>> {
        match (id, name) {
            (Some(id), None) => node::model(ctx, ModelId::decode(&id)?).await,
            (None, Some(name)) => Ok(ctx
                .data_unchecked::<Library>()
                .store()
                .model_by_name(&name)
                .await?
                .map(Model)),
            _ => Err(ApiError::bad_input("give `id` or `name`, and only one of them")),
        }
    }

    /// A version. Null if there is none or its model is deleted.
    async fn version(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Result<Option<Version>> {
        node::version(ctx, VersionId::decode(&id)?).await
    }

    /// A layer. Null if there is none or its model is deleted.
    async fn layer(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Result<Option<Layer>> {
        node::layer(ctx, LayerId::decode(&id)?).await
    }

    /// All data sets, by name.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn datasets(&self, ctx: &Context<'_>) -> Result<Vec<Dataset>> {
        Ok(ctx
            .data_unchecked::<Library>()
            .store()
            .datasets()
            .await?
            .into_iter()
            .map(Dataset)
            .collect())
    }

    /// The data set of a name. Null if there is none.
    async fn dataset(&self, ctx: &Context<'_>, #[graphql(desc = "Its name.")] name: String) -> Result<Option<Dataset>> {
        Ok(ctx
            .data_unchecked::<Library>()
            .store()
            .dataset_by_name(&name)
            .await?
            .map(Dataset))
    }

    /// A probe set. Null if there is none.
    async fn probe_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<ProbeSet>> {
        Ok(load(ctx, ProbeSetId::decode(&id)?).await?.map(ProbeSet))
    }

    /// All layers of a version against all layers of another, at most a million scores.
    async fn cka_matrix(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the version of the rows.")] a: ID,
        #[graphql(desc = "Global id of the version of the columns; may be the same.")] b: ID,
        #[graphql(desc = "What the scores are of.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "The probe set to compare on; the default one of a's data set if left out.")]
        probe_set: Option<ID>,
        #[graphql(desc = "Only layers of these kinds. Empty: all.", default)] layer_kinds: Vec<String>,
    ) -> Result<CkaMatrix> {
        compare::cka_matrix(ctx, [&a, &b], measure, probe_set.as_ref(), layer_kinds).await
    }

    /// A piece of background work. Null if there is none.
    async fn job(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Result<Option<Job>> {
        Ok(load(ctx, JobId::decode(&id)?).await?.map(Job))
    }

    /// Checks a block list against a data set: every fault at once, and shapes and costs as far as they can be told.
    async fn validate_blocks(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "blocks", desc = "The network.")] inputs: Vec<BlockInput>,
        #[graphql(desc = "Name of the data set it is made for.")] dataset: String,
    ) -> Result<BlockReport> {
        let blocks = blocks(inputs);
        Ok(ctx
            .data_unchecked::<Library>()
            .validate_blocks(&blocks, &dataset)
            .await?
            .into())
    }

    /// The layer kinds of the block language.
    async fn block_kinds(&self) -> Vec<BlockKind> {
        kinds()
    }

    /// Who asks.
    async fn viewer(&self, ctx: &Context<'_>) -> Viewer {
        Viewer(ctx.data_unchecked::<Library>().access())
    }

    /// The tokens of whoever asks, or all for an administrator, as they were made.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Token>> {
        let page = page(first, after, last, before)?;
        let slice = ctx.data_unchecked::<Library>().store().tokens_page(&page).await?;
        Ok(connection(slice, Total::Tokens, |token| token.id.0, Token))
    }

    /// What was changed by whom, the latest first; for administrators.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<AuditEntry>> {
        let page = page(first, after, last, before)?;
        let library = ctx.data_unchecked::<Library>();
        library.require(Scope::Admin)?;
        let slice = library.store().audit_page(&page).await?;
        Ok(connection(slice, Total::AuditEntries, |entry| entry.id.0, AuditEntry))
    }

    /// What this server is and which limits it keeps.
    async fn server_info(&self, ctx: &Context<'_>) -> Result<ServerInfo> {
        let library = ctx.data_unchecked::<Library>();
        Ok(ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            device: library.device().to_owned(),
            catalogue_generation: library.store().generation().await? as f64,
            caches: library.cache_statistics().await.into_iter().map(Cache).collect(),
            limits: (*ctx.data_unchecked::<Limits>()).into(),
            max_page_size: MAX_PAGE,
            max_blocks: MAX_BLOCKS,
            min_probe_images: MIN_PROBES,
            max_probe_images: MAX_PROBES,
            default_probe_images: DEFAULT_PROBES,
        })
    }
}

/// What a server is and which limits it keeps.
#[derive(Debug, Clone, SimpleObject)]
pub struct ServerInfo {
    /// Version of SCV.
    version: &'static str,
    /// What networks run on.
    device: String,
    /// How often the catalogue has changed; a whole number.
    catalogue_generation: f64,
    /// What it keeps in memory, and how often that helped.
    caches: Vec<Cache>,
    /// How much may be asked for.
    limits: ServerLimits,
    /// Most entries of a page.
    max_page_size: usize,
    /// Most blocks of a network.
    max_blocks: usize,
    /// Fewest images of a probe set.
    min_probe_images: usize,
    /// Most images of a probe set.
    max_probe_images: usize,
    /// Images of a data set's first probe set, if it has so many.
    default_probe_images: usize,
}

/// How much may be asked for. Beyond it a request is refused, with what to change.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct ServerLimits {
    /// Bytes of a document.
    document_bytes: usize,
    /// Words and signs of a document.
    tokens: usize,
    /// Nesting of a document.
    depth: u32,
    /// Fields of a document, counted through fragments.
    fields: usize,
    /// Fields of the query or mutation itself, counted through fragments.
    root_fields: usize,
    /// Fields under another name, counted through fragments.
    aliases: usize,
    /// Price of a document: a field counts one, and what is in a list as often as the page has entries.
    complexity: usize,
    /// Bytes of an answer before it is packed, roughly.
    answer_bytes: usize,
    /// Requests that come as one list.
    batch: usize,
    /// Bytes of a request without files.
    body_bytes: usize,
    /// Bytes of a file.
    file_bytes: usize,
    /// Bytes of all files of a request together.
    upload_bytes: usize,
    /// Files of a request.
    files: usize,
    /// Seconds that a request may take.
    seconds: u64,
    /// Requests that are executed at a time.
    requests: u32,
    /// Subscriptions at a time.
    subscriptions: u32,
    /// Subscriptions at a time with one token, or without one from one address.
    client_subscriptions: u32,
    /// WebSockets that are open from one address.
    sockets: u32,
    /// Requests with files that are taken in at a time.
    uploads: u32,
    /// Requests with files that are taken in at a time with one token, or without one from one address.
    client_uploads: u32,
    /// Requests a minute with one token, or without one from one address; any number if 0.
    rate: u32,
}

impl From<Limits> for ServerLimits {
    fn from(limits: Limits) -> Self {
        Self {
            document_bytes: limits.document_bytes,
            tokens: limits.tokens,
            depth: limits.depth,
            fields: limits.fields,
            root_fields: limits.root_fields,
            aliases: limits.aliases,
            complexity: limits.complexity,
            answer_bytes: limits.answer_bytes,
            batch: limits.batch,
            body_bytes: limits.body_bytes,
            file_bytes: limits.file_bytes,
            upload_bytes: limits.upload_bytes,
            files: limits.files,
            seconds: limits.seconds,
            requests: limits.requests,
            subscriptions: limits.subscriptions,
            client_subscriptions: limits.client_subscriptions,
            sockets: limits.sockets,
            uploads: limits.uploads,
            client_uploads: limits.client_uploads,
            rate: limits.rate,
        }
    }
}

/// Things kept in memory because they were costly to get.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct Cache(CacheStatistics);

#[Object(use_type_description)]
impl Cache {
    /// What it keeps.
    async fn name(&self) -> &str {
        self.0.name
    }

    /// Bytes of all that it keeps; a whole number.
    async fn bytes(&self) -> f64 {
        self.0.bytes as f64
    }

    /// Most bytes it keeps; a whole number.
    async fn byte_limit(&self) -> f64 {
        self.0.byte_limit as f64
    }

    /// Things it keeps.
    async fn entries(&self) -> f64 {
        self.0.entries as f64
    }

    /// Questions answered from it since the start, those included that waited for another's answer.
    async fn hits(&self) -> f64 {
        self.0.hits as f64
    }

    /// Questions since the start whose answer had to be computed.
    async fn misses(&self) -> f64 {
        self.0.misses as f64
    }
}
