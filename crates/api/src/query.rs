//! The root fields for reading.

use async_graphql::{Context, ID, Object, SimpleObject};

use super::block::{BlockInput, BlockKind, BlockReport, blocks, kinds};
use super::compare::{self, CkaMatrix};
use super::connection::{ListConnection, Total, connection, in_order, page};
use super::cost::{entries_cost, list_cost, page_cost};
use super::dataset::{Dataset, ProbeSet};
use super::error::{ApiError, Result};
use super::id::GlobalId;
use super::job::{Job, JobFilter, JobOrder};
use super::layer::Layer;
use super::layer_comparison::{self, LayerComparison};
use super::layer_match::Measure;
use super::loader::load;
use super::model::{Model, ModelFilter, ModelOrder};
use super::node::{self, Node};
use super::token::{self, AuditEntry, Token, Viewer};
use super::version::Version;
use super::version_list::{VersionFilter, VersionOrder};
use scv_domain::access::{MAX_TOKENS_PER_ACCOUNT, Scope};
use scv_domain::block::MAX_BLOCKS;
use scv_domain::id::{JobId, LayerId, ModelId, ProbeSetId, VersionId};
use scv_domain::page::MAX_PAGE;
use scv_domain::probe::DEFAULT_PROBES;
use scv_domain::vector::{MAX_PROBES, MIN_PROBES};
use scv_service::{CacheStatistics, Library};

/// Read operations.
#[derive(Debug, async_graphql::Description)]
pub struct Query;

