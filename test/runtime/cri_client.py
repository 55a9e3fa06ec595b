"""Calls a container runtime as kubelet does, through gRPC on its socket."""

import importlib
import itertools
import json
import pathlib
import sys

import grpc

from host import run
from report import Failed

_HERE = pathlib.Path(__file__).resolve().parent
_SERVICE = "/runtime.v1.RuntimeService/"


class Pod:
    def __init__(self, name, sandbox, addresses, pid):
        self.name = name
        self.sandbox = sandbox
        self.addresses = addresses
        self.netns = f"/proc/{pid}/ns/net"


class CriClient:
    """kubelet, as far as networks are concerned. Safe to use from several threads."""

    def __init__(self, socket, work):
        run(["protoc", f"--proto_path={_HERE}", f"--python_out={work}", "cri.proto"])
        sys.path.append(str(work))
        self._messages = importlib.import_module("cri_pb2")
        self._uids = itertools.count()
        self._channel = grpc.insecure_channel(f"unix://{socket}")

    def _call(self, method, request, response):
        call = self._channel.unary_unary(_SERVICE + method,
                                         request_serializer=type(request).SerializeToString,
                                         response_deserializer=response.FromString)
        try:
            return call(request, timeout=60)
        except grpc.RpcError as error:
            raise Failed(f"{method}: {error.details()}") from None

    def network_condition(self):
        """Whether the runtime finds its network ready, and what it says about it."""
        status = self._call("Status", self._messages.Empty(), self._messages.StatusResponse)
        for condition in status.status.conditions:
            if condition.type == "NetworkReady":
                return condition.status, condition.message
        return False, "the runtime does not tell"

    def run_pod(self, name, namespace="tests", host_port=None):
        """host_port leads to port 80 of the pod, by TCP."""
        mappings = [{"container_port": 80, "host_port": host_port}] if host_port else []
        config = self._messages.PodSandboxConfig(
            metadata={"name": name, "uid": f"uid-{next(self._uids)}", "namespace": namespace},
            hostname=name, port_mappings=mappings, linux={"cgroup_parent": "/pods"})
        request = self._messages.RunPodSandboxRequest(config=config)
        return self._call("RunPodSandbox", request,
                          self._messages.RunPodSandboxResponse).pod_sandbox_id

    def look_at(self, name, sandbox):
        request = self._messages.PodSandboxRequest(pod_sandbox_id=sandbox, verbose=True)
        answer = self._call("PodSandboxStatus", request, self._messages.PodSandboxStatusResponse)
        network = answer.status.network
        addresses = [network.ip, *(each.ip for each in network.additional_ips)]
        return Pod(name, sandbox, [address for address in addresses if address],
                   json.loads(answer.info["info"])["pid"])

    def stop_pod(self, sandbox):
        request = self._messages.PodSandboxRequest(pod_sandbox_id=sandbox)
        self._call("StopPodSandbox", request, self._messages.Empty)

    def remove_pod(self, sandbox):
        request = self._messages.PodSandboxRequest(pod_sandbox_id=sandbox)
        self._call("RemovePodSandbox", request, self._messages.Empty)
