"""What tests of several folders share: loops to run on, and helpers that look at a scheduler from outside."""
