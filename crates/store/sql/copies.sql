-- The layers that share a sketch, after the one that a page ends with. The target precedes all others.
select sketch_id, found.layer_id
  from unnest({sketches}, {after}) as given (sketch_id, after)
 cross join lateral (
       select layer_id, {tie_break} as tie_break
         from {layers}
        where layer_sketch.sketch_id = given.sketch_id
          and {scope}
          and {tie_break} > given.after
        order by tie_break
        limit {limit}) as found
