"""What walks over all stages: plan, trace, takedown. Nothing below may import it."""
