"""The three tasks' images, questions and facts, made offline from a seed."""
