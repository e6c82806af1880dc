#!/usr/bin/env bash
# The databases, users and rights of this server, as SQL. `users.sh` sources it and defines `user`.

grants() {
  cat <<'SQL'
CREATE DATABASE IF NOT EXISTS mlflow CHARACTER SET utf8mb4;
SQL
  user mlflow
  user backup
  user exporter "NONE WITH MAX_USER_CONNECTIONS 3"
  cat <<'SQL'
GRANT ALL ON mlflow.* TO 'mlflow'@'%';
GRANT SHOW_ROUTINE ON *.* TO 'backup'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON mlflow.* TO 'backup'@'%';
GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'exporter'@'%';
GRANT SELECT ON performance_schema.* TO 'exporter'@'%';
SQL
}
