"""The command ``pyro-vmm``."""
