"""Start a training in Airflow when Alertmanager sends an alert: once, no matter how often it is repeated."""
