"""Reports: pages and figures from tracked results alone."""
