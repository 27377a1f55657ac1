"""Builds guard.cpp once for a version of PyTorch; what cannot be built here is said in one sentence."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import torch
from torch.utils import cpp_extension

SOURCE = Path(__file__).with_name("guard.cpp")


class NotBuilt(Exception):
    """There is no compiler here, or it refused; the message says which."""


def build_guard() -> Path:
    """The shared library, from the cache of PyTorch's extensions or newly built.

    Raises:
        NotBuilt: it cannot be built here.
    """
    if torch.version.cuda or torch.version.hip:
        raise NotBuilt("this build of PyTorch has a GPU backend of its own")
    made_of = SOURCE.read_bytes() + Path(__file__).read_bytes() + f"{torch.__version__} {torch.__file__}".encode()
    key = hashlib.sha256(made_of).hexdigest()[:16]
    library = Path(cpp_extension.get_default_build_root()) / "ganatomy_guard" / f"{key}.so"
    if library.exists():
        return library
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise NotBuilt("there is no C++ compiler: install g++ or clang++")
    library.parent.mkdir(parents=True, exist_ok=True)
    unfinished = library.with_suffix(f".{os.getpid()}")
    places = [f"-isystem{path}" for path in cpp_extension.include_paths()]
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    libraries = ["-ltorch_cpu", "-lc10"]
    for path in cpp_extension.library_paths():
        libraries += [f"-L{path}", f"-Wl,-rpath,{path}"]
    words = [compiler, "-shared", "-fPIC", "-std=c++20", abi, *places, str(SOURCE), *libraries, "-o", str(unfinished)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotBuilt(f"{compiler} does not build {SOURCE.name}: {done.stderr.strip().splitlines()[0]}")
    unfinished.replace(library)
    return library
