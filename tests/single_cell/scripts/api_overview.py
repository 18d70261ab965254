"""In the style of scvi-tools' overview of its API: covariates, training, storing, embedding and denoised expression."""

import scanpy as sc
import scvi

adata = sc.read_h5ad("cells.h5ad")
sc.pp.filter_genes(adata, min_counts=3)
adata.layers["counts"] = adata.X.copy()
sc.pp.normalize_total(adata, target_sum=1e4)
sc.pp.log1p(adata)
adata.raw = adata
sc.pp.highly_variable_genes(adata, n_top_genes=500, subset=True, batch_key="batch")
adata = adata[adata.layers["counts"].sum(1) > 0].copy()

scvi.model.SCVI.setup_anndata(
    adata,
    layer="counts",
    batch_key="batch",
    categorical_covariate_keys=["lane"],
    continuous_covariate_keys=["percent_mito"],
)
model = scvi.model.SCVI(adata)
print(model)
model.train(max_epochs=3)

model.save("model", overwrite=True, save_anndata=True)
model = scvi.model.SCVI.load("model", adata=adata)
model = scvi.model.SCVI.load("model")

latent = model.get_latent_representation()
adata.obsm["X_scVI"] = latent
assert len(latent) == adata.n_obs

group = adata.obs["cell_type"].iloc[0]
adata_subset = adata[adata.obs["cell_type"] == group]
latent_subset = model.get_latent_representation(adata_subset)
denoised = model.get_normalized_expression(adata_subset, library_size=1e4)
assert denoised.shape == adata_subset.shape
first_batch = adata.obs["batch"].iloc[0]
transformed = model.get_normalized_expression(adata_subset, transform_batch=first_batch, n_samples=3)
adata.layers["scvi_normalized"] = model.get_normalized_expression(library_size=10e4, return_numpy=True)

sc.pp.neighbors(adata, use_rep="X_scVI")
sc.tl.umap(adata, min_dist=0.3)
sc.tl.leiden(adata, key_added="leiden_scVI", resolution=0.5)

print(model.get_elbo(), model.get_reconstruction_error()["reconstruction_loss"], model.get_marginal_ll(n_mc_samples=10))
assert model.get_elbo(return_mean=False).shape == (adata.n_obs,)
means, variances = model.get_latent_representation(return_dist=True)
parameters = model.get_likelihood_parameters(indices=list(range(10)), n_samples=2)
assert parameters["mean"].shape == (2, 10, adata.n_vars)
samples = model.posterior_predictive_sample(indices=list(range(10)), n_samples=2)
assert samples.shape == (10, adata.n_vars, 2)
correlations = model.get_feature_correlation_matrix(indices=list(range(50)), n_samples=2, transform_batch=[first_batch])
assert correlations.shape == (adata.n_vars, adata.n_vars)
