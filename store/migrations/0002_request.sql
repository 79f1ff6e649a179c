-- What was asked for, so that a command which adds to these runs can be given in full.

ALTER TABLE invocations ADD COLUMN request JSON;
COMMENT ON COLUMN invocations.request IS 'What it was asked for: phase, datasets with their places, families, grids and settings, as JSON; NULL before version 2 of the schema';
