"""The pipeline: creates steps from the stages, runs those that are not done, and maintains the job's folder."""
