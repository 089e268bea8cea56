//! GraphQL documents: the check against the limits, which runs before anything else looks at them.

#![no_main]

use async_graphql::Request;
use libfuzzer_sys::fuzz_target;
use scv::config::Config;
use scv::graphql::limits::check;

fuzz_target!(|text: &str| {
    let limits = Config::defaults().limits;
    if text.len() + 64 > limits.document_bytes {
        return;
    }
    // Ignored tokens must not change the outcome.
    let plain = check(&limits, &mut Request::new(text));
    let padded = check(&limits, &mut Request::new(format!("# a comment\n,, {text}")));
    assert_eq!(plain.is_ok(), padded.is_ok(), "{text}");
});
