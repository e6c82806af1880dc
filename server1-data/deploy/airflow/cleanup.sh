#!/usr/bin/env bash
# Delete Airflow's records of runs and its task logs that are older than KEEP_DAYS. The newest scheduled run of
# each DAG stays, because the next one follows from it.
set -euo pipefail

before=$(date --utc --date="$KEEP_DAYS days ago" +%Y-%m-%dT%H:%M:%S+00:00)
airflow db clean --clean-before-timestamp "$before" --skip-archive --batch-size 1000 --yes \
  --error-on-cleanup-failure

find "$LOGS" -mindepth 1 -type f -mtime "+$KEEP_DAYS" -delete
# A folder that a task has just made is empty as well.
find "$LOGS" -mindepth 1 -type d -empty -mtime +1 -delete
echo "cleanup: removed what was older than $before; the logs hold $(du --summarize --human-readable "$LOGS" | cut -f1)"
