"""SNS's deliveries. Sources stand in sandbox/aws/notifications.py."""

import urllib.error
import urllib.request
from typing import Any

from tests.unit.aws_emulator.conftest import Account, Listener, refused, wait_for


def topic_with(account: Account, listener: Listener, **more: Any) -> tuple[str, str]:
    topic = account("sns").create_topic(Name=account.name("topic"))["TopicArn"]
    made = account("sns").subscribe(
        TopicArn=topic, Protocol="http", Endpoint=listener.url, ReturnSubscriptionArn=True, **more
    )
    return topic, made["SubscriptionArn"]


def test_an_http_subscriber_gets_nothing_before_it_confirms(account: Account, listener: Listener) -> None:
    topic, subscription = topic_with(account, listener)
    account("sns").publish(TopicArn=topic, Message="lost", Subject="s")
    headers, body = wait_for(lambda: listener.received[:1])[0]
    assert headers["x-amz-sns-message-type"] == body["Type"] == "SubscriptionConfirmation"
    assert body["TopicArn"] == topic and body["SubscribeURL"].startswith(account.handle.url)
    listener.confirm()
    account("sns").publish(TopicArn=topic, Message="kept", Subject="s")
    message = wait_for(listener.notifications)[0]
    assert (message["Message"], message["Subject"], message["TopicArn"]) == ("kept", "s", topic)
    assert {"MessageId", "Timestamp"} <= set(message)
    headers, _ = listener.received[-1]
    assert headers["x-amz-sns-subscription-arn"] == subscription
    assert len(listener.received) == 2


def test_a_wrong_token_confirms_nothing(account: Account, listener: Listener) -> None:
    topic, _ = topic_with(account, listener)
    assert refused(account("sns").confirm_subscription, TopicArn=topic, Token="x" * 64)[0] == "InvalidParameter"
    link = f"{account.handle.url}/?Action=ConfirmSubscription&TopicArn={topic}&Token=wrong"
    try:
        urllib.request.urlopen(link, timeout=10)
        raise AssertionError("the link was taken")
    except urllib.error.HTTPError as error:
        assert error.code == 400
    attributes = account("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert len(attributes) == 1 and not listener.notifications()


def test_raw_delivery_sends_the_message_alone(account: Account, listener: Listener) -> None:
    topic, _ = topic_with(account, listener, Attributes={"RawMessageDelivery": "true"})
    listener.confirm()
    account("sns").publish(TopicArn=topic, Message='{"a": 1}')
    wait_for(lambda: len(listener.received) == 2)
    headers, body = listener.received[1]
    assert body == {"a": 1} and headers["x-amz-sns-rawdelivery"] == "true"


def test_email_goes_to_the_outbox_and_sqs_to_its_queue(account: Account) -> None:
    topic = account("sns").create_topic(Name=account.name("topic"))["TopicArn"]
    url = account("sqs").create_queue(QueueName=account.name("queue"))["QueueUrl"]
    arn = account("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    account("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ml@example.org")
    account("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    account("sns").publish(TopicArn=topic, Message="hello", Subject="s")
    mail = [one for one in account.handle.get("outbox") if one["topic"] == topic]
    assert [(one["endpoint"], one["subject"], one["message"]) for one in mail] == [("ml@example.org", "s", "hello")]
    assert "hello" in account("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"]
