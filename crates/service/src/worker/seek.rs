//! Seeking synthetic images, and the real ones that channels answer to most.

use std::sync::Arc;

use super::perform::JobError;
use super::report::Reporter;
use scv_compute::channel_exemplars::ChannelExemplarsTask;
use scv_compute::control::Control;
use scv_compute::exemplar::ExemplarTask;
use scv_compute::synthesis::{SynthesisTask, group_size};
use scv_domain::dataset::Split;
use scv_domain::exemplar::{CHANNEL_EXEMPLARS, Exemplars, MAX_CHANNELS};
use scv_domain::image::Images;
use scv_domain::job::JobPhase;
use scv_domain::synthesis::{Activating, EXEMPLARS, Synthesis, SynthesisOutcome, TargetGroup};
use scv_picture::Raster;
use crate::network::Runnable;
use crate::{Library, ServiceError};

/// Images of the data set that tell how its colours vary together.
const COLOUR_SAMPLE: usize = 200;

/// A step, one image forth and back, takes about as long as the answers to so many images in batches.
const STEP_COST: f64 = 10.0;

impl Library {
    /// Seeks a synthetic image, and the images of the data set that its target answers to most.
    pub(super) async fn seek(
        &self,
        subject: &Runnable,
        synthesis: &Synthesis,
        reporter: &Reporter,
    ) -> Result<SynthesisOutcome, JobError> {
        let images = self.split_images(subject.dataset.id, Split::Test).await?.images;
        let (group, member) = synthesis.target.group();
        let kept = self.exemplars.peek(&(subject.version.id, group)).await;
        self.exemplars.count(kept.is_some());
        let ascent = f64::from(synthesis.settings.steps) * STEP_COST;
        let pass = if kept.is_some() { 0.0 } else { images.count() as f64 };
        let share = ascent / (ascent + pass);

        let sample = images.clone();
        let covariance = tokio::task::spawn_blocking(move || covariance(&sample)).await;
        let task = SynthesisTask {
            network: Arc::clone(&subject.network),
            statistics: subject.statistics(),
            covariance: covariance.map_err(ServiceError::internal)?,
            target: synthesis.target,
            settings: synthesis.settings,
            activation_limit: self.activation_limit,
        };
        let control = reporter.phase(JobPhase::Synthesizing, 0.0..share);
        let found = self.engine.synthesize(task, control).await?;
        let control = reporter.phase(JobPhase::Synthesizing, share..1.0);
        let exemplars = match kept {
            Some(kept) => kept.parts().get(member).cloned(),
            None => self.strongest(subject, images, (group, member), control).await?,
        };
        let raster = Raster::of_planes(found.image.shape, found.image.image(0));
        let picture = self.keep_picture(raster.enlarged()).await?;
        Ok(SynthesisOutcome {
            image_hash: picture.hash,
            image_width: picture.width,
            image_height: picture.height,
            activation: found.activation,
            course: found.course,
            exemplars: exemplars.unwrap_or_default(),
        })
    }

    /// The images that a member of a group of targets answers to most. Those of the others are found in the same pass and kept,
    /// unless there are very many.
    async fn strongest(
        &self,
        subject: &Runnable,
        images: Images,
        (group, member): (TargetGroup, usize),
        control: Control,
    ) -> Result<Option<Vec<Activating>>, JobError> {
        let is_wide = group_size(&subject.network, group)? > MAX_CHANNELS;
        let task = ExemplarTask {
            network: Arc::clone(&subject.network),
            images,
            statistics: subject.statistics(),
            group,
            only: is_wide.then_some(member),
            count: EXEMPLARS,
            activation_limit: self.activation_limit,
        };
        let found = Arc::new(self.engine.strongest(task, control).await?);
        if is_wide {
            return Ok(found.parts().first().cloned());
        }
        let own = found.parts().get(member).cloned();
        self.exemplars.insert((subject.version.id, group), found).await;
        Ok(own)
    }

    /// The images of the test split that the channels of a version's layers answer to most.
    pub(super) async fn find_exemplars(
        &self,
        subject: &Runnable,
        reporter: &Reporter,
    ) -> Result<Vec<Option<Exemplars>>, JobError> {
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
