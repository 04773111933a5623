"""A real mail server (aiosmtpd) that does as a test says.

smtp.py SPOOL SECURITY [CERT KEY]
    SPOOL     file: each mail that is taken becomes one line of JSON
    SECURITY  starttls, tls or none

It prints its port. It reads what to do as lines from standard input: "RCPT 451"
answers that to RCPT from then on, likewise AUTH and DATA; "DATA drop" ends the
connection without an answer to the mail, "DATA hang" never answers, "DATA cut"
takes the mail and ends the connection after the answer. "- -" ends that.
"""

import asyncio
import email
import email.policy
import json
import logging
import os
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

spool, security, *certificate = sys.argv[1:]
orders = {}
logging.disable()  # refusals and broken connections are what tests are about


class Server(SMTP):
    async def smtp_QUIT(self, arg):
        if orders.get("DATA") == "cut":
            self.transport.abort()
            return
        await super().smtp_QUIT(arg)

    async def smtp_RSET(self, arg):
        if orders.get("DATA") == "cut":
            self.transport.abort()
            return
        await super().smtp_RSET(arg)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if "RCPT" in orders:
            return orders["RCPT"] + " as ordered"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        order = orders.get("DATA", "cut")
        if order == "drop":
            server.transport.abort()
            return "250 nobody hears this"
        if order == "hang":
            await asyncio.sleep(3600)
        if order not in ("cut", "hang"):
            return order + " as ordered"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or security == "tls", "user": (session.auth_data or b"").decode(),
            "subject": mail["Subject"], "id": mail["Message-ID"], "auto": mail["Auto-Submitted"],
            "headers": list(mail.keys()), "text": mail.get_body().get_content().replace("\r\n", "\n"),
        })
        with open(spool, "a") as out:
            out.write(line + "\n")
            out.flush()
            os.fsync(out.fileno())
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    if "AUTH" in orders:
        return AuthResult(success=False, handled=False, message=orders["AUTH"] + " as ordered")
    right = data.login == b"fettle" and data.password == b"correct horse"
    return AuthResult(success=right, handled=False, auth_data=data.login, message=None if right else "535 5.7.8 wrong")


def obey():
    for line in sys.stdin:
        what, how = line.split()
        if what == "-":
            orders.clear()
        else:
            orders[what] = how
        print("done", flush=True)
    os._exit(0)  # the test is gone


async def main():
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

    def connection():
        starttls = context if security == "starttls" else None
        return Server(
            Handler(), hostname="mail.test", tls_context=starttls, require_starttls=security == "starttls",
            authenticator=authenticate, auth_required=security != "none", auth_require_tls=security == "starttls",
        )

    port = int(os.environ.get("SMTP_PORT", "0"))
    server = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", port, ssl=context if security == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=obey, daemon=True).start()
    await server.serve_forever()


asyncio.run(main())
