//! Limits the length of request bodies.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures::Stream;

/// A body that ends with an error once it exceeds its limit.
pub struct LimitedBody {
    payload: Payload,
    left: usize,
    overflow: Overflow,
}

/// Tells whether a body exceeded its limit, even after the body has been consumed.
#[derive(Debug, Clone, Default)]
pub struct Overflow(Arc<AtomicBool>);

impl Overflow {
    /// Whether the body exceeded its limit.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl LimitedBody {
    /// A body of at most `limit` bytes.
    pub fn new(payload: Payload, limit: usize) -> Self {
        Self {
            payload,
            left: limit,
            overflow: Overflow::default(),
        }
    }

    /// Tells, after reading has failed, whether the limit was the reason.
    pub fn overflow(&self) -> Overflow {
        self.overflow.clone()
    }
}

impl Stream for LimitedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.payload).poll_next(context);
        let Poll::Ready(Some(Ok(bytes))) = &next else {
            return next;
        };
        match self.left.checked_sub(bytes.len()) {
            Some(left) => self.left = left,
            None => {
                self.overflow.0.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(PayloadError::Overflow)));
            }
        }
        next
    }
}
