-- Usable from: 1
-- A run says where its log is, as long as there is one, and what the training set is that it made (jobs/run/entry.py).
ALTER TABLE ops.runs ADD COLUMN IF NOT EXISTS log_command text;
ALTER TABLE ops.runs ADD COLUMN IF NOT EXISTS manifest    jsonb;
COMMENT ON COLUMN ops.runs.log_command IS
    'Prints the log of the run; STREAMFLOW_LOG_COMMAND of its process. Null where none was set, and of earlier versions.';
COMMENT ON COLUMN ops.runs.manifest IS
    'Of a training set: what its manifest says, without the lists of features and files. Null for other runs and of earlier versions.';
