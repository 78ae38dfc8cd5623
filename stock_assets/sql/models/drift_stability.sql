-- The population stability index of each input of a model, of the rows ($files) after a day ($after) against its training:
-- sum over bins of (actual - expected) * ln(actual / expected), over the shares of the rows in each bin.
-- $inputs are names of columns; of each, $edges are the inner edges of its bins, $shares the training's shares. An edge
-- belongs to the bin above it. An empty bin counts as a share of 0.0001: its logarithm would be infinite. The sum is taken
-- in the order of the bins, so that the same rows give the same bits.
-- Grain: one row per input that has rows.
WITH training AS (
    SELECT
        unnest($inputs) AS input,
        unnest(CAST($edges AS DOUBLE[][])) AS edges,
        unnest(CAST($shares AS DOUBLE[][])) AS shares
),
numbers AS (
    UNPIVOT (
        SELECT CAST(COLUMNS(lambda name: list_contains($inputs, name)) AS DOUBLE)
        FROM read_parquet($files)
        WHERE "Date" > CAST($after AS DATE)
    )
    ON *
    INTO NAME input VALUE number
),
counted AS (
    SELECT input, 1 + len(list_filter(edges, lambda edge: edge <= number)) AS bin, count(*) AS counted
    FROM numbers JOIN training USING (input)
    GROUP BY ALL
),
bins AS (
    SELECT input, unnest(shares) AS share, generate_subscripts(shares, 1) AS bin FROM training
),
compared AS (
    SELECT
        input,
        bin,
        coalesce(counted, 0) AS counted,
        greatest(coalesce(counted, 0) / sum(counted) OVER (PARTITION BY input), 1e-4) AS actual,
        greatest(share, 1e-4) AS expected
    FROM bins LEFT JOIN counted USING (input, bin)
)
SELECT
    input,
    CAST(sum(counted) AS BIGINT) AS "rows",
    sum((actual - expected) * ln(actual / expected) ORDER BY bin) AS psi
FROM compared
GROUP BY input
HAVING sum(counted) > 0
ORDER BY input;
