"""Models look at parts in processes of their own: `QC_MODEL_WORKERS`. Decoded pictures lie once, in shared memory."""
