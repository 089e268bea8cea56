//! Compression of answers.

use std::io::{self, Write as _};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    self, AcceptEncoding, ContentEncoding, Encoding, Header as _, HeaderValue, Preference, Quality,
};
use actix_web::middleware::Next;
use bytes::Bytes;

/// What fits into one packet is not made smaller.
const MIN_BYTES: usize = 1_400;

/// More bytes than this would hold up the other requests of a thread.
const AT_ONCE: usize = 64 << 10;

/// How an answer can be compressed. Of those that a client likes equally well the first is taken.
const CODINGS: [ContentEncoding; 3] = [ContentEncoding::Zstd, ContentEncoding::Brotli, ContentEncoding::Gzip];

/// Of each encoder the step that is meant for answers which are made once and sent once.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 4;
const BROTLI_QUALITY: i32 = 4;

/// Bits of brotli's window. Its usual one of 4 MiB is filled with zeros for each answer, which took a quarter of the time of a
/// server under load, and most of its memory.
const BROTLI_WINDOW: i32 = 18;

/// Compresses whole answers of text as the client accepts it. Streams and what is packed already, such as PNG, pass.
pub async fn compress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let best = AcceptEncoding::parse(&request)
        .ok()
        .and_then(|accepted| best(&accepted));
    let answer = next.call(request).await?.map_into_boxed_body();
    let is_packed = answer.headers().contains_key(header::CONTENT_ENCODING);
    if is_packed || !is_text(answer.headers().get(header::CONTENT_TYPE)) {
        return Ok(answer);
    }
    let (request, answer) = answer.into_parts();
    let (mut answer, body) = answer.into_parts();
    // Caches must not give it to clients that accept other codings.
    let vary = HeaderValue::from_static("accept-encoding");
    answer.headers_mut().append(header::VARY, vary);
    let packed = match body.try_into_bytes() {
        Err(stream) => Ok(stream),
        Ok(bytes) => match best.filter(|_| bytes.len() >= MIN_BYTES) {
            None => Ok(BoxBody::new(bytes)),
            Some(coding) => pack(coding, bytes).await.map(|packed| {
                let name = HeaderValue::from_static(coding.as_str());
                answer.headers_mut().insert(header::CONTENT_ENCODING, name);
                BoxBody::new(packed)
            }),
        },
    };
    Ok(ServiceResponse::new(request, answer.set_body(packed?)))
}

fn is_text(kind: Option<&HeaderValue>) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/")
        || ["json", "javascript", "xml"]
            .iter()
            .any(|format| kind.split(';').next().is_some_and(|kind| kind.ends_with(format)))
}

/// The coding that a client likes best, if it accepts any.
fn best(accepted: &AcceptEncoding) -> Option<ContentEncoding> {
    let liking = |coding: &ContentEncoding| {
        let own = accepted
            .iter()
            .find(|item| matches!(&item.item, Preference::Specific(Encoding::Known(known)) if known == coding));
        let any = || accepted.iter().find(|item| item.item == Preference::Any);
        own.or_else(any).map_or(Quality::ZERO, |item| item.quality)
    };
    let liked = CODINGS.into_iter().filter(|coding| liking(coding) > Quality::ZERO);
    // Of equals the last is the greatest.
    liked.rev().max_by_key(liking)
}

/// Packs, what is large on a thread that may take its time.
async fn pack(coding: ContentEncoding, bytes: Bytes) -> Result<Vec<u8>, actix_web::Error> {
    if bytes.len() <= AT_ONCE {
        return Ok(packed(coding, &bytes)?);
    }
    let packed = actix_web::web::block(move || packed(coding, &bytes)).await?;
    Ok(packed?)
}

fn packed(coding: ContentEncoding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        ContentEncoding::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
        ContentEncoding::Brotli => {
            let settings = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: BROTLI_WINDOW,
                size_hint: bytes.len(),
                ..Default::default()
            };
            let mut packed = Vec::new();
            brotli::BrotliCompress(&mut &bytes[..], &mut packed, &settings)?;
            Ok(packed)
        }
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn chosen(accepted: &str) -> Option<ContentEncoding> {
        let request = TestRequest::get()
            .insert_header((header::ACCEPT_ENCODING, accepted))
            .to_srv_request();
        best(&AcceptEncoding::parse(&request).ok()?)
    }

    #[test]
    fn the_client_chooses_and_of_equals_the_server() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some(ContentEncoding::Zstd)),
            ("gzip, br", Some(ContentEncoding::Brotli)),
            ("gzip;q=1.0, zstd;q=0.5", Some(ContentEncoding::Gzip)),
            ("*", Some(ContentEncoding::Zstd)),
            ("zstd;q=0, *", Some(ContentEncoding::Brotli)),
            ("identity", None),
            ("gzip;q=0", None),
            ("", None),
        ] {
            assert_eq!(chosen(accepted), coding, "{accepted}");
        }
    }
}
