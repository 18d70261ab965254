"""Deep latent variable models with a Dirichlet-process VampPrior mixture prior."""
