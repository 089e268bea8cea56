//! GraphQL documents, as far as they are counted before anything else looks at them.

#![no_main]

use async_graphql::Request;
use libfuzzer_sys::fuzz_target;
use scv::config::Config;
use scv::graphql::limits::operation;

fuzz_target!(|text: &str| {
    let limits = Config::defaults().limits;
    if text.len() + 64 > limits.document_bytes {
        return;
    }
    // What means nothing changes nothing.
    let alone = operation(&limits, &mut Request::new(text));
    let among = operation(&limits, &mut Request::new(format!("# a comment\n,, {text}")));
    assert_eq!(alone.is_ok(), among.is_ok(), "{text}");
});
