"""Times of imputers on tables; the benchmark's pipeline lies here too."""
