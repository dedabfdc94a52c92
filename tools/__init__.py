"""For maintainers, in no wheel: bundled weights and samples, what training costs, the site. Run from the clone."""
