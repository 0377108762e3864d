"""The run directory: what happened. Import from the files: each is one noun, and readers pay for what they use."""
