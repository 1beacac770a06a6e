"""The Open Inference Protocol over gRPC, asked by Triton's client, whose definition is the published one."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from model_packaging.package import Package
from model_packaging.serving.grpc_messages import METHODS, message
from tests.unit.serving.conftest import Serve, Server
from tests.unit.serving.contracts.conftest import chances, column, labels

Client = tritonclient.grpc.InferenceServerClient
Change = Callable[[Any], None]


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as found:
        yield found


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[[Any], Any]]:
    """ModelInfer with a request made by hand."""
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )


def tensors_of(package: Package) -> list[Any]:
    made: list[Any] = []
    for name, datatype, dtype in (("tenure", "INT64", "int64"), ("charge", "FP64", "float64"), ("plan", "BYTES", "O")):
        made.append(tritonclient.grpc.InferInput(name, [5], datatype))
        made[-1].set_data_from_numpy(np.array(column(package, name), dtype=dtype))
    return made


def request(package: Package) -> Any:
    """The package's examples in `contents`, where the protocol has a place for each datatype."""
    made = service_pb2.ModelInferRequest(model_name="churn")
    for name, datatype, place in (
        ("tenure", "INT64", "int64_contents"),
        ("charge", "FP64", "fp64_contents"),
        ("plan", "BYTES", "bytes_contents"),
    ):
        values = [value.encode() if isinstance(value, str) else value for value in column(package, name)]
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[5])
        getattr(tensor.contents, place).extend(values)
    return made


def shape_of(field: FieldDescriptor) -> tuple[Any, ...]:
    inner = field.message_type.full_name if field.message_type else None
    choice = field.containing_oneof.name if field.containing_oneof else None
    return field.number, field.type, field.is_repeated, field.is_packed, inner, choice


def is_the_same(ours: Descriptor, published: Descriptor) -> None:
    assert ours.full_name == published.full_name
    fields = {field.name: shape_of(field) for field in ours.fields}
    if ours.name == "ModelMetadataResponse":  # KServe's definition has it, Triton's has not
        number, kind, *_ = fields.pop("properties")
        assert (number, kind) == (6, FieldDescriptor.TYPE_MESSAGE)
    assert fields == {field.name: shape_of(field) for field in published.fields}
    for name in fields:
        inner = ours.fields_by_name[name].message_type
        if inner:
            is_the_same(inner, published.fields_by_name[name].message_type)


@pytest.mark.parametrize("name", [f"{method}{part}" for method in METHODS for part in ("Request", "Response")])
def test_the_messages_are_the_published_ones(name: str) -> None:
    is_the_same(message(name).DESCRIPTOR, getattr(service_pb2, name).DESCRIPTOR)


def test_tritons_client_gets_the_recorded_predictions(client: Client, churn: Package) -> None:
    answer = client.infer("churn", tensors_of(churn), model_version=churn.digest, request_id="7")
    said = answer.get_response()
    assert (said.model_name, said.model_version, said.id) == ("churn", churn.digest, "7")
    assert answer.as_numpy("label").tolist() == labels(churn.examples["predictions"])
    np.testing.assert_allclose(answer.as_numpy("probabilities"), chances(churn.examples["predictions"]), atol=1e-6)


def test_contents_are_answered_in_contents(ask: Callable[[Any], Any], churn: Package) -> None:
    answer = ask(request(churn))
    label, probabilities = answer.outputs
    assert not answer.raw_output_contents
    assert list(label.contents.bool_contents) == labels(churn.examples["predictions"])
    found = np.reshape(probabilities.contents.fp64_contents, probabilities.shape)
    np.testing.assert_allclose(found, chances(churn.examples["predictions"]), atol=1e-6)


