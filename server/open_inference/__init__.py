"""Our models for other programs, in the words of the Open Inference Protocol v2 (KServe, Triton, OpenVINO)."""
