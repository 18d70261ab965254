"""The faults that :mod:`benchmarks.measurements.mutations` seeds in the mathematics, each with the tests that must notice it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One wrong piece of mathematics.

    Attributes
    ----------
    file
        Below ``pyro_vmm/``.
    right, wrong
        The text to replace, which stands in the file exactly once, and what takes its place.
    tests
        Files below ``tests/``, one of which has to fail.
    """

    file: str
    right: str
    wrong: str
    tests: str


DISTRIBUTIONS = [
    Fault(
        "distributions/gaussian_mixture.py",
        "self._log_det - 0.5 * dim * math.log(2.0 * math.pi)",
        "self._log_det + 0.5 * dim * math.log(2.0 * math.pi)",
        "distributions/test_gaussian_mixture.py",
    ),
    Fault(
        "distributions/gaussian_mixture.py",
        "self.whitening = precision_cholesky.mT",
        "self.whitening = precision_cholesky",
        "distributions/test_gaussian_mixture.py",
    ),
    Fault(
        "distributions/gaussian_mixture.py",
        "self._log_det - _log_diagonal(inner).to(dtype)",
        "self._log_det + _log_diagonal(inner).to(dtype)",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "distributions/gaussian_mixture.py",
        "torch.linalg.solve(whitening, noise",
        "torch.linalg.solve(whitening.mT, noise",
        "distributions/test_gaussian_mixture.py",
    ),
    Fault(
        "distributions/gaussian_mixture.py",
        "return (self.log_weights + self.component_log_prob(value)).softmax(-1)",
        "return self.component_log_prob(value).softmax(-1)",
        "distributions/test_gaussian_mixture.py",
    ),
    Fault(
        "distributions/negative_binomial.py",
        "torch.log(mean) - (theta + 1.0) * log_growth",
        "torch.log(mean) - theta * log_growth",
        "distributions/test_negative_binomial.py",
    ),
    Fault(
        "distributions/negative_binomial.py",
        "by_theta = digamma_remainder_difference(theta, count) - deviance",
        "by_theta = digamma_remainder_difference(theta, count) + deviance",
        "distributions/test_negative_binomial.py",
    ),
    Fault(
        "distributions/negative_binomial.py",
        "- torch.log1p(mean / theta) + (mean - count) / total",
        "- torch.log1p(mean / theta) - (mean - count) / total",
        "distributions/test_negative_binomial.py",
    ),
    Fault(
        "distributions/negative_binomial.py",
        "sample_poisson(self._mean * (gamma / theta))",
        "sample_poisson(self._mean * gamma)",
        "distributions/test_negative_binomial.py",
    ),
    Fault(
        "distributions/zero_inflated_negative_binomial.py",
        "by_gate = minus_more.mul_(minus_inverse)",
        "by_gate = minus_more.mul_(minus_inverse).neg_()",
        "distributions/test_zero_inflated_negative_binomial.py",
    ),
    Fault(
        "distributions/zero_inflated_negative_binomial.py",
        "torch.bernoulli(torch.sigmoid(self.gate_logits)",
        "torch.bernoulli(torch.sigmoid(-self.gate_logits)",
        "distributions/test_zero_inflated_negative_binomial.py",
    ),
    Fault(
        "distributions/zero_inflated_negative_binomial.py",
        "log_prob = base[0] + logsigmoid(-gate_logits)",
        "log_prob = base[0]",
        "distributions/test_zero_inflated_negative_binomial.py",
    ),
    Fault(
        "distributions/poisson.py",
        "- 0.5 * torch.log(count) - HALF_LOG_TWO_PI",
        "- 0.5 * torch.log(count)",
        "distributions/test_poisson.py",
    ),
    Fault(
        "distributions/count_log_prob.py",
        "grad_output * partial if needed",
        "partial if needed",
        "distributions/test_negative_binomial.py",
    ),
    Fault(
        "distributions/gamma_remainders.py",
        ".mul_(r_squared).mul_(-2.0).add_(e)",
        ".mul_(r_squared).mul_(2.0).add_(e)",
        "distributions/test_poisson.py",
    ),
    Fault(
        "distributions/triangular_normal.py",
        "math.log(2.0 * math.pi) + log_det",
        "math.log(2.0 * math.pi) - log_det",
        "distributions/test_triangular_normal.py",
    ),
    Fault(
        "distributions/triangular_normal.py",
        "value = self.loc + (",
        "value = self.loc.detach() + (",
        "distributions/test_triangular_normal.py",
    ),
    Fault(
        "distributions/triangular_normal.py",
        "if value.grad_fn is not None or not wanted:",
        "if True:",
        "distributions/test_triangular_normal.py",
    ),
    Fault(
        "distributions/wishart.py",
        "torch.arange(dim + 1, 1, -1",
        "torch.arange(dim, 0, -1",
        "distributions/test_wishart.py",
    ),
    Fault(
        "distributions/wishart.py",
        "self.df.unsqueeze(-1) - torch.arange",
        "self.df.unsqueeze(-1) + torch.arange",
        "distributions/test_wishart.py",
    ),
]

