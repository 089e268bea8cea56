//! The requests of docs/api.md, executed exactly as they are in the document.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use crate::support::client::{Client, text};
use crate::support::insight;
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

const DOCUMENT: &str = include_str!("../../docs/api.md");

/// The values of the variables of the requests, and their files.
struct Library {
    values: Map<String, Value>,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Library {
    async fn create(api: &Client) -> Self {
        let mut values = Map::new();
        for (seed, [model, version, layer]) in (1..).zip([
            ["model", "version", "layer"],
            ["otherModel", "otherVersion", "otherLayer"],
        ]) {
            let id = api.model(model).await;
            let created = api
                .train_and_wait(&id, small_cnn(), json!({ "epochs": 2, "seed": seed }))
                .await;
            let query = "query($id: ID!) { version(id: $id) { layers(first: 1) { nodes { id } } } }";
            let layers = api.data(query, json!({ "id": created })).await;
            values.insert(layer.to_owned(), layers["version"]["layers"]["nodes"][0]["id"].clone());
            values.insert(model.to_owned(), id.into());
            values.insert(version.to_owned(), created.into());
        }
        values.insert("name".to_owned(), "model".into());
        let job = api
            .train(values["model"].as_str().unwrap(), perceptron(), json!({ "epochs": 1 }))
            .await;
        values.insert("job".to_owned(), job.into());
        let (cancelled_job, old_version) = cancelled(api).await;
        values.insert("cancelledJob".to_owned(), cancelled_job.into());
        values.insert("oldVersion".to_owned(), old_version.into());
        let version = values["version"].as_str().unwrap();
        let found = insight::synthesize_and_wait(api, version, json!({ "class": 9 }), json!({ "steps": 1 })).await;
        values.insert("synthesis".to_owned(), found["id"].clone());
        let token = "mutation { createToken(input: { account: \"eve\" }) { token { id } } }";
        let token = api.data(token, json!({})).await["createToken"]["token"]["id"].take();
        values.insert("token".to_owned(), token);
        let probe_set = "{ dataset(name: \"digits\") { probeSets { id } } }";
        let probe_set = api.data(probe_set, json!({})).await["dataset"]["probeSets"][0]["id"].take();
        values.insert("probeSet".to_owned(), probe_set);
        let network = api
            .download(&format!("/versions/{}/network.onnx", text(&values["version"])))
            .await;
        let image = image::RgbImage::from_fn(9, 9, |x, _| image::Rgb(if x == 4 { [255; 3] } else { [0; 3] }));
        Self {
            values,
            files: vec![
                ("image", insight::encode_image(&image, image::ImageFormat::Png)),
                ("weights", initial_weights(&perceptron(), 1)),
                ("activations", activations()),
                ("network", network),
            ],
        }
    }

    /// The variables that a request declares.
    fn variables(&self, request: &str) -> Value {
        let declared = |name: &str| request.contains(&format!("${name}: "));
        let values = self.values.iter().filter(|(name, _)| declared(name));
        let files = self.files.iter().filter(|(name, _)| declared(name));
        // The variable of a file is null in `operations`.
        let files = files.map(|(name, _)| ((*name).to_owned(), Value::Null));
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(values.chain(files).collect())
    }
}

/// A job that was cancelled while it was queued, and the version of a job that was cancelled while it was running.
async fn cancelled(api: &Client) -> (String, String) {
    let running = api.endless_job().await;
    let started = api.wait_for_job(&running, |job| job["status"] == "RUNNING").await;
    let model = api.model("retried").await;
    let queued = api.train(&model, perceptron(), json!({ "epochs": 1 })).await;
    for job in [&queued, &running] {
        api.cancel(job).await;
        assert_eq!(api.wait_for_end(job).await["status"], "CANCELLED");
    }
    (queued, text(&started["version"]["id"]))
}

/// One array of activations, as a safetensors file.
fn activations() -> Vec<u8> {
    let bytes: Vec<u8> = (0..100 * 7_u16)
        .flat_map(|number| f32::from(number * 37 % 101).to_le_bytes())
        .collect();
    let array = TensorView::new(Dtype::F32, vec![100, 7], &bytes).unwrap();
    safetensors::serialize([("mine", array)], None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_document_succeeds() {
    let server = Server::start().await;
    let api = &server.api;
    let library = Library::create(api).await;
    let requests: Vec<_> = DOCUMENT
        .split("```graphql\n")
        .map(|part| part.split("```").next().unwrap())
        .collect();
    assert!(requests.len() > 25);
    // The part before the first request is prose.
    for request in &requests[1..] {
        let variables = library.variables(request);
        if request.starts_with("subscription") {
            let mut events = Subscription::start(api, request, variables).await;
            let model = library.values["otherModel"].as_str().unwrap();
            // Some show only what changes.
            let event = tokio::select! {
                event = events.next() => event.unwrap(),
                never = api.keep_jobs_changing(model) => match never {},
            };
            assert!(
                event.get("errors").is_none() && event["data"].is_object(),
                "{request}: {event:#}"
            );
            continue;
        }
        let declared = |name: &str| request.contains(&format!("${name}: Upload"));
        let files = library.files.iter().filter(|(name, _)| declared(name));
        let files: Vec<_> = files.map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let response = if files.is_empty() {
            api.execute(request, variables).await.unwrap()
        } else {
            api.upload(request, variables, &files).await.unwrap()
        };
        assert!(response.get("errors").is_none(), "{request}\n{response:#}");
        let data = response["data"].as_object().unwrap();
        assert!(data.values().all(|value| !value.is_null()), "{request}\n{response:#}");
        // Later requests need the results of these jobs.
        for job in jobs(&response["data"]) {
            api.wait_for_success(&job).await;
        }
    }
    server.stop().await.unwrap();
}

/// The ids of all jobs in a response.
fn jobs(response: &Value) -> Vec<String> {
    match response {
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
