//! Stored pictures of queries.

use serde_json::json;

use crate::support::client::text;
use crate::support::insight::{push_digits, synthesize_and_wait};
use crate::support::server::Server;

#[tokio::test]
async fn pictures_of_queries_are_deleted_when_they_exceed_the_limit() {
    let server = Server::with(|config| config.picture_bytes = 0).await;
    let api = &server.api;
    let (version, layers) = push_digits(api).await;
    let settings = json!({ "steps": 1 });
    let synthesis = synthesize_and_wait(api, &version, json!({ "class": 1 }), settings).await;
    let query = "query($id: ID!) { layer(id: $id) { featureMaps(image: 5, first: 1) { picture { url } } } }";
    let found = api.data(query, json!({ "id": layers[0] })).await;
    let url = text(&found["layer"]["featureMaps"][0]["picture"]["url"]);
    // Make them old enough to be deleted.
    let folder = server.config.data_dir.join("artifacts/pictures");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.unwrap().path())
            .unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    // Drawing the next picture deletes old ones.
    let other = "query($id: ID!) { layer(id: $id) { featureMaps(image: 6, first: 1) { picture { url } } } }";
    let fresh = api.data(other, json!({ "id": layers[0] })).await;
    let fresh = text(&fresh["layer"]["featureMaps"][0]["picture"]["url"]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while api.get(&url).await.status() == 200 {
        assert!(std::time::Instant::now() < end, "the picture is not deleted");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let gone = api.get(&url).await;
    assert_eq!(gone.status(), 404);
    assert!(gone.text().await.unwrap().contains("repeat the query that returned it"));
    assert_eq!(api.get(&fresh).await.status(), 200, "it is new");
    assert_eq!(
        api.get(synthesis["picture"]["url"].as_str().unwrap()).await.status(),
        200,
        "a synthetic image stays"
    );
    let again = api.data(query, json!({ "id": layers[0] })).await;
    assert_eq!(again["layer"], found["layer"]);
    assert_eq!(api.get(&url).await.status(), 200);
    server.stop().await.unwrap();
}
