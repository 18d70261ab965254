"""Pictures of a fitted mixture: matplotlib axes in, the same axes out, no pyplot and no backend needed."""

from pyro_vmm.plotting.dendrogram import merge_tree
from pyro_vmm.plotting.elbo_clusters import elbo_against_clusters
from pyro_vmm.plotting.entropy import responsibility_entropy
from pyro_vmm.plotting.figures import save_figures
from pyro_vmm.plotting.gallery import component_gallery
from pyro_vmm.plotting.label_table import cluster_label_table
from pyro_vmm.plotting.latent import latent_space
from pyro_vmm.plotting.latent_colouring import latent_by_category, latent_by_value
from pyro_vmm.plotting.predictive_checks import predictive_histogram, predictive_p_values, predictive_scatter
from pyro_vmm.plotting.profiles import component_profiles
from pyro_vmm.plotting.projection import Plane, project_to_plane
from pyro_vmm.plotting.reliability import reliability
from pyro_vmm.plotting.surgery import elbo_surgery_bars
from pyro_vmm.plotting.training import training_curves
from pyro_vmm.plotting.weights import mixture_weights

__all__ = [
    "Plane",
    "cluster_label_table",
    "component_gallery",
    "component_profiles",
    "elbo_against_clusters",
    "elbo_surgery_bars",
    "latent_by_category",
    "latent_by_value",
    "latent_space",
    "merge_tree",
    "mixture_weights",
    "predictive_histogram",
    "predictive_p_values",
    "predictive_scatter",
    "project_to_plane",
    "reliability",
    "responsibility_entropy",
    "save_figures",
    "training_curves",
]