PRIORS = [
    Fault(
        "priors/mixture.py",
        "0.5 * (factor.mT @ centre_scale)",
        "0.5 * (factor @ centre_scale)",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/mixture.py",
        "second_moment = second_moment + centre_scale",
        "second_moment = second_moment - centre_scale",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/mixture.py",
        "self._hyper_log_prob(loc, centre_scale) / self.prior_weight",
        "self._hyper_log_prob(loc, centre_scale) / len(z)",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/mixture.py",
        "responsibilities = responsibilities.detach()",
        "responsibilities = responsibilities.clone()",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/mixture.py",
        "self.precisions.log_prob().sum()",
        "self.precisions.log_prob().mean()",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/mixture.py",
        "(self.mixture_weights.log_weights() + log_prob).softmax(-1)",
        "(self.mixture_weights.log_weights() + self.distribution().component_log_prob(z)).softmax(-1)",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/vamp_mixture.py",
        'None if self.centre_uncertainty == "none" else scale_tril',
        "scale_tril",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/vamp_mixture.py",
        'if self.centre_uncertainty == "integrated":',
        'if self.centre_uncertainty == "unheard of":',
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/weights.py",
        "(self.num_components - 1) * concentration.log()",
        "self.num_components * concentration.log()",
        "priors/test_weights.py",
    ),
    Fault(
        "priors/weights.py",
        "_log_weights_of_sticks(logsigmoid(logits), logsigmoid(-logits))",
        "_log_weights_of_sticks(logsigmoid(-logits), logsigmoid(logits))",
        "priors/test_weights.py",
    ),
    Fault(
        "priors/weights.py",
        "log_normaliser + (share - 1.0) * self.log_weights().sum()",
        "log_normaliser + share * self.log_weights().sum()",
        "priors/test_weights.py",
    ),
    Fault(
        "priors/weights.py",
        "return -self.concentration",
        "return self.concentration.log() - self.concentration",
        "priors/test_vamp_mixture.py priors/test_weights.py",
    ),
    Fault(
        "priors/precisions.py",
        "self.num_components ** (2.0 / self.latent_dim)",
        "self.num_components ** (1.0 / self.latent_dim)",
        "priors/test_precisions.py",
    ),
    Fault(
        "priors/precisions.py",
        "0.5 * (degrees_of_freedom - dim - 1.0) * log_det",
        "0.5 * (degrees_of_freedom - dim + 1.0) * log_det",
        "priors/test_precisions.py",
    ),
    Fault(
        "priors/encoded_centres.py",
        "with evaluation_mode(guide):",
        "if guide is not None:",
        "priors/test_vamp_mixture.py",
    ),
    Fault(
        "priors/pseudo_inputs.py",
        "value + torch.log(-torch.expm1(-value))",
        "value - torch.log(-torch.expm1(-value))",
        "priors/test_pseudo_inputs.py",
    ),
    Fault(
        "priors/vamp_prior.py",
        "-math.log(self.num_components)",
        "0.0",
        "priors/test_prior_contracts.py",
    ),
]