def test_calls_are_logged_and_counted(server: Server, ask: Callable[[Any], Any], churn: Package) -> None:
    ask(request(churn))
    assert server.wait_for_request(method="gRPC", rows=5)["status"] == "OK"
    with pytest.raises(grpc.RpcError):
        ask(service_pb2.ModelInferRequest(model_name="churn"))
    assert server.wait_for_request(method="gRPC", status="INVALID_ARGUMENT")["problem"].startswith('input "tenure" is')
    counted = [line for line in server.get("/metrics").text.splitlines() if '"grpc"' in line]
    assert any("200" in line for line in counted)
    assert any("400" in line for line in counted)


def test_one_output_alone(client: Client, churn: Package) -> None:
    wanted = [tritonclient.grpc.InferRequestedOutput("probabilities")]
    answer = client.infer("churn", tensors_of(churn), outputs=wanted)
    assert [output.name for output in answer.get_response().outputs] == ["probabilities"]


def test_health_and_metadata(client: Client, churn: Package) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("churn")
    assert client.get_server_metadata().name == "modelberth"
    described = client.get_model_metadata("churn", as_json=True)
    assert described["versions"] == [churn.digest]
    assert described["inputs"][2] == {"name": "plan", "datatype": "BYTES", "shape": ["-1"]}
    assert described["outputs"][1] == {"name": "probabilities", "datatype": "FP64", "shape": ["-1", "2"]}
    whole = message("ModelMetadataResponse").FromString(client.get_model_metadata("churn").SerializeToString())
    assert whole.properties == {"classes": "[false, true]"}
    with pytest.raises(InferenceServerException, match=r'\[StatusCode.NOT_FOUND\] there is no model "chum"'):
        client.get_model_metadata("chum")


def test_the_version_is_the_digest(client: Client, churn: Package) -> None:
    with pytest.raises(InferenceServerException, match=r'NOT_FOUND\] model "churn" has no version "1"'):
        client.infer("churn", tensors_of(churn), model_version="1")


def _category(asked: Any) -> None:
    asked.inputs[2].contents.bytes_contents[1] = b"gold"


def _not_a_number(asked: Any) -> None:
    asked.inputs[1].contents.fp64_contents[1] = float("nan")


def _elsewhere(asked: Any) -> None:
    asked.inputs[1].datatype = "FP32"


def _half(asked: Any) -> None:
    asked.inputs[1].datatype = "FP16"


def _not_text(asked: Any) -> None:
    asked.inputs[2].contents.bytes_contents[1] = b"\xff"


def _raw(asked: Any) -> None:
    asked.raw_input_contents.append(b"")


def _shared(asked: Any) -> None:
    asked.inputs[0].parameters["shared_memory_region"].string_param = "x"


def _classes(asked: Any) -> None:
    asked.outputs.add(name="label").parameters["classification"].int64_param = 2


