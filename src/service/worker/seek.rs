//! Seeking synthetic images, and the real ones that channels answer to most.

use std::sync::Arc;

use super::perform::JobError;
use super::report::Reporter;
use crate::compute::channel_exemplars::ChannelExemplarsTask;
use crate::compute::exemplar::ExemplarTask;
use crate::compute::synthesis::SynthesisTask;
use crate::domain::dataset::Split;
use crate::domain::exemplar::{CHANNEL_EXEMPLARS, ChannelExemplars};
use crate::domain::image::Images;
use crate::domain::job::JobPhase;
use crate::domain::synthesis::{EXEMPLARS, Synthesis, SynthesisOutcome};
use crate::picture::Raster;
use crate::service::Library;
use crate::service::network::Runnable;

/// Images of the data set that tell how its colours vary together.
const COLOUR_SAMPLE: usize = 200;

impl Library {
    /// Seeks a synthetic image, and the images of the data set that its target answers to most.
    pub(super) async fn seek(
        &self,
        subject: &Runnable,
        synthesis: &Synthesis,
        reporter: &Reporter,
    ) -> Result<SynthesisOutcome, JobError> {
        let images = self.split_images(subject.dataset.id, Split::Test).await?.images;
        let task = SynthesisTask {
            network: Arc::clone(&subject.network),
            statistics: subject.statistics(),
            covariance: covariance(&images),
            target: synthesis.target,
            settings: synthesis.settings,
            activation_limit: self.activation_limit,
        };
        let control = reporter.phase(JobPhase::Synthesizing, 0.0..0.8);
        let found = self.engine.synthesize(task, control).await?;
        let task = ExemplarTask {
            network: Arc::clone(&subject.network),
            images,
            statistics: subject.statistics(),
            target: synthesis.target,
            count: EXEMPLARS,
            activation_limit: self.activation_limit,
        };
        let control = reporter.phase(JobPhase::Synthesizing, 0.8..1.0);
        let exemplars = self.engine.strongest(task, control).await?;
        let raster = Raster::of_planes(found.image.shape, found.image.image(0));
        let picture = self.keep_picture(raster.enlarged()).await?;
        Ok(SynthesisOutcome {
            image_hash: picture.hash,
            image_width: picture.width,
            image_height: picture.height,
            activation: found.activation,
            course: found.course,
            exemplars,
        })
    }
}

impl Library {
    /// The images of the test split that the channels of a version's layers answer to most.
    pub(super) async fn find_exemplars(
        &self,
        subject: &Runnable,
        reporter: &Reporter,
    ) -> Result<Vec<ChannelExemplars>, JobError> {
        let task = ChannelExemplarsTask {
            network: Arc::clone(&subject.network),
            images: self.split_images(subject.dataset.id, Split::Test).await?.images,
            statistics: subject.statistics(),
            count: CHANNEL_EXEMPLARS,
            activation_limit: self.activation_limit,
        };
        let control = reporter.phase(JobPhase::Exemplifying, 0.0..1.0);
        Ok(self.engine.channel_exemplars(task, control).await?)
    }
}

/// How the colours of images vary together, pixels from 0 to 1; none for grey ones.
fn covariance(images: &Images) -> Option<[[f32; 3]; 3]> {
    let shape = images.shape;
    if shape.channels != 3 {
        return None;
    }
    let area = shape.height * shape.width;
    let sample = 0..images.count().min(COLOUR_SAMPLE);
    let pixels = || {
        sample.clone().flat_map(|index| {
            let planes = images.image(index);
            (0..area).map(move |place| [0, 1, 2].map(|channel| f64::from(planes[channel * area + place]) / 255.0))
        })
    };
    let count = pixels().count().max(1) as f64;
    let mean = [0, 1, 2].map(|channel: usize| pixels().map(|pixel| pixel[channel]).sum::<f64>() / count);
    let mut covariance = [[0.0f64; 3]; 3];
    for pixel in pixels() {
        for (a, row) in covariance.iter_mut().enumerate() {
            for (b, entry) in row.iter_mut().enumerate() {
                *entry += (pixel[a] - mean[a]) * (pixel[b] - mean[b]) / count;
            }
        }
    }
    Some(covariance.map(|row| row.map(|entry| entry as f32)))
}
