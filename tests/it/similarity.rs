//! The main job: networks in, similar layers out.

use serde_json::json;

use crate::support::server::{Server, small_cnn};

#[tokio::test]
async fn a_layer_is_found_again_first_with_a_score_of_one_when_its_own_model_may_answer() {
    let server = Server::start().await;
    let model = server.model("a").await;
    let version = server
        .train(&model, small_cnn(), json!({ "epochs": 2, "seed": 1 }))
        .await;
    let query = "query($id: ID!) { version(id: $id) { layers(first: 100) { nodes { id name
                   similar(first: 1, filter: { includeOwnModel: true }) { edges { cka debiasedCka node { id } } } } } } }";
    let data = server.data(query, json!({ "id": version })).await;
    let layers = data["version"]["layers"]["nodes"].as_array().unwrap();
    assert_eq!(layers.len(), 7);
    for layer in layers {
        let best = &layer["similar"]["edges"][0];
        assert_eq!(best["node"]["id"], layer["id"], "{layer:#}");
        assert!((best["cka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{best:#}");
        assert!((best["debiasedCka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{best:#}");
    }
    server.stop().await.unwrap();
}
