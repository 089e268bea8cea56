"""What the scripts beside this file share: the cache folder, private Python environments, generated tables."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

REPOSITORY = Path(__file__).resolve().parent.parent

# Environments that more than one script goes on in, for continue_in_environment.
ONNX = (
    "onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6", "safetensors==0.8.0", "protobuf==7.36.2", "ml_dtypes==0.6.0",
    "flatbuffers==25.12.19", "packaging==26.3", "typing_extensions==4.16.0",
)
ONNX_MEGABYTES = 300

# PyTorch's packages by name are its CUDA builds, which do not start without CUDA's libraries even if they only compute
# on the CPU; triton and NVTX's tools can be left out.
PYTORCH = (
    "torch==2.6.0", "torchvision==0.21.0", "timm==1.0.31", "onnx2torch==1.5.15", "onnx==1.23.2", "onnxruntime==1.32.0",
    "numpy==2.4.6", "safetensors==0.8.0", "protobuf==7.36.2", "ml_dtypes==0.6.0", "flatbuffers==25.12.19",
    "packaging==26.3", "pillow==13.0.0", "PyYAML==6.0.4", "filelock==4.2.12", "fsspec==2026.9.0", "Jinja2==3.1.6",
    "MarkupSafe==3.0.4", "mpmath==1.4.1", "networkx==3.6.1", "sympy==1.13.1", "typing_extensions==4.16.0",
    "nvidia-cublas-cu12==12.4.5.8", "nvidia-cuda-cupti-cu12==12.4.127", "nvidia-cuda-nvrtc-cu12==12.4.127",
    "nvidia-cuda-runtime-cu12==12.4.127", "nvidia-cudnn-cu12==9.1.0.70", "nvidia-cufft-cu12==11.2.1.3",
    "nvidia-curand-cu12==10.3.5.147", "nvidia-cusolver-cu12==11.6.1.9", "nvidia-cusparse-cu12==12.3.1.170",
    "nvidia-cusparselt-cu12==0.6.2", "nvidia-nccl-cu12==2.21.5", "nvidia-nvjitlink-cu12==12.4.127",
    "nvidia-nvtx-cu12==12.4.127", "captum==0.8.0", "tqdm==4.70.1", "matplotlib==3.11.2", "contourpy==1.3.3",
    "cycler==0.12.1", "fonttools==4.68.0", "kiwisolver==1.5.1", "pyparsing==3.3.3", "python-dateutil==4.0.0",
)
PYTORCH_MEGABYTES = 5_500


class Problem(Exception):
    """A failure whose text says what to do about it."""


def run(main):
    """Runs a script's `main`, whose failures become one message and exit code 1."""
    # Group and others may read what is made in the cache folder, whatever the caller's habits.
    os.umask(0o022)
    name = Path(sys.argv[0]).name
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"{name}: {problem}")
    except OSError as error:
        sys.exit(f"{name}: {error}\nThe cache folder is {cache_folder()}; SCV_CACHE_DIR chooses another one.")
    except KeyboardInterrupt:
        sys.exit(130)


def say(message):
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr, flush=True)


def cache_folder():
    """The same folder that `scripts/setup` uses; its documentation says why."""
    chosen = os.environ.get("SCV_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/scv")
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "scv"


@contextlib.contextmanager
def only_one_at_a_time(folder):
    """Holds the folder's lock, and clears away what an interrupted run has left there."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob("scratch-*.tmp"):
            shutil.rmtree(leftover)
        yield


@contextlib.contextmanager
def scratch_in(folder):
    """A temporary folder on the file system of `folder`, so that its parts can be renamed into place."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-", suffix=".tmp") as scratch:
        yield Path(scratch)


def need_room(folder, megabytes):
    if shutil.disk_usage(folder).free < megabytes * 1_000_000:
        raise Problem(f"{folder} has less than {megabytes} MB free; make room or choose another folder with SCV_CACHE_DIR.")


