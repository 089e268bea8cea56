//! Measures, while fields are resolved, how long root fields take and how large the response becomes, notes which of them show more
//! than the catalogue, and which change is made.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{QueryPathSegment, ServerResult, Value, async_trait};
use tokio::time::Instant;

use super::audit::AuditTrail;
use super::volatile::Volatility;
use scv_api::response_budget::ResponseBudget;
use scv_service::metrics::METRICS;

/// Times the resolvers of root fields, including their selections, and counts the size of all values.
pub(super) struct Instrumentation;

impl ExtensionFactory for Instrumentation {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Instrumentation {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let budget = ctx.data_opt::<ResponseBudget>();
        if budget.is_some_and(|budget| budget.reason().is_some()) {
            // The executor has given the request up, so nothing waits for this value.
            return std::future::pending().await;
        }
        if let Some(volatility) = ctx.data_opt::<Volatility>() {
            volatility.see(info.parent_type, info.name);
        }
        // An object's size is that of its fields, and a list of scalars is counted as a whole.
        let is_leaf = info.field.selection_set.node.items.is_empty()
            && matches!(info.path_node.segment, QueryPathSegment::Name(_));
        let is_root = info.path_node.parent.is_none() && !info.is_for_introspection;
        if is_root
            && let Some(trail) = ctx.data_opt::<AuditTrail>()
            && let QueryPathSegment::Name(key) = info.path_node.segment
        {
            trail.begin(key);
        }
        let _timer = is_root.then(|| RootFieldTimer {
            field: format!("{}.{}", info.parent_type, info.name),
            started: Instant::now(),
        });
        let value = next.run(ctx, info).await?;
        if let (Some(budget), Some(value)) = (budget, &value)
            && is_leaf
        {
            budget.count([value]);
        }
        Ok(value)
    }
}

/// Records the time of a root field when it is dropped, so that fields which are given up after a timeout count too.
struct RootFieldTimer {
    field: String,
    started: Instant,
}

impl Drop for RootFieldTimer {
    fn drop(&mut self) {
        METRICS.count_root_field(std::mem::take(&mut self.field), self.started.elapsed());
    }
}
