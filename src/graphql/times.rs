//! How long the fields take at which requests begin.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value, async_trait};
use tokio::time::Instant;

use crate::metrics::METRICS;

/// Measures the resolvers of root fields, with all that is selected of them.
pub(super) struct RootFieldTimes;

impl ExtensionFactory for RootFieldTimes {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for RootFieldTimes {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        if info.path_node.parent.is_some() || info.is_for_introspection {
            return next.run(ctx, info).await;
        }
        let _measured = Measured {
            field: format!("{}.{}", info.parent_type, info.name),
            begun: Instant::now(),
        };
        next.run(ctx, info).await
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
