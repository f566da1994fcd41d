"""infra.stacks when things fail, which moto cannot simulate."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.stacks import Stacks
from infra.templates import StackError, templates

TEMPLATES = templates()


class Script:
    """The part of CloudFormation that infra.stacks calls: a stack's state, and the result of the next change."""

    def __init__(self, state: str | None, ends: str, reason: str = "", change: str = "CREATE_COMPLETE") -> None:
        self.state, self.ends, self.reason, self.change = state, ends, reason, change
        self.calls: list[str] = []
        self.events: list[dict[str, str]] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if self.state is None:
            words = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            raise ClientError({"Error": words}, "DescribeStacks")
        found = {"StackStatus": self.state, "StackId": "arn:aws:cloudformation:r:a:stack/name/1", "Parameters": []}
        if self.state.endswith("_IN_PROGRESS") and self.state != "REVIEW_IN_PROGRESS":
            self.state = self.state.removesuffix("_IN_PROGRESS") + "_COMPLETE"
        return {"Stacks": [found]}

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        return {"StackEvents": self.events[::-1]}

    def create_change_set(self, ChangeSetType: str, **_: Any) -> dict[str, str]:
        self.calls.append(ChangeSetType)
        return {"Id": "change"}

    def describe_change_set(self, ChangeSetName: str) -> dict[str, Any]:
        return {
            "ChangeSetId": ChangeSetName,
            "StackId": "arn:aws:cloudformation:r:a:stack/name/1",
            "Status": self.change,
            "StatusReason": self.reason,
            "Changes": [
                {"ResourceChange": {"Action": "Modify", "LogicalResourceId": "Vpc", "ResourceType": "AWS::EC2::VPC"}}
            ],
        }

    def delete_change_set(self, ChangeSetName: str) -> None:
        self.calls.append("FORGET")

    def execute_change_set(self, ChangeSetName: str) -> None:
        self.calls.append("EXECUTE")
        self.state = self.ends
        for number, (resource, why) in enumerate([("Vpc", self.reason), ("Subnet", "Resource creation cancelled")]):
            if self.reason:
                event = {"LogicalResourceId": resource, "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": why}
                self.events.append({"EventId": str(number), **event})

    def delete_stack(self, StackName: str) -> None:
        self.calls.append("DELETE")
        self.state = "DELETE_COMPLETE"


def up(script: Script) -> list[str]:
    return Stacks(script, poll=0).up(TEMPLATES["network"], "staging")


def test_a_failed_creation_is_deleted_and_retried() -> None:
    script = Script("ROLLBACK_COMPLETE", "CREATE_COMPLETE")
    assert up(script) == ["Modify Vpc (AWS::EC2::VPC)"]
    assert script.calls == ["DELETE", "CREATE", "EXECUTE"]


def test_a_failure_reports_the_first_reason() -> None:
    with pytest.raises(StackError, match=r"name: ROLLBACK_COMPLETE; Vpc CREATE_FAILED: limit of VPCs reached$"):
        up(Script(None, "ROLLBACK_COMPLETE", "limit of VPCs reached"))


def test_a_change_in_progress_is_awaited() -> None:
    script = Script("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    up(script)
    assert script.calls == ["UPDATE", "EXECUTE"]


def test_a_plan_changes_nothing_and_leaves_nothing() -> None:
    script = Script(None, "")
    assert Stacks(script, poll=0).plan(TEMPLATES["network"], "staging") == ["Modify Vpc (AWS::EC2::VPC)"]
    assert script.calls == ["CREATE", "FORGET", "DELETE"]


def test_an_interrupted_plan_is_no_obstacle() -> None:
    script = Script("REVIEW_IN_PROGRESS", "CREATE_COMPLETE")
    up(script)
    assert script.calls == ["DELETE", "CREATE", "EXECUTE"]


def test_no_change_does_nothing() -> None:
    words = "The submitted information didn't contain changes. Submit different information to create a change set."
    script = Script("UPDATE_COMPLETE", "", words, change="FAILED")
    assert up(script) == []
    assert script.calls == ["UPDATE", "FORGET"]


def test_a_failed_rollback_needs_a_person() -> None:
    with pytest.raises(StackError, match="found state UPDATE_ROLLBACK_FAILED, which needs manual repair"):
        up(Script("UPDATE_ROLLBACK_FAILED", ""))


def test_an_invalid_argument_is_named_before_any_request() -> None:
    script = Script(None, "")
    with pytest.raises(StackError, match="found no parameter Cidr; it has Stage, CidrPrefix"):
        Stacks(script).up(TEMPLATES["network"], "staging", Cidr="10.1")
    with pytest.raises(StackError, match="observability: missing: Email, MonthlyBudget"):
        Stacks(script).up(TEMPLATES["observability"], "staging")
    with pytest.raises(StackError, match="stage: found 'prod'; allowed: staging, production"):
        Stacks(script).up(TEMPLATES["network"], "prod")
    with pytest.raises(StackError, match="training: there is one stack for each project"):
        Stacks(script).up(TEMPLATES["training"], "staging")
    assert script.calls == []
