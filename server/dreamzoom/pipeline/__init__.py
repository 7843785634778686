"""The pipeline: makes steps of the stages, runs those that are not done yet, and keeps the job's folder and journal."""
