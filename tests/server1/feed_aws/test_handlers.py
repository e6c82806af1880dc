"""The Lambda handlers against moto's EC2, and the template that deploys them."""

import importlib.util
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

AWS = Path(__file__).parents[3] / "server1-data" / "feed" / "aws"


@pytest.fixture
def handlers(monkeypatch):
    for name in ("INSTANCE_IDS", "TAG_KEY", "TAG_VALUE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (
        ("AWS_DEFAULT_REGION", "eu-south-2"),
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "nothing"),
        # Loading moto's list of machine images takes longer than everything else.
        ("MOTO_EC2_LOAD_DEFAULT_AMIS", "false"),
    ):
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("feed_aws_handlers", AWS / "handlers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with mock_aws():
        yield module


@pytest.fixture
def ec2(handlers):  # noqa: ARG001 - moto stands in from there on
    return boto3.client("ec2")


def launch(ec2, tag=None, count=1):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "readmission", "Value": tag}]}] if tag else []
    made = ec2.run_instances(ImageId="ami-12c6146b", MinCount=count, MaxCount=count, TagSpecifications=tags)
    return sorted(one["InstanceId"] for one in made["Instances"])


def states(ec2):
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    }


def test_instances_with_the_tag_are_stopped_and_started_and_no_others(handlers, ec2, monkeypatch):
    monkeypatch.setenv("TAG_KEY", "readmission")
    monkeypatch.setenv("TAG_VALUE", "feed")
    ours, others = launch(ec2, "feed", count=2), [*launch(ec2), *launch(ec2, "other")]
    assert handlers.stop({}, None) == {"instances": ours, "changed": ours}
    assert states(ec2) == dict.fromkeys(ours, "stopped") | dict.fromkeys(others, "running")
    assert handlers.start({}, None) == {"instances": ours, "changed": ours}
    assert set(states(ec2).values()) == {"running"}


def test_a_second_run_changes_nothing(handlers, ec2, monkeypatch):
    (one,) = launch(ec2)
    monkeypatch.setenv("INSTANCE_IDS", f" {one} , ")
    assert handlers.start({}, None)["changed"] == []
    handlers.stop({}, None)
    assert handlers.stop({}, None) == {"instances": [one], "changed": []}


def test_only_what_is_in_the_wrong_state_is_touched(handlers, ec2):
    stopped, running = launch(ec2, count=2)
    ec2.stop_instances(InstanceIds=[stopped])
    event = {"instance_ids": [stopped, running]}
    assert handlers.start(event, None)["changed"] == [stopped]
    assert handlers.stop(event, None)["changed"] == sorted([stopped, running])


def test_an_event_names_instances_itself(handlers, ec2, monkeypatch):
    one, other = launch(ec2, count=2)
    monkeypatch.setenv("INSTANCE_IDS", other)
    assert handlers.stop({"instance_ids": [one]}, None)["instances"] == [one]
    assert states(ec2) == {one: "stopped", other: "running"}


def test_finding_nothing_is_an_error(handlers, ec2, monkeypatch):
    with pytest.raises(handlers.NoInstanceError, match="set INSTANCE_IDS, or TAG_KEY and TAG_VALUE"):
        handlers.stop({}, None)
    monkeypatch.setenv("TAG_KEY", "readmission")
    monkeypatch.setenv("TAG_VALUE", "feed")
    with pytest.raises(handlers.NoInstanceError, match="readmission=feed"):
        handlers.stop({}, None)
    ec2.terminate_instances(InstanceIds=launch(ec2, "feed"))
    with pytest.raises(handlers.NoInstanceError, match="readmission=feed"):
        handlers.start({}, None)
    with pytest.raises(ClientError, match="InvalidInstanceID"):
        handlers.stop({"instance_ids": ["i-0123456789abcdef0"]}, None)


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms, `!Ref X` as {"Ref": X}."""


for form in ("Ref", "Sub"):
    Template.add_constructor(
        f"!{form}", lambda loader, node, form=form: {form: loader.construct_scalar(node)}
    )


def test_the_template_deploys_these_handlers_and_gives_each_its_one_right(handlers):
    template = yaml.load((AWS / "template.yaml").read_text(), Loader=Template)  # noqa: S506 - a safe loader
    functions = template["Resources"]
    rights = {"Start": "ec2:StartInstances", "Stop": "ec2:StopInstances"}
    assert functions.keys() == rights.keys()
    for name, right in rights.items():
        properties = functions[name]["Properties"]
        module, _, handler = properties["Handler"].partition(".")
        assert (AWS / f"{module}.py").exists()
        assert callable(getattr(handlers, handler))
        look, change = properties["Policies"][0]["Statement"]
        assert (look["Action"], change["Action"]) == ("ec2:DescribeInstances", right)
        assert change["Condition"] == {"StringEquals": {"aws:ResourceTag/readmission": {"Ref": "TagValue"}}}
        (event,) = properties["Events"].values()
        assert event["Properties"]["ScheduleExpressionTimezone"] == {"Ref": "TimeZone"}
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    assert variables == {"TAG_KEY": "readmission", "TAG_VALUE": {"Ref": "TagValue"}}
