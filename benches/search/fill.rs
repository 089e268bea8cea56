//! A library for external measurements, with a load generator or in comparison with another search.
//!
//! `search fill FOLDER LAYERS` creates a library in FOLDER, a data directory for `scv serve`. It also writes
//! `grams.f32` (for each layer its centred Gram matrix of unit length, 100 x 100 numbers, whose inner product is CKA)
//! and `layers.json` (id and accuracy of each layer).

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use scv::app::App;
use scv::config::Config;
use scv_api::id::GlobalId as _;
use scv_compute::vector::gram_of;
use scv_store::open;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::library::{Filler, LAYERS_PER_VERSION, accuracy, probe_set};
use crate::vectors::{Kind, Vectors};

pub(crate) async fn fill(folder: &Path, count: usize) -> anyhow::Result<()> {
    let config = Config {
        data_dir: folder.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        device: "cpu".parse()?,
        ..Config::defaults()
    };
    // Starting and stopping a server creates the schema and the digits data set.
    let stopped = CancellationToken::new();
    stopped.cancel();
    App::build(&config).await?.run(stopped).await?;

    let database = open(&config.database()).await?;
    let probe_set = probe_set(&database.store).await?;
    let probes: Vec<usize> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
    let vectors = Vectors::new(Kind::Blended, &probes, None, count)?;
    let mut filler = Filler::new(database.store.clone(), probe_set, vectors);
    let mut grams = BufWriter::new(File::create(folder.join("grams.f32"))?);
    let filled = filler.fill(count, |vector| {
        for number in gram_of(vector) {
            grams.write_all(&(number as f32).to_le_bytes())?;
        }
        Ok(())
    });
    filled.await?;
    grams.flush()?;
    let layers = filler.layers.iter().enumerate();
    let layers: Vec<_> = layers
        .map(
            |(index, layer)| json!({ "id": layer.encode(), "accuracy": accuracy((index / LAYERS_PER_VERSION) as u32) }),
        )
        .collect();
    std::fs::write(folder.join("layers.json"), json!(layers).to_string())?;
    database.close().await;
    Ok(())
}
