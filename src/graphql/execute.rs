//! Executes requests against the schema.
//!
//! A request is checked against the limits before anything else looks at its document. Then its document is validated, and
//! rewritten where async-graphql would execute it otherwise than the specification says. The schema executes it within a
//! timeout and a limit on the size of the response. async-graphql's response is corrected to the specification: errors
//! become nulls where they have to, and fields come in the order of the document. Mutations that failed go to the audit log; changes
//! have been written there with them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::time::timeout;

use super::audit::{self, AuditTrail};
use super::event::EventRules;
use super::field_order::FieldOrder;
use super::missing_codes::add_missing_codes;
use super::volatile::Volatility;
use super::{introspection, limits, null_propagation, placeholder, rewrite, specification};
use crate::config::Limits;
use scv_api::error::{code, with_code};
use scv_api::response_budget::{Exceeded, ResponseBudget};
use scv_api::{Schema, attach_library};
use scv_domain::access::{Access, NewAuditEntry, Scope};
use scv_memory::{MemoryError, Reservation};
use scv_service::Library;

/// The sender of a request.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// What they may do.
    pub access: Access,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
}

/// What requests must keep to.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The limits.
    pub limits: Limits,
    /// Whether the schema can be read, and errors suggest its names.
    pub shows_schema: bool,
}

/// A request whose document is valid and within the limits.
#[derive(Debug)]
pub struct CheckedRequest {
    request: Request,
    operation: Option<OperationType>,
    layout: Layout,
}

/// What it takes to correct the response to a request.
#[derive(Debug)]
struct Layout {
    document: String,
    operation_name: Option<String>,
    order: FieldOrder,
}

impl CheckedRequest {
    /// Checks a request against the limits and the schema.
    ///
    /// # Errors
    /// The response to send if the document cannot be parsed, exceeds a limit or is not valid.
    pub fn new(mut request: Request, rules: &Rules) -> Result<Self, Box<Response>> {
        let refused = |errors| Box::new(add_missing_codes(Response::from_errors(errors)));
        let operation = limits::check(&rules.limits, &mut request).map_err(|error| refused(vec![error]))?;
        placeholder::check(&mut request).map_err(|error| refused(vec![error]))?;
        specification::check(&request, rules.shows_schema).map_err(refused)?;
        if !rules.shows_schema {
            introspection::check_absent(&mut request).map_err(|error| refused(vec![error]))?;
        }
        rewrite::rewrite(&mut request);
        let operation_name = request.operation_name.clone();
        let order = match request.parsed_query() {
            Ok(document) => FieldOrder::of(document, operation_name.as_deref()),
            Err(_) => FieldOrder::default(),
        };
        let document = request.query.clone();
        Ok(Self {
            request,
            operation,
            layout: Layout {
                document,
                operation_name,
                order,
            },
        })
    }

    /// The type of the operation; none if the document does not have the operation that the request names.
    pub fn operation(&self) -> Option<OperationType> {
        self.operation
    }
}

/// Why a request is refused before its files arrive.
#[derive(Debug)]
pub enum Refused {
    /// Its document is not valid, or not within the limits.
    Document(Box<Response>),
    /// The token allows only to read. The entry is for the audit log.
    Scope(Option<Box<NewAuditEntry>>),
}

/// Checks what can be checked of a request before its files arrive: its document, and the scope of the caller's token.
///
/// # Errors
/// The request would be refused.
pub fn check_before_files(mut request: Request, rules: &Rules, caller: Caller) -> Result<(), Refused> {
    let refused = |errors| Refused::Document(Box::new(add_missing_codes(Response::from_errors(errors))));
    let operation = limits::check(&rules.limits, &mut request).map_err(|error| refused(vec![error]))?;
    specification::check_document(&request, rules.shows_schema).map_err(refused)?;
    if operation != Some(OperationType::Mutation) || caller.access.scope > Scope::Read {
        return Ok(());
    }
    let changes = audit::changes(&request.query, request.operation_name.as_deref(), &request.variables);
    let trail = AuditTrail::new(caller, changes);
    if trail.only_reads() {
        return Ok(());
    }
    let forbidden = error_response(code::FORBIDDEN, "");
    Err(Refused::Scope(trail.failure(&forbidden).map(Box::new)))
}

