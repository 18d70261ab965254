"""Where each prior loses nats: the parts of the ELBO on held-out data."""

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import CLUSTERS, ELBO, SECONDS
from benchmarks.tables.settings import IMAGES, PRIORS, digits_trial

SURGERY = {
    "average_kl": "KL(q(z given x), p(z))",
    "marginal_kl": "KL(q(z), p(z))",
    "mutual_information": "index-code mutual information",
    "expected_log_likelihood": "E log p(x given z)",
    "importance_weighted_log_prob": "log p(x), importance-weighted",
    "reconstruction_log_prob": "log p(x given x)",
}
QUESTION = """\
A prior that fits the aggregate posterior q(z) makes KL(q(z), p(z)) small and leaves the average KL to the information
that the codes carry about their observations (Hoffman & Johnson 2016). Does a mixture prior do so better than the
VampPrior and N(0, I)? All in nats per held-out observation, the reconstructions under each model's own decoder;
mutual information is never above the logarithm of the number of observations (at most 1,000 are used), and where it
is near that, the marginal KL is an overestimate. No label is needed, and the clusters are only counted."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """The four priors on digits; in the full form on MNIST and Fashion-MNIST, too."""
    samples = 30 if quick else 100
    found = [digits_trial(name, seed, quick, model=prior, surgery=samples) for name, prior in PRIORS.items()]
    for data, of_data in ({} if quick else IMAGES).items():
        for name, prior in PRIORS.items():
            options = {"model": of_data["model"] | prior, "surgery": samples}
            found.append(Trial(data, of_data["source"], name, "vmm", options, seed))
    return found


TABLE = Table(
    name="elbo-surgery",
    title="The ELBO taken apart",
    question=QUESTION,
    trials=trials,
    columns=(*(Column(f"surgery_{key}", name, 2) for key, name in SURGERY.items()), ELBO, CLUSTERS, SECONDS),
)
