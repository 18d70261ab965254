"""The folder benchmarks/ is no part of the package: put the checkout on the path, as the command does."""

from pyro_vmm.command_line.benchmark import find_repository

find_repository()
