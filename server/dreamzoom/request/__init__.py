"""The request of a job, its validation, and the files that it names."""
