-- Exact scores of layers. The products are computed before they are sorted: a sort would copy the target's vector into every
-- row. The sums run in the order of the parts, so a pair always gets the same score to the last bit, which cursors rely on.
with target as materialized ({target}), product as materialized (
     select layer_id, part, -(theirs.lead <#> target.lead) as lead, -(theirs.tail <#> target.tail) as tail,
            theirs.lead_norm::float8 * target.lead_norm as norms
       from layer_vector as theirs
       join target using (part)
      where theirs.probe_set_id = {probe_set}
        and theirs.layer_id = any({candidates})
)
select layer_id, least(sum(lead order by part) + sum(tail order by part), 1) as cka,
       greatest(-1, least(sum(lead order by part) / max(norms), 1)) as debiased_cka
  from product
 group by layer_id
