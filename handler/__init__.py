"""The LangGraph server that scales to zero: FastAPI on AWS Lambda, DynamoDB for everything that must last."""

__version__ = "0.1.0"
