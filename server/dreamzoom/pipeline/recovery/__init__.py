"""What a job does by itself when something fails: a step that lacks memory is tried once more with less (`attempts`),
one that ended the process twice runs in a process of its own (`isolated`), and a job begins and writes only where there
is space for it (`disk_space`). Nothing starts by itself.
"""
