"""Pictures are unpacked in processes that may do nothing else: little memory and time, no files, no network."""
