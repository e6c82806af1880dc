"""The HTTP layer: routes, bodies, limits and the one error body."""