impl Layout {
    fn correct(&self, response: Response) -> Response {
        let mut response = add_missing_codes(response);
        null_propagation::propagate(&mut response, &self.document, self.operation_name.as_deref());
        self.order.arrange(&mut response);
        response
    }
}

/// A response, and whether it may be kept.
#[derive(Debug)]
pub struct Executed {
    /// The response.
    pub response: Response,
    /// Whether it depends on the request and the catalogue alone: it has no errors and no volatile fields.
    pub is_lasting: bool,
    /// The memory that it takes, until it has been sent.
    pub memory: Option<Arc<Reservation>>,
}

impl Executed {
    /// A response that may not be kept.
    pub fn passing(response: Response) -> Self {
        Self {
            response,
            is_lasting: false,
            memory: None,
        }
    }
}

/// Executes a query or a mutation on the library as the caller sees it.
pub async fn execute(
    schema: &Schema,
    limits: &Limits,
    library: Library,
    caller: Caller,
    checked: CheckedRequest,
) -> Executed {
    let CheckedRequest {
        request,
        operation,
        layout,
    } = checked;
    let trail = (operation == Some(OperationType::Mutation)).then(|| {
        let changes = audit::changes(&layout.document, layout.operation_name.as_deref(), &request.variables);
        AuditTrail::new(caller, changes)
    });
    let library = match &trail {
        Some(trail) => library.recording(trail.current()),
        None => library,
    };
    let time_limit = Duration::from_secs(limits.timeout_seconds);
    let budget = ResponseBudget::new(limits.response_bytes, library.memory());
    let volatility = Volatility::default();
    let request = attach_library(request, library.clone())
        .data(budget.clone())
        .data(volatility.clone());
    let request = match &trail {
        Some(trail) => request.data(trail.clone()),
        None => request,
    };
    let (response, is_executed) = match timeout(time_limit, budget.keep(schema.execute(request))).await {
        Ok(Ok(response)) => {
            let is_executed = audit::is_executed(&response);
            (response, is_executed)
        }
        Ok(Err(reason)) => (given_up(limits, reason), true),
        Err(_) => (timed_out(limits), true),
    };
    let response = layout.correct(response);
    let failure = trail.filter(|_| is_executed).and_then(|trail| trail.failure(&response));
    if let Some(failure) = failure {
        library.record_failure(failure).await;
    }
    Executed {
        memory: Some(budget.memory()),
        is_lasting: operation == Some(OperationType::Query) && response.errors.is_empty() && !volatility.is_volatile(),
        response,
    }
}

/// Executes a subscription on the library as its caller sees it: a response per event.
pub fn subscribe(
    schema: &Schema,
    library: Library,
    checked: CheckedRequest,
    rules: EventRules,
) -> BoxStream<'static, Response> {
    let CheckedRequest { request, layout, .. } = checked;
    let request = attach_library(request, library)
        .data(rules.budget().clone())
        .data(rules);
    let responses = schema.execute_stream(request);
    responses.map(move |response| layout.correct(response)).boxed()
}

pub(super) fn given_up(limits: &Limits, reason: Exceeded) -> Response {
    let message = match reason {
        Exceeded::Size => format!(
            "the response has more than {} bytes, which is the limit: request less at a time",
            limits.response_bytes
        ),
        Exceeded::Memory(MemoryError::TooLarge { limit, .. }) => format!(
            "the response takes more memory than the {} MiB that the server allows (--memory): request less at a time",
            limit >> 20
        ),
        Exceeded::Memory(MemoryError::Busy { .. }) => {
            return error_response(code::OVERLOADED, "the server is busy: try again in a moment");
        }
    };
    error_response(code::QUERY_TOO_COMPLEX, &message)
}

pub(super) fn timed_out(limits: &Limits) -> Response {
    let message = format!(
        "the request took more than {} seconds, which is the limit: request less at a time",
        limits.timeout_seconds
    );
    error_response(code::TIMEOUT, &message)
}

/// A response to a request that is not executed.
pub fn error_response(code: &str, message: &str) -> Response {
    Response::from_errors(vec![with_code(ServerError::new(message, None), code)])
}
