"""Whether a job's files are as the job made them, and how they become so again.

- `request_file`: the request and its second copy; a damaged or changed one is never run.
- `origins`: where the artist's files lay, kept out of the job's folder.
- `verify`: every file against its hash.
- `repair`: redoes just what depends on damage.
"""
