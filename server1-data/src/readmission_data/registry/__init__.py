"""Which model version serves: registration, the gate and the aliases."""
