"""Modules among the options of a fit are copied together."""

from torch import nn

from pyro_vmm.fit.own_objects import with_copies


def test_modules_that_share_a_part_share_its_copy():
    first, second = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    second[0].weight = first[0].weight
    copies = with_copies({"latent_dim": 2, "encoder": first, "decoder": second})
    assert list(copies) == ["latent_dim", "encoder", "decoder"]
    assert copies["latent_dim"] == 2
    assert copies["encoder"][0].weight is copies["decoder"][0].weight
    assert copies["encoder"][0].weight is not first[0].weight
