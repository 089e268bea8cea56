//! Identifies callers by their tokens or sessions, and counts their requests. On an open server, callers need neither.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::client_address::TrustedProxies;
use super::error::HttpError;
use super::origin::{host_without_port, text};
use super::request_id::in_span;
use super::session::session_of;
use crate::config::Limits;
use crate::graphql::execute::Caller;
use scv_domain::access::{Access, Secret};
use scv_domain::id::TokenId;
use scv_service::{Library, ServiceError};

/// Clients whose requests are counted. Beyond this number, clients that have been idle are forgotten.
const MAX_COUNTED_CLIENTS: usize = 10_000;

/// How long an unused credential is remembered as a valid one.
const KNOWN_CREDENTIAL_TTL: Duration = Duration::from_secs(600);

/// Identifies callers and applies the rate limit.
#[derive(Clone)]
pub struct Callers {
    library: Library,
    runtime: Handle,
    proxies: TrustedProxies,
    /// Host names that requests may use where callers without a token may do everything; `None` where they need one.
    open_hosts: Option<Arc<[String]>>,
    rate_limiter: Option<Arc<DefaultKeyedRateLimiter<Client>>>,
    /// Digests of tokens and of secrets of sessions that were valid recently.
    known_credentials: Cache<[u8; 32], ()>,
}

/// The unit to which rate limits and quotas apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// Every caller with this token.
    Token(TokenId),
    /// Every caller without a known token from this address. Of an IPv6 address, only the /64 network counts.
    Address(Option<IpAddr>),
}

/// What a caller identifies itself with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A token.
    Token(Secret),
    /// The session of a browser.
    Session(Secret),
}

impl Credential {
    /// That of a request. A token goes before a session.
    ///
    /// # Errors
    /// The request has a session, and may come from a page of another site.
    pub fn of(request: &HttpRequest) -> Result<Option<Self>, HttpError> {
        let authorization = request.headers().get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
        // A proxy may have asked for a password of its own.
        match authorization.and_then(Self::of_authorization) {
            Some(token) => Ok(Some(token)),
            None => Ok(session_of(request)?.map(Self::Session)),
        }
    }

    /// The token in the value of an `Authorization` header.
    pub fn of_authorization(value: &str) -> Option<Self> {
        let (scheme, secret) = value.split_once(' ')?;
        let secret = secret.trim();
        // A script whose token variable is unset sends an empty one.
        let is_token = scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty();
        is_token.then(|| Self::Token(secret.to_owned().into()))
    }

    fn digest(&self) -> [u8; 32] {
        let (Self::Token(secret) | Self::Session(secret)) = self;
        Sha256::digest(secret.reveal()).into()
    }
}

impl Client {
    /// The client for callers without a known token at an address.
    pub fn at(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address => address,
        }))
    }

    /// The client that a caller belongs to.
    pub fn of(caller: &Caller) -> Self {
        match caller.access.token {
            Some(token) => Self::Token(token),
            None => Self::at(caller.address),
        }
    }
}

impl Callers {
    /// The callers of a library. Their tokens are looked up on the current runtime.
    pub fn new(library: Library, limits: &Limits, open_hosts: Option<Vec<String>>, proxies: TrustedProxies) -> Self {
        let rate = NonZeroU32::new(limits.requests_per_minute);
        Self {
            library,
            runtime: Handle::current(),
            proxies,
            open_hosts: open_hosts.map(Arc::from),
            rate_limiter: rate.map(|rate| Arc::new(RateLimiter::keyed(Quota::per_minute(rate)))),
            known_credentials: Cache::builder()
                .max_capacity(MAX_COUNTED_CLIENTS as u64)
                .time_to_idle(KNOWN_CREDENTIAL_TTL)
                .build(),
        }
    }

    /// The library, not yet on behalf of any caller.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The runtime that the library belongs to.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The address that a request comes from.
    pub fn address_of(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.proxies.client_address(request)
    }

    /// Identifies the caller of a request and counts the request.
    ///
    /// # Errors
    /// The host name is not allowed, the token is invalid or missing where one is required, or the rate limit
    /// is exceeded.
    pub async fn identify(&self, request: &HttpRequest) -> Result<Caller, HttpError> {
        self.check_host(request)?;
        self.authenticate(Credential::of(request)?.as_ref(), self.address_of(request))
            .await
    }

