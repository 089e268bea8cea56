//! Global ids and cursors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_api::id::{GlobalId, decode_cursor, decode_key};
use scv_domain::comparison::VersionCursor;
use scv_domain::id::{Key, LayerId};
use scv_domain::model::ModelOrderField;
use scv_domain::similarity::MatchCursor;
use scv_store::Position;

fuzz_target!(|text: &str| {
    let _ = decode_cursor::<Position<ModelOrderField>>("after", Some(text.to_owned()));
    let _ = decode_cursor::<MatchCursor>("after", Some(text.to_owned()));
    let _ = decode_cursor::<VersionCursor>("after", Some(text.to_owned()));
    let _ = decode_cursor::<i32>("after", Some(text.to_owned()));
    let id = text.to_owned().into();
    if let Ok(Key::Layer(layer)) = decode_key(&id) {
        // Several ids may decode to the same key, for example with a sign, but an encoded key must decode to itself.
        assert_eq!(LayerId::decode(&layer.encode()).ok(), Some(layer));
    }
});
