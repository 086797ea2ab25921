"""What runs on the device beside the runtime: build, check, time (`python -m edgeseg.device`)."""
