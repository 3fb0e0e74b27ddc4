-- Usable from: 1
-- A run says where its log is, as long as there is one (jobs/run/ledger.py).
ALTER TABLE ops.runs ADD COLUMN IF NOT EXISTS log_command text;
COMMENT ON COLUMN ops.runs.log_command IS
    'Prints the log of the run; STREAMFLOW_LOG_COMMAND of its process. Null where none was set, and of earlier versions.';
