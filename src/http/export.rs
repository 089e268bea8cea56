//! Networks as files to be downloaded: `/versions/{id}/network.onnx`, `network.py` and `weights.safetensors`.

use actix_web::body::SizedStream;
use actix_web::http::header::{self, ContentDisposition};
use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::ID;

use super::asked::Refusal;
use super::asking::{Asking, refusal};
use super::get_or_head;
use scv_artifact::Stored;
use scv_domain::id::VersionId;
use crate::graphql::id::GlobalId as _;
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

async fn download(asking: web::Data<Asking>, request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (id, name) = path.into_inner();
    let Some((_, format, kind)) = FILES.into_iter().find(|(file, ..)| *file == name) else {
        let names = FILES.map(|(file, ..)| file).join(", ");
        return HttpResponse::NotFound().body(format!("there is no file {name:?}: a version has {names}\n"));
    };
    match export(&asking, &request, &id, format).await {
        Ok(Stored { size, pieces }) => HttpResponse::Ok()
            .content_type(kind)
            .insert_header(ContentDisposition::attachment(name))
            // A version never changes.
            .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
            // What fails on the way ends the line, so that nobody takes a part for the whole.
            .body(SizedStream::new(size, pieces)),
        Err(error) => refusal(&error),
    }
}

async fn export(asking: &Asking, request: &HttpRequest, id: &str, format: ExportFormat) -> Result<Stored, Refusal> {
    let id = VersionId::decode(&ID::from(id))?;
    asking
        .ask(request, async move |library| library.export(id, format).await)
        .await
}
