-- Usable from: 1
-- What a month's statistics say beside the distribution of a column: a value that very many rows have, and how the column
-- ranks the rows by the month's label (streamflow/statistics/). Null in months that an earlier version counted.
ALTER TABLE ops.statistics ADD COLUMN IF NOT EXISTS frequent  jsonb;
ALTER TABLE ops.statistics ADD COLUMN IF NOT EXISTS auc       double precision;
ALTER TABLE ops.statistics ADD COLUMN IF NOT EXISTS positives bigint;
ALTER TABLE ops.statistics ADD COLUMN IF NOT EXISTS negatives bigint;
COMMENT ON COLUMN ops.statistics.frequent IS
    'Of a number of many values, one that more than a fifth of the rows have: value, count, that of the next one, and the column and value that exactly the same rows have.';
COMMENT ON COLUMN ops.statistics.auc IS
    'The chance that the number is larger where the label of the month is true than where it is not, ties counting half.';
COMMENT ON COLUMN ops.statistics.positives IS 'Rows of a true label that auc is from; where the month is large, of a sample.';
COMMENT ON COLUMN ops.statistics.negatives IS 'The same of a false one.';
