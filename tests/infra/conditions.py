"""What CloudFormation makes of the template for given parameters: conditions, rules and the intrinsic functions."""

from collections.abc import Mapping
from typing import Any

from tests.template import load_template

Parameters = Mapping[str, Any]
NO_VALUE = object()

LAYER = "arn:aws:lambda:eu-west-1:753240598075:layer:LambdaAdapterLayerArm64:27"
"""What WebAdapterLayerArn may be."""


def filled(**given: Any) -> dict[str, Any]:
    """The given parameters over the template's defaults; one that the template lacks is an error."""
    declared = load_template()["Parameters"]
    assert given.keys() <= declared.keys(), given.keys() - declared.keys()
    return {name: given.get(name, parameter.get("Default")) for name, parameter in declared.items()}


def truth(expression: Any, parameters: Parameters) -> bool:
    """What a condition comes to."""
    ((function, argument),) = expression.items()
    match function:
        case "Condition":
            return truth(load_template()["Conditions"][argument], parameters)
        case "Fn::Equals":
            left, right = (value(each, parameters) for each in argument)
            return str(left) == str(right)
        case "Fn::Not":
            return not truth(argument[0], parameters)
        case "Fn::And":
            return all(truth(each, parameters) for each in argument)
        case "Fn::Or":
            return any(truth(each, parameters) for each in argument)
        case "Fn::Contains":
            return value(argument[1], parameters) in argument[0]
    raise NotImplementedError(function)


def value(expression: Any, parameters: Parameters) -> Any:
    """A parameter's value, or what stands there."""
    if isinstance(expression, dict) and expression.keys() == {"Ref"}:
        return parameters.get(expression["Ref"], expression)
    return expression


def refused(**given: Any) -> list[str]:
    """The rules that refuse the parameters."""
    parameters = filled(**given)
    return [
        name
        for name, rule in load_template()["Rules"].items()
        if "RuleCondition" not in rule or truth(rule["RuleCondition"], parameters)
        if not all(truth(each["Assert"], parameters) for each in rule["Assertions"])
    ]


def resolved(tree: Any, parameters: Parameters) -> Any:
    """A part of the template with every Fn::If decided and what has no value gone."""
    if isinstance(tree, list):
        return [each for each in (resolved(each, parameters) for each in tree) if each is not NO_VALUE]
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"Fn::If"}:
        condition, then, otherwise = tree["Fn::If"]
        return resolved(then if truth({"Condition": condition}, parameters) else otherwise, parameters)
    if tree == {"Ref": "AWS::NoValue"}:
        return NO_VALUE
    pairs = ((name, resolved(each, parameters)) for name, each in tree.items())
    return {name: each for name, each in pairs if each is not NO_VALUE}


def stack(**given: Any) -> dict[str, dict[str, Any]]:
    """The resources that a deployment with these parameters has."""
    parameters = filled(**given)
    found = load_template()["Resources"]
    return {
        name: resolved({key: part for key, part in resource.items() if key != "Condition"}, parameters)
        for name, resource in found.items()
        if "Condition" not in resource or truth({"Condition": resource["Condition"]}, parameters)
    }
