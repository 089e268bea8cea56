//! The address of a client, also behind trusted proxies.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;

use crate::config::Network;

/// The proxies whose word on the client's address is believed. Of others it is not, because any client can set the headers.
#[derive(Debug, Clone)]
pub struct TrustedProxies(pub Arc<[Network]>);

impl TrustedProxies {
    /// The address that a request comes from: that of the peer, or if that is a trusted proxy, the last one in `Forwarded` or
    /// else in `X-Forwarded-For` that is not. Each proxy appends the address that it was called from, and only what trusted ones
    /// have appended is true.
    pub fn client_address(&self, request: &HttpRequest) -> Option<IpAddr> {
        let mut client = request.peer_addr()?.ip();
        let mut hops = forwarded(request).into_iter().rev();
        while self.trusts(client) {
            match hops.next() {
                Some(Some(before)) => client = before,
                // Without a header the proxy itself has asked; one that hides its client answers for it.
                Some(None) | None => break,
            }
        }
        Some(client)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The addresses that proxies have noted, in their order; `None` for one that is not an address.
fn forwarded(request: &HttpRequest) -> Vec<Option<IpAddr>> {
    let values = |name: &'static str| {
        let values = request.headers().get_all(name);
        let values = values.filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim)
    };
    let of_standard: Vec<_> = values("forwarded").map(forwarded_for).collect();
    if !of_standard.is_empty() {
        return of_standard;
    }
    values("x-forwarded-for").map(address).collect()
}

/// The address in an element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node.trim())
}

/// An address, with or without quotes and a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let host = match (bracketed, text.split_once(':')) {
        (Some((host, _)), _) => host,
        // More than one colon is an IPv6 address.
        (None, Some((host, port))) if !port.contains(':') => host,
        _ => text,
    };
    host.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use actix_web::test::TestRequest;

    use super::*;

    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let proxies = ["10.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        let request = TestRequest::get().peer_addr(std::net::SocketAddr::new(peer.parse().unwrap(), 1));
        let request = headers
            .iter()
            .fold(request, |request, header| request.append_header(*header));
        let address = TrustedProxies(proxies.into()).client_address(&request.to_http_request());
        address.unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let spoofed = [("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("203.0.113.9", &spoofed), "203.0.113.9");
        assert_eq!(client("10.1.1.1", &spoofed), "198.51.100.7");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn the_last_address_that_is_not_a_trusted_proxy_is_the_clients() {
        let spoofed = [
            ("x-forwarded-for", "1.1.1.1, 198.51.100.7"),
            ("x-forwarded-for", "10.2.2.2"),
        ];
        assert_eq!(client("10.1.1.1", &spoofed), "198.51.100.7");
        assert_eq!(
            client("10.1.1.1", &[("x-forwarded-for", "10.3.3.3, 10.2.2.2")]),
            "10.3.3.3"
        );
        assert_eq!(
            client("10.1.1.1", &[("x-forwarded-for", "1.1.1.1, unknown")]),
            "10.1.1.1"
        );
    }

    #[test]
    fn the_standard_header_goes_first_with_ports_and_quotes() {
        for (element, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("proto=https;For=\"[2001:db8::17]:4711\"", "2001:db8::17"),
            ("for=\"192.0.2.43:47011\"", "192.0.2.43"),
        ] {
            let both = [("x-forwarded-for", "1.1.1.1"), ("forwarded", element)];
            assert_eq!(client("::1", &both), expected, "{element}");
        }
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "2001:db8::1")]), "2001:db8::1");
    }
}
