-- How many feature rows ($files) after a day ($after) fall between the edges of each input ($edges, a struct of lists
-- by input): bin 0 lies below the first edge, an edge belongs to the bin above it. Grain: one row per input and bin.
SELECT input, len(list_filter(edges, lambda edge: edge <= "value")) AS bin, count(*) AS "rows"
FROM (
    UNPIVOT (
        SELECT vol_moving_avg, adj_close_rolling_med
        FROM read_parquet($files)
        WHERE "Date" > CAST($after AS DATE) AND vol_moving_avg IS NOT NULL
    )
    ON vol_moving_avg, adj_close_rolling_med
    INTO NAME input VALUE "value"
)
JOIN (UNPIVOT (SELECT unnest($edges)) ON * INTO NAME input VALUE edges) USING (input)
GROUP BY ALL
ORDER BY ALL;
