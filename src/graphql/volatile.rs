//! What an answer can show besides the catalogue. An answer without any of it stays true until the catalogue changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Types all of whose fields show something else: jobs and their progress, the caller, or the state of the server or of search
/// indexes.
pub const VOLATILE_TYPES: [&str; 7] = [
    "AuditEntry",
    "Cache",
    "Job",
    "SearchIndex",
    "ServerInfo",
    "Token",
    "Viewer",
];

/// Single fields of other types that do.
pub const VOLATILE_FIELDS: [(&str, &str); 6] = [
    // The file behind the address may be removed to make room, and is written again only when the field is resolved.
    ("Picture", "url"),
    ("Query", "auditLog"),
    ("Query", "jobs"),
    ("Query", "serverInfo"),
    ("Query", "tokens"),
    ("Query", "viewer"),
];

/// Whether the answer to a request depends on the catalogue alone, as far as its fields have been resolved.
#[derive(Debug, Clone, Default)]
pub struct Volatility(Arc<AtomicBool>);

impl Volatility {
    /// Notes that a field is resolved.
    pub(super) fn see(&self, parent_type: &str, field: &str) {
        if VOLATILE_TYPES.contains(&parent_type) || VOLATILE_FIELDS.contains(&(parent_type, field)) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a volatile field has been resolved.
    pub fn is_volatile(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

    use super::*;

    /// The types that a kept answer can show. A new type belongs here if all it shows is in the catalogue or computed from it, and
    /// otherwise into the lists above.
    const LASTING_TYPES: &str = "ActivatingImage Attribution BlockError BlockKind BlockParameter BlockReport BlockSummary \
        Calibration CalibrationBin ChannelExemplars ChannelExemplarsConnection ChannelExemplarsEdge CkaMatrix Class \
        ClassReport ConfusionCell ConfusionCellConnection ConfusionCellEdge Dataset DatasetImage \
        DatasetImageConnection DatasetImageEdge DatasetSplit DegenerateLayer Downloads EpochReport Evaluation Exemplar \
        ExemplarConnection ExemplarEdge ExplanationFacts Failure FeatureMap JobConnection JobEdge Layer \
        LayerAlignment LayerComparison LayerConnection LayerDiff LayerDifference LayerEdge LayerMatchConnection LayerMatchEdge LayerPair \
        Mistake MistakeConnection MistakeEdge Model ModelConnection ModelEdge MutualKnn PageInfo Picture Preprocessing \
        ProbeSet Query ServerLimits Significance SourceImage Synthesis SynthesisConnection SynthesisEdge SynthesisSettings \
        SynthesisTarget TokenConnection TokenEdge TrainSettings AuditEntryConnection AuditEntryEdge Version VersionConnection VersionDiff \
        VersionEdge VersionMatchConnection VersionMatchEdge WeightMapping WeightPair";

    #[test]
    fn every_type_that_queries_reach_is_known_to_last_or_not_to() {
        let schema = parse_schema(scv_api::sdl()).unwrap();
        let objects: Vec<_> = schema
            .definitions
            .iter()
            .filter_map(|definition| match definition {
                TypeSystemDefinition::Type(named) => Some(&named.node),
                _ => None,
            })
            .collect();
        let fields = |name: &str| -> Vec<(String, String)> {
            let object = objects.iter().find(|object| object.name.node == name);
            match object.map(|object| &object.kind) {
                Some(TypeKind::Object(object)) => {
                    let fields = object.fields.iter().map(|field| &field.node);
                    fields
                        .map(|field| (field.name.node.to_string(), inner(&field.ty.node.to_string())))
                        .collect()
                }
                // An interface leads to the objects that implement it.
                Some(TypeKind::Interface(_)) => {
                    let implements = |kind: &TypeKind| match kind {
                        TypeKind::Object(object) => object.implements.iter().any(|one| one.node == name),
                        _ => false,
                    };
                    objects
                        .iter()
                        .filter(|object| implements(&object.kind))
                        .map(|object| (String::new(), object.name.node.to_string()))
                        .collect()
                }
                _ => Vec::new(),
            }
        };
        let lasting: BTreeSet<&str> = LASTING_TYPES.split_whitespace().collect();
        let (mut reached, mut waiting) = (BTreeSet::new(), vec!["Query".to_owned()]);
        while let Some(kind) = waiting.pop() {
            let own = fields(&kind);
            if own.is_empty() || !reached.insert(kind.clone()) {
                continue;
            }
            waiting.extend(own.into_iter().map(|(_, kind)| kind));
        }
        reached.remove("Node");
        let known: BTreeSet<String> = lasting
            .iter()
            .chain(&VOLATILE_TYPES)
            .map(|&name| name.to_owned())
            .collect();
        assert_eq!(reached, known);
        for (kind, field) in VOLATILE_FIELDS {
            assert!(fields(kind).iter().any(|(name, _)| name == field), "{kind}.{field}");
        }
    }

    /// The name of a type without the marks of lists and of what is never null.
    fn inner(kind: &str) -> String {
        kind.trim_matches(['[', ']', '!']).to_owned()
    }
}
