"""How the model does in use: what server 3 wrote down, against what the model was trained on."""
