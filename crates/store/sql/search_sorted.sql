-- Exact scores of the layers whose sketches are nearest to the target's. Every sketch in the scope is compared: no index is
-- ordered by the distance plus zero, so the planner cannot use one. Copies of one layer tie, and are candidates together or
-- not at all; otherwise the choice among them would be arbitrary.
with target as materialized ({target}), candidate as materialized (
     select layer_id
       from {layers}
       join {sketches} using (sketch_id)
      where exists (select from target)
        and {scope}
      order by ({distance}) + 0
      fetch first {count} rows with ties
), scored as ({scored})
select layer_id, cka, debiased_cka, true as target_reached
  from scored
 where {after}
 order by {score} desc, tie_break
 limit {limit}
