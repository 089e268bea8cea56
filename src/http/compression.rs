//! Compression of responses.

use std::io::{self, Write as _};

use actix_web::HttpMessage;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    self, AcceptEncoding, ContentEncoding, Encoding, Header as _, HeaderValue, Preference, Quality,
};
use actix_web::middleware::Next;
use bytes::Bytes;

/// A response that fits into one packet is not compressed.
const MIN_BYTES: usize = 1_400;

/// Larger responses are compressed on another thread, because they would delay the other requests of this one.
const MAX_INLINE_BYTES: usize = 64 << 10;

/// The supported encodings. Among those that the client prefers equally, the first is used.
const ENCODINGS: [ContentEncoding; 2] = [ContentEncoding::Brotli, ContentEncoding::Gzip];

/// Levels that suit responses which are compressed once and sent once.
const GZIP_LEVEL: u8 = 4;
const BROTLI_QUALITY: u8 = 4;

/// Responses larger than this, such as a million scores, would take seconds at these levels. They get the fastest one.
const LARGE_BYTES: usize = 1 << 20;
const FASTEST: u8 = 1;

/// Brotli's window as a power of two. The default of 4 MiB is zeroed for each response, which took a quarter of the
/// time and most of the memory of a server under load.
const BROTLI_WINDOW_BITS: i32 = 18;

/// Compresses text responses with the encoding that the client prefers. Streams, compressed formats such
/// as PNG, and what is encoded already pass unchanged.
pub async fn compress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let encoding = accepted_encoding(&request);
    let response = next.call(request).await?.map_into_boxed_body();
    if !is_text(response.headers().get(header::CONTENT_TYPE)) {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    // Caches must not serve it to clients that accept other encodings.
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(header::VARY, vary);
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(ServiceResponse::new(request, response.set_body(body)));
    }
    let body = match body.try_into_bytes() {
        Err(stream) => stream,
        Ok(bytes) => {
            let (encoding, bytes) = encoded(encoding, bytes).await?;
            if let Some(encoding) = encoding {
                let name = HeaderValue::from_static(encoding.as_str());
                response.headers_mut().insert(header::CONTENT_ENCODING, name);
            }
            BoxBody::new(bytes)
        }
    };
    Ok(ServiceResponse::new(request, response.set_body(body)))
}

/// The supported encoding that the client of a request prefers, if it accepts one.
pub fn accepted_encoding(request: &impl HttpMessage) -> Option<ContentEncoding> {
    AcceptEncoding::parse(request)
        .ok()
        .and_then(|accepted| preferred_encoding(&accepted))
}

/// A body in an encoding, unless it is too small to gain by it.
///
/// # Errors
/// Memory runs out.
pub async fn encoded(
    encoding: Option<ContentEncoding>,
    body: Bytes,
) -> Result<(Option<ContentEncoding>, Bytes), actix_web::Error> {
    match encoding.filter(|_| body.len() >= MIN_BYTES) {
        None => Ok((None, body)),
        Some(encoding) => Ok((Some(encoding), encode(encoding, body).await?.into())),
    }
}

fn is_text(content_type: Option<&HeaderValue>) -> bool {
    let media_type = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    media_type.starts_with("text/")
        || ["json", "javascript", "xml"]
            .iter()
            .any(|format| media_type.ends_with(format))
}

/// The supported encoding that the client prefers, if it accepts one.
fn preferred_encoding(accepted: &AcceptEncoding) -> Option<ContentEncoding> {
    let quality = |encoding: &ContentEncoding| {
        let own = accepted
            .iter()
            .find(|item| matches!(&item.item, Preference::Specific(Encoding::Known(known)) if known == encoding));
        let any = || accepted.iter().find(|item| item.item == Preference::Any);
        own.or_else(any).map_or(Quality::ZERO, |item| item.quality)
    };
    let accepted = ENCODINGS
        .into_iter()
        .filter(|encoding| quality(encoding) > Quality::ZERO);
    // `max_by_key` returns the last of equal elements.
    accepted.rev().max_by_key(quality)
}

/// Compresses a body, a large one on a thread for blocking work.
async fn encode(encoding: ContentEncoding, bytes: Bytes) -> Result<Vec<u8>, actix_web::Error> {
    if bytes.len() <= MAX_INLINE_BYTES {
        return Ok(encode_blocking(encoding, &bytes)?);
    }
    let encoded = actix_web::web::block(move || encode_blocking(encoding, &bytes)).await?;
    Ok(encoded?)
}

fn encode_blocking(encoding: ContentEncoding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match encoding {
        ContentEncoding::Brotli => {
            let settings = brotli::enc::BrotliEncoderParams {
                quality: level(BROTLI_QUALITY, bytes).into(),
                lgwin: BROTLI_WINDOW_BITS,
                size_hint: bytes.len(),
                ..Default::default()
            };
            let mut encoded = Vec::new();
            brotli::BrotliCompress(&mut &bytes[..], &mut encoded, &settings)?;
            Ok(encoded)
        }
        _ => {
            let level = flate2::Compression::new(level(GZIP_LEVEL, bytes).into());
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

fn level(usual: u8, bytes: &[u8]) -> u8 {
    if bytes.len() > LARGE_BYTES { FASTEST } else { usual }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn chosen(accepted: &str) -> Option<ContentEncoding> {
        let request = TestRequest::get()
            .insert_header((header::ACCEPT_ENCODING, accepted))
            .to_srv_request();
        preferred_encoding(&AcceptEncoding::parse(&request).ok()?)
    }

    #[test]
    fn the_client_chooses_and_the_server_breaks_ties() {
        for (accepted, encoding) in [
            ("gzip, deflate, br, zstd", Some(ContentEncoding::Brotli)),
            ("gzip, br", Some(ContentEncoding::Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(ContentEncoding::Gzip)),
            ("*", Some(ContentEncoding::Brotli)),
            ("br;q=0, *", Some(ContentEncoding::Gzip)),
            ("zstd", None),
            ("identity", None),
            ("gzip;q=0", None),
            ("", None),
        ] {
            assert_eq!(chosen(accepted), encoding, "{accepted}");
        }
    }
}
