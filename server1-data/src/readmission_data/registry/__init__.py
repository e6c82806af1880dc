"""From a trained model to a version that server 3 can serve: graph, schema, card, gate and aliases."""
