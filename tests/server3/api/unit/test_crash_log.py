import logging

from readmission_api.logs import log_crash


def test_a_crash_is_found_by_its_request_and_tells_no_values(caplog):
    def read_patient(value):
        raise ValueError(f"what is {value}?")

    with caplog.at_level(logging.ERROR):
        try:
            read_patient("SECRET")
        except ValueError as error:
            log_crash(error, "request 7f-1")
    assert caplog.messages[0].startswith("request 7f-1 failed: ValueError at read_patient:")
    assert "SECRET" not in caplog.text