LIKELIHOODS = [
    Fault(
        "likelihoods/counts.py",
        "per_row * (scale_head.softmax(-1)",
        "per_row * (scale_head.softmax(0)",
        "likelihoods/test_count_likelihoods.py",
    ),
    Fault(
        "likelihoods/counts.py",
        "(batch.to(log_theta.dtype) @ log_theta).exp()",
        "batch.to(log_theta.dtype) @ log_theta.exp()",
        "likelihoods/test_count_likelihoods.py",
    ),
    Fault(
        "likelihoods/zero_inflated_negative_binomial.py",
        "scale_head, gate_logits = outputs.chunk(2, -1)",
        "gate_logits, scale_head = outputs.chunk(2, -1)",
        "likelihoods/test_count_likelihoods.py",
    ),
    Fault(
        "likelihoods/bernoulli.py",
        "-self.total_count * binary_cross_entropy_with_logits",
        "-binary_cross_entropy_with_logits",
        "likelihoods/test_likelihood_contracts.py",
    ),
    Fault(
        "likelihoods/student_t.py",
        "return 2.0 + bounded(self.log_excess, LOG_EXCESS_LIMIT).exp()",
        "return 1.0 + bounded(self.log_excess, LOG_EXCESS_LIMIT).exp()",
        "likelihoods/test_student_t.py",
    ),
]

GUIDES_AND_MODELS = [
    Fault(
        "guides/amortized_normal.py",
        "scale_tril[..., rows, columns] = below",
        "scale_tril[..., columns, rows] = below",
        "guides/test_guide_contracts.py",
    ),
    Fault(
        "guides/amortized_normal.py",
        "softplus(diagonal) + MINIMUM_SCALE",
        "softplus(diagonal)",
        "guides/test_guide_contracts.py",
    ),
    Fault(
        "guides/amortized_counts.py",
        "dist.LogNormal(total + outputs[..., 0]",
        "dist.LogNormal(outputs[..., 0]",
        "models/test_count_mixture.py",
    ),
    Fault(
        "models/count_mixture.py",
        "weights @ self.library_scale, validate_args",
        "weights @ self.library_scale.flip(0), validate_args",
        "models/test_count_mixture.py",
    ),
    Fault(
        "models/latent_mixture.py",
        "prior.scale_tril)[..., component, :, :]",
        "prior.scale_tril.square())[..., component, :, :]",
        "models/test_latent_mixture.py",
    ),
    Fault(
        "models/vade.py",
        "mixture.component_log_prob(loc) - 0.5 * whitened",
        "mixture.component_log_prob(loc) - whitened",
        "models/test_vade.py",
    ),
    Fault(
        "models/vade.py",
        "+ mixture.log_weights - log_assignment)",
        "+ mixture.log_weights)",
        "models/test_vade.py",
    ),
]

INFERENCE = [
    Fault(
        "infer/empirical_bayes_svi.py",
        "        return loss / len(x)",
        "        return loss",
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "infer/empirical_bayes_svi.py",
        "if self.steps_taken < self.standard_normal_steps:",
        "if self.steps_taken <= self.standard_normal_steps:",
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "priors/mixture.py",
        "self.precisions.set_cholesky(identity / scale)",
        "self.precisions.set_cholesky(identity / scale**2)",
        "single_cell/test_single_cell_vmm.py",
    ),
    Fault(
        "infer/empirical_bayes_svi.py",
        "self._switch.only(name)",
        "self._switch.both()",
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "infer/empirical_bayes_svi.py",
        "            evaluation_mode(self.guide),\n            evaluation_mode(self.model),\n",
        "            evaluation_mode(self.model),\n",
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "infer/empirical_bayes_svi.py",
        "self.guide.posterior(x, **covariates).sample()",
        "self.guide.posterior(x, **covariates).mean",
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "infer/scaled_site.py",
        'msg["scale"] * self.factor',
        'msg["scale"] * self.factor**2',
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "infer/empirical_bayes_svi.py",
        'group["lr"] = base * factor',
        'group["lr"] = base / factor',
        "infer/test_empirical_bayes_svi.py",
    ),
    Fault(
        "infer/schedules.py",
        "(step - self.warmup) / (self.steps - self.warmup)",
        "step / (self.steps - self.warmup)",
        "infer/test_schedules.py",
    ),
]

