"""Finds what the command line names where that is not simply MODULE:NAME: a factory with arguments, or a file.

The program has the text of this file in it, and runs it when it is needed (frozen.h): most starts do without. What
belongs to the application, its modules and its factory, is never run from here, or its tracebacks would begin in this
file.

From C come
    MODULE                      what the command line has in front of the colon;
    PATH                        the same as bytes, for a file;
    SHOWN                       all that the command line names, for messages;
    START                       the directory in which the server was started, bytes; None: not known;
    error(text), warning(text)  write one line of the log;
    lines(text)                 writes lines of it, as they are;
    escape(text, size=700)      str or bytes as they can be printed, in fewer than `size` bytes; "?" for other things.
"""
import errno
import os
import stat
import sys

FORMS = ("write MODULE, MODULE:NAME or MODULE:FACTORY(ARGUMENTS), or a file's path in place of MODULE, such as "
         "mysite.wsgi:application, site.wsgi or \"app:create_app('production')\"")
NAME_SIZE = 256  # of what is one part of a line
LIST_SIZE = 700
ABSENT = FileNotFoundError, NotADirectoryError


def attempt(function, *arguments, otherwise=None, **options):
    """What the call returns, or `otherwise` when it raises. What the application's objects raise when they are looked at
    may be anything, and says nothing about the application."""
    try:
        return function(*arguments, **options)
    except BaseException:
        return otherwise


def listed(texts, separator):
    """The texts in one, but for those that do not fit."""
    text = ""
    for item in texts:
        longer = text + separator * bool(text) + item
        if len(longer.encode("utf-8", "surrogateescape")) < LIST_SIZE:
            text = longer
    return text


def similar(name, names, prefix=""):
    """Those of the names that look like `name`, as "PREFIXa or PREFIXb"; "" when none does."""
    try:
        from difflib import get_close_matches
        name.encode()  # what is no text looks like nothing
        matches = get_close_matches(name, names)
    except BaseException:
        return ""
    return listed((prefix + escape(match, NAME_SIZE) for match in matches), " or ")


# --- a factory with arguments

class Refused(Exception):
    pass


def read(text):
    """Reads what stands behind the colon as Python does: "make('x', debug=True)". Returns the name, and the positional
    and the named arguments, or None and None for a name alone; or a status."""
    import ast
    try:
        body = ast.parse(text, "<application>", "eval").body
    except Exception as raised:
        return report_unreadable(text, raised)
    call = isinstance(body, ast.Call)
    named = node = body.func if call else body
    while isinstance(node, ast.Attribute):
        node = node.value
    if not isinstance(node, ast.Name):
        return report_form()
    try:
        return ast.unparse(named), *(read_arguments(text, body) if call else (None, None))
    except Refused as refused:
        error(f'the application "{SHOWN}": {refused}')
        return os.EX_USAGE


def report_form():
    error(f'cannot read the application "{SHOWN}": {FORMS}')
    return os.EX_USAGE


def report_unreadable(text, raised):
    """For a SyntaxError, or another with which the parser ends: what is no text, or nested too deeply."""
    message, offset, place = getattr(raised, "msg", None), getattr(raised, "offset", None), ""
    why = escape(message, NAME_SIZE) if isinstance(message, str) else type(raised).__name__
    if isinstance(offset, int) and offset > 0:
        place = f', at character {offset} of "{escape(text)}"'
    error(f'cannot read the application "{SHOWN}": {why}{place}: {FORMS}')
    return os.EX_USAGE


