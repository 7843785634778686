"""The parts of `install.py`: standard library alone, any Python from 3.9 on.

- `causes`: why a command failed, by what it printed.
- `processes`: commands, whose output goes to the log and line by line to whoever follows them.
- `progress`: where the installation stands.
- `pythons`: which Python the environment is made with, and pip for one that lacks it.
- `packages`: which packages, their sizes, their download and installation.
- `torch_builds`: which build of PyTorch, by the graphics card.
- `disk`: space and permission, before anything is begun.
- `locks`: one installation at a time.
"""
