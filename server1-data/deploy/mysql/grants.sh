#!/usr/bin/env bash
# The databases, users and rights of this server, as SQL. `users.sh` sources it and defines `user`.

grants() {
  cat <<'SQL'
CREATE DATABASE IF NOT EXISTS RawData CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS CleanData CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS PredictionLog CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS Audit CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS Audit.accesses (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at DATETIME(6) NOT NULL COMMENT 'UTC',
  request_id VARCHAR(64) NOT NULL,
  client VARCHAR(32),
  address VARCHAR(45) NOT NULL,
  action VARCHAR(16) NOT NULL,
  status SMALLINT NOT NULL,
  INDEX accesses_request (request_id),
  INDEX accesses_client (client, at)
);
CREATE DATABASE IF NOT EXISTS Airflow CHARACTER SET utf8mb4;
SQL
  user raw
  user clean
  user airflow
  # It logs in from another machine.
  user predictions SSL
  user audit SSL
  user auditor SSL
  user notebooks
  user privacy
  user backup
  user exporter "NONE WITH MAX_USER_CONNECTIONS 3"
  cat <<'SQL'
GRANT ALL ON RawData.* TO 'raw'@'%';
GRANT ALL ON CleanData.* TO 'clean'@'%';
GRANT ALL ON Airflow.* TO 'airflow'@'%';
-- Predictions are never changed or deleted by who writes them; an outcome may be replaced, and the names of
-- slices are forgotten.
REVOKE IF EXISTS ALL ON PredictionLog.* FROM 'predictions'@'%';
GRANT SELECT, INSERT, CREATE, INDEX ON PredictionLog.* TO 'predictions'@'%';
GRANT CREATE, DELETE ON PredictionLog.outcomes TO 'predictions'@'%';
GRANT CREATE, DELETE ON PredictionLog.loaded_slices TO 'predictions'@'%';
GRANT INSERT ON Audit.accesses TO 'audit'@'%';
GRANT SELECT ON Audit.* TO 'auditor'@'%';
GRANT SELECT ON PredictionLog.* TO 'auditor'@'%';
GRANT ALL ON RawData.* TO 'notebooks'@'%';
GRANT ALL ON CleanData.* TO 'notebooks'@'%';
GRANT SELECT ON PredictionLog.* TO 'notebooks'@'%';
GRANT SELECT, DELETE ON PredictionLog.* TO 'privacy'@'%';
GRANT SHOW_ROUTINE ON *.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON RawData.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON CleanData.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON PredictionLog.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON Airflow.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON Audit.* TO 'backup'@'%';
GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'exporter'@'%';
GRANT SELECT ON performance_schema.* TO 'exporter'@'%';
SQL
}
