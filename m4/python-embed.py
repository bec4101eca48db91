"""Prints, as shell assignments, how to build for the Python that runs this; or why that cannot be done, with status 1.

Usage: python-embed.py: to embed it, by its shared library
       python-embed.py --static: to embed it, by its archive
       python-embed.py --extension: as an extension module, which needs neither
"""

import os
import shlex
import sys
import sysconfig


var = sysconfig.get_config_var


def first_existing(directories, name):
    return next((d for d in directories if d and os.path.exists(os.path.join(d, name))), None)


def main():
    if sys.version_info < (3, 11):
        sys.exit(refuse("it is Python %d.%d, and 3.11 or later is needed" % sys.version_info[:2]))
    version = var("LDVERSION") or var("VERSION")
    include = first_existing([sysconfig.get_path("include"), var("INCLUDEPY"),
                              os.path.join(sys.base_prefix, "include", "python" + version)], "Python.h")
    if not include:
        sys.exit(refuse("its header Python.h is not in %s" % var("INCLUDEPY")))
    assign("PYTHON_VERSION", var("VERSION"))
    if sys.argv[1:] == ["--extension"]:
        extension(include)
        return
    executable = os.path.join(sys.base_exec_prefix, "bin", "python" + var("VERSION"))
    archive, libs = static(version) if sys.argv[1:] == ["--static"] else ("", shared(version))
    assign("PYTHON_EXECUTABLE", executable if os.path.exists(executable) else sys.executable)
    assign("PYTHON_ARCHIVE", archive)
    assign("wf_python_cppflags", "-isystem " + include)
    assign("wf_python_libs", " ".join(libs))


def extension(include):
    """The program is this one itself, and not what it was made from: a virtual environment counts."""
    folders = [include, sysconfig.get_path("platinclude"), os.path.dirname(sysconfig.get_config_h_filename())]
    assign("PYTHON_EXECUTABLE", sys.executable)
    assign("PYTHON_EXT_SUFFIX", var("EXT_SUFFIX"))
    assign("wf_python_cppflags", " ".join("-isystem " + folder for folder in dict.fromkeys(folders)))


def static(version):
    """The archive, and what a program needs that has all of it, as Python's own program does."""
    name = var("LIBRARY") or "libpython%s.a" % version
    stdlib = sysconfig.get_path("platstdlib")
    config = os.path.basename(var("LIBPL") or "config-" + version)
    places = [var("LIBPL"), os.path.join(stdlib, config), var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]
    directory = first_existing(places, name)
    if not directory:
        sys.exit(refuse("its archive %s is not in %s. Debian has it in libpython%s-dev; build without "
                        "--with-static-python where there is none" % (name, var("LIBPL"), var("VERSION"))))
    words = " ".join(var(each) or "" for each in ("LIBS", "MODLIBS", "SYSLIBS")).split()
    libs = []
    for word in words:
        # What else stands there was for the build of Python itself.
        if word.startswith(("-l", "-L", "-pthread")) and not word.startswith("-lpython") and word not in libs:
            libs.append(word)
    # Last on the command line, so that they win. Extensions find Python's functions in the program.
    return os.path.join(directory, name), [*libs, "-no-pie", "-Wl,--export-dynamic"]


def shared(version):
    if not var("Py_ENABLE_SHARED"):
        sys.exit(refuse("it was built without a shared library. Configure with --with-static-python, or build it with "
                        "--enable-shared (pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install %s), or take one "
                        "by `uv python install`"
                        % sys.version.split()[0]))
    # Of a Python that was moved after it was built (those of uv are) sysconfig may name the old place.
    libdir = first_existing([os.path.join(sys.base_prefix, "lib"), var("LIBDIR")], var("INSTSONAME"))
    if not libdir:
        sys.exit(refuse("its shared library %s is not in %s" % (var("INSTSONAME"), var("LIBDIR"))))
    libs = ["-L" + libdir, "-lpython" + version]
    multiarch = var("MULTIARCH") or "."
    default = [os.path.normpath(os.path.join(root, sub)) for root in ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
               for sub in (".", multiarch)]
    if libdir not in default:
        libs.append("-Wl,-rpath," + libdir)
    return libs


def assign(name, value):
    print("%s=%s" % (name, shlex.quote(value)))


def refuse(reason):
    print(reason)
    return 1


if __name__ == "__main__":
    main()
