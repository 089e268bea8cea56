//! Exemplars: the top-activating images of a data set for each of several units of a network, such as the channels of a
//! layer or the classes.

use super::synthesis::ImageActivation;

/// Number of images stored per channel.
pub const CHANNEL_EXEMPLARS: usize = 9;

/// Maximum number of channels of a layer with stored exemplars: 9 images per channel take 9 MiB.
pub const MAX_CHANNELS: usize = 65_536;

/// The top-activating images of several units, up to the same number for each unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplars {
    count: usize,
    units: Vec<Vec<ImageActivation>>,
}

impl Exemplars {
    /// An empty list for `units` units with up to `count` images each.
    pub fn new(units: usize, count: usize) -> Self {
        Self {
            count,
            units: (0..units).map(|_| Vec::with_capacity(count)).collect(),
        }
    }

    /// Restores exemplars from their slots, in the order of [`Exemplars::slots`].
    pub fn from_slots(count: usize, slots: impl Iterator<Item = Option<ImageActivation>>) -> Self {
        let slots: Vec<_> = slots.collect();
        let units = slots.chunks(count.max(1));
        Self {
            count,
            units: units.map(|unit| unit.iter().flatten().copied().collect()).collect(),
        }
    }

    /// [`Exemplars::count`] slots per unit, unit after unit, each unit's highest activation first. Unused slots are
    /// `None`.
    pub fn slots(&self) -> impl Iterator<Item = Option<ImageActivation>> {
        let unused = |unit: &Vec<ImageActivation>| self.count - unit.len();
        self.units.iter().flat_map(move |unit| {
            let images = unit.iter().copied().map(Some);
            images.chain(std::iter::repeat_n(None, unused(unit)))
        })
    }

    /// Adds the activation of each unit for an image. Activations that are not finite are ignored.
    pub fn add(&mut self, image: usize, activations: &[f32]) {
        for (unit, &activation) in self.units.iter_mut().zip(activations) {
            let activation = f64::from(activation);
            // After equal activations, so that the first of tied images comes first.
            let slot = unit.partition_point(|other| other.activation >= activation);
            if !activation.is_finite() || slot >= self.count {
                continue;
            }
            unit.truncate(self.count - 1);
            unit.insert(
                slot,
                ImageActivation {
                    index: image,
                    activation,
                },
            );
        }
    }

    /// Maximum number of images per unit.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The images of each unit, the highest activation first. A unit has fewer than [`Exemplars::count`] images if
    /// there were fewer finite activations.
    pub fn units(&self) -> &[Vec<ImageActivation>] {
        &self.units
    }

    /// Size in memory, in bytes.
    pub fn byte_len(&self) -> u64 {
        let images: usize = self.units.iter().map(Vec::capacity).sum();
        (images * size_of::<ImageActivation>() + self.units.len() * size_of::<Vec<ImageActivation>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_top_activating_images_of_each_unit_are_kept_in_order(
            activations in prop::collection::vec(prop::collection::vec(0u8..6, 3), 0..20),
        ) {
            let mut exemplars = Exemplars::new(3, 4);
            for (image, activations) in activations.iter().enumerate() {
                exemplars.add(image, &activations.iter().copied().map(f32::from).collect::<Vec<_>>());
            }
            for (unit, images) in exemplars.units().iter().enumerate() {
                let of_unit = activations.iter().map(|activations| f64::from(activations[unit]));
                let mut expected: Vec<_> = of_unit.enumerate().collect();
                expected.sort_by(|a, b| b.1.total_cmp(&a.1));
                expected.truncate(4);
                let images: Vec<_> = images.iter().map(|image| (image.index, image.activation)).collect();
                prop_assert_eq!(images, expected);
            }
        }
    }

    #[test]
    fn slots_restore_the_exemplars() {
        let mut exemplars = Exemplars::new(2, 3);
        exemplars.add(4, &[1.0, f32::NAN]);
        exemplars.add(7, &[2.0, 5.0]);
        assert_eq!(Exemplars::from_slots(3, exemplars.slots()), exemplars);
    }

    #[test]
    fn nan_activations_are_ignored() {
        let mut exemplars = Exemplars::new(1, 2);
        exemplars.add(0, &[f32::NAN]);
        exemplars.add(1, &[1.0]);
        assert_eq!(exemplars.units()[0].len(), 1);
    }
}
