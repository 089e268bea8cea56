-- Exact scores of layers. The sums run in the order of the parts, so a pair always gets the same score to the last bit, which
-- cursors rely on.
with target as materialized ({target}), product as (
     select layer_id,
            -sum(theirs.lead <#> target.lead order by part) as lead,
            -sum(theirs.tail <#> target.tail order by part) as tail,
            max(theirs.lead_norm::float8 * target.lead_norm) as norms
       from unnest({candidates}) as candidate (layer_id)
       join layer_vector as theirs using (layer_id)
       join target using (part)
      where theirs.probe_set_id = {probe_set}
      group by layer_id
)
select layer_id, least(lead + tail, 1) as cka, greatest(-1, least(lead / norms, 1)) as debiased_cka
  from product