def read_arguments(text, call):
    positional, named = tuple(read_literal(text, node) for node in call.args), {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise Refused("** is not possible here: write each argument as NAME=VALUE")
        if keyword.arg in named:
            raise Refused(f"the argument {escape(keyword.arg, NAME_SIZE)} is given twice")
        named[keyword.arg] = read_literal(text, keyword.value)
    return positional, named


def read_literal(text, node):
    import ast
    try:
        return ast.literal_eval(node)
    except BaseException:
        shown = escape(ast.get_source_segment(text, node), NAME_SIZE)
        raise Refused(f"the argument {shown} is no literal: strings, numbers, True, False, None, and lists, tuples, "
                      "sets and dicts of these can be passed; a string has quotes of its own inside those for the "
                      "shell: \"app:make('x')\"") from None


# --- a file

def current_directory():
    return attempt(os.getcwdb, otherwise=b".")


def find_file(certain):
    """The absolute path of the file that MODULE names, or a status. None: it means a module, which it cannot when it is
    `certain` to be a path. A file is looked for in the current directory, as modules are, and then where the server was
    started."""
    for directory in (current_directory(), START):
        if directory is not None:
            path, failure, mode = look(directory)
            if not isinstance(failure, ABSENT):
                break
    absent = isinstance(failure, ABSENT)
    # Otherwise a module of a package; its import says so when there is none either.
    if not certain and (absent or find_spec(MODULE)):
        return None
    if absent:
        report_no_file()
        return os.EX_NOINPUT
    if failure:
        return report_unreadable_file(path, failure)
    return check_file(path, mode) or absolute(path)


def look(directory):
    """The path of the file in this directory, or that alone when it is absolute; why it is not there; its mode."""
    path = PATH if PATH.startswith(b"/") else directory + b"/" + PATH
    try:
        return path, None, os.stat(path).st_mode
    except OSError as failure:
        return path, failure, 0


def report_no_file():
    """The file is in none of the directories."""
    where = ""
    if not PATH.startswith(b"/"):
        here = current_directory()
        where = " in " + escape(here)
        if START not in (None, here):
            where += ", nor in " + escape(START)
    directory, slash, name = MODULE.rpartition("/")
    names = attempt(os.listdir, directory + slash or ".", otherwise=())
    found = similar(name, names, directory + slash)
    meant = f" (did you mean {found}?)" if found else ""
    error(f"there is no file {escape(PATH)}{where}{meant}: is its path misspelt?")


def report_unreadable_file(path, failure):
    error(f"cannot read {escape(path)}: {failure.strerror}")
    return os.EX_NOPERM if failure.errno == errno.EACCES else os.EX_NOINPUT


def check_file(path, mode):
    """Can the file be read, and could it be Python? 0, or a status."""
    if stat.S_ISDIR(mode):
        error(f"{escape(path)} is a directory: name the file in it that has the application")
        return os.EX_NOINPUT
    if not stat.S_ISREG(mode):
        error(f"{escape(path)} is no regular file: name the file that has the application")
        return os.EX_NOINPUT
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(4096)
    except OSError as failure:
        return report_unreadable_file(path, failure)
    if b"\0" in head:
        error(f"{escape(path)} is no Python source, it has bytes that text has not: name the file with the "
              "application's source")
        return os.EX_NOINPUT
    return 0


def absolute(path):
    """As getcwd tells it for --chdir. A link that is the file itself is not followed, as import does not either."""
    directory, name = os.path.split(path)
    try:
        return os.fsdecode(os.path.join(os.path.realpath(directory, strict=True), name))
    except OSError as failure:
        error(f'cannot find the directory of "{SHOWN}": {failure.strerror}')
        return os.EX_OSERR


def find_spec(name):
    """What the import system knows about a module, without importing it or a package that it is in; None: nothing."""
    from importlib import machinery, util
    found, *parts = name.split(".")
    try:
        name.encode()  # what is no text is the name of no module
        spec = util.find_spec(found)
        for part in parts:
            found += "." + part
            where = spec.submodule_search_locations
            spec = machinery.PathFinder.find_spec(found, where) if where is not None else None
    except BaseException:
        return None
    return spec


def name_module(path):
    """From which directory, and under which name, import finds a file, the packages that it is in included. The name is
    "" when there is none: the file's is no name, such as my.app.py."""
    directory, base = os.path.split(path)
    stem, ending = os.path.splitext(base)
    if ending != ".py" or "." in stem:
        return directory, ""
    parts = [] if stem == "__init__" else [stem]
    while not parts or os.path.exists(directory + "/__init__.py"):
        parent, last = os.path.split(directory)
        if not last or "." in last:
            break
        directory = parent
        parts.insert(0, last)
    return directory, ".".join(parts)


def imports_file(name, path):
    """Does importing the module run this file? Not when another module of that name comes first, such as one of
    Python's own that is loaded already."""
    spec = find_spec(name)
    return spec is not None and attempt(os.path.samefile, spec.origin, path, otherwise=False)


def free_name(path):
    """The name of a module that is not imported by it: all of the file's, such as site_wsgi, and never that of another
    module, as "site" is Python's."""
    base = os.fsencode(os.path.basename(path))
    name = "".join(chr(byte) if bytes([byte]).isalnum() else "_" for byte in base)
    while name in sys.modules:
        name += "_"
    return name


def open_file(path):
    """Puts the directory of the file in front of sys.path, unless it is somewhere on it: with `python FILE` it is there
    too. Returns the name of the file's module, and, where import does not find it by that name, its code and its
    module, which is in sys.modules and empty: so do mod_wsgi and uWSGI. Else None and None."""
    directory, name = name_module(path)
    if not isinstance(sys.path, list):
        raise RuntimeError("sys.path is no list")
    if directory not in sys.path:
        sys.path.insert(0, directory)
    if name and imports_file(name, path):
        return name, None, None
    import io
    from importlib import machinery, util
    # No .pyc is written: that of site.wsgi would have the name of that of site.py.
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    name = free_name(path)
    # Not by the loader's exec_module: tracebacks would begin with its frames.
    module = util.module_from_spec(util.spec_from_loader(name, machinery.SourceFileLoader(name, path)))
    sys.modules[name] = module
    return name, code, module
