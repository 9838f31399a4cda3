"""The second half of scripts/schemathesis, which starts the server: who asks, and what is checked."""

import collections
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

from websockets.sync.client import connect

from openapi_spec_validator import OpenAPIV31SpecValidator

PLACE = os.environ["MURPH_PLACE"]
PASSWORD = "correct horse"

# Not `positive_data_acceptance`: that a title is more than blanks, or a wallet has the money, no
# schema says. `use_after_free` and `ensure_resource_availability` take a session or a course that
# has ended for one that is gone.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
]


def find_server():
    """The address, from the log; the server takes any free port."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(os.environ["MURPH_LOG"]) as log:
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read())
        if found:
            return found.group()
        time.sleep(0.1)
    sys.exit("schemathesis: the server did not start")


URL = find_server()


def ask(method, path, token=None, body=None):
    request = urllib.request.Request(URL + path, method=method)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def person(name, role):
    """Somebody of this role, signed in."""
    body = {"email": f"{name}@example.org", "password": PASSWORD}
    if role == "admin":
        return ask("POST", "/api/v1/auth/login", body=body)
    return ask("POST", "/api/v1/auth/register", body={**body, "name": name, "role": role})


def watch(started, video):
    """A second of a video, as a player does: what nobody has watched cannot be reviewed."""
    protocols = ["murph.v1", f"ticket.{started['ticket']}"]
    with connect(started["ws_url"], subprotocols=protocols) as socket:
        say = lambda **message: socket.send(json.dumps(message))
        say(type="play", video_id=video, position_ms=0)
        for position_ms in (500, 1000):
            time.sleep(0.5)
            say(type="progress", video_id=video, position_ms=position_ms)
        say(type="end")
        if not any(json.loads(message)["type"] == "receipt" for message in socket):
            sys.exit("schemathesis: a session that was watched came to no receipt")


def furnish(student, teacher):
    """Something of each kind, so that ids lead somewhere. What they are called in paths."""
    api = "/api/v1"
    course = ask("POST", f"{api}/courses", teacher, {"title": "A course", "price_per_minute": "0.60"})["id"]
    video = {"title": "A video", "duration_ms": 60_000}
    video = ask("POST", f"{api}/courses/{course}/videos", teacher, video)["id"]
    ask("POST", f"{api}/payments/wallet/connect", student, {})
    top_up = ask("POST", f"{api}/payments/wallet/top-ups", student, {"amount": "1000"})["id"]
    start = lambda: ask("POST", f"{api}/sessions/start", student, {"course_id": course})
    over = start()
    watch(over, video)
    review = {"session_id": over["session"]["id"], "rating": 4, "text": "Clear."}
    review = ask("POST", f"{api}/reviews/courses/{course}/reviews", student, review)["id"]
    chat = ask("POST", f"{api}/discovery/chat", student, {"message": "a course"})["id"]
    return {
        "course_id": course,
        "video_id": video,
        "top_up_id": top_up,
        "session_id": start()["session"]["id"],
        "review_id": review,
        "chat_id": chat,
    }


def configure(name, parameters):
    """Ids in paths lead somewhere in every second request."""
    file = f"{PLACE}/{name}.toml"
    with open(file, "w") as config:
        for parameter, value in parameters.items():
            config.write(f'[dictionaries.{parameter}]\nvalues = ["{value}"]\n')
        # What is wrong may be refused for another reason first, such as for being too large (413).
        config.write('[checks.negative_data_rejection]\nexpected-statuses = ["4xx"]\n')
        # Who asks is said by us; somebody of its own making would be no role at all.
        config.write("[auth]\nauto-signup = false\n[parameters]\n")
        for parameter in parameters:
            binding = f'{{ dictionary = "{parameter}", probability = 0.5 }}'
            config.write(f'"path.{parameter}" = {binding}\n')
    return file


def teach_videos(types):
    """Has schemathesis send whatever it makes up as a file of one of these types."""
    with open(f"{PLACE}/videos.py", "w") as hooks:
        hooks.write("import schemathesis\n")
        hooks.write(f"@schemathesis.serializer(*{types})\n")
        hooks.write("def video(context, value):\n")
        hooks.write("    return value if isinstance(value, bytes) else str(value).encode()\n")
    os.environ.update(SCHEMATHESIS_HOOKS="videos", PYTHONPATH=PLACE)


def attack(name, token, parameters):
    """Runs schemathesis as one of them. Whether nothing was found."""
    command = ["schemathesis", "--config-file", configure(name, parameters), "run", f"{URL}/openapi.json"]
    command += ["--url", URL, "--checks", ",".join(CHECKS), "--continue-on-failure", "--no-shrink"]
    command += ["--max-examples", os.environ["EXAMPLES"], "--seed", os.environ["SEED"]]
    command += ["--generation-database", "none", "--suppress-health-check", "all", "--warnings", "off"]
    command += ["--exclude-operation-id", "auth_logout"]  # Nobody comes back from it.
    command += ["--exclude-operation-id", "teacher_watch"]  # It has no end.
    command += ["--exclude-operation-id", "media_put"]  # Nobody here can make up a video.
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    began = time.monotonic()
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PLACE)
    seconds = time.monotonic() - began
    made = re.search(r"(\d+) generated", ended.stdout)
    requests = made.group(1) if made else "no"
    verdict = "as described" if ended.returncode == 0 else "NOT as described"
    print(f"{name}: {requests} requests in {seconds:.0f} s: {verdict}", flush=True)
    if ended.returncode != 0:
        print(ended.stdout)
    return ended.returncode == 0


def tell_answers(document):
    """How often there was which answer; and which routes never came to a good end: nobody tried them."""
    statuses, well = collections.Counter(), set()
    with open(os.environ["MURPH_LOG"]) as log:
        for line in log:
            fields = json.loads(line)
            if "route" not in fields:
                continue
            statuses[fields["status"]] += 1
            if fields["status"] < 400:
                well.add((fields["method"].lower(), fields["route"]))
    print("answers:", ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    routes = [(method, path) for path, item in document["paths"].items() for method in item]
    left = [f"{method} {path}" for method, path in routes if method != "parameters" and (method, path) not in well]
    print("never well answered:", ", ".join(left) or "none")


document = ask("GET", "/openapi.json")
OpenAPIV31SpecValidator(document).validate()
print(f"openapi.json is OpenAPI {document['openapi']}, with {len(document['paths'])} paths", flush=True)

teach_videos(document["components"]["schemas"]["ContentType"]["enum"])
tokens = {role: person(role, role)["access_token"] for role in ["student", "teacher", "admin"]}
parameters = furnish(tokens["student"], tokens["teacher"])
# For the admin to change: the others are still needed.
parameters["user_id"] = person("somebody", "student")["user"]["id"]
all_is_well = [attack(role, token, parameters) for role, token in [("nobody", None), *tokens.items()]]
tell_answers(document)
sys.exit(0 if all(all_is_well) else 1)
