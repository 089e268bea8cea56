//! What is watched while fields are resolved: how long those take at which requests begin, and how large the answer becomes.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{QueryPathSegment, ServerResult, Value, async_trait};
use tokio::time::Instant;

use super::answer_size::AnswerSize;
use scv_service::metrics::METRICS;

/// Measures the resolvers of root fields, with all that is selected of them, and counts what all fields come to.
pub(super) struct Watching;

impl ExtensionFactory for Watching {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Watching {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let size = ctx.data_opt::<AnswerSize>();
        if size.is_some_and(AnswerSize::is_exceeded) {
            // Nobody waits for it any more.
            return std::future::pending().await;
        }
        // What has fields is what they come to, and an entry of a list is counted with it.
        let is_plain = info.field.selection_set.node.items.is_empty()
            && matches!(info.path_node.segment, QueryPathSegment::Name(_));
        let is_root = info.path_node.parent.is_none() && !info.is_for_introspection;
        let _measured = is_root.then(|| Measured {
            field: format!("{}.{}", info.parent_type, info.name),
            begun: Instant::now(),
        });
        let value = next.run(ctx, info).await?;
        if let (Some(size), Some(value)) = (size, &value)
            && is_plain
        {
            size.count(value);
        }
        Ok(value)
    }
}

/// Counts a field when it is dropped: what is given up because it takes too long counts as well.
struct Measured {
    field: String,
    begun: Instant,
}

impl Drop for Measured {
    fn drop(&mut self) {
        METRICS.count_root_field(std::mem::take(&mut self.field), self.begun.elapsed());
    }
}
