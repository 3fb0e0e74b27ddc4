"""Programs that run inside the cluster, handed to a pod as text."""
