"""The fault suite: `make faults`. A package, so that its conftest is not the one above."""
