"""Starting weights."""

from torch import nn


def glorot_uniform(network: nn.Module) -> nn.Module:
    """Give every linear and convolutional layer Glorot-uniform weights and zero biases (Glorot & Bengio 2010).

    torch's own default shrinks activations layer by layer, so that an untrained encoder sends all observations, and with
    them all VampPrior centres, to nearly one point: the components then overlap and die before the data can tell them
    apart. With unit gain they start spread over the latent space.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
