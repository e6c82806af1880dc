"""Load tests of the inference API, with patients drawn from the schema of the model that serves."""
