"""Tries a deployment with the LangGraph SDK: `python -m infra.smoke URL`."""
