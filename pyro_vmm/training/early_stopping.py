"""When to stop, without looking at a label."""

from dataclasses import dataclass

from pyro_vmm.option_checks import check_whole_number


@dataclass
class EarlyStopping:
    """Stops when the validation ELBO has not risen for ``patience`` evaluations.

    Evaluations before ``not_before`` (training steps: the end of every warm-up) neither count nor set a best value, since
    the ELBO is then not yet what is being maximised.

    Attributes
    ----------
    patience
        Evaluations without a rise; ``None`` never stops but still keeps the best.
    not_before
        First training step at which evaluations count.
    minimum_rise
        Nats per observation that count as a rise.
    best, evaluations_since_best
        The state.
    """

    patience: int | None = None
    not_before: int = 0
    minimum_rise: float = 0.0
    best: float = -float("inf")
    evaluations_since_best: int = 0

    def __post_init__(self) -> None:
        self.patience = check_whole_number(self.patience, "patience", or_none="to train to the last epoch")

    def improved(self, validation_elbo: float, step: int) -> bool:
        """Take note of an evaluation; whether it is the best so far."""
        if step < self.not_before:
            return False
        if validation_elbo > self.best + self.minimum_rise:
            self.best, self.evaluations_since_best = validation_elbo, 0
            return True
        self.evaluations_since_best += 1
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.evaluations_since_best >= self.patience
