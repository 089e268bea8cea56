//! Networks as files to be downloaded: `/versions/{id}/network.onnx`, `network.py` and `weights.safetensors`.

use actix_web::http::header::{self, ContentDisposition};
use actix_web::{HttpResponse, web};
use async_graphql::ID;
use tokio::runtime::Handle;

use crate::domain::id::VersionId;
use crate::graphql::error::{ApiError, code};
use crate::graphql::id::GlobalId as _;
use crate::service::{ExportFormat, Library};

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

/// Asks the library, on the runtime that its connections belong to.
#[derive(Clone)]
pub struct Exporting {
    library: Library,
    runtime: Handle,
}

impl Exporting {
    /// Exports from a library, on the runtime this is called on.
    pub fn here(library: Library) -> Self {
        Self {
            library,
            runtime: Handle::current(),
        }
    }
}

/// `/versions/{id}/{file}`
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/versions/{id}/{file}", web::get().to(download));
}

async fn download(exporting: web::Data<Exporting>, path: web::Path<(String, String)>) -> HttpResponse {
    let (id, name) = path.into_inner();
    let Some((_, format, kind)) = FILES.into_iter().find(|(file, ..)| *file == name) else {
        let names = FILES.map(|(file, ..)| file).join(", ");
        return HttpResponse::NotFound().body(format!("there is no file {name:?}: a version has {names}\n"));
    };
    match exporting.export(&id, format).await {
        Ok(bytes) => HttpResponse::Ok()
            .content_type(kind)
            .insert_header(ContentDisposition::attachment(name))
            // A version never changes.
            .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
            .body(bytes),
        Err(error) => refusal(&error),
    }
}

impl Exporting {
    async fn export(&self, id: &str, format: ExportFormat) -> Result<Vec<u8>, ApiError> {
        let id = VersionId::decode(&ID::from(id))?;
        let library = self.library.clone();
        let exported = self.runtime.spawn(async move { library.export(id, format).await });
        match exported.await {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(ApiError::from(crate::service::ServiceError::internal(error))),
        }
    }
}

fn refusal(error: &ApiError) -> HttpResponse {
    let mut response = match error.code() {
        code::NOT_FOUND => HttpResponse::NotFound(),
        code::BAD_USER_INPUT => HttpResponse::BadRequest(),
        code::OVERLOADED => HttpResponse::ServiceUnavailable(),
        _ => HttpResponse::InternalServerError(),
    };
    response.body(format!("{}\n", error.message()))
}
