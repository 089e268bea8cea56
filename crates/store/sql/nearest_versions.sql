-- The versions with the layers that can be expected to score highest with a target, by the best of their layers.
select version_id, -min(distance) as estimate
  from (select version_id, {sketch_column} <#> {ordering} as distance
          from {layers}
         where {scope}
           and {visited}
         order by distance
         limit {near}) as near
 group by version_id
