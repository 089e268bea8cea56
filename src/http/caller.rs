//! Who asks: whoever shows a token, and anybody where the server is open.

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

use super::asked::Refusal;
use super::request_id::in_span;
use crate::config::Limits;
use scv_domain::access::Access;
use scv_domain::id::TokenId;
use scv_service::{Library, ServiceError};

/// Callers whose requests are counted before those are forgotten that have not asked for long.
const MAX_COUNTED_CLIENTS: usize = 10_000;

/// How long a token that is not shown is remembered as one that lets somebody in.
const REMEMBERED: Duration = Duration::from_secs(600);

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
    rates: Option<Arc<DefaultKeyedRateLimiter<Client>>>,
    /// Secrets that let somebody in lately.
    known: Cache<[u8; 32], ()>,
}

/// Who counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// Whoever shows this token.
    Token(TokenId),
    /// Whoever shows none that is known, from this address; of the sixth version from this network of a customer.
    Address(Option<IpAddr>),
}

impl Client {
    /// Somebody of whom nothing but the address is known.
    pub fn at(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            four => four,
        }))
    }
}

impl Caller {
    /// Who they count as.
    pub fn client(&self) -> Client {
        match self.access.token {
            Some(token) => Client::Token(token),
            None => Client::at(self.address),
        }
    }
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
            known: Cache::builder()
                .max_capacity(MAX_COUNTED_CLIENTS as u64)
                .time_to_idle(REMEMBERED)
                .build(),
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
        let is_of = |origin: &String| origin.split_once("://").is_some_and(|(_, named)| named == host);
        if name.is_empty() || is_address || name == "localhost" || known.iter().any(is_of) {
            return Ok(());
        }
        Err(Refusal::of(ServiceError::Forbidden(format!(
            "this server answers its own machine, and not as {host:?}: start it with --allow-origin, --access open or --access \
             tokens if it shall"
        ))))
    }

    /// Who shows something as the value of the header `Authorization`, from an address: one more request of theirs. One with a
    /// token that nobody has shown lately counts as one of the address too, since it may be guessed; those who are known have
    /// nothing to do with who else comes from their address, which may be that of a proxy.
    ///
    /// # Errors
    /// It lets nobody in, or there are too many requests.
    pub async fn with(&self, authorization: Option<&str>, address: Option<IpAddr>) -> Result<Caller, Refusal> {
        let secret = authorization.and_then(|shown| {
            let (scheme, secret) = shown.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim().to_owned())
        });
        // As of a script whose variable for the token is not set.
        let secret = secret.filter(|secret| !secret.is_empty());
        let access = match secret {
            Some(secret) => {
                let digest = Sha256::digest(&secret).into();
                if !self.known.contains_key(&digest) {
                    // Before anything is looked up.
                    self.count_from(address)?;
                }
                let library = self.library.clone();
                let asked = self
                    .runtime
                    .spawn(in_span(async move { library.authenticate(&secret).await }));
                let access = asked.await.map_err(ServiceError::internal).flatten();
                match &access {
                    Ok(_) => self.known.insert(digest, ()),
                    Err(_) => self.known.invalidate(&digest),
                }
                access.map_err(Refusal::of)?
            }
            None if self.is_open => {
                self.count_from(address)?;
                Access::FULL
            }
            None => {
                self.count_from(address)?;
                return Err(Refusal::of(ServiceError::Unauthenticated(
                    "this server answers only whoever shows a token: send `Authorization: Bearer scv_…`".to_owned(),
                )));
            }
        };
        if let Some(token) = access.token {
            self.count(Client::Token(token))?;
        }
        Ok(Caller { access, address })
    }

    /// Counts more requests of somebody.
    ///
    /// # Errors
    /// They are too many.
    pub fn count_more(&self, caller: &Caller, requests: usize) -> Result<(), Refusal> {
        (0..requests).try_for_each(|_| self.count(caller.client()))
    }

    /// Counts a request from an address, whoever sends it.
    ///
    /// # Errors
    /// They are too many.
    pub fn count_from(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.count(Client::at(address))
    }

    fn count(&self, client: Client) -> Result<(), Refusal> {
        let Some(rates) = &self.rates else { return Ok(()) };
        if rates.len() > MAX_COUNTED_CLIENTS {
            rates.retain_recent();
        }
        rates.check_key(&client).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::too_many(wait.max(Duration::from_secs(1)))
        })
    }
}

/// From where a request comes. What a proxy says of that is not believed: anybody can say it.
pub fn address(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip())
}
