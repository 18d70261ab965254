"""A fit gone on with must be the fit that was begun."""

from pathlib import Path
from typing import Any

import pytest

from pyro_vmm import UserError
from pyro_vmm.command_line.output_folder import OutputFolder

FACTS: dict[str, Any] = {"input": "x.npy", "data_sha256": "0", "threads": 1}


@pytest.mark.parametrize("of_cells", [False, True])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_only_a_schedule_without_an_end_may_be_made_longer(schedule: str, of_cells: bool, tmp_path: Path) -> None:
    begun: dict[str, Any] = {"learning_rate_schedule": schedule, "max_epochs": 5, "patience": 3}
    longer = begun | {"max_epochs": 6}

    def told(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return (FACTS | {"training": options}, {}) if of_cells else (FACTS, options)

    with OutputFolder(tmp_path / "out") as folder:
        folder.start(*told(begun))
        folder.resume(*told(begun))
        folder.resume(*told(begun | {"patience": 4}))
        if schedule == "constant":
            folder.resume(*told(longer))
            return
        with pytest.raises(UserError) as caught:
            folder.resume(*told(longer))
    assert str(caught.value) == (
        f"The fit in {tmp_path / 'out'} was begun with max_epochs=5, where its cosine schedule ends, not 6: resume with the "
        "same."
    )
