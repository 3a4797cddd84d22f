"""The reverse proxies of docs/deployment.md."""

from __future__ import annotations

import os
import signal

from .proxy import Proxy, ReloadableProxy, replaced


class Nginx(ReloadableProxy):
    PROGRAM = "nginx"
    LISTEN = "listen 80;", "listen 127.0.0.1:{};"
    LIMIT = "proxy_read_timeout {}s;"
    RELOAD = signal.SIGHUP

    def _arguments(self) -> list[str]:
        # Before it has read the configuration, it would log to where only root may.
        return ["-p", str(self._directory), "-c", "configuration", "-e", "stderr"]

    def _configuration(self) -> str:
        # Started by root, the workers would be somebody else, to whom the directory is closed.
        user = "user root;" if os.geteuid() == 0 else ""
        kinds = "client_body", "proxy", "fastcgi", "uwsgi", "scgi"
        directories = " ".join(f"{kind}_temp_path {kind};" for kind in kinds)
        generation = f"location = /generation {{ return 200 {self._generation}; }}"
        snippet = replaced(
            self._adapted(self._snippet()), "location / {", f"{generation} location / {{"
        )
        return f"""
            daemon off;
            worker_processes 1;
            pid pid;
            error_log stderr;
            {user}
            events {{ }}
            http {{
                access_log off;
                {directories}
                {snippet}
            }}
        """


class Haproxy(ReloadableProxy):
    PROGRAM = "haproxy"
    LISTEN = "bind :80", "bind 127.0.0.1:{}"
    LIMIT = "timeout tunnel {}s"
    RELOAD = signal.SIGUSR2

    def _arguments(self) -> list[str]:
        return ["-W", "-f", str(self._directory / "configuration")]

    def _configuration(self) -> str:
        answer = (
            f"    http-request return content-type text/plain string {self._generation}"
            " if { path /generation }\n    default_backend"
        )
        snippet = replaced(self._adapted(self._snippet()), "    default_backend", answer)
        return f"global\n    maxconn 100\n    nbthread 1\n{snippet}"


class Caddy(Proxy):
    PROGRAM = "caddy"
    LISTEN = "example.com {", "http://:{} {{\n\tbind 127.0.0.1"
    LIMIT = None

    def _arguments(self) -> list[str]:
        configuration = str(self._directory / "configuration")
        return ["run", "--adapter", "caddyfile", "--config", configuration]

    def _configuration(self) -> str:
        return "{\n\tadmin off\n}\n" + self._adapted(self._snippet())


class Apache(Proxy):
    PROGRAM = "apache2"
    LISTEN = "*:80", "127.0.0.1:{}"
    LIMIT = " Timeout {}"

    def _arguments(self) -> list[str]:
        return ["-DFOREGROUND", "-d", str(self._directory), "-f", "configuration"]

    def _configuration(self) -> str:
        modules = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
            for name in ("mpm_event", "authz_core", "headers", "proxy", "proxy_http")
        )
        user = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
        return f"""
            {modules}
            {user}
            ErrorLog /dev/stderr
            PidFile pid
            Mutex file:.
            ServerName localhost
            Listen 127.0.0.1:{self.port}
            {self._adapted(self._snippet())}
        """


class Varnish(Proxy):
    PROGRAM = "varnishd"
    LISTEN = "-a :80", "-a 127.0.0.1:{}"
    LIMIT = "-p pipe_timeout={}"

    def _arguments(self) -> list[str]:
        page = self._snippet("varnishd command")
        command = replaced(page, *(self.LISTEN[0], self.LISTEN[1].format(self.port)))
        command = replaced(command, self.LIMIT.format(60), self.LIMIT.format(self._idle))
        file = str(self._directory / "configuration")
        command = replaced(command, "/etc/varnish/default.vcl", file)
        return [*command.split()[1:], "-n", str(self._directory / "workdir"), "-j", "none"]

    def _configuration(self) -> str:
        return replaced(self._snippet(), "8000", str(self._upstream))


class Lighttpd(Proxy):
    PROGRAM = "lighttpd"
    LISTEN = "server.port = 80", 'server.bind = "127.0.0.1"\nserver.port = {}'
    LIMIT = "server.max-read-idle = {}"

    def _arguments(self) -> list[str]:
        return ["-D", "-f", str(self._directory / "configuration")]

    def _configuration(self) -> str:
        return self._adapted(self._snippet()) + f'\nserver.document-root = "{self._directory}"'


PROXIES = [Nginx, Haproxy, Caddy, Apache, Varnish, Lighttpd]
