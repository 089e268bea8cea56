//! What only shows in the whole network.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Reader, shape_after};
use crate::graph::{ParameterRole, ValueId};
use crate::image::ImageShape;

impl Reader<'_> {
    /// Finds layers with the same weights. Files may hold them once or twice, so their numbers decide. Weights that are all equal
    /// have not been learned, and are no reason to share them.
    pub fn check_weights(&mut self) {
        let mut indices: Vec<usize> = self.read.iter().copied().collect();
        indices.sort_unstable();
        let mut owners = HashMap::new();
        for index in indices {
            let Some(key) = self.weights_of(index) else {
                continue;
            };
            let owner = *owners.entry(key).or_insert(index);
            if owner != index {
                let other = &self.view.graph.nodes[owner].path;
                let message = format!("it shares its weights with {other}, which blocks cannot");
                self.problem(index, message);
            }
        }
    }

    /// What identifies the weights of a node: their shape, and a hash of their numbers.
    fn weights_of(&self, index: usize) -> Option<(Vec<usize>, u64)> {
        let node = &self.view.graph.nodes[index];
        let mut parameters = node.parameters.iter();
        let weight = parameters.find(|parameter| parameter.role == ParameterRole::Weight)?;
        let numbers = (self.view.tensors)(node, weight.role)?;
        if numbers.iter().all(|number| *number == numbers[0]) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        for number in numbers {
            number.to_bits().hash(&mut hasher);
        }
        Some((weight.shape.clone(), hasher.finish()))
    }

    /// Finds nodes for which several blocks compute the same for the graph's images, but not for images of another size: the last
    /// window may extend beyond the end or not, and the padding at the end may be longer or not.
    pub fn check_size(&mut self, images: ImageShape) {
        let mut shapes = HashMap::from([(ValueId::INPUT, vec![images.channels, images.height, images.width])]);
        let mut steps = std::mem::take(&mut self.steps);
        steps.sort_by_key(|step| step.at);
        for step in steps {
            let Some(from) = shapes.get(&step.input) else {
                continue;
            };
            let mut ways = step.ways.iter().map(|way| shape_after(way, from).ok());
            // Blocks that do not fit the images are reported when the whole list is checked.
            let Some(Some(shape)) = ways.next() else {
                continue;
            };
            if ways.any(|other| other.as_ref() != Some(&shape)) {
                let ImageShape { height, width, .. } = images;
                let message = format!(
                    "several blocks compute the same for the file's images, but not for images of {height}x{width}: export the \
                     file for images of {height}x{width}"
                );
                self.problem(step.at.0 - 1, message);
            }
            shapes.insert(step.at, shape);
        }
    }
}
