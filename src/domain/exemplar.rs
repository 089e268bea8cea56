//! The images that each channel of a layer answers to most.

use super::synthesis::Activating;

/// Images that are kept for each channel.
pub const CHANNEL_EXEMPLARS: usize = 9;

/// The images that the channels of a layer answer to most, the same number for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelExemplars {
    count: usize,
    channels: Vec<Vec<Activating>>,
}

impl ChannelExemplars {
    /// Of so many channels, `count` images each; none yet.
    pub fn new(channels: usize, count: usize) -> Self {
        Self {
            count,
            channels: vec![Vec::new(); channels],
        }
    }

    /// Of what was kept, in the order of [`ChannelExemplars::places`].
    pub fn of_places(count: usize, places: impl Iterator<Item = Option<Activating>>) -> Self {
        let places: Vec<_> = places.collect();
        let channels = places.chunks(count.max(1));
        Self {
            count,
            channels: channels
                .map(|channel| channel.iter().flatten().copied().collect())
                .collect(),
        }
    }

    /// As many places for each channel, the strongest image first, channel after channel; none where a channel has fewer.
    pub fn places(&self) -> impl Iterator<Item = Option<Activating>> {
        let missing = |channel: &Vec<Activating>| self.count - channel.len();
        self.channels.iter().flat_map(move |channel| {
            let kept = channel.iter().copied().map(Some);
            kept.chain(std::iter::repeat_n(None, missing(channel)))
        })
    }

    /// What each channel answers to the next image. A number that is none counts for nothing.
    pub fn add(&mut self, image: usize, answers: &[f32]) {
        for (kept, &answer) in self.channels.iter_mut().zip(answers) {
            let activation = f64::from(answer);
            // Behind those that are as strong: of equals the first come first.
            let place = kept.partition_point(|other| other.activation >= activation);
            if !activation.is_finite() || place >= self.count {
                continue;
            }
            kept.truncate(self.count - 1);
            kept.insert(
                place,
                Activating {
                    index: image,
                    activation,
                },
            );
        }
    }

    /// Images a channel.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The images of each channel, the strongest first. Fewer than [`ChannelExemplars::count`] where a channel answered with
    /// numbers that are none.
    pub fn channels(&self) -> &[Vec<Activating>] {
        &self.channels
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_strongest_images_of_each_channel_are_kept_in_order(
            answers in prop::collection::vec(prop::collection::vec(0u8..6, 3), 0..20),
        ) {
            let mut exemplars = ChannelExemplars::new(3, 4);
            for (image, answers) in answers.iter().enumerate() {
                exemplars.add(image, &answers.iter().map(|answer| f32::from(*answer)).collect::<Vec<_>>());
            }
            for (channel, kept) in exemplars.channels().iter().enumerate() {
                let mut expected: Vec<_> = answers.iter().map(|answers| f64::from(answers[channel])).enumerate().collect();
                expected.sort_by(|a, b| b.1.total_cmp(&a.1));
                expected.truncate(4);
                let kept: Vec<_> = kept.iter().map(|kept| (kept.index, kept.activation)).collect();
                prop_assert_eq!(kept, expected);
            }
        }
    }

    #[test]
    fn what_was_kept_is_read_back() {
        let mut exemplars = ChannelExemplars::new(2, 3);
        exemplars.add(4, &[1.0, f32::NAN]);
        exemplars.add(7, &[2.0, 5.0]);
        assert_eq!(ChannelExemplars::of_places(3, exemplars.places()), exemplars);
    }

    #[test]
    fn a_number_that_is_none_is_no_answer() {
        let mut exemplars = ChannelExemplars::new(1, 2);
        exemplars.add(0, &[f32::NAN]);
        exemplars.add(1, &[1.0]);
        assert_eq!(exemplars.channels()[0].len(), 1);
    }
}
