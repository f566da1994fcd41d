"""The templates as text: AWS's linter, and our own rules."""

import re
import subprocess
from typing import Any

import pytest

from infra.templates import FOLDER, StackTemplate, pairs, templates
from tests.support.checkouts import BIN
from tests.support.infra.policies import is_wide, reasons, wide

TEMPLATES = templates()
HOLDS_DATA = {
    "AWS::ECR::Repository",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SageMaker::ModelPackageGroup",
}

every_template = pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))


def resources(template: StackTemplate, kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in template.body["Resources"].items() if one["Type"] == kind}


@pytest.mark.slow
def test_cfn_lint_passes() -> None:
    files = sorted(map(str, FOLDER.glob("*.yaml")))
    done = subprocess.run([BIN / "cfn-lint", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@every_template
def test_every_policy_wildcard_has_a_reason(template: StackTemplate) -> None:
    found = {name for name, _ in wide(template)}
    assert found == set(reasons(template)), "a wildcard without a reason, or a reason without a wildcard"


def test_wildcards_are_found_everywhere() -> None:
    assert is_wide("s3:*", "${Bucket.Arn}")
    assert is_wide("s3:GetObject", "*")
    assert is_wide("logs:PutLogEvents", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/*")
    assert not is_wide("s3:GetObject", "arn:${AWS::Partition}:s3:::${Bucket}/bundles/*")


@every_template
def test_a_role_is_assumed_by_a_named_service_or_provider(template: StackTemplate) -> None:
    for name, role in resources(template, "AWS::IAM::Role").items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            assert set(statement["Principal"]) <= {"Service", "Federated"}, name
            assert "*" not in str(statement["Principal"]), name


@every_template
def test_stateful_resources_are_retained_and_logs_are_not(template: StackTemplate) -> None:
    for name, one in template.body["Resources"].items():
        if one["Type"] in HOLDS_DATA:
            assert one["DeletionPolicy"] in ("Retain", "Snapshot"), name
        elif one["Type"] == "AWS::Logs::LogGroup":
            assert one["DeletionPolicy"] == "Delete" and one["Properties"]["RetentionInDays"], name
        assert one.get("DeletionPolicy") == one.get("UpdateReplacePolicy"), f"{name}: it would be lost on replacement"


@every_template
def test_buckets_are_private_encrypted_versioned_and_tls_only(template: StackTemplate) -> None:
    policies = resources(template, "AWS::S3::BucketPolicy").values()
    for name, bucket in resources(template, "AWS::S3::Bucket").items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, name
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}], name
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"], name
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}, name
        assert bucket["LifecycleConfiguration"]["Rules"], name
        statements = [one for p in policies if p["Bucket"] == {"Ref": name} for one in p["PolicyDocument"]["Statement"]]
        assert any(
            one["Effect"] == "Deny" and one.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
            for one in statements
        ), f"{name} is readable in plain text"
        assert all(one["Principal"] != "*" for one in statements if one["Effect"] == "Allow"), f"{name} is public"


@every_template
def test_images_are_scanned_and_tags_are_immutable(template: StackTemplate) -> None:
    for name, repository in resources(template, "AWS::ECR::Repository").items():
        assert repository["ImageTagMutability"] == "IMMUTABLE", name
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}, name
        assert repository["EncryptionConfiguration"] and repository["LifecyclePolicy"], name


@every_template
def test_databases_are_encrypted_private_with_managed_passwords(template: StackTemplate) -> None:
    for name, database in resources(template, "AWS::RDS::DBInstance").items():
        assert database["StorageEncrypted"] is True and database["PubliclyAccessible"] is False, name
        assert database["ManageMasterUserPassword"] is True and "MasterUserPassword" not in database, name
        assert database["BackupRetentionPeriod"] and database["CopyTagsToSnapshot"], name


@every_template
def test_secret_parameters_are_noecho(template: StackTemplate) -> None:
    for name, parameter in template.body["Parameters"].items():
        if re.search("password|secret|token|credential", name, re.IGNORECASE):
            assert parameter.get("NoEcho") is True, name
    for key, value in pairs(template.body["Resources"]):
        if re.search(r"password$|secret$|token$", key, re.IGNORECASE):
            assert not isinstance(value, str), f"{key} is hard-coded"


@every_template
def test_no_account_id_is_hard_coded(template: StackTemplate) -> None:
    assert not re.findall(r"\b\d{12}\b", template.path.read_text())


@every_template
def test_every_import_is_exported_by_an_earlier_stack(template: StackTemplate) -> None:
    before = list(TEMPLATES.values())[: list(TEMPLATES).index(template.name)]
    assert template.imports <= {export for one in before for export in one.exports}


@every_template
def test_every_stack_belongs_to_a_stage(template: StackTemplate) -> None:
    assert template.body["Parameters"]["Stage"]["AllowedValues"] == ["staging", "production"]
    assert all(export.startswith("roadmap-${Stage}-") for export in template.exports)


@every_template
def test_services_roll_failed_deployments_back(template: StackTemplate) -> None:
    for name, service in resources(template, "AWS::ECS::Service").items():
        breaker = service["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
        assert breaker == {"Enable": True, "Rollback": True}, name
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED", name
    for endpoint in resources(template, "AWS::SageMaker::Endpoint").values():
        instances = endpoint["DeploymentConfig"]["Fn::If"][2]
        alarms = {one["AlarmName"]["Ref"] for one in instances["AutoRollbackConfiguration"]["Alarms"]}
        assert alarms == set(resources(template, "AWS::CloudWatch::Alarm"))


@every_template
def test_github_is_trusted_for_one_repository_and_one_environment(template: StackTemplate) -> None:
    for name, role in resources(template, "AWS::IAM::Role").items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            if "Federated" in statement["Principal"]:
                assert statement["Condition"] == {
                    "StringEquals": {
                        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                        "token.actions.githubusercontent.com:sub": {
                            "Fn::Sub": "repo:${Repository}:environment:${Stage}"
                        },
                    }
                }, name
