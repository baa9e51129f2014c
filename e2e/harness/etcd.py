"""An etcd client that is not ours: etcd's JSON gateway, through the API server's proxy to a pod."""

import base64
from dataclasses import dataclass
from urllib.parse import urlsplit

from e2e.harness.kube import Kube, Object, RefusedError
from e2e.harness.wait import UnavailableError


@dataclass(frozen=True)
class Member:
    """A member as MemberList shows it; its name is its pod's."""

    name: str
    id: str
    learner: bool
    started: bool


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    return base64.b64decode(text).decode()


def _hex(decimal: str) -> str:
    return f"{int(decimal):x}"


def _name(member: Object) -> str:
    """Its pod's; a member that has not started yet is known by its peer URL alone."""
    return str(member.get("name") or urlsplit(member["peerURLs"][0]).hostname).split(".")[0]


def _member(listed: Object) -> Member:
    host = listed["peerURLs"][0].partition("://")[2]
    return Member(
        name=host.partition(".")[0],
        id=_hex(listed["ID"]),
        learner=listed.get("isLearner", False),
        started=bool(listed.get("clientURLs")),
    )


class Etcd:
    """Speaks to one member, by its pod. Without an answer: UnavailableError."""

    def __init__(self, kube: Kube, namespace: str, pod: str) -> None:
        self._kube = kube
        self._base = f"/api/v1/namespaces/{namespace}/pods/{pod}:2379/proxy/v3"

    async def call(self, method: str, body: Object) -> Object:
        """`method` is the path of a call: kv/put."""
        try:
            return await self._kube.call("POST", f"{self._base}/{method}", body)
        except RefusedError as refused:
            raise UnavailableError(f"{method}: {refused}") from refused

    async def members(self) -> dict[str, Member]:
        """By name, as a quorum knows them."""
        answer = await self.call("cluster/member/list", {"linearizable": True})
        names = [_name(member) for member in answer["members"]]
        return {
            name: Member(
                name=name,
                id=_hex(member["ID"]),
                learner=member.get("isLearner", False),
                started=bool(member.get("clientURLs")),
            )
            for name, member in zip(names, answer["members"], strict=True)
        }

    async def cluster_id(self) -> str:
        return _hex((await self.call("maintenance/status", {}))["header"]["cluster_id"])

    async def own_id(self) -> str:
        """The ID under which this very process serves."""
        return _hex((await self.call("maintenance/status", {}))["header"]["member_id"])

    async def revision(self) -> int:
        """How far this member has come."""
        return int((await self.call("maintenance/status", {}))["header"]["revision"])

    async def leader_id(self) -> str:
        """Empty when it follows none."""
        leader = (await self.call("maintenance/status", {})).get("leader", "0")
        return "" if leader == "0" else _hex(leader)

    async def move_leader(self, target_id: str) -> None:
        """To be sent to the leader."""
        await self.call("maintenance/transfer-leadership", {"targetID": str(int(target_id, 16))})

    async def raise_corrupt(self, member_id: str) -> None:
        """The alarm that a corruption check raises when it finds a member that differs."""
        named = str(int(member_id, 16))
        await self.call(
            "maintenance/alarm", {"action": "ACTIVATE", "memberID": named, "alarm": "CORRUPT"}
        )

    async def alarms(self) -> list[Object]:
        found = (await self.call("maintenance/alarm", {"action": "GET"})).get("alarms", [])
        return list(found)

    async def put(self, key: str, value: str) -> None:
        await self.call("kv/put", {"key": encode(key), "value": encode(value)})

    async def get(self, key: str) -> str | None:
        """Linearizable."""
        found = (await self.call("kv/range", {"key": encode(key)})).get("kvs", [])
        return decode(found[0]["value"]) if found else None

    async def under(self, prefix: str) -> dict[str, str]:
        """All keys that begin with the prefix, linearizable."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = await self.call("kv/range", {"key": encode(prefix), "range_end": encode(end)})
        return {decode(kv["key"]): decode(kv["value"]) for kv in answer.get("kvs", [])}
