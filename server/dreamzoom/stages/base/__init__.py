"""What every stage is made of: its declaration, the job's context, and the names and formats of the job's files."""
