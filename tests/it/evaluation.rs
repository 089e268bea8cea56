//! Evaluations: metrics per class, confusion, calibration, mistakes and plots.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::insight::{list, number};
use crate::support::networks::{perceptron, small_cnn};
use crate::support::server::Server;

const EVALUATION: &str = "query($id: ID!) { version(id: $id) { trainingCurve evaluation {
    accuracy topFiveAccuracy loss imageCount confusionMatrix
    calibration { expectedCalibrationError bins { lower upper imageCount confidence accuracy } }
    classes { class { index name } imageCount predictedCount precision recall f1 }
    confusionCells(first: 100) { totalCount nodes { actual { index } predicted { index } imageCount
      exemplar { index confidence } } }
    mistakes(first: 5) { totalCount pageInfo { hasNextPage endCursor } nodes {
      actual { name } predicted { name } image { index confidence picture { url width height dataUrl } } } }
    confusion: plot(kind: CONFUSION_MATRIX) calibrationPlot: plot(kind: CALIBRATION, format: PNG) classesPlot: plot(kind: CLASSES)
    } } }";

/// Trains a version; returns its id and the version with its evaluation.
async fn evaluated(api: &Client) -> (String, Value) {
    let model = api.model("digits").await;
    let version = api
        .train_and_wait(&model, small_cnn(), json!({ "epochs": 2, "seed": 1 }))
        .await;
    let found = api.data(EVALUATION, json!({ "id": version })).await["version"].take();
    (version, found)
}

/// The confusion matrix of an evaluation: a row per true class, a column per predicted class.
fn confusion_matrix(evaluation: &Value) -> Vec<Vec<f64>> {
    list(&evaluation["confusionMatrix"])
        .iter()
        .map(|row| list(row).iter().map(number).collect())
        .collect()
}

