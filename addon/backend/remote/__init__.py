"""Jobs on a machine that does not see the job folder: their files travel with the messages.

`transfer` is the whole of it for one job; `sending` and `fetching` move chunks; `inputs` are the files that a request
names; `mirror` is the job folder on this machine.
"""
