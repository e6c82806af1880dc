-- The prediction log: what server 3 writes down, and server 1's notebook 04_monitoring reads.
-- Server 3 makes the tables with its first prediction (SQLite, MySQL: by setting). This is the SQLite form; on
-- MySQL an id is BIGINT, a text VARCHAR of the length named here, and a moment DATETIME(6). Moments are UTC.

CREATE TABLE predictions (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- rises with time, but predictions that waited in the spool come later
  request_id VARCHAR(64) NOT NULL,               -- X-Request-ID of the request, the client's own or server 3's
  number INTEGER NOT NULL,                       -- place in the request: 0 for one patient, else the index or line
  predicted_at DATETIME NOT NULL,
  model VARCHAR(255) NOT NULL,                   -- registered model
  version VARCHAR(32) NOT NULL,                  -- version that answered
  probability DOUBLE NOT NULL,                   -- risk of readmission within 30 days
  class SMALLINT NOT NULL,                       -- 1 where the risk is at or above the version's threshold
  inputs TEXT NOT NULL                           -- JSON object: the fields as the model saw them, '?' where missing
);
CREATE INDEX predictions_request ON predictions (request_id, number);

-- The outcome of a patient. At most one row per prediction: a later outcome replaces an earlier one. Where
-- two predictions bear the same request id and number, it belongs to the later one.
CREATE TABLE outcomes (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  request_id VARCHAR(64) NOT NULL,
  number INTEGER NOT NULL,
  readmitted BOOLEAN NOT NULL,                   -- within 30 days
  received_at DATETIME NOT NULL,
  CONSTRAINT outcomes_request UNIQUE (request_id, number)
);

-- Outcomes that were corrected, one line for each correction: what was known before, since when, and the X-Request-ID of
-- the POST /outcomes that corrected it.
CREATE TABLE outcome_corrections (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  request_id VARCHAR(64) NOT NULL,
  number INTEGER NOT NULL,
  readmitted_before BOOLEAN NOT NULL,
  received_before DATETIME NOT NULL,
  readmitted BOOLEAN NOT NULL,
  received_at DATETIME NOT NULL,
  corrected_by VARCHAR(64) NOT NULL
);
CREATE INDEX outcome_corrections_request ON outcome_corrections (request_id, number);

-- Slices of predictions that waited outside of the database and are now in `predictions`: none is loaded twice.
CREATE TABLE loaded_slices (
  name VARCHAR(64) NOT NULL PRIMARY KEY,
  loaded_at DATETIME NOT NULL
);
