//! Pictures: `/cka/{a}/{b}.svg` and `.png`, all layers of a version against all layers of another.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use async_graphql::ID;
use serde::Deserialize;

use super::asking::{Asking, refusal};
use crate::domain::id::{ProbeSetId, VersionId};
use crate::domain::vector::Measure;
use crate::graphql::error::ApiError;
use crate::graphql::id::GlobalId as _;
use crate::service::{PictureFormat, PictureRequest};

/// What may be said of a picture.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wishes {
    #[serde(default)]
    measure: Measure,
    probe_set: Option<String>,
    /// Separated by commas.
    layer_kinds: Option<String>,
}

/// `/cka/{a}/{b}.{format}`
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/cka/{a}/{b}.{format}", web::get().to(draw));
}

async fn draw(
    asking: web::Data<Asking>,
    path: web::Path<(String, String, String)>,
    wishes: Result<web::Query<Wishes>, actix_web::Error>,
) -> HttpResponse {
    let (a, b, format) = path.into_inner();
    let Some(format) = PictureFormat::ALL.into_iter().find(|known| known.ending() == format) else {
        return HttpResponse::NotFound().body(format!("there is no picture of kind {format:?}: choose svg or png\n"));
    };
    let kind = match format {
        PictureFormat::Svg => "image/svg+xml",
        PictureFormat::Png => "image/png",
    };
    let wishes = match wishes {
        Ok(wishes) => wishes.into_inner(),
        Err(error) => {
            return HttpResponse::BadRequest().body(format!(
                "{error}: a picture takes `measure` (DEBIASED_CKA or CKA), `probeSet` and `layerKinds`\n"
            ));
        }
    };
    let drawn = match request(&a, &b, wishes) {
        Ok(request) => {
            asking
                .ask(async move |library| library.picture(request, format).await)
                .await
        }
        Err(error) => Err(error),
    };
    match drawn {
        Ok(bytes) => HttpResponse::Ok()
            .content_type(kind)
            // Versions and vectors never change; what they are called may.
            .insert_header((header::CACHE_CONTROL, "private, max-age=3600"))
            .body(bytes),
        Err(error) => refusal(&error),
    }
}

fn request(a: &str, b: &str, wishes: Wishes) -> Result<PictureRequest, ApiError> {
    let kinds = wishes.layer_kinds.unwrap_or_default();
    Ok(PictureRequest {
        a: VersionId::decode(&ID::from(a))?,
        b: VersionId::decode(&ID::from(b))?,
        probe_set: wishes
            .probe_set
            .map(|id| ProbeSetId::decode(&ID::from(id)))
            .transpose()?,
        measure: wishes.measure,
        layer_kinds: kinds
            .split(',')
            .filter(|kind| !kind.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
