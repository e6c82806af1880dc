"""RawData: every encounter as it was delivered, split by patient, with a ledger of what came when."""
