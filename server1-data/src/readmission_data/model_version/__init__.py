"""What a model version is: graph, schema, golden rows, card and the folder that holds them."""
