"""Fine-tuning: what is tuned, the frozen-prefix cache, the loop, the run directory."""
