"""The HTTP API: one module per client module of the LangGraph SDK."""
