"""DynamoDB and SQS: the only package that knows tables, keys, expressions and boto3."""
