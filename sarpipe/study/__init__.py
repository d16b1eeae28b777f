"""What each choice of the training brings: trainings with one choice put back, measured beside the default."""
