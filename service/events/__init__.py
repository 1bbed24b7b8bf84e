"""What happens to sweeps, as numbered events that any number of readers can follow."""
