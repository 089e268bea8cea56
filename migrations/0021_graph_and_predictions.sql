-- The edges of a version's graph: for each layer the indices of the layers whose outputs it reads, -1 for the image. Null for activations,
-- and for the layers of earlier releases.
alter table layer add column inputs integer[];

-- What a network took each image of the test split for, in the order of the split; null for evaluations of earlier releases.
alter table evaluation
    add column actual     integer[],
    add column predicted  integer[],
    add column confidence double precision[],
    add constraint evaluation_predictions_check check (
        num_nulls(actual, predicted, confidence) = 3
        or cardinality(actual) = image_count and cardinality(predicted) = image_count and cardinality(confidence) = image_count);
