//! The requests of docs/api.md, each run as it stands there.

use serde_json::{Map, Value, json};

use crate::support::client::{Client, text};
use crate::support::look;
use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

const DOCUMENT: &str = include_str!("../../docs/api.md");

/// What the variables of the requests stand for, and the files among them.
struct Library {
    values: Map<String, Value>,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Library {
    async fn of(api: &Client) -> Self {
        let mut values = Map::new();
        for (seed, [model, version, layer]) in (1..).zip([
            ["model", "version", "layer"],
            ["otherModel", "otherVersion", "otherLayer"],
        ]) {
            let id = api.model(model).await;
            let made = api
                .trained(&id, small_cnn(), json!({ "epochs": 2, "seed": seed }))
                .await;
            let query = "query($id: ID!) { version(id: $id) { layers(first: 1) { nodes { id } } } }";
            let layers = api.data(query, json!({ "id": made })).await;
            values.insert(layer.to_owned(), layers["version"]["layers"]["nodes"][0]["id"].clone());
            values.insert(model.to_owned(), id.into());
            values.insert(version.to_owned(), made.into());
        }
        values.insert("name".to_owned(), "model".into());
        let job = api
            .train(values["model"].as_str().unwrap(), perceptron(), json!({ "epochs": 1 }))
            .await;
        values.insert("job".to_owned(), job.into());
        let version = values["version"].as_str().unwrap();
        let found = look::synthesized(api, version, json!({ "class": 9 }), json!({ "steps": 1 })).await;
        values.insert("synthesis".to_owned(), found["id"].clone());
        let made = "mutation { createToken(input: { account: \"eve\" }) { token { id } } }";
        let made = api.data(made, json!({})).await["createToken"]["token"]["id"].take();
        values.insert("token".to_owned(), made);
        let drawn = "{ dataset(name: \"digits\") { probeSets { id } } }";
        let drawn = api.data(drawn, json!({})).await["dataset"]["probeSets"][0]["id"].take();
        values.insert("probeSet".to_owned(), drawn);
        let image = image::RgbImage::from_fn(9, 9, |x, _| image::Rgb(if x == 4 { [255; 3] } else { [0; 3] }));
        let numbers: Vec<f32> = (0..100 * 7_u16).map(|number| f32::from(number * 37 % 101)).collect();
        let activations = safetensors::serialize(
            [(
                "mine",
                safetensors::tensor::TensorView::new(
                    safetensors::Dtype::F32,
                    vec![100, 7],
                    &numbers
                        .iter()
                        .flat_map(|number| number.to_le_bytes())
                        .collect::<Vec<_>>(),
                )
                .unwrap(),
            )],
            None,
        );
        Self {
            values,
            files: vec![
                ("image", look::file(&image, image::ImageFormat::Png)),
                ("weights", first_weights(&perceptron(), 1)),
                ("activations", activations.unwrap()),
            ],
        }
    }

    /// The variables that a request declares.
    fn variables(&self, request: &str) -> Value {
        let declared = |name: &str| request.contains(&format!("${name}: "));
        let values = self.values.iter().filter(|(name, _)| declared(name));
        let files = self.files.iter().filter(|(name, _)| declared(name));
        // The place of a file is null until it comes.
        let files = files.map(|(name, _)| ((*name).to_owned(), Value::Null));
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(values.chain(files).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_document_is_answered() {
    let server = Server::start().await;
    let api = &server.api;
    let library = Library::of(api).await;
    let requests: Vec<_> = DOCUMENT
        .split("```graphql\n")
        .map(|part| part.split("```").next().unwrap())
        .collect();
    assert!(requests.len() > 25);
    // What stands before the first one is prose.
    for request in &requests[1..] {
        let variables = library.variables(request);
        if request.starts_with("subscription") {
            let mut events = Subscription::start(api, request, variables).await;
            let event = events.next().await.unwrap();
            assert!(
                event.get("errors").is_none() && event["data"].is_object(),
                "{request}: {event:#}"
            );
            continue;
        }
        let declared = |name: &str| request.contains(&format!("${name}: Upload"));
        let files = library.files.iter().filter(|(name, _)| declared(name));
        let files: Vec<_> = files.map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let answer = match files.is_empty() {
            true => api.ask(request, variables).await.unwrap(),
            false => api.upload(request, variables, &files).await.unwrap(),
        };
        assert!(answer.get("errors").is_none(), "{request}\n{answer:#}");
        let answered = answer["data"].as_object().unwrap();
        assert!(answered.values().all(|value| !value.is_null()), "{request}\n{answer:#}");
        // What was begun comes to its end before what follows asks for it.
        for job in jobs(&answer["data"]) {
            api.succeed(&job).await;
        }
    }
    server.stop().await.unwrap();
}

/// The ids of all jobs in an answer.
fn jobs(answer: &Value) -> Vec<String> {
    match answer {
        Value::Object(members) => {
            let of_members = members.iter().flat_map(|(name, value)| match (name.as_str(), value) {
                ("job", job) if job["id"].is_string() => vec![text(&job["id"])],
                ("jobs", Value::Array(jobs)) => jobs.iter().map(|job| text(&job["id"])).collect(),
                _ => jobs(value),
            });
            of_members.collect()
        }
        Value::Array(entries) => entries.iter().flat_map(jobs).collect(),
        _ => Vec::new(),
    }
}
