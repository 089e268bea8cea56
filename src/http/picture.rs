//! Pictures: drawn when they are asked for, as SVG or PNG (`/cka/{a}/{b}`, all layers of a version against all layers of
//! another; `/evaluations/{version}/{dataset}/{plot}`; `/trainings/{version}`), and kept ones (`/images/{hash}.png`).

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::ID;
use serde::Deserialize;

use super::asked::Refusal;
use super::asking::{Asking, refusal};
use super::get_or_head;
use scv_domain::id::{DatasetId, ProbeSetId, VersionId};
use scv_domain::vector::Measure;
use crate::graphql::error::ApiError;
use crate::graphql::id::GlobalId as _;
use scv_service::{EvaluationPlot, PictureFormat, PictureRequest};

const PNG: &str = "image/png";

/// Versions and vectors never change; what they are called may.
const AN_HOUR: &str = "private, max-age=3600";

/// An evaluation may be repeated.
const ASK_AGAIN: &str = "private, no-cache";

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

/// The addresses of pictures.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/cka/{a}/{b}.{format}", get_or_head().to(draw_matrix))
        .route(
            "/evaluations/{version}/{dataset}/{plot}.{format}",
            get_or_head().to(draw_evaluation),
        )
        .route("/trainings/{version}.{format}", get_or_head().to(draw_training))
        .route("/images/{hash}.png", get_or_head().to(kept));
}

async fn draw_matrix(
    asking: web::Data<Asking>,
    asked: HttpRequest,
    path: web::Path<(String, String, String)>,
    wishes: Result<web::Query<Wishes>, actix_web::Error>,
) -> HttpResponse {
    let (a, b, format) = path.into_inner();
    let wishes = match wishes {
        Ok(wishes) => wishes.into_inner(),
        Err(error) => {
            return HttpResponse::BadRequest().body(format!(
                "{error}: a picture takes `measure` (DEBIASED_CKA or CKA), `probeSet` and `layerKinds`\n"
            ));
        }
    };
    drawn(&format, AN_HOUR, async move |format| {
        let request = request(&a, &b, wishes)?;
        asking
            .ask(&asked, async move |library| library.picture(request, format).await)
            .await
    })
    .await
}

async fn draw_evaluation(
    asking: web::Data<Asking>,
    asked: HttpRequest,
    path: web::Path<(String, String, String, String)>,
) -> HttpResponse {
    let (version, dataset, plot, format) = path.into_inner();
    let Some(plot) = EvaluationPlot::ALL.into_iter().find(|known| known.name() == plot) else {
        let names = EvaluationPlot::ALL.map(EvaluationPlot::name).join(", ");
        return HttpResponse::NotFound().body(format!("an evaluation has no plot {plot:?}: choose one of {names}\n"));
    };
    drawn(&format, ASK_AGAIN, async move |format| {
        let evaluation = (
            VersionId::decode(&ID::from(version))?,
            DatasetId::decode(&ID::from(dataset))?,
        );
        asking
            .ask(&asked, async move |library| {
                library.plot_evaluation(evaluation, plot, format).await
            })
            .await
    })
    .await
}

async fn draw_training(
    asking: web::Data<Asking>,
    asked: HttpRequest,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (version, format) = path.into_inner();
    drawn(&format, AN_HOUR, async move |format| {
        let version = VersionId::decode(&ID::from(version))?;
        asking
            .ask(&asked, async move |library| {
                library.plot_training(version, format).await
            })
            .await
    })
    .await
}

/// What `draw` gives in a format, or why there is nothing.
async fn drawn(
    format: &str,
    caching: &'static str,
    draw: impl AsyncFnOnce(PictureFormat) -> Result<Vec<u8>, Refusal>,
) -> HttpResponse {
    let Some(format) = PictureFormat::ALL.into_iter().find(|known| known.ending() == format) else {
        return HttpResponse::NotFound().body(format!("there is no picture of kind {format:?}: choose svg or png\n"));
    };
    let kind = match format {
        PictureFormat::Svg => "image/svg+xml",
        PictureFormat::Png => PNG,
    };
    match draw(format).await {
        Ok(bytes) => HttpResponse::Ok()
            .content_type(kind)
            .insert_header((header::CACHE_CONTROL, caching))
            .body(bytes),
        Err(error) => refusal(&error),
    }
}

/// Whoever knows the address was shown it, and nobody can guess one: it takes the place of a token, which a page could not send
/// for its pictures.
async fn kept(asking: web::Data<Asking>, asked: HttpRequest, hash: web::Path<String>) -> HttpResponse {
    let hash = hash.into_inner();
    let found = asking.ask_for_anybody(&asked, async move |library| library.kept_picture(&hash).await);
    match found.await {
        Ok(bytes) => HttpResponse::Ok()
            .content_type(PNG)
            // The address is the hash of the bytes.
            .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
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