#[Object(use_type_description)]
impl Query {
    /// An object by its global id. Null if it does not exist.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "A global id.")] id: ID) -> Result<Option<Node>> {
        node::node(ctx, &id).await
    }

    /// Several objects by their global ids, in the same order, with null for those that do not exist. At most 100.
    #[graphql(complexity = "entries_cost(ids.len(), child_complexity)")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        if ids.len() > MAX_PAGE {
            return Err(ApiError::bad_input(format!(
                "`ids` must have at most {MAX_PAGE} entries, got {}",
                ids.len()
            )));
        }
        futures::future::try_join_all(ids.iter().map(|id| node::node(ctx, id))).await
    }

    /// All models that match a filter.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn models(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which models to list.")] filter: Option<ModelFilter>,
        #[graphql(desc = "The order. Default: by registration time.")] order_by: Option<ModelOrder>,
    ) -> Result<ListConnection<Model>> {
        let filter = filter.unwrap_or_default().try_into()?;
        let order = order_by.unwrap_or_default().into();
        let page = in_order(page(first, after, last, before)?, order)?;
        let slice = ctx
            .data_unchecked::<Library>()
            .store()
            .models_page(&filter, order, &page)
            .await?;
        Ok(connection(
            slice,
            Total::Models(filter),
            |(_, position)| position.clone(),
            |(model, _)| Model(model),
        ))
    }

    /// A model by its global id or by its name. Null if it does not exist.
    async fn model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id, also of a deleted model.")] id: Option<ID>,
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
            _ => Err(ApiError::bad_input("specify exactly one of `id` and `name`")),
        }
    }

    /// Versions of all models that the caller can see.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which versions to list.")] filter: Option<VersionFilter>,
        #[graphql(desc = "The order. Default: by registration time.")] order_by: Option<VersionOrder>,
    ) -> Result<ListConnection<Version>> {
        let filter = filter.unwrap_or_default().try_into()?;
        let order = order_by.unwrap_or_default().into();
        let page = in_order(page(first, after, last, before)?, order)?;
        let slice = ctx
            .data_unchecked::<Library>()
            .store()
            .versions_page(&filter, order, &page)
            .await?;
        Ok(connection(
            slice,
            Total::MatchingVersions(filter),
            |(_, position)| position.clone(),
            |(version, _)| Version(version),
        ))
    }

    /// A version by its global id. Null if it does not exist or its model is deleted.
    async fn version(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Result<Option<Version>> {
        node::version(ctx, VersionId::decode(&id)?).await
    }

    /// A layer by its global id. Null if it does not exist or its model is deleted.
    async fn layer(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Result<Option<Layer>> {
        node::layer(ctx, LayerId::decode(&id)?).await
    }

    /// All data sets, ordered by name.
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

    /// A data set by its name. Null if it does not exist.
    async fn dataset(&self, ctx: &Context<'_>, #[graphql(desc = "Its name.")] name: String) -> Result<Option<Dataset>> {
        Ok(ctx
            .data_unchecked::<Library>()
            .store()
            .dataset_by_name(&name)
            .await?
            .map(Dataset))
    }

    /// A probe set by its global id. Null if it does not exist.
    async fn probe_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<ProbeSet>> {
        Ok(load(ctx, ProbeSetId::decode(&id)?).await?.map(ProbeSet))
    }

    /// The similarity of all layers of one version with all layers of another; at most a million scores.
    async fn cka_matrix(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the version of the rows.")] a: ID,
        #[graphql(desc = "Global id of the version of the columns; may be the same.")] b: ID,
        #[graphql(desc = "The measure of the scores.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "The probe set to compare on. Default: the default probe set of the data set of `a`.")]
        probe_set: Option<ID>,
        #[graphql(desc = "Compare only layers of these kinds. Empty: all.", default)] layer_kinds: Vec<String>,
    ) -> Result<CkaMatrix> {
        Box::pin(compare::cka_matrix(
            ctx,
            [&a, &b],
            measure,
            probe_set.as_ref(),
            layer_kinds,
        ))
        .await
    }

    /// The measured facts about two layers, without an explanation in words.
    async fn compare_layers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the first layer.")] a: ID,
        #[graphql(desc = "Global id of the second layer; may be the same.")] b: ID,
        #[graphql(
            desc = "The probe set to compare on, one of the first layer's data set. Default: the default probe set, or \
                    the oldest other one that both layers were measured on."
        )]
        probe_set: Option<ID>,
    ) -> Result<LayerComparison> {
        Box::pin(layer_comparison::compare_layers(ctx, [&a, &b], probe_set.as_ref())).await
    }

    /// A job by its global id. Null if it does not exist.
    async fn job(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Result<Option<Job>> {
        Ok(load(ctx, JobId::decode(&id)?).await?.map(Job))
    }

    /// All imports, and the jobs of all models that the caller can see.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which jobs to list.")] filter: Option<JobFilter>,
        #[graphql(desc = "The order. Default: newest first.")] order_by: Option<JobOrder>,
    ) -> Result<ListConnection<Job>> {
        let filter = filter.unwrap_or_default().try_into()?;
        let order = order_by.unwrap_or_default().into();
        let page = in_order(page(first, after, last, before)?, order)?;
        let slice = ctx
            .data_unchecked::<Library>()
            .store()
            .jobs_page(&filter, order, &page)
            .await?;
        Ok(connection(
            slice,
            Total::Jobs(filter),
            |(_, position)| position.clone(),
            |(job, _)| Job(job),
        ))
    }

    /// Validates a block list for a data set. Returns all errors together, and shapes and costs as far as they are
    /// known.
    async fn validate_blocks(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "blocks", desc = "The network.")] inputs: Vec<BlockInput>,
        #[graphql(desc = "Name of the data set that the network is for.")] dataset: String,
    ) -> Result<BlockReport> {
        let blocks = blocks(inputs);
        let library = ctx.data_unchecked::<Library>();
        let report = library.validate_blocks(&blocks, &dataset).await?;
        Ok(BlockReport::new(report, blocks, dataset))
    }

    /// All block kinds.
    async fn block_kinds(&self) -> Vec<BlockKind> {
        kinds()
    }

    /// The caller.
    async fn viewer(&self, ctx: &Context<'_>) -> Viewer {
        Viewer(ctx.data_unchecked::<Library>().access())
    }

    /// The tokens of the caller's account, or all tokens for an administrator, ordered by creation time.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Token>> {
        token::list(ctx, None, &page(first, after, last, before)?).await
    }

    /// The audit log of changes and of mutations that failed, newest first. For administrators only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<AuditEntry>> {
        let page = page(first, after, last, before)?;
        let library = ctx.data_unchecked::<Library>();
        library.require(Scope::Admin)?;
        let slice = library.store().audit_page(&page).await?;
        Ok(connection(slice, Total::AuditEntries, |entry| entry.id.0, AuditEntry))
    }

    /// The server's version, device, caches and limits.
    async fn server_info(&self, ctx: &Context<'_>) -> Result<ServerInfo> {
        let library = ctx.data_unchecked::<Library>();
        Ok(ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            device: library.device().to_owned(),
            catalogue_generation: library.store().generation().await? as f64,
            caches: library.cache_statistics().await.into_iter().map(Cache).collect(),
            limits: *ctx.data_unchecked::<ServerLimits>(),
            max_page_size: MAX_PAGE,
            max_blocks: MAX_BLOCKS,
            max_tokens_per_account: MAX_TOKENS_PER_ACCOUNT,
            min_probe_images: MIN_PROBES,
            max_probe_images: MAX_PROBES,
            default_probe_images: DEFAULT_PROBES,
        })
    }
}

