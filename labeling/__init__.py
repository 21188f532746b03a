"""Turning doubt into knowledge: tasks for people, what they drew, and the data set made of it."""
