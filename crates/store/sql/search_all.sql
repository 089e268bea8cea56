-- Exact scores of every layer in the scope.
with target as materialized ({target}), candidate as materialized (
     select layer_id
       from {layers}
      where exists (select from target)
        and {scope}
), scored as ({scored})
select layer_id, cka, debiased_cka, true as target_reached
  from scored
 where {after}
 order by {score} desc, tie_break
 limit {limit}
