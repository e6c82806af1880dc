"""The content of a model version: graph, schema, golden rows, card and the folder with all of them."""