/// The server's version, device, caches and limits.
#[derive(Debug, Clone, SimpleObject)]
pub struct ServerInfo {
    /// The version of SCV.
    version: &'static str,
    /// The device that networks run on.
    device: String,
    /// Number of changes to the catalogue; a whole number.
    catalogue_generation: f64,
    /// The caches in memory, with their statistics.
    caches: Vec<Cache>,
    /// The limits on requests.
    limits: ServerLimits,
    /// Maximum number of entries per page.
    max_page_size: usize,
    /// Maximum number of blocks per network.
    max_blocks: usize,
    /// Maximum number of valid tokens of an account.
    max_tokens_per_account: usize,
    /// Minimum number of images per probe set.
    min_probe_images: usize,
    /// Maximum number of images per probe set.
    max_probe_images: usize,
    /// Number of images in the default probe set of a data set, if the data set has enough.
    default_probe_images: usize,
}

/// The limits on requests. A request that exceeds one is refused with an error that names the limit.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct ServerLimits {
    /// Maximum size of a document, in bytes; a whole number.
    pub document_bytes: f64,
    /// Maximum number of tokens in a document: words, numbers, strings and punctuators.
    pub tokens: usize,
    /// Maximum nesting depth of a document.
    pub depth: u32,
    /// Maximum number of fields in a document, counted through fragments.
    pub fields: usize,
    /// Maximum number of root fields of an operation, counted through fragments.
    pub root_fields: usize,
    /// Maximum number of aliases in a document, counted through fragments.
    pub aliases: usize,
    /// Maximum complexity of a document: each field counts 1, multiplied by the page size inside lists.
    pub complexity: usize,
    /// Maximum size of a response before compression, in bytes; approximate, a whole number.
    pub response_bytes: f64,
    /// Maximum number of requests in a batch.
    pub batch: usize,
    /// Maximum size of the body of a request without files, in bytes; a whole number.
    pub body_bytes: f64,
    /// Maximum size of an uploaded file, in bytes; a whole number.
    pub file_bytes: f64,
    /// Maximum total size of the files of a request, in bytes; a whole number.
    pub upload_bytes: f64,
    /// Maximum number of files per request.
    pub files: usize,
    /// Timeout of a request, in seconds.
    pub timeout_seconds: u64,
    /// Maximum number of requests that are executed concurrently.
    pub concurrent_requests: u32,
    /// Maximum number of requests that are executed concurrently per client: per token, or per address without a token.
    pub client_requests: u32,
    /// Maximum number of concurrent subscriptions.
    pub subscriptions: u32,
    /// Maximum number of concurrent subscriptions per client: per token, or per address without a token.
    pub client_subscriptions: u32,
    /// Maximum number of open WebSockets per client: per token, or per address without a token.
    pub client_sockets: u32,
    /// Maximum number of WebSockets per address whose client has not sent `connection_init` yet.
    pub beginning_sockets: u32,
    /// Maximum number of concurrent uploads, that is, of requests with files.
    pub uploads: u32,
    /// Maximum number of concurrent uploads per client: per token, or per address without a token.
    pub client_uploads: u32,
    /// Maximum number of requests per minute and client: per token, or per address without a token. Unlimited if 0.
    pub requests_per_minute: u32,
}

/// A cache of data that is expensive to load or compute.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct Cache(CacheStatistics);

#[Object(use_type_description)]
impl Cache {
    /// Name of the cache.
    async fn name(&self) -> &str {
        self.0.name
    }

    /// Current size in bytes; a whole number.
    async fn bytes(&self) -> f64 {
        self.0.bytes as f64
    }

    /// Maximum size in bytes; a whole number.
    async fn byte_limit(&self) -> f64 {
        self.0.byte_limit as f64
    }

    /// Number of entries; a whole number.
    async fn entries(&self) -> f64 {
        self.0.entries as f64
    }

    /// Number of lookups since the server started that were served from the cache, including those that waited for
    /// another request to compute the value; a whole number.
    async fn hits(&self) -> f64 {
        self.0.hits as f64
    }

    /// Number of lookups since the server started whose value had to be loaded or computed; a whole number.
    async fn misses(&self) -> f64 {
        self.0.misses as f64
    }
}
