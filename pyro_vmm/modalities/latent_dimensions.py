"""How many dimensions the embedding of cells has where nobody says."""

# By the ELBO of held-out cells, of public files and a simulation: benchmarks/README.md, "Latent dimensions of few cells".
FEW_CELLS, DIMENSIONS_OF_FEW, DIMENSIONS = 1000, 5, 10


def dimensions_for(num_cells: int) -> int:
    """10, and 5 for fewer than 1,000 cells: these do not fill ten dimensions, and groups among them are lost there."""
    return DIMENSIONS_OF_FEW if num_cells < FEW_CELLS else DIMENSIONS