CLUSTERING = [
    Fault(
        "clustering/evidence.py", "- 0.5 * (nu + n) * log_det", "- 0.5 * nu * log_det", "clustering/test_evidence.py"
    ),
    Fault(
        "clustering/evidence.py",
        "np.log(kappa / (kappa + n))",
        "np.log((kappa + n) / kappa)",
        "clustering/test_evidence.py",
    ),
    Fault("clustering/evidence.py", "            + gammaln(n)\n", "", "clustering/test_evidence.py"),
    Fault("clustering/valleys.py", "- float(np.log(counted))", "", "clustering/test_valleys.py"),
    Fault(
        "clustering/valleys.py",
        "_along(halves[0], halves[1]), _along(halves[1], halves[0])",
        "_along(halves[0], halves[0]), _along(halves[1], halves[1])",
        "clustering/test_valleys.py",
    ),
    Fault("clustering/valleys.py", "counted / number", "1.0", "clustering/test_valleys.py"),
    Fault(
        "clustering/criteria/valleys.py",
        "> 0.0:\n                self",
        "> 9e9:\n                self",
        "clustering/test_valleys.py",
    ),
    Fault(
        "clustering/evidence.py",
        "pull = (kappa * n / (kappa + n))",
        "pull = (kappa * n / (kappa + 1.0))",
        "clustering/test_evidence.py",
    ),
    Fault(
        "clustering/criteria/misclassification.py",
        "generated = self._confusion.sum(axis=1, keepdims=True)",
        "generated = self._confusion.sum(axis=0, keepdims=True)",
        "clustering/test_merge_tree.py",
    ),
    Fault(
        "clustering/merge_tree.py",
        "by_mass = kept[np.argsort(-mass[kept]",
        "by_mass = kept[np.argsort(mass[kept]",
        "clustering/test_merge_tree.py",
    ),
    Fault(
        "clustering/criteria/pair_matrix.py",
        "    matrix[:, kept] += matrix[:, absorbed]\n",
        "",
        "clustering/test_merge_tree.py",
    ),
]

SINGLE_CELL = [
    Fault(
        "modalities/count_expression.py",
        "mean = total / (len(z) * len(batches))",
        "mean = total / len(z)",
        "single_cell/test_single_cell_vmm.py",
    ),
    Fault(
        "modalities/count_expression.py",
        'given["batch"][:, batch] = 1.0',
        'given["batch"][:, 0] = 1.0',
        "single_cell/test_single_cell_vmm.py",
    ),
    Fault(
        "modalities/count_importance.py",
        "explained.logsumexp(-1) - proposed.logsumexp(-1)",
        "explained.logsumexp(-1)",
        "single_cell/test_scvi_answers.py",
    ),
    Fault(
        "modalities/count_importance.py",
        ".double() - log_evidence",
        ".double()",
        "single_cell/test_scvi_answers.py",
    ),
    Fault(
        "modalities/count_starting_values.py",
        "squares - 2.0 * shares * crossed",
        "squares - shares * crossed",
        "single_cell/test_single_cell_vmm.py single_cell/test_recovery.py",
    ),
    Fault(
        "modalities/count_covariates.py",
        "cells.library_size.mean(dtype=np.float64) / factor.mean()",
        "cells.library_size.mean(dtype=np.float64) * factor.mean()",
        "single_cell/test_single_cell_vmm.py",
    ),
    Fault(
        "clustering/merging.py",
        "_join(representatives, tree, rule.joined_below)",
        "_join(representatives, tree, np.inf)",
        "clustering/test_clusters.py",
    ),
    Fault(
        "clustering/merging.py",
        "(total[clusters != name] < most[clusters != name]).all()",
        "(total[clusters != name] < np.inf).all()",
        "clustering/test_clusters.py",
    ),
    Fault(
        "clustering/merging.py",
        "_TAKEN_FOR_ANOTHER = 0.05",
        "_TAKEN_FOR_ANOTHER = 0.95",
        "clustering/test_clusters.py",
    ),
    Fault(
        "clustering/merging.py",
        "evidence_weight=np.inf)",
        "evidence_weight=100.0)",
        "clustering/test_clusters.py",
    ),
    Fault(
        "single_cell/answers.py",
        "responsibilities += share * evaluation",
        "responsibilities += evaluation",
        "single_cell/test_single_cell_vmm.py",
    ),
    Fault(
        "single_cell/likelihood_answers.py",
        "np.logaddexp.reduce(ratios, 1) - np.log(n_mc_samples)",
        "np.logaddexp.reduce(ratios, 1)",
        "single_cell/test_single_cell_vmm.py",
    ),
]

FAULTS = [*DISTRIBUTIONS, *PRIORS, *LIKELIHOODS, *GUIDES_AND_MODELS, *INFERENCE, *CLUSTERING, *SINGLE_CELL]
