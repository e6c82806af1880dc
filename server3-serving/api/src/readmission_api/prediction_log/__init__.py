"""Every prediction as a row, and what became of the patient."""
