"""Forward processes, parametrisations and samplers: equations as functions."""
