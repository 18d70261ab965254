"""Whether the truncation is too small."""

from pyro_vmm.diagnosis.finding import Finding

NAME = "truncation"
NEARLY_ALL = 0.9
"""Share of components in use above which the truncation may already bind: duplicates die slowly, so a free tenth is little."""


def truncation(in_use: int, num_components: int) -> Finding:
    """Say whether all components of the mixture are in use, so that their number is not found but given.

    It cannot see whether more components would make a better clustering, only that there was no room for them.

    Parameters
    ----------
    in_use
        Components that are the most probable one of at least one observation.
    num_components
        Truncation ``K``.
    """
    told = f"{in_use} of {num_components} components are in use."
    share = in_use / num_components
    if num_components == 1:
        return Finding(NAME, "fine", "The prior has one component.", value=1.0)
    advice = f"Fit again with num_components={2 * num_components}."
    if in_use >= num_components:
        return Finding(NAME, "warning", f"All {num_components} components are in use.", advice, share)
    if share > NEARLY_ALL:
        return Finding(NAME, "notice", told, advice, share)
    return Finding(NAME, "fine", told, value=share)
