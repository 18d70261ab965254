"""A fit gone on with must be the fit that was begun."""

from pathlib import Path
from typing import Any

import pytest

from pyro_vmm import UserError
from pyro_vmm.command_line.output_folder import OutputFolder
from pyro_vmm.modalities import Modality
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.modalities.counts import Counts

FACTS: dict[str, Any] = {"input": "x", "data_sha256": "0", "threads": 1, "setup": {}}


@pytest.mark.parametrize("modality", [Arrays, Counts])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_only_a_schedule_without_an_end_may_be_made_longer(
    schedule: str, modality: type[Modality], tmp_path: Path
) -> None:
    begun = modality.with_defaults({"learning_rate_schedule": schedule, "max_epochs": 5, "patience": 3})
    longer = begun | {"max_epochs": 6}
    with OutputFolder(tmp_path / "out") as folder:
        folder.start(modality, begun, FACTS)
        folder.resume(modality, begun, FACTS)
        folder.resume(modality, begun | {"patience": 4}, FACTS)
        if schedule == "constant":
            folder.resume(modality, longer, FACTS)
            return
        with pytest.raises(UserError) as caught:
            folder.resume(modality, longer, FACTS)
    assert str(caught.value) == (
        f"The fit in {tmp_path / 'out'} was begun with max_epochs=5, where its cosine schedule ends, not 6: resume with the "
        "same."
    )
