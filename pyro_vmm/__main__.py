"""``python -m pyro_vmm`` is ``pyro-vmm``."""

import sys

from pyro_vmm.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
