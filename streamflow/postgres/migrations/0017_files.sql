-- Usable from: 1
-- The file that a month of a table is loaded from, which a picture of where values come from begins with.
ALTER TABLE ops.statistics_months ADD COLUMN IF NOT EXISTS file text;
COMMENT ON COLUMN ops.statistics_months.file IS 'Its name in the folder of the month, as payments.csv; null where an earlier version counted.';
