"""Several worker processes on one socket."""

from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """uvicorn's supervisor, but one that notices when a worker dies while it is being pinged.

    uvicorn keeps the worker's end of the pipe open in this process too. A ping of a dead worker then never meets the
    end of the pipe: it lasts for all of `timeout_worker_healthcheck`, and meanwhile nothing is restarted or stopped.
    """

    def keep_subprocess_alive(self) -> None:
        """Pings the workers and replaces dead ones."""
        for process in self.processes:
            process.child_conn.close()  # the worker has its own
        super().keep_subprocess_alive()
