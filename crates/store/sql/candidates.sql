-- The sketches nearest to a target's, each with the number of layers that have it. Copies of one layer tie, and are found
-- together or not at all; otherwise the choice among them would be arbitrary.
with nearest as materialized (
     select layer_id, sketch_id, {sketch_column} as sketch, {sketch_column} <#> {ordering} as distance
       from {layers}
      where {scope}
        and {visited}
        and {reaches}
      order by distance
      fetch first {count} rows with ties
)
select sketch_id, min(layer_id) as layer_id, count(*) as layers, min(sketch <#> {target}) as distance
  from nearest
 group by sketch_id
