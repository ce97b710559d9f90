"""template.yaml as data: CloudFormation's short tags become what they are short for."""

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import yaml

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
TABLE_ARGUMENTS = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
"""What create_table takes of a table's properties; an engine needs none of the protections."""


class TemplateLoader(yaml.SafeLoader):
    """Reads `!Ref x` as {"Ref": x}, `!GetAtt a.b` as {"Fn::GetAtt": ["a", "b"]}, any other `!F x` as {"Fn::F": x}."""


def read_tag(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """One short tag in its long form."""
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(cast("yaml.MappingNode", node), deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


TemplateLoader.add_multi_constructor("!", read_tag)


@lru_cache(maxsize=4)
def load_template(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template; shared, so not to be changed."""
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=TemplateLoader)
    return template


def resources(kind: str, template: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """The template's resources of one type, by logical id."""
    found = (template or load_template())["Resources"]
    return {name: resource for name, resource in found.items() if resource["Type"] == kind}


def table_definition(template_path: Path = TEMPLATE) -> dict[str, Any]:
    """The table as the template declares it: create_table's arguments but for the name."""
    (table,) = resources("AWS::DynamoDB::Table", load_template(template_path)).values()
    return {name: table["Properties"][name] for name in TABLE_ARGUMENTS if name in table["Properties"]}


def stream_definition() -> dict[str, Any]:
    """The table's stream as the template declares it: create_table's StreamSpecification, which has to say so."""
    (table,) = resources("AWS::DynamoDB::Table").values()
    return {"StreamEnabled": True, **table["Properties"]["StreamSpecification"]}
