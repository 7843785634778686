"""What a job is asked to do: the request and the files that it names."""
