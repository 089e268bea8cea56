//! Data sets by their names.

use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::exit::not_found;

/// Checks that data sets exist, before anything is done with them.
///
/// # Errors
/// One does not exist.
pub(super) async fn check(client: &Client, names: &[&String]) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Data {
        datasets: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    if names.is_empty() {
        return Ok(());
    }
    let known = client.query::<Data>("{ datasets { name } }", json!({})).await?.datasets;
    let known: Vec<_> = known.iter().map(|dataset| dataset.name.as_str()).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(unknown(name, &known)),
        None => Ok(()),
    }
}

/// The error about a data set that does not exist, with those that do.
pub(super) fn unknown(name: &str, known: &[&str]) -> anyhow::Error {
    let known = if known.is_empty() {
        "no data sets yet".to_owned()
    } else {
        known.join(", ")
    };
    not_found(format!("there is no data set {name:?}: the server has {known}"))
}