def put_in_place(made, target, scratch):
    """Renames the folder `made` to `target`; who looks at `target` sees the old one or the new one, whole."""
    if target.exists():
        os.replace(target, scratch / "replaced")
    os.replace(made, target)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def pip(python, *arguments):
    """Runs pip, whose messages go to standard error; returns whether it succeeded."""
    # pip's own switch against installing outside a virtual environment also stops a mere download.
    environment = dict(os.environ, PIP_REQUIRE_VIRTUALENV="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    command = [python, "-m", "pip", *arguments]
    return subprocess.run(command, env=environment, stdout=sys.stderr).returncode == 0


def continue_in_environment(name, requirements, megabytes):
    """Goes on with this script in a virtual environment of exactly these packages, made on the first run.

    Dependencies are not followed, so `requirements` lists everything that is needed, with versions.
    """
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    folder = cache_folder() / "environments"
    environment = folder / f"{name}-{digest}"
    if Path(sys.prefix).resolve() == environment.resolve():
        return
    python = environment / "bin" / "python"
    if not python.is_file():
        with only_one_at_a_time(folder):
            if not python.is_file():
                make_environment(folder, environment, requirements, megabytes)
    os.execv(python, [python, *sys.argv])


def make_environment(folder, environment, requirements, megabytes):
    need_room(folder, megabytes)
    say(f"making a Python environment in {environment} ({megabytes} MB)")
    with scratch_in(folder) as scratch:
        made = scratch / environment.name
        if subprocess.run([sys.executable, "-m", "venv", made]).returncode != 0:
            raise Problem(f"{sys.executable} cannot make a virtual environment. On Debian: apt-get install python3-venv")
        install = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", *requirements]
        if not pip(made / "bin" / "python", *install):
            raise Problem("pip could not install what this script needs; its message is above. Is there a network?")
        # Only bin/python is ever run, which finds its packages by its own place: moving does no harm.
        os.replace(made, environment)


def benchmark_programs():
    """Builds the benchmark of the search, which also fills libraries, and `scv`; gives both paths."""
    say("building SCV and its benchmark")
    command = ["cargo", "bench", "--locked", "--bench", "search", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        raise Problem("the benchmark does not build; cargo's messages are above.")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    paths = {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}
    return paths["search"], paths["scv"]


@contextlib.contextmanager
def filled_server(size):
    """A server with a library of so many layers: its address, its process, its layers and the folder with their Grams."""
    fill, scv = benchmark_programs()
    need_room(Path(tempfile.gettempdir()), size * 100_000 // 1_000_000 + 1_000)
    with tempfile.TemporaryDirectory(prefix="scv-bench-") as folder:
        # Started as root, PostgreSQL runs as another user, who has to pass through.
        os.chmod(folder, 0o711)
        say(f"making a library of {size} layers")
        subprocess.run([fill, "fill", folder, str(size)], check=True)
        layers = json.loads(Path(folder, "layers.json").read_text())
        with serving(scv, Path(folder)) as (url, process):
            yield Server(url, process, layers, Path(folder))


@contextlib.contextmanager
def serving(scv, folder):
    """A server over a folder, which others can pass through: its address, and the id of its process."""
    command = [scv, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--log-format", "json", "--max-rate", "0"]
    log = folder / "log"
    with open(log, "w") as file:
        server = subprocess.Popen(command, stderr=file)
    try:
        yield address_of(server, log), server.pid
    finally:
        server.terminate()
        server.wait()


def ask(url, query, variables=None, **more):
    """What a server answers."""
    body = json.dumps({"query": query, "variables": {**(variables or {}), **more}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
    if "errors" in answer:
        raise Problem(f"the server answers {answer['errors']}")
    return answer["data"]


def finished(url, job):
    """Waits until a job has ended well."""
    query = "query($id: ID!) { job(id: $id) { status failure { message } } }"
    while True:
        found = ask(url, query, id=job)["job"]
        if found["status"] == "SUCCEEDED":
            return
        if found["status"] not in ("QUEUED", "RUNNING"):
            raise Problem(f"a job has ended as {found}")
        time.sleep(0.002)


def command_line(scv, url, *arguments):
    """Runs a command of `scv` against a server; its answer."""
    command = [scv, "--json", *map(str, arguments), "--server", url]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if answer.returncode != 0:
        raise Problem(f"scv {' '.join(map(str, arguments))} failed; its message is above.")
    return json.loads(answer.stdout)


@dataclasses.dataclass(frozen=True)
class Server:
    url: str
    process: int
    layers: list
    folder: Path


def address_of(server, log):
    """Where a server listens, by its log."""
    while server.poll() is None:
        if found := re.search(r"listening on (http://[0-9.:]+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise Problem(f"the server ended before it listened: {log.read_text()}")


def write_between_markers(path, marker, text):
    """Replaces what stands between two comments of a Markdown file, or adds both at its end."""
    begin, end = f"<!-- {marker}: begin, generated -->", f"<!-- {marker}: end -->"
    old = path.read_text() if path.exists() else ""
    block = f"{begin}\n\n{text.strip()}\n\n{end}"
    if begin in old and end in old:
        before, rest = old.split(begin, 1)
        new = before + block + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{block}\n".lstrip()
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(new)
    os.replace(scratch, path)


def table(heading, rows):
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else "An unnamed processor"


def seconds_of(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
