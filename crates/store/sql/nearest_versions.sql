-- The versions whose layers are nearest to those of a version: the sum over its layers of the similarity to each version's
-- nearest layer. For unit vectors at the distance d, the inner product is 1 - d²/2.
with target as materialized (
     select layer_id, {sketch} as sketch
       from {layers}
       join {sketches} using (sketch_id)
      where version_id = {version}
        and {kinds}
), nearest as (
     select target.layer_id, near.version_id, min(near.distance) as distance
       from target
      cross join lateral (
            select version_id, {sketch} <-> target.sketch as distance
              from {layers}
              join {sketches} using (sketch_id)
             where {scope}
             order by {sketch} <-> target.sketch
             limit {near}) as near
      group by target.layer_id, near.version_id
)
select version_id
  from nearest
 group by version_id
 order by sum(1 - distance ^ 2 / 2) desc, version_id
 limit {limit}
