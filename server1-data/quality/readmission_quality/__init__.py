"""How good the product's model is, measured in ways that the product itself has no need for."""
