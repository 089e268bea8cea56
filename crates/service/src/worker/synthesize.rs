//! Synthetic images, and the real images that activate channels most.

use std::sync::Arc;

use super::JobRunner;
use super::reporter::Reporter;
use crate::ServiceError;
use crate::network::RunnableVersion;
use scv_compute::channel_exemplars::ChannelExemplarsTask;
use scv_compute::control::Control;
use scv_compute::exemplar::ExemplarTask;
use scv_compute::synthesis::{SynthesisTask, group_size};
use scv_domain::dataset::Split;
use scv_domain::exemplar::{CHANNEL_EXEMPLARS, Exemplars, MAX_CHANNELS};
use scv_domain::image::Images;
use scv_domain::job::JobPhase;
use scv_domain::synthesis::{EXEMPLARS, ImageActivation, Synthesis, SynthesisOutcome, TargetGroup};
use scv_picture::Raster;

/// Images of the data set that the covariance of its colours is estimated from.
const COLOUR_SAMPLE: usize = 200;

/// An optimization step, one image forward and backward, takes about as long as this many images forward in batches.
const STEP_COST: f64 = 10.0;

impl JobRunner {
    /// Makes a synthetic image, and finds the top-activating images of its target in the data set.
    pub(super) async fn synthesize_image(
        &self,
        subject: &RunnableVersion,
        synthesis: &Synthesis,
        reporter: &Reporter,
    ) -> Result<SynthesisOutcome, ServiceError> {
        let library = &self.library;
        let images = library.split_images(subject.dataset.id, Split::Test).await?.images;
        let (group, member) = synthesis.target.group();
        let cached = library.exemplars.peek(&(subject.version.id, group)).await;
        library.exemplars.count(cached.is_some());
        let ascent = f64::from(synthesis.settings.steps) * STEP_COST;
        let pass = if cached.is_some() { 0.0 } else { images.count() as f64 };
        let share = ascent / (ascent + pass);

        let sample = images.clone();
        let covariance = tokio::task::spawn_blocking(move || colour_covariance(&sample)).await;
        let task = SynthesisTask {
            network: Arc::clone(&subject.network),
            statistics: subject.statistics(),
            covariance: covariance.map_err(ServiceError::internal)?,
            target: synthesis.target,
            settings: synthesis.settings,
            activation_limit: library.activation_limit,
        };
        let control = reporter.phase(JobPhase::Synthesizing, 0.0..share);
        let found = library.engine.run(task, control).await?;
        let control = reporter.phase(JobPhase::Synthesizing, share..1.0);
        let exemplars = match cached {
            Some(cached) => cached.units().get(member).cloned(),
            None => {
                self.top_activating_images(subject, images, (group, member), control)
                    .await?
            }
        };
        let raster = Raster::from_planes(found.image.shape, found.image.image(0));
        let picture = library.pictures.put(raster.enlarged()).await?;
        Ok(SynthesisOutcome {
            image_hash: picture.hash,
            image_width: picture.width,
            image_height: picture.height,
            activation: found.activation,
            activation_history: found.activation_history,
            exemplars: exemplars.unwrap_or_default(),
        })
    }

    /// The top-activating images of one member of a group of targets. Those of the other members are found in the same pass and
    /// cached, unless the group is too large.
    async fn top_activating_images(
        &self,
        subject: &RunnableVersion,
        images: Images,
        (group, member): (TargetGroup, usize),
        control: Control,
    ) -> Result<Option<Vec<ImageActivation>>, ServiceError> {
        let is_wide = group_size(&subject.network, group)? > MAX_CHANNELS;
        let task = ExemplarTask {
            network: Arc::clone(&subject.network),
            images,
            statistics: subject.statistics(),
            group,
            only: is_wide.then_some(member),
            count: EXEMPLARS,
            activation_limit: self.library.activation_limit,
        };
        let found = Arc::new(self.library.engine.run(task, control).await?);
        if is_wide {
            return Ok(found.units().first().cloned());
        }
        let own = found.units().get(member).cloned();
        self.library.exemplars.insert((subject.version.id, group), found).await;
        Ok(own)
    }

    /// The images of the test split that activate the channels of each layer of a version most.
    pub(super) async fn find_channel_exemplars(
        &self,
        subject: &RunnableVersion,
        reporter: &Reporter,
    ) -> Result<Vec<Option<Exemplars>>, ServiceError> {
        let task = ChannelExemplarsTask {
            network: Arc::clone(&subject.network),
            images: self.library.split_images(subject.dataset.id, Split::Test).await?.images,
            statistics: subject.statistics(),
            count: CHANNEL_EXEMPLARS,
            activation_limit: self.library.activation_limit,
        };
        let control = reporter.phase(JobPhase::FindingExemplars, 0.0..1.0);
        Ok(self.library.engine.run(task, control).await?)
    }
}

/// The covariance of the colours of images, with pixels from 0 to 1; `None` for grey images.
fn colour_covariance(images: &Images) -> Option<[[f32; 3]; 3]> {
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
