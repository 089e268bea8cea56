//! Networks as downloadable files: `/versions/{id}/network.onnx`, `network.py` and `weights.safetensors`.

use actix_web::body::SizedStream;
use actix_web::http::header::{self, ContentDisposition};
use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::ID;

use super::error::HttpError;
use super::gateway::LibraryGateway;
use super::get_or_head;
use scv_api::id::GlobalId as _;
use scv_artifact::ObjectStream;
use scv_domain::id::VersionId;
use scv_service::ExportFormat;

/// The files of a version, by name.
const FILES: [(&str, ExportFormat, &str); 3] = [
    ("network.onnx", ExportFormat::Onnx, "application/octet-stream"),
    ("network.py", ExportFormat::Pytorch, "text/x-python; charset=utf-8"),
    (
        "weights.safetensors",
        ExportFormat::Safetensors,
        "application/octet-stream",
    ),
];

/// `/versions/{id}/{file}`
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/versions/{id}/{file}", get_or_head().to(download));
}

async fn download(
    gateway: web::Data<LibraryGateway>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (id, name) = path.into_inner();
    let Some((_, format, kind)) = FILES.into_iter().find(|(file, ..)| *file == name) else {
        let names = FILES.map(|(file, ..)| file).join(", ");
        return HttpResponse::NotFound().body(format!("unknown file {name:?}: a version has {names}\n"));
    };
    match export(&gateway, &request, &id, format).await {
        Ok(ObjectStream { size, chunks }) => HttpResponse::Ok()
            .content_type(kind)
            .insert_header(ContentDisposition::attachment(name))
            // A version never changes.
            .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
            // A failure closes the connection early, so that the client does not take a part for the whole file.
            .body(SizedStream::new(size, chunks)),
        Err(error) => error.to_text_response(),
    }
}

async fn export(
    gateway: &LibraryGateway,
    request: &HttpRequest,
    id: &str,
    format: ExportFormat,
) -> Result<ObjectStream, HttpError> {
    let id = VersionId::decode(&ID::from(id))?;
    gateway
        .run(request, async move |library| library.export(id, format).await)
        .await
}
