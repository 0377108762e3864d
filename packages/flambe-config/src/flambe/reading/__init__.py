"""What runs say when they are asked: folders of runs, read as tables. Import from the files: readers pay for what they use."""
