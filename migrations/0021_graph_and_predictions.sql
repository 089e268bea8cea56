-- The edges of a version's graph: for each layer the indices of the layers whose outputs it reads, -1 for the image. Null for activations,
-- and for the layers of earlier releases.
alter table layer add column inputs integer[];

-- The images of the test split by true class and predicted class, in each cell by descending confidence, so that the images of a cell
-- stand together: as many as its image_count, behind those of the cells before it. Null for evaluations of earlier releases.
alter table evaluation
    add column images      integer[],
    add column confidences double precision[],
    add constraint evaluation_images_check check (
        num_nulls(images, confidences) = 2
        or num_nulls(images, confidences) = 0 and cardinality(images) = image_count and cardinality(confidences) = image_count);
