"""What the paper claims and what it leaves open, as tables that one command reproduces: ``pyro-vmm benchmark NAME``."""
