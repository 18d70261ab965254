"""Moving overlapping labels apart, by as little as it takes."""

import numpy as np
from numpy.typing import NDArray


def spread_labels(
    anchors: NDArray[np.float64], sizes: NDArray[np.float64], iterations: int = 300
) -> NDArray[np.float64]:
    """Positions of label boxes that overlap as little as possible, near what they name.

    Overlapping pairs push each other apart along the axis on which they overlap least; nothing is random.

    Parameters
    ----------
    anchors : array [L, 2]
        Where each label would like its middle to be, in any unit of length that both axes share (pixels).
    sizes : array [L, 2]
        Width and height of each label in the same unit.
    iterations : int
        Upper bound on the rounds of pushing.

    Returns
    -------
    array [L, 2]
        Middles of the labels.
    """
    centres = np.array(anchors, dtype=np.float64)
    if len(centres) < 2:
        return centres
    # Labels on the very same spot have no direction to flee in: a spiral of a hundredth of a label gives them one.
    turn = np.arange(len(centres)) * 2.399963
    centres += 0.01 * sizes * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    reach = (sizes[:, None] + sizes[None, :]) / 2
    for _ in range(iterations):
        offset = centres[:, None] - centres[None, :]
        overlap = reach - np.abs(offset)
        clash = (overlap[..., 0] > 0) & (overlap[..., 1] > 0) & ~np.eye(len(centres), dtype=bool)
        if not clash.any():
            break
        sideways = overlap[..., 0] < overlap[..., 1]
        direction = np.where(offset >= 0, 1.0, -1.0)
        push = np.stack([np.where(sideways, overlap[..., 0], 0.0), np.where(sideways, 0.0, overlap[..., 1])], axis=-1)
        centres += 0.3 * (direction * push * clash[..., None]).sum(axis=1)
    return centres
