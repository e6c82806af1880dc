"""From raw encounters to the processed tables that models are trained on."""
