"""From a place in dB to a cube of twelve channels."""
