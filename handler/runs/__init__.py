"""The run lifecycle: admission, driving under one lease, waiting, settling."""
