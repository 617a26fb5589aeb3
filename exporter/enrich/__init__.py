"""Enrich: who did it. Events get their process image, container, pod and workload."""
