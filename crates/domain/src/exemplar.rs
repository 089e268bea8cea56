//! The images of a data set that each of several parts of a network answers to most: the channels of a layer, or its classes.

use super::synthesis::Activating;

/// Images that are kept for each channel.
pub const CHANNEL_EXEMPLARS: usize = 9;

/// Channels of a layer whose images are kept together at most: 9 for each take 9 MiB.
pub const MAX_CHANNELS: usize = 65_536;

/// The images that parts of a network answer to most, the same number for each part.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplars {
    count: usize,
    parts: Vec<Vec<Activating>>,
}

impl Exemplars {
    /// Of so many parts, `count` images each; none yet.
    pub fn new(parts: usize, count: usize) -> Self {
        Self {
            count,
            parts: (0..parts).map(|_| Vec::with_capacity(count)).collect(),
        }
    }

    /// Of what was kept, in the order of [`Exemplars::places`].
    pub fn of_places(count: usize, places: impl Iterator<Item = Option<Activating>>) -> Self {
        let places: Vec<_> = places.collect();
        let parts = places.chunks(count.max(1));
        Self {
            count,
            parts: parts.map(|part| part.iter().flatten().copied().collect()).collect(),
        }
    }

    /// As many places for each part, the strongest image first, part after part; none where a part has fewer.
    pub fn places(&self) -> impl Iterator<Item = Option<Activating>> {
        let missing = |part: &Vec<Activating>| self.count - part.len();
        self.parts.iter().flat_map(move |part| {
            let kept = part.iter().copied().map(Some);
            kept.chain(std::iter::repeat_n(None, missing(part)))
        })
    }

    /// What each part answers to the next image. A number that is none counts for nothing.
    pub fn add(&mut self, image: usize, answers: &[f32]) {
        for (kept, &answer) in self.parts.iter_mut().zip(answers) {
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

    /// Images a part.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The images of each part, the strongest first. Fewer than [`Exemplars::count`] where a part answered with numbers that
    /// are none.
    pub fn parts(&self) -> &[Vec<Activating>] {
        &self.parts
    }

    /// Bytes that they take in memory.
    pub fn byte_len(&self) -> u64 {
        let images: usize = self.parts.iter().map(Vec::capacity).sum();
        (images * size_of::<Activating>() + self.parts.len() * size_of::<Vec<Activating>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_strongest_images_of_each_part_are_kept_in_order(
            answers in prop::collection::vec(prop::collection::vec(0u8..6, 3), 0..20),
        ) {
            let mut exemplars = Exemplars::new(3, 4);
            for (image, answers) in answers.iter().enumerate() {
                exemplars.add(image, &answers.iter().map(|answer| f32::from(*answer)).collect::<Vec<_>>());
            }
            for (part, kept) in exemplars.parts().iter().enumerate() {
                let mut expected: Vec<_> = answers.iter().map(|answers| f64::from(answers[part])).enumerate().collect();
                expected.sort_by(|a, b| b.1.total_cmp(&a.1));
                expected.truncate(4);
                let kept: Vec<_> = kept.iter().map(|kept| (kept.index, kept.activation)).collect();
                prop_assert_eq!(kept, expected);
            }
        }
    }

    #[test]
    fn what_was_kept_is_read_back() {
        let mut exemplars = Exemplars::new(2, 3);
        exemplars.add(4, &[1.0, f32::NAN]);
        exemplars.add(7, &[2.0, 5.0]);
        assert_eq!(Exemplars::of_places(3, exemplars.places()), exemplars);
    }

    #[test]
    fn a_number_that_is_none_is_no_answer() {
        let mut exemplars = Exemplars::new(1, 2);
        exemplars.add(0, &[f32::NAN]);
        exemplars.add(1, &[1.0]);
        assert_eq!(exemplars.parts()[0].len(), 1);
    }
}
