"""The driver of a Ray cluster, but one that waits for a machine for seconds only."""

from dreamzoom.cluster import ray_workers

if __name__ == "__main__":
    ray_workers.TOLD, ray_workers.PATIENCE = 1.0, 6.0
    ray_workers.main()
