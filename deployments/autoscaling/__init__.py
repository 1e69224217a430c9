"""Autoscaling: the number of replicas follows the delay of their queues, not the number of their requests."""
