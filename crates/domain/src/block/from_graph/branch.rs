//! Where branches begin.

use super::view::View;
use crate::graph::ValueId;

/// For each value, the last value that all its inputs are computed from: its dominator.
pub(super) fn common_values(view: &View<'_>) -> Vec<ValueId> {
    let mut common = vec![ValueId::INPUT];
    for index in 1..=view.graph.nodes.len() {
        let inputs = view.computed_inputs(ValueId(index));
        let both = inputs.into_iter().reduce(|a, b| last_common(&common, a, b));
        common.push(both.unwrap_or(ValueId::INPUT));
    }
    common
}

/// A value is computed after those that it is computed from, so the later one of two goes back.
fn last_common(common: &[ValueId], mut a: ValueId, mut b: ValueId) -> ValueId {
    while a != b {
        if a > b {
            a = common[a.0];
        } else {
            b = common[b.0];
        }
    }
    a
}
