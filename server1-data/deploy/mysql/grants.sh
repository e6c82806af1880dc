#!/usr/bin/env bash
# The databases, users and rights of this server, as SQL. `users.sh` sources it and defines `user`.

grants() {
  cat <<'SQL'
CREATE DATABASE IF NOT EXISTS RawData CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS CleanData CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS PredictionLog CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS Airflow CHARACTER SET utf8mb4;
SQL
  user raw
  user clean
  user airflow
  # It logs in from another machine.
  user predictions SSL
  user notebooks
  user backup
  user exporter "NONE WITH MAX_USER_CONNECTIONS 3"
  cat <<'SQL'
GRANT ALL ON RawData.* TO 'raw'@'%';
GRANT ALL ON CleanData.* TO 'clean'@'%';
GRANT ALL ON Airflow.* TO 'airflow'@'%';
GRANT ALL ON PredictionLog.* TO 'predictions'@'%';
GRANT ALL ON RawData.* TO 'notebooks'@'%';
GRANT ALL ON CleanData.* TO 'notebooks'@'%';
GRANT SELECT ON PredictionLog.* TO 'notebooks'@'%';
GRANT SHOW_ROUTINE ON *.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON RawData.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON CleanData.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON PredictionLog.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON Airflow.* TO 'backup'@'%';
GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'exporter'@'%';
GRANT SELECT ON performance_schema.* TO 'exporter'@'%';
SQL
}
