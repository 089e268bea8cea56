//! Whether two layers find the same images similar: the overlap of each image's nearest neighbours (Huh et al. 2024,
//! "mutual k-nearest neighbours"), from stored vectors alone.
//!
//! A layer vector determines the centred Gram matrix K up to a factor, and `K(i,i) + K(j,j) - 2 K(i,j)` is the squared
//! distance between the activations of two images up to the same factor. So the vector determines the nearest images
//! exactly.

use super::vector::gram_of;
use scv_domain::vector::LayerVector;

/// The k nearest other images of each image.
pub struct Neighbourhoods {
    nearest: usize,
    /// For each image, whether each of the images is among its nearest.
    near: Vec<Vec<bool>>,
}

impl Neighbourhoods {
    /// The neighbourhoods of a layer. Of images at the same distance, the earlier one counts as nearer.
    ///
    /// # Panics
    /// If there are not more images than neighbours.
    pub fn of(vector: &LayerVector, nearest: usize) -> Self {
        let images = vector.tail.len();
        assert!(nearest < images, "{images} images do not have {nearest} others each");
        let gram = gram_of(vector);
        let near = |image: usize| {
            let distance = |other: usize| gram[other * (images + 1)] - 2.0 * gram[image * images + other];
            let mut others: Vec<_> = (0..images).filter(|&other| other != image).collect();
            others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            let mut near = vec![false; images];
            others[..nearest].iter().for_each(|&other| near[other] = true);
            near
        };
        Self {
            nearest,
            near: (0..images).map(near).collect(),
        }
    }

    /// The share of nearest neighbours that two layers have in common, averaged over the images: 1 if they are the
    /// same, about k/(n-1) for unrelated layers.
    pub fn overlap(&self, other: &Self) -> f64 {
        let both = self.near.iter().flatten().zip(other.near.iter().flatten());
        let common = both.filter(|(a, b)| **a && **b).count();
        common as f64 / (self.nearest * self.near.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::reference::Activations;

    #[test]
    fn neighbours_are_those_of_the_activations() {
        // On a line: 0 and 1 are neighbours, so are 10 and 12, and 5 is nearer to 1 than to 10.
        let line = Activations {
            images: 5,
            features: 1,
            values: vec![0.0, 1.0, 5.0, 10.0, 12.0],
        };
        let found = Neighbourhoods::of(&line.vector(), 1);

        let nearest: Vec<_> = found.near.iter().map(|near| near.iter().position(|&is| is)).collect();
        assert_eq!(nearest, [Some(1), Some(0), Some(1), Some(4), Some(3)]);
    }

    #[test]
    fn a_layer_shares_all_neighbours_with_itself() {
        let own = Neighbourhoods::of(&Activations::noise(20, 6, 1).vector(), 5);

        assert_eq!(own.overlap(&own), 1.0);
    }

    #[test]
    fn unrelated_layers_share_as_many_neighbours_as_by_chance() {
        let noise = |seed| Neighbourhoods::of(&Activations::noise(50, 6, seed).vector(), 10);
        let all: Vec<_> = (0..40).map(noise).collect();
        let pairs = all.iter().zip(&all[1..]);
        let mean = pairs.map(|(a, b)| a.overlap(b)).sum::<f64>() / 39.0;

        assert!((mean - 10.0 / 49.0).abs() < 0.02, "{mean}");
    }
}
