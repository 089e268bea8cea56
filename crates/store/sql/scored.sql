-- One candidate after the other: joined as a whole, every vector of the library might be read. The sums run in the order of
-- the parts, so a pair always gets the same score to the last bit, which cursors rely on.
     select layer_id, least(lead + tail, 1) as cka, greatest(-1, least(lead / norms, 1)) as debiased_cka,
            {tie_break} as tie_break
       from candidate
      cross join lateral (
            select -sum(theirs.lead <#> target.lead order by part) as lead,
                   -sum(theirs.tail <#> target.tail order by part) as tail,
                   max(theirs.lead_norm::float8 * target.lead_norm) as norms
              from layer_vector as theirs
              join target using (part)
             where theirs.probe_set_id = {probe_set}
               and theirs.layer_id = candidate.layer_id) as product
