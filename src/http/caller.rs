//! Who asks: whoever shows a token, and anybody where the server is open.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::runtime::Handle;

use super::asked::Refusal;
use super::request_id::in_span;
use crate::config::Limits;
use crate::domain::access::Access;
use crate::domain::id::TokenId;
use crate::service::{Library, ServiceError};

/// Callers whose requests are counted before those are forgotten that have not asked for long.
const MOST_COUNTED: usize = 10_000;

/// Somebody who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// What they may do.
    pub access: Access,
    /// From where they ask.
    pub address: Option<IpAddr>,
}

/// Tells who asks, and counts how much.
#[derive(Clone)]
pub struct Callers {
    library: Library,
    runtime: Handle,
    /// Whether whoever shows no token may do everything.
    is_open: bool,
    /// Origins under whose names a server may be asked that is open because only its own machine reaches it; none of another.
    hosts: Option<Arc<Vec<String>>>,
    rates: Option<Arc<DefaultKeyedRateLimiter<Counted>>>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    Token(TokenId),
    Address(Option<IpAddr>),
}

impl Callers {
    /// Callers of a library, whose tokens are looked up on the runtime this is called on.
    pub fn here(library: Library, limits: &Limits, is_open: bool, hosts: Option<Vec<String>>) -> Self {
        let rate = NonZeroU32::new(limits.rate);
        Self {
            library,
            runtime: Handle::current(),
            is_open,
            hosts: hosts.map(Arc::new),
            rates: rate.map(|rate| Arc::new(RateLimiter::keyed(Quota::per_minute(rate)))),
        }
    }

    /// The library, for nobody in particular.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The runtime that the library belongs to.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Who sends a request, which is counted.
    ///
    /// # Errors
    /// No token that lets anybody in, where one is needed; a name that is not this server's; or too many requests.
    pub async fn of(&self, request: &HttpRequest) -> Result<Caller, Refusal> {
        self.check_host(request)?;
        let authorization = request.headers().get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
        self.with(authorization, address(request)).await
    }

    /// Refuses what asks a server under another machine's name that is only meant for its own: the page of another site, whose
    /// name has come to mean this machine.
    ///
    /// # Errors
    /// It does.
    pub fn check_host(&self, request: &HttpRequest) -> Result<(), Refusal> {
        let Some(known) = &self.hosts else { return Ok(()) };
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| !port.contains(']'))
            .map_or(host, |(name, _)| name);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if name.is_empty() || is_address || name == "localhost" || known.iter().any(|origin| origin.ends_with(host)) {
            return Ok(());
        }
        Err(Refusal::of(ServiceError::Forbidden(format!(
            "this server answers its own machine, and not as {host:?}: start it with --allow-origin, --access open or --access \
             tokens if it shall"
        ))))
    }

    /// Who shows something as the value of the header `Authorization`, from an address: one more request of both.
    ///
    /// # Errors
    /// It lets nobody in, or there are too many requests.
    pub async fn with(&self, authorization: Option<&str>, address: Option<IpAddr>) -> Result<Caller, Refusal> {
        // Before anything is looked up.
        self.count_from(address)?;
        let secret = authorization.and_then(|shown| {
            let (scheme, secret) = shown.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim().to_owned())
        });
        // As of a script whose variable for the token is not set.
        let secret = secret.filter(|secret| !secret.is_empty());
        let access = match secret {
            Some(secret) => {
                let library = self.library.clone();
                let asked = self
                    .runtime
                    .spawn(in_span(async move { library.authenticate(&secret).await }));
                let access = asked.await.map_err(ServiceError::internal).flatten();
                access.map_err(Refusal::of)?
            }
            None if self.is_open => Access::FULL,
            None => {
                return Err(Refusal::of(ServiceError::Unauthenticated(
                    "this server answers only whoever shows a token: send `Authorization: Bearer scv_…`".to_owned(),
                )));
            }
        };
        if let Some(token) = access.token {
            self.count(Counted::Token(token))?;
        }
        Ok(Caller { access, address })
    }

    /// Counts more requests of somebody.
    ///
    /// # Errors
    /// They are too many.
    pub fn count_more(&self, caller: &Caller, requests: usize) -> Result<(), Refusal> {
        for _ in 0..requests {
            self.count_from(caller.address)?;
            if let Some(token) = caller.access.token {
                self.count(Counted::Token(token))?;
            }
        }
        Ok(())
    }

    /// Counts a request from an address, whoever sends it.
    ///
    /// # Errors
    /// They are too many.
    pub fn count_from(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.count(Counted::Address(address))
    }

    fn count(&self, key: Counted) -> Result<(), Refusal> {
        let Some(rates) = &self.rates else { return Ok(()) };
        if rates.len() > MOST_COUNTED {
            rates.retain_recent();
        }
        rates.check_key(&key).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::too_many(wait.max(Duration::from_secs(1)))
        })
    }
}

/// From where a request comes. What a proxy says of that is not believed: anybody can say it.
pub fn address(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip())
}
