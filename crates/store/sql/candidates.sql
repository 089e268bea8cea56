-- The sketches nearest to a target's, each with the number of layers that have it.
with nearest as materialized (
     select layer_id, sketch_id, {sketch_column} as sketch, {sketch_column} <#> {ordering} as distance
       from {layers}
      where {scope}
        and {visited}
        and {reaches}
      order by distance
      {limit}
)
select sketch_id, min(layer_id) as layer_id, count(*) as layers, min(distance) as distance,
       min(sketch <#> {target}) as bound_distance
  from nearest
 group by sketch_id
