"""What a caller may do now, for work that goes on after its request: runs, and their turns in other processes."""

from collections.abc import Callable

from execution_platform.gateway.access import Access
from execution_platform.gateway.auth import Authenticator
from execution_platform.identity.principal import Principal


class Standing:
    """Asks who issues keys: the directory for issued ones, the configuration for its own, the logins for people."""

    def __init__(self, access: Access, authenticator: Callable[[], Authenticator]) -> None:
        self._access = access
        self._authenticator = authenticator
        self.own: tuple[Principal, ...] = ()
        """Callers that are this process itself, and need no key."""

    async def of(self, then: Principal) -> Principal | None:
        """`then` as it is now and with no more rights; None when it may not call any more.

        Raises `AuthBackendUnavailable`, `DatabaseUnavailable`.
        """
        if then in self.own:
            return then
        now = await self._now(then)
        return None if now is None or now.tenant != then.tenant else now.within(then)

    async def _now(self, then: Principal) -> Principal | None:
        if then.key_id:
            return await self._access.directory.standing(then.key_id)
        found = self._authenticator().standing(then.name, then.tenant)
        return found if found is not None else await self._access.people.standing(then.name, then.tenant)
