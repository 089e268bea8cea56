-- Exact scores of the layers whose sketches an index finds nearest to the target's. The target itself is searched for as
-- well, whether the scope admits it or not, which shows whether the index reaches its part of the graph.
with target as materialized ({target}), nearest as materialized (
     select layer_id, {scope} as admitted
       from {layers}
       join {sketches} using (sketch_id)
      where exists (select from target)
        and ({scope} {or_is_target})
      order by {distance}
      fetch first {count} rows with ties
), candidate as (
     select layer_id
       from nearest
      where admitted
), scored as ({scored})
select layer_id, cka, debiased_cka, {target_reached} as target_reached
  from scored
 where {after}
 order by {score} desc, tie_break
 limit {limit}