    /// Checks the host name of a request to a server that needs no token. This prevents DNS rebinding, where a page of
    /// another site makes its own host name resolve to this machine, and so is a page of this server to a browser.
    ///
    /// # Errors
    /// The host name is not allowed.
    pub fn check_host(&self, request: &HttpRequest) -> Result<(), HttpError> {
        let Some(allowed) = &self.open_hosts else {
            return Ok(());
        };
        let host = text(request, "host").unwrap_or_default();
        let name = host_without_port(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_allowed = allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        if name.is_empty() || is_address || name.eq_ignore_ascii_case("localhost") || is_allowed {
            return Ok(());
        }
        Err(HttpError::from(ServiceError::Forbidden(format!(
            "this server needs no token, so it serves only the host names that it knows, and {name:?} is none of them: start \
             it with --allow-host {name}, or with --access tokens"
        ))))
    }

    /// Identifies a caller by its credential and counts the request.
    ///
    /// A request with a credential that was not used recently also counts for the address, because the credential may be a guess.
    /// A known one does not depend on the address, which may be that of a proxy with many clients.
    ///
    /// # Errors
    /// The credential is invalid, or missing where one is required, or the rate limit is exceeded.
    pub async fn authenticate(
        &self,
        credential: Option<&Credential>,
        address: Option<IpAddr>,
    ) -> Result<Caller, HttpError> {
        let access = match credential {
            Some(credential) => {
                let digest = credential.digest();
                if !self.known_credentials.contains_key(&digest) {
                    // Before the database is queried.
                    self.count_from(address)?;
                }
                let access = self.access_of(credential.clone()).await;
                match &access {
                    Ok(_) => self.known_credentials.insert(digest, ()),
                    Err(_) => self.known_credentials.invalidate(&digest),
                }
                match (access, credential) {
                    // Nobody has to sign in to an open server, nor to sign out.
                    (Err(ServiceError::Unauthenticated(_)), Credential::Session(_)) if self.open_hosts.is_some() => {
                        Access::FULL
                    }
                    (access, _) => access?,
                }
            }
            None if self.open_hosts.is_some() => {
                self.count_from(address)?;
                Access::FULL
            }
            None => {
                self.count_from(address)?;
                return Err(HttpError::from(ServiceError::Unauthenticated(
                    "a token is required: send `Authorization: Bearer scv_…`".to_owned(),
                )));
            }
        };
        if let Some(token) = access.token {
            self.count(Client::Token(token))?;
        }
        Ok(Caller { access, address })
    }

    async fn access_of(&self, credential: Credential) -> Result<Access, ServiceError> {
        let library = self.library.clone();
        let lookup = async move {
            match credential {
                Credential::Token(secret) => library.authenticate(secret.reveal()).await,
                Credential::Session(secret) => library.authenticate_session(secret.reveal()).await,
            }
        };
        let found = self.runtime.spawn(in_span(lookup)).await;
        found.map_err(ServiceError::internal).flatten()
    }

    /// Counts further requests of a caller, such as those of a batch.
    ///
    /// # Errors
    /// The rate limit is exceeded.
    pub fn count_more(&self, caller: &Caller, requests: usize) -> Result<(), HttpError> {
        (0..requests).try_for_each(|_| self.count(Client::of(caller)))
    }

    /// Counts a request for an address, whatever its token.
    ///
    /// # Errors
    /// The rate limit is exceeded.
    pub fn count_from(&self, address: Option<IpAddr>) -> Result<(), HttpError> {
        self.count(Client::at(address))
    }

    fn count(&self, client: Client) -> Result<(), HttpError> {
        let Some(rate_limiter) = &self.rate_limiter else {
            return Ok(());
        };
        if rate_limiter.len() > MAX_COUNTED_CLIENTS {
            rate_limiter.retain_recent();
        }
        rate_limiter.check_key(&client).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            HttpError::rate_limited(wait.max(Duration::from_secs(1)))
        })
    }
}
