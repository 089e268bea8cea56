-- The short sketches nearest to a target's, each with the number of layers that have it, and what its long one tells. The long
-- ones are found by a list of keys: for a join, PostgreSQL might read all of them.
with nearest as materialized (
     select layer_id, sketch_id, {sketch_column} <#> {ordering} as distance
       from {layers}
      where {scope}
        and {visited}
        and {reaches}
      order by distance
      {limit}
), listed as materialized (
     select sketch_id, min(layer_id) as layer_id, count(*) as layers, min(distance) as distance
       from nearest
      group by sketch_id
)
select sketch_id, layer_id, layers, distance, {sketch_column} <#> {estimating} as estimate_distance,
       {sketch_column} <#> {long_target} as bound_distance
  from {long_sketches} as long_sketch
  join listed using (layer_id)
 where basis_id = {basis}
   and long_sketch.layer_id = any(array(select layer_id from listed))