BAD: dict[str, tuple[Change, str]] = {
    "missing column": (lambda asked: asked.inputs.pop(), 'input "plan" is missing'),
    "misspelt column": (lambda asked: setattr(asked.inputs[2], "name", "plam"), 'there is no input "plam" (did you'),
    "unknown category": (_category, 'row 1, field "plan": "gold" was not in the training data'),
    "NaN": (_not_a_number, 'row 1, field "charge": a value is missing; it must be a number'),
    "text for a number": (lambda asked: setattr(asked.inputs[1], "datatype", "BYTES"), "BYTES belongs into bytes_cont"),
    "another place": (_elsewhere, 'input "charge": FP32 belongs into fp32_contents, not into fp64_contents'),
    "no place": (_half, 'input "charge": FP16 has no contents: send it in raw_input_contents'),
    "unknown datatype": (lambda asked: setattr(asked.inputs[1], "datatype", ""), 'datatype "" is unknown'),
    "wrong shape": (lambda asked: asked.inputs[1].shape.append(2), 'input "charge" has 5 values: shape [5, 2] has 10'),
    "no shape": (lambda asked: asked.inputs[1].ClearField("shape"), 'input "charge": shape must be a list'),
    "not UTF-8": (_not_text, 'input "plan", element 1: the string is not UTF-8'),
    "raw data for one of three": (_raw, "raw_input_contents has 1 entries for 3 inputs: send one for each"),
    "nothing": (lambda asked: asked.ClearField("inputs"), 'input "tenure" is missing; input "charge" is missing'),
    "unknown output": (lambda asked: asked.outputs.add(name="score"), 'there is no output "score": choose label or'),
    "shared memory": (_shared, 'inputs[0]: parameter "shared_memory_region" is of an extension'),
    "classification": (_classes, 'output "label": parameter "classification" is of an extension'),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_the_server_goes_on(ask: Callable[[Any], Any], churn: Package, kind: str) -> None:
    change, text = BAD[kind]
    asked = request(churn)
    change(asked)
    with pytest.raises(grpc.RpcError) as found:
        ask(asked)
    assert found.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert text in found.value.details()
    assert len(ask(request(churn)).outputs) == 2


def test_a_message_over_the_limit(ask: Callable[[Any], Any], churn: Package) -> None:
    asked = request(churn)
    asked.inputs[2].contents.bytes_contents[0] = b"x" * 30_000
    with pytest.raises(grpc.RpcError) as found:
        ask(asked)
    assert found.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(ask(request(churn)).outputs) == 2


def test_too_many_rows(client: Client) -> None:
    sent = [tritonclient.grpc.InferInput(name, [51, 1], "FP64") for name in ("tenure", "charge")]
    for tensor in sent:
        tensor.set_data_from_numpy(np.ones((51, 1)))
    sent.append(tritonclient.grpc.InferInput("plan", [51, 1], "BYTES"))
    sent[-1].set_data_from_numpy(np.full((51, 1), "pro", dtype=object))
    with pytest.raises(InferenceServerException, match=r"RESOURCE_EXHAUSTED\] the body has more than 50 rows"):
        client.infer("churn", sent)


def test_it_costs_nothing_where_nobody_asks(churn: Package) -> None:
    """The whole server without gRPC's port, imported and answering, has neither grpc nor protobuf loaded."""
    program = """
import sys
from model_packaging.serving.app import application
from model_packaging.serving import command, server
from model_packaging.serving.limits import Limits
from model_packaging.serving.service import Service, load
service = Service(Limits())
service.start(*load(sys.argv[1]))
application(service)
print([name for name in ("grpc", "google.protobuf", "model_packaging.serving.grpc_server") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program, str(churn.path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_the_extra_the_command_says_what_to_install(serve: Serve, churn: Package) -> None:
    hidden = "import sys; sys.modules['grpc'] = None"
    server = serve(churn.path, "--port", "0", program=hidden, MODELBERTH_GRPC_PORT="0")
    assert server.end() == 1
    assert 'this command needs grpc: pip install "modelberth[grpc]"' in "".join(server.other)


def test_a_taken_port_is_said(serve: Serve, churn: Package) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = serve(churn.path, "--port", "0", "--grpc-port", port)
        assert server.end() == 1
    assert f"cannot listen on 127.0.0.1 port {port} for gRPC: is it in use by another" in "".join(server.other)


def test_a_call_in_progress_is_answered_after_sigterm(serve: Serve, churn: Package) -> None:
    slow = """
import time
from model_packaging.formats import predictor
real = predictor.Predictor.predict_columns
calls = []
def predict(self, columns):
    calls.append(columns)
    if len(calls) > 1:
        print('{"event": "predicting"}', flush=True)
        time.sleep(2)
    return real(self, columns)
predictor.Predictor.predict_columns = predict
"""
    server = serve(churn.path, "--port", "0", "--grpc-port", "0", program=slow).ready()
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        ready = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerReady",
            request_serializer=service_pb2.ServerReadyRequest.SerializeToString,
            response_deserializer=service_pb2.ServerReadyResponse.FromString,
        )
        assert ready(service_pb2.ServerReadyRequest()).ready
        call = infer.future(request(churn))
        server.wait_for("predicting")
        server.terminate()
        server.wait_for("draining")
        assert not ready(service_pb2.ServerReadyRequest()).ready
        assert len(call.result(timeout=30).outputs) == 2
    assert server.end() == 0
