"""Training jobs and where they run: a process, Ray or Kubernetes."""
