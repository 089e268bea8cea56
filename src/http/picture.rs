//! Pictures.
//!
//! Plots are drawn on request, as SVG or PNG: `/cka/{a}/{b}` compares all layers of one version with all layers of
//! another; `/evaluations/{version}/{dataset}/{plot}` and `/trainings/{version}` plot an evaluation and a training.
//! `/images/{hash}.png` serves stored images.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::ID;
use serde::Deserialize;

use super::error::HttpError;
use super::gateway::LibraryGateway;
use super::get_or_head;
use scv_api::error::ApiError;
use scv_api::id::GlobalId as _;
use scv_domain::id::{DatasetId, ProbeSetId, VersionId};
use scv_domain::vector::Measure;
use scv_service::{CkaPlotRequest, EvaluationPlot, PictureFormat};

const PNG: &str = "image/png";

/// Versions and vectors never change, but their names may.
const CACHE_ONE_HOUR: &str = "private, max-age=3600";

/// An evaluation may be repeated.
const REVALIDATE: &str = "private, no-cache";

/// The query parameters of a CKA matrix.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatrixOptions {
    #[serde(default)]
    measure: Measure,
    probe_set: Option<String>,
    /// Separated by commas.
    layer_kinds: Option<String>,
}

/// The routes of pictures.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/cka/{a}/{b}.{format}", get_or_head().to(draw_matrix))
        .route(
            "/evaluations/{version}/{dataset}/{plot}.{format}",
            get_or_head().to(draw_evaluation),
        )
        .route("/trainings/{version}.{format}", get_or_head().to(draw_training))
        .route("/images/{hash}.png", get_or_head().to(stored_image));
}

async fn draw_matrix(
    gateway: web::Data<LibraryGateway>,
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    options: Result<web::Query<MatrixOptions>, actix_web::Error>,
) -> HttpResponse {
    let (a, b, format) = path.into_inner();
    let options = match options {
        Ok(options) => options.into_inner(),
        Err(error) => {
            return HttpResponse::BadRequest().body(format!(
                "{error}: the parameters are `measure` (DEBIASED_CKA or CKA), `probeSet` and `layerKinds`\n"
            ));
        }
    };
    draw_in_format(&format, CACHE_ONE_HOUR, async move |format| {
        let picture = picture_request(&a, &b, options)?;
        gateway
            .run(&request, async move |library| {
                library.plot_cka_matrix(picture, format).await
            })
            .await
    })
    .await
}

async fn draw_evaluation(
    gateway: web::Data<LibraryGateway>,
    request: HttpRequest,
    path: web::Path<(String, String, String, String)>,
) -> HttpResponse {
    let (version, dataset, plot, format) = path.into_inner();
    let Some(plot) = EvaluationPlot::ALL.into_iter().find(|known| known.name() == plot) else {
        let names = EvaluationPlot::ALL.map(EvaluationPlot::name).join(", ");
        return HttpResponse::NotFound().body(format!("unknown plot {plot:?}: choose one of {names}\n"));
    };
    draw_in_format(&format, REVALIDATE, async move |format| {
        let evaluation = (
            VersionId::decode(&ID::from(version))?,
            DatasetId::decode(&ID::from(dataset))?,
        );
        gateway
            .run(&request, async move |library| {
                library.plot_evaluation(evaluation, plot, format).await
            })
            .await
    })
    .await
}

async fn draw_training(
    gateway: web::Data<LibraryGateway>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (version, format) = path.into_inner();
    draw_in_format(&format, CACHE_ONE_HOUR, async move |format| {
        let version = VersionId::decode(&ID::from(version))?;
        gateway
            .run(&request, async move |library| {
                library.plot_training(version, format).await
            })
            .await
    })
    .await
}

/// The response with the picture that `draw` makes in a format.
async fn draw_in_format(
    format: &str,
    cache_control: &'static str,
    draw: impl AsyncFnOnce(PictureFormat) -> Result<Vec<u8>, HttpError>,
) -> HttpResponse {
    let Some(format) = PictureFormat::ALL.into_iter().find(|known| known.extension() == format) else {
        return HttpResponse::NotFound().body(format!("unknown format {format:?}: choose svg or png\n"));
    };
    let content_type = match format {
        PictureFormat::Svg => "image/svg+xml",
        PictureFormat::Png => PNG,
    };
    match draw(format).await {
        Ok(bytes) => HttpResponse::Ok()
            .content_type(content_type)
            .insert_header((header::CACHE_CONTROL, cache_control))
            .body(bytes),
        Err(error) => error.to_text_response(),
    }
}

/// Serves a stored image without a token, because a page cannot send one for its images. The address takes its place:
/// it cannot be guessed, and only authorised callers have been shown it.
async fn stored_image(
    gateway: web::Data<LibraryGateway>,
    request: HttpRequest,
    hash: web::Path<String>,
) -> HttpResponse {
    let hash = hash.into_inner();
    let found = gateway.run_anonymous(&request, async move |library| library.pictures().get(&hash).await);
    match found.await {
        Ok(bytes) => HttpResponse::Ok()
            .content_type(PNG)
            // The address is the hash of the bytes.
            .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
            .body(bytes),
        Err(error) => error.to_text_response(),
    }
}

fn picture_request(a: &str, b: &str, options: MatrixOptions) -> Result<CkaPlotRequest, ApiError> {
    let kinds = options.layer_kinds.unwrap_or_default();
    Ok(CkaPlotRequest {
        a: VersionId::decode(&ID::from(a))?,
        b: VersionId::decode(&ID::from(b))?,
        probe_set: options
            .probe_set
            .map(|id| ProbeSetId::decode(&ID::from(id)))
            .transpose()?,
        measure: options.measure,
        layer_kinds: kinds
            .split(',')
            .filter(|kind| !kind.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
