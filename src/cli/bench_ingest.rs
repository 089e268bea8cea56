//! `scv bench-ingest`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::network::NetworkOptions;
use super::terminal::Terminal;
use crate::config::value::{MAX_INT, whole};
use scv_compute::trace::time_passes;

/// Benchmark an ONNX file on images of noise, with and without the Gram matrices of its layers
#[derive(Debug, Args)]
pub(super) struct BenchIngest {
    /// ONNX file
    model: PathBuf,
    /// Number of images in a pass
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole::<usize>(1..=MAX_INT))]
    images: usize,
    /// Number of rounds, of which the median is reported
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<usize>(1..=MAX_INT))]
    rounds: usize,
    #[command(flatten)]
    network: NetworkOptions,
}

impl BenchIngest {
    pub(super) fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let times = time_passes(self.network.import(&self.model, None)?, self.images, self.rounds)?;
        let (forward, whole) = (times.forward.as_secs_f64(), times.with_grams.as_secs_f64());
        let document = json!({
            "images": self.images,
            "rounds": self.rounds,
            "images_together": times.is_batched,
            "forward_seconds": forward,
            "forward_and_grams_seconds": whole,
        });
        let text = format!(
            "{} images: forward {forward:.3} s, with all Gram matrices {whole:.3} s",
            self.images
        );
        terminal.print(&document, text)
    }
}
