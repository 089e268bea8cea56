//! What an evaluation tells: by class, what is taken for what, how sure the network was, and pictures of all that.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::look::{list, number};
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
    confusion: plot(of: CONFUSION_MATRIX) calibrationPlot: plot(of: CALIBRATION, format: PNG) classesPlot: plot(of: CLASSES)
    } } }";

async fn evaluated(api: &Client) -> (String, Value) {
    let model = api.model("digits").await;
    let version = api
        .trained(&model, small_cnn(), json!({ "epochs": 2, "seed": 1 }))
        .await;
    let found = api.data(EVALUATION, json!({ "id": version })).await["version"].take();
    (version, found)
}

#[tokio::test]
async fn the_parts_of_an_evaluation_agree_with_each_other() {
    let server = Server::start().await;
    let (_, version) = evaluated(&server.api).await;
    let evaluation = &version["evaluation"];
    let images = number(&evaluation["imageCount"]);
    let matrix: Vec<Vec<f64>> = list(&evaluation["confusionMatrix"])
        .iter()
        .map(|row| list(row).iter().map(number).collect())
        .collect();
    assert_eq!(matrix.iter().flatten().sum::<f64>(), images);
    let right: f64 = (0..10).map(|class| matrix[class][class]).sum();
    assert!((number(&evaluation["accuracy"]) - right / images).abs() < 1e-12);
    assert!(number(&evaluation["topFiveAccuracy"]) >= number(&evaluation["accuracy"]));

    for (class, report) in list(&evaluation["classes"]).iter().enumerate() {
        let of_class: f64 = matrix[class].iter().sum();
        let taken_for_it: f64 = matrix.iter().map(|row| row[class]).sum();
        assert_eq!(report["class"], json!({ "index": class, "name": class.to_string() }));
        assert_eq!(
            (number(&report["imageCount"]), number(&report["predictedCount"])),
            (of_class, taken_for_it)
        );
        let (precision, recall) = (number(&report["precision"]), number(&report["recall"]));
        assert!((precision - matrix[class][class] / taken_for_it).abs() < 1e-12);
        assert!((recall - matrix[class][class] / of_class).abs() < 1e-12);
        assert!((number(&report["f1"]) - 2.0 * precision * recall / (precision + recall)).abs() < 1e-12);
    }
    let cells = &evaluation["confusionCells"];
    for cell in list(&cells["nodes"]) {
        let place = |class: &Value| class["index"].as_u64().unwrap() as usize;
        let count = matrix[place(&cell["actual"])][place(&cell["predicted"])];
        assert_eq!(number(&cell["imageCount"]), count);
        let confidence = number(&cell["exemplar"]["confidence"]);
        assert!(
            (0.1..=1.0).contains(&confidence),
            "the likeliest of ten classes: {cell:#}"
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
    assert_eq!(number(&mistakes["totalCount"]), (images - right).min(100.0));
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
async fn everything_to_be_seen_of_an_evaluation_has_an_address() {
    let server = Server::start().await;
    let api = &server.api;
    let (_, version) = evaluated(api).await;
    let evaluation = &version["evaluation"];
    for (address, kind, start) in [
        (&evaluation["confusion"], "image/svg+xml", &b"<svg"[..]),
        (&evaluation["calibrationPlot"], "image/png", b"\x89PNG"),
        (&evaluation["classesPlot"], "image/svg+xml", b"<svg"),
        (&version["trainingCurve"], "image/svg+xml", b"<svg"),
    ] {
        let response = api.get(address.as_str().unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
        assert!(response.bytes().await.unwrap().starts_with(start), "{address}");
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
    assert!(decoded.width() > 100, "an image of eight pixels is enlarged to be seen");
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
async fn mistakes_and_cells_are_paged_through_in_both_directions() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("weak").await;
    let version = api
        .trained(&model, perceptron(), json!({ "epochs": 1, "seed": 1 }))
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
