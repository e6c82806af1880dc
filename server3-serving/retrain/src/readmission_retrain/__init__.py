"""Answers an alert of Alertmanager with a training in Airflow: once, however often the alert comes."""
