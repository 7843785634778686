"""The section `cluster` of the benchmark: steps on a Ray cluster, and a simulation of a large one."""
