"""The comparison workbench: every combination of a study side by side."""
