"""The tabs of the page: one patient, many patients, the monitor."""
