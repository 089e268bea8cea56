//! Limits on the events of subscriptions. What an event shows may cost as much as a query, so each takes a permit for a request,
//! and has the timeout and the maximum size of a response.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Response;
use async_graphql::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::execute::{given_up, timed_out};
use crate::config::Limits;
use scv_api::response_budget::ResponseBudget;
use scv_memory::MemoryBudget;

/// Waits for a permit, which is returned when it is dropped.
type AcquirePermit = dyn Fn() -> BoxFuture<'static, Box<dyn Send>> + Send + Sync;

/// What each event of a subscription must keep to.
#[derive(Clone)]
pub struct EventRules {
    limits: Limits,
    acquire_permit: Arc<AcquirePermit>,
    budget: ResponseBudget,
}

impl EventRules {
    /// The limits of requests, what an event takes its memory from, and where it gets its permit.
    pub fn new(
        limits: Limits,
        memory: &MemoryBudget,
        acquire_permit: impl Fn() -> BoxFuture<'static, Box<dyn Send>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            limits,
            acquire_permit: Arc::new(acquire_permit),
            budget: ResponseBudget::new(limits.response_bytes, memory),
        }
    }

    /// The budget of the event that is resolved.
    pub(super) fn budget(&self) -> &ResponseBudget {
        &self.budget
    }

    /// The response of an event, or the error that takes its place.
    async fn resolve(&self, event: impl Future<Output = Response>) -> Response {
        let resolving = async {
            let _permit = (self.acquire_permit)().await;
            self.budget.renew();
            self.budget.keep(event).await
        };
        match timeout(Duration::from_secs(self.limits.timeout_seconds), resolving).await {
            Ok(Ok(response)) => response,
            Ok(Err(reason)) => given_up(&self.limits, reason),
            Err(_) => timed_out(&self.limits),
        }
    }
}

/// Applies the rules that a subscription brings along.
pub(super) struct EventLimits;

impl ExtensionFactory for EventLimits {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for EventLimits {
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        match ctx.data_opt::<EventRules>() {
            Some(rules) => rules.resolve(next.run(ctx, operation_name)).await,
            None => next.run(ctx, operation_name).await,
        }
    }
}
