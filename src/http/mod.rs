//! Routes of the web server.

mod asking;
mod body;
mod export;
pub mod graphiql;
mod graphql;
mod health;
mod picture;

use std::io;
use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::middleware::Compress;
use actix_web::{App, HttpServer, web};
use async_graphql::http::MultipartOptions;

use self::asking::Asking;
use self::body::BodyLimits;
use self::graphql::Executing;
use self::health::Readiness;
use crate::graphql::Schema;
use crate::service::Library;

/// Files in one upload: a data set has four, an ONNX file may have its weights in many.
const MAX_FILES: usize = 64;

/// Seconds that open requests are given when the server stops.
const SHUTDOWN_SECONDS: u64 = 5;

/// A web server on a listener; it runs once awaited, and does its work on the runtime this is called on.
///
/// # Errors
/// The listener cannot be used.
pub fn server(listener: TcpListener, schema: Schema, library: Library, max_upload_bytes: usize) -> io::Result<Server> {
    let uploads = MultipartOptions::default()
        .max_file_size(max_upload_bytes)
        .max_num_files(MAX_FILES);
    let executing = web::Data::new(Executing::here(schema));
    let limits = web::Data::new(BodyLimits {
        upload: max_upload_bytes,
    });
    let readiness = web::Data::new(Readiness::here(library.store().clone()));
    let asking = web::Data::new(Asking::here(library));
    let factory = move || {
        App::new()
            .app_data(executing.clone())
            .app_data(readiness.clone())
            .app_data(limits.clone())
            .app_data(asking.clone())
            .app_data(uploads)
            .wrap(Compress::default())
            .configure(graphiql::configure)
            .configure(graphql::configure)
            .configure(export::configure)
            .configure(picture::configure)
            .configure(health::configure)
    };
    Ok(HttpServer::new(factory)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        // An answer of two segments would wait for the client's delayed acknowledgement of the first, 40 ms.
        .tcp_nodelay(true)
        .listen(listener)?
        .run())
}
