//! `scv bench-ingest`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::network::NetworkOptions;
use super::terminal::Terminal;
use scv_compute::trace::time_passes;

/// Time a pass of images of noise through an ONNX file, with and without the Gram matrices of its layers
#[derive(Debug, Args)]
pub(super) struct BenchIngest {
    /// The ONNX file
    model: PathBuf,
    /// Images that pass together
    #[arg(long, value_name = "N", default_value = "100")]
    images: usize,
    /// Rounds that the median is taken of
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: usize,
    #[command(flatten)]
    network: NetworkOptions,
}

impl BenchIngest {
    pub(super) fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let times = time_passes(self.network.import(&self.model)?, self.images, self.rounds)?;
        let (forward, whole) = (times.forward.as_secs_f64(), times.with_grams.as_secs_f64());
        let document = json!({
            "images": self.images,
            "rounds": self.rounds,
            "images_together": times.images_together,
            "forward_seconds": forward,
            "forward_and_grams_seconds": whole,
        });
        let text = format!(
            "{} images: forward {forward:.3} s, with all Grams {whole:.3} s",
            self.images
        );
        terminal.answer(&document, text)
    }
}