#[tokio::test]
async fn accuracy_and_the_metrics_per_class_follow_from_the_confusion_matrix() {
    let server = Server::start().await;
    let (_, version) = evaluated(&server.api).await;
    let evaluation = &version["evaluation"];
    let matrix = confusion_matrix(evaluation);
    let images = number(&evaluation["imageCount"]);
    assert_eq!(matrix.iter().flatten().sum::<f64>(), images);
    let correct: f64 = (0..10).map(|class| matrix[class][class]).sum();
    assert!((number(&evaluation["accuracy"]) - correct / images).abs() < 1e-12);
    assert!(number(&evaluation["topFiveAccuracy"]) >= number(&evaluation["accuracy"]));
    for (class, report) in list(&evaluation["classes"]).iter().enumerate() {
        let of_class: f64 = matrix[class].iter().sum();
        let predicted: f64 = matrix.iter().map(|row| row[class]).sum();
        assert_eq!(report["class"], json!({ "index": class, "name": class.to_string() }));
        assert_eq!(
            (number(&report["imageCount"]), number(&report["predictedCount"])),
            (of_class, predicted)
        );
        let (precision, recall) = (number(&report["precision"]), number(&report["recall"]));
        assert!((precision - matrix[class][class] / predicted).abs() < 1e-12);
        assert!((recall - matrix[class][class] / of_class).abs() < 1e-12);
        assert!((number(&report["f1"]) - 2.0 * precision * recall / (precision + recall)).abs() < 1e-12);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn confusion_cells_calibration_and_mistakes_agree_with_the_confusion_matrix() {
    let server = Server::start().await;
    let (_, version) = evaluated(&server.api).await;
    let evaluation = &version["evaluation"];
    let matrix = confusion_matrix(evaluation);
    let images = number(&evaluation["imageCount"]);
    let correct: f64 = (0..10).map(|class| matrix[class][class]).sum();
    let cells = &evaluation["confusionCells"];
    for cell in list(&cells["nodes"]) {
        let place = |class: &Value| class["index"].as_u64().unwrap() as usize;
        let count = matrix[place(&cell["actual"])][place(&cell["predicted"])];
        assert_eq!(number(&cell["imageCount"]), count);
        let confidence = number(&cell["exemplar"]["confidence"]);
        assert!(
            (0.1..=1.0).contains(&confidence),
            "the confidence of the predicted one of ten classes: {cell:#}"
        );
    }
    let filled = matrix.iter().flatten().filter(|count| **count > 0.0).count();
    assert_eq!(cells["totalCount"], filled);

    let bins = list(&evaluation["calibration"]["bins"]);
    assert_eq!(bins.iter().map(|bin| number(&bin["imageCount"])).sum::<f64>(), images);
    for bin in bins.iter().filter(|bin| bin["imageCount"] != 0) {
        let confidence = number(&bin["confidence"]);
        assert!(
            number(&bin["lower"]) < confidence && confidence <= number(&bin["upper"]),
            "{bin:#}"
        );
    }
    let mistakes = &evaluation["mistakes"];
    assert_eq!(number(&mistakes["totalCount"]), (images - correct).min(100.0));
    let confidences: Vec<f64> = list(&mistakes["nodes"])
        .iter()
        .map(|m| number(&m["image"]["confidence"]))
        .collect();
    assert!(confidences.is_sorted_by(|a, b| a >= b), "{confidences:?}");
    for mistake in list(&mistakes["nodes"]) {
        assert_ne!(mistake["actual"], mistake["predicted"]);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_image_of_a_cell_is_listed_with_the_most_confident_first() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, found) = evaluated(api).await;
    let query = "query($id: ID!, $actual: Int!, $predicted: Int!, $after: String) { version(id: $id) { evaluation {
                   images(actual: $actual, predicted: $predicted, first: 7, after: $after) {
                     totalCount pageInfo { hasNextPage endCursor } nodes { index confidence picture { width } } } } } }";
    let mut listed = Vec::new();
    for cell in list(&found["evaluation"]["confusionCells"]["nodes"]) {
        let mut variables =
            json!({ "id": version, "actual": cell["actual"]["index"], "predicted": cell["predicted"]["index"] });
        let mut images = Vec::new();
        loop {
            let page = api.data(query, variables.clone()).await["version"]["evaluation"]["images"].take();
            assert_eq!(page["totalCount"], cell["imageCount"]);
            images.extend_from_slice(list(&page["nodes"]));
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            variables["after"] = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(images.len() as u64, cell["imageCount"].as_u64().unwrap());
        let confidences: Vec<f64> = images.iter().map(|image| number(&image["confidence"])).collect();
        assert!(confidences.is_sorted_by(|a, b| a >= b), "{confidences:?}");
        assert_eq!(
            (&images[0]["index"], &images[0]["confidence"]),
            (&cell["exemplar"]["index"], &cell["exemplar"]["confidence"])
        );
        listed.extend(images.iter().map(|image| image["index"].as_u64().unwrap()));
    }
    listed.sort_unstable();
    let split: Vec<u64> = (0..found["evaluation"]["imageCount"].as_u64().unwrap()).collect();
    assert_eq!(listed, split, "each image of the split is in one cell");

    let mut empty = json!({ "id": version, "actual": 3, "predicted": 60_000 });
    let page = api.data(query, empty.clone()).await["version"]["evaluation"]["images"].take();
    assert_eq!((&page["totalCount"], &page["nodes"]), (&json!(0), &json!([])));
    empty["predicted"] = json!(-1);
    assert_eq!(api.error(query, empty).await.0, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn plots_and_pictures_of_an_evaluation_have_urls() {
    let server = Server::start().await;
    let api = &server.api;
    let (_, version) = evaluated(api).await;
    let evaluation = &version["evaluation"];
    for (url, content_type, start) in [
        (&evaluation["confusion"], "image/svg+xml", &b"<svg"[..]),
        (&evaluation["calibrationPlot"], "image/png", b"\x89PNG"),
        (&evaluation["classesPlot"], "image/svg+xml", b"<svg"),
        (&version["trainingCurve"], "image/svg+xml", b"<svg"),
    ] {
        let response = api.get(url.as_str().unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &content_type.parse().unwrap())
        );
        assert!(response.bytes().await.unwrap().starts_with(start), "{url}");
    }
    let picture = &list(&evaluation["mistakes"]["nodes"])[0]["image"]["picture"];
    let response = api.get(picture["url"].as_str().unwrap()).await;
    assert!(
        response.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let bytes = response.bytes().await.unwrap();
    let decoded = image::load_from_memory(&bytes).unwrap();
    assert_eq!(
        (decoded.width(), decoded.height()),
        (number(&picture["width"]) as u32, number(&picture["height"]) as u32)
    );
    assert!(decoded.width() > 100, "an image of eight pixels is enlarged");
    assert!(text(&picture["dataUrl"]).starts_with("data:image/png;base64,iVBOR"));

    let unknown = format!("/images/{}.png", "0".repeat(64));
    for missing in [
        "/images/nothing.png",
        &unknown,
        "/trainings/x.gif",
        "/evaluations/a/b/pie.svg",
    ] {
        let status = api.get(missing).await.status().as_u16();
        assert_eq!(status, 404, "{missing}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn mistakes_are_paged_in_both_directions() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("weak").await;
    let version = api
        .train_and_wait(&model, perceptron(), json!({ "epochs": 1, "seed": 1 }))
        .await;
    let query =
        "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { version(id: $id) { evaluation {
        mistakes(first: $first, after: $after, last: $last, before: $before) {
          nodes { image { index } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }";
    let page = async |arguments: Value| {
        let mut variables = arguments;
        variables["id"] = json!(version);
        api.data(query, variables).await["version"]["evaluation"]["mistakes"].take()
    };
    let all = page(json!({ "first": 9 })).await;
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for _ in 0..3 {
        let next = page(json!({ "first": 3, "after": after })).await;
        seen.extend(list(&next["nodes"]).to_vec());
        after = next["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, list(&all["nodes"]));
    let before = page(json!({ "last": 4, "before": all["pageInfo"]["endCursor"] })).await;
    assert_eq!(list(&before["nodes"]), &list(&all["nodes"])[4..8]);
    assert_eq!(before["pageInfo"]["hasPreviousPage"], true);
    server.stop().await.unwrap();
}
