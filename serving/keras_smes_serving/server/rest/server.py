"""The HTTP server of the REST API and of Prometheus' page."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from keras_smes_serving.server import INSTALL_HINT
from keras_smes_serving.server.metrics import Metrics, microseconds_since
from keras_smes_serving.server.request_log import RequestLog
from keras_smes_serving.server.rest.api import Answer, RestApi
from keras_smes_serving.server.rest.json_outputs import error_text

try:
    from aiohttp import web
except ImportError as error:
    raise ImportError(INSTALL_HINT) from error

_MAX_BODY: Final = 2**31 - 1
_FOREVER: Final = 1e9
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
METRICS_PATH: Final = "/monitoring/prometheus/metrics"


class RestServer:
    """The HTTP side of a server, on an event loop in its own thread.

    Args:
        rest: `RestApi`. Handles the requests.
        metrics: `Metrics`. Counts them.
        threads: int. Maximum number of concurrent requests; 0, the default, is four per core.
        cors: bool. Whether pages of other origins may send requests. Defaults to False.
        metrics_path: str. The path of Prometheus' page. Defaults to none.
    """

    def __init__(
        self,
        rest: RestApi,
        metrics: Metrics,
        threads: int = 0,
        cors: bool = False,
        metrics_path: str = "",
    ) -> None:
        self._rest = rest
        self._metrics = metrics
        self._headers = _CORS if cors else {}
        self._log = RequestLog(logging.getLogger(__name__))
        self._pool = ThreadPoolExecutor(threads or 4 * (os.cpu_count() or 1), "rest")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        application = web.Application(client_max_size=_MAX_BODY)
        if metrics_path:
            application.router.add_get(metrics_path, self._page)
        application.router.add_route("*", "/{path:[vV]1/.*}", self._handle)
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            logger=self._log,
            auto_decompress=False,  # it would run on the event loop, without a limit
            shutdown_timeout=_FOREVER,  # `stop` has its own deadline
        )

    def start(self, host: str, port: int) -> int:
        """Opens the port and returns it, for 0 any free one.

        Raises:
            OSError: The port is taken.
        """
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._listen(host, port), self._loop).result()
        except BaseException:
            self.stop(0.0)
            raise

    def stop(self, grace: float) -> None:
        """Closes the port and lets requests under way finish.

        Args:
            grace: float, seconds. Requests that take longer are cancelled.
        """
        asyncio.run_coroutine_threadsafe(self._close(grace), self._loop).result()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self, grace: float) -> None:
        try:
            await asyncio.wait_for(self._runner.cleanup(), grace)
        except TimeoutError:
            late = asyncio.all_tasks() - {asyncio.current_task()}
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _listen(self, host: str, port: int) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def _handle(self, request: web.Request) -> web.Response:
        began = time.perf_counter()
        if request.method == "OPTIONS":
            known = "http" in request.headers.get("Origin", "")
            return web.Response(status=200 if known else 400, headers=self._headers)
        try:
            body = await request.read()
        except (web.RequestPayloadError, ConnectionError) as error:  # truncated or invalid
            text = error_text(f"The body can't be read: {error}")
            return self._response(Answer(grpc.StatusCode.INVALID_ARGUMENT, text))
        path, encoding = request.rel_url.raw_path, request.headers.get("Content-Encoding", "")
        answer = await self._loop.run_in_executor(
            self._pool, self._answer, request.method, path, body, encoding
        )
        self._count(answer, began)
        return self._response(answer)

    def _response(self, answer: Answer) -> web.Response:
        return web.Response(
            status=answer.status,
            body=answer.text.encode(errors="surrogateescape"),
            headers={"Content-Type": "application/json", **self._headers},
        )

    def _answer(self, method: str, path: str, body: bytes, encoding: str) -> Answer:
        try:
            return self._rest.answer(method, path, body, encoding)
        except Exception as error:  # a bug of the server
            self._log.exception("A request failed")
            return Answer(grpc.StatusCode.INTERNAL, error_text(f"{type(error).__name__}: {error}"))

    def _count(self, answer: Answer, began: float) -> None:
        self._metrics.request_count.labels(answer.model, answer.code.name).inc()
        if answer.code is grpc.StatusCode.OK:
            latency = self._metrics.request_latency.labels(answer.model, answer.verb, "REST")
            latency.observe(microseconds_since(began))

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=self._metrics.page(), content_type="text/plain")
