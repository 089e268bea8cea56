//! GraphQL documents: the checks that run before anything else looks at them.

#![no_main]

use async_graphql::Request;
use libfuzzer_sys::fuzz_target;
use scv::config::Config;
use scv::graphql::execute::{CheckedRequest, Rules};

fuzz_target!(|text: &str| {
    let rules = Rules {
        limits: Config::defaults().limits,
        shows_schema: true,
    };
    if text.len() + 64 > rules.limits.document_bytes {
        return;
    }
    // Ignored tokens must not change the outcome.
    let plain = CheckedRequest::new(Request::new(text), &rules);
    let padded = CheckedRequest::new(Request::new(format!("# a comment\n,, {text}")), &rules);
    assert_eq!(plain.is_ok(), padded.is_ok(), "{text}");
});
