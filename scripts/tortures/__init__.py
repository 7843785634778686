"""One module a torture: it does something bad to jobs, servers or files many times, and sees what is left.

A module in one of the folders `torture.GROUPS` has

    ENVIRONMENT = "server"  # or "bpy45", "bpy52", "bpy53": which of `environments.NAMES` it runs in
    SHORT = 2               # rounds of the short run that is part of the tests: about three seconds

    def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:

`rounds` is how often, None for the full number; `folder` is empty and removed afterwards. It returns whether all went
well, and one summary line with figures. What a round does depends on `rng` alone, so that a seed repeats it.
"""
