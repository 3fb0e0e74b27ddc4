-- Usable from: 1
-- What a month was refused for is kept with its run, and goes with it (jobs/run/ledger.py).
ALTER TABLE ops.runs ADD COLUMN IF NOT EXISTS faults jsonb;
COMMENT ON COLUMN ops.runs.faults IS
    'Of a refused run: its first faults, each with file, line, column, value and rule. Null for other runs and of earlier versions.';
