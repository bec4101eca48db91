"""Says what is wrong with the application that the command line names, and what to do or to write instead.

The program has the text of this file in it, and runs it behind finding.py, whose names it uses, when something is wrong
or cannot be seen at a glance. Besides what finding.py says, NAME comes from C, what stands behind the colon (None:
nothing does), and FACTORY, whether that is called for the application.

The objects that are looked at are the application's, and may do anything when they are asked. What is raised here ends
in a plain message of app.c. No object that stands for another one is touched, such as flask.request, which raises an
exception whatever it is asked: hence type(x) and no isinstance().
"""


class Sample:
    def method(self):
        pass


FUNCTION, METHOD, BUILTIN, MODULE_TYPE = type(listed), type(Sample().method), type(len), type(sys)
VARARGS, COROUTINE, ASYNC_GENERATOR = 0x4, 0x80, 0x200  # co_flags
CANDIDATES_MAX = 6


def attribute(obj, name):
    """None when there is none, or it cannot be had."""
    return attempt(getattr, obj, name)


def text_of_attribute(obj, name, size=NAME_SIZE):
    """"" when it is no str."""
    value = attribute(obj, name)
    return escape(value, size) if isinstance(value, str) else ""


# --- how an object can be called

WSGI = "WSGI"
ASGI = "ASGI"
NOT_CALLABLE = "not callable"
NO_ARGUMENTS = "takes no arguments, but could be called without"
OTHER_ARGUMENTS = "takes other arguments"
NO_ITERABLES = "a class whose instances are no iterables"


def function_of(obj):
    """The function of Python's that a call of `obj` runs, or None, and how many arguments the call binds."""
    kind = type(obj)
    if kind is FUNCTION:
        return obj, 0
    if kind is METHOD:
        function = obj.__func__
    else:
        function = None if issubclass(kind, type) else attribute(kind, "__call__")
    return (function, 1) if type(function) is FUNCTION else (None, 0)


def count_parameters(function, bound):
    """How many positional arguments a call needs, and how many it can have at most but for those of *args."""
    most = function.__code__.co_argcount - bound
    return most - len(function.__defaults__ or ()), most


def fits_plainly(obj):
    """Can it be seen without the inspect module, which asks the object, that two arguments fit?"""
    function, bound = function_of(obj)
    if function is None:
        return False
    code = function.__code__
    least, most = count_parameters(function, bound)
    return (least <= 2 and (most >= 2 or code.co_flags & VARARGS) and not code.co_kwonlyargcount
            and not code.co_flags & (COROUTINE | ASYNC_GENERATOR))


def is_async(inspect, obj):
    call = attribute(type(obj), "__call__")
    return (attempt(lambda: inspect.iscoroutinefunction(obj)) or attempt(lambda: inspect.isasyncgenfunction(obj))
            or attempt(lambda: inspect.iscoroutinefunction(call)))


def signature_of(obj):
    """A decorator's own parameters count, not those of what it wraps. None when there is no signature."""
    try:
        import inspect
        return inspect.signature(obj, follow_wrapped=False)
    except BaseException:
        return None


def text_of_signature(signature):
    return escape(attempt(str, signature), NAME_SIZE)


def refuses(signature, *arguments):
    """Is it certain that these are not taken?"""
    try:
        signature.bind(*arguments)
    except TypeError:
        return True
    except BaseException:
        pass
    return False


def makes_no_iterables(cls):
    """Is it certain that a call of this class returns no iterable, as that of an application must (PEP 3333)? What it
    returns is an instance, unless its metaclass or a __new__ that is not of C says otherwise."""
    if any("__iter__" in vars(base) or "__getitem__" in vars(base) for base in vars(type)["__mro__"].__get__(cls)):
        return False
    return type(cls).__call__ is type.__call__ and type(attribute(cls, "__new__")) is BUILTIN


def judge_call(obj):
    """Could `obj` be called as a WSGI application? Why not, and its signature where that is the reason."""
    if not callable(obj):
        return NOT_CALLABLE, ""
    if fits_plainly(obj):
        return WSGI, ""
    try:
        import inspect
    except BaseException:  # nothing can be said against it
        return WSGI, ""
    if is_async(inspect, obj):
        return ASGI, ""
    signature = signature_of(obj)
    if signature and refuses(signature, None, None):
        text = text_of_signature(signature)
        if text.startswith("(scope, receive, send"):
            return ASGI, ""
        return (OTHER_ARGUMENTS if refuses(signature) else NO_ARGUMENTS), text
    if issubclass(type(obj), type) and makes_no_iterables(obj):
        return NO_ITERABLES, ""
    return WSGI, ""


def takes_start_response(obj):
    """Has a call of `obj` a parameter start_response, as PEP 3333 names it?"""
    function = attribute(obj, "__init__") if issubclass(type(obj), type) else function_of(obj)[0]
    if type(function) is not FUNCTION:
        return False
    code = function.__code__
    return "start_response" in code.co_varnames[:code.co_argcount]


def may_be_factory(obj):
    """Might what can be called as an application make the application just as well: is it a function that can be called
    without arguments, and has parameters, none of them start_response?"""
    if type(obj) not in (FUNCTION, METHOD) or function_of(obj)[0] is None:
        return False
    least, most = count_parameters(*function_of(obj))
    return most > 0 and least <= 0 and not takes_start_response(obj)


# --- what could have been meant

# How likely something is what was meant; the least first. From NAMED on: the usual names, in their order.
SIMILAR, NAMED, BY_PARAMETERS, BY_COUNT, UNLIKELY = 0, 1, 64, 65, 66
MAKER = "create_app() and the like"
USUAL_NAMES = ("application", "app", MAKER, "wsgi", "wsgi_app", "server", "handler", "api", "main")


def is_own(value, module_name, expected):
    """Does `value` belong to the module, rather than being imported into it? Functions and classes do when they say so.
    Instances do (Flask's application, say) but for those that stand for something else. Of the standard library only
    `expected` ones do: things of typing can be called as well."""
    kind = type(value)
    if issubclass(kind, (type, BUILTIN)) or kind is FUNCTION:
        return text_of_attribute(value, "__module__") == module_name
    if text_of_attribute(kind, "__name__").endswith("Proxy"):
        return False
    home = attribute(kind, "__module__")
    return expected or not isinstance(home, str) or home.partition(".")[0] not in sys.stdlib_module_names


def judge_candidate(name, value, module_name, wanted):
    """The rank of what the module calls `name`, and the text to write for it; UNLIKELY when it cannot be meant."""
    maker = name.startswith(("create_", "make_", "build_", "get_")) and "app" in name
    known = MAKER if maker else name
    rank = NAMED + USUAL_NAMES.index(known) if known in USUAL_NAMES else UNLIKELY
    if name.startswith("_") or not callable(value) or not is_own(value, module_name, rank < UNLIKELY):
        return UNLIKELY, name
    fit, signature = judge_call(value)
    if wanted is not None and similar(wanted, [name]):
        rank = SIMILAR
    elif (fit == ASGI) if maker else (fit != WSGI):
        return UNLIKELY, name
    elif rank == UNLIKELY and takes_start_response(value):
        rank = BY_PARAMETERS
    elif rank == UNLIKELY and not issubclass(type(value), type):
        rank = BY_COUNT
    call = "()" if fit == NO_ARGUMENTS or maker and fit == WSGI else signature
    return rank, (name + call)[:NAME_SIZE - 1]


def candidates(module, wanted=None):
    """What in the module could have been meant, the likeliest first, as "hello:app, hello:create_app()"; "" when
    nothing could. Where something looks like `wanted` it is that alone, with "or" in between, and True is returned
    besides. Nothing that was imported into the module is named."""
    if not issubclass(type(module), MODULE_TYPE):
        return "", False
    module_name = text_of_attribute(module, "__name__")
    values = list(MODULE_TYPE.__getattribute__(module, "__dict__").items())
    found = [attempt(judge_candidate, escape(name, NAME_SIZE), value, module_name, wanted,
                     otherwise=(UNLIKELY, name)) for name, value in values]
    found = sorted((one for one in found if one[0] < UNLIKELY), key=lambda one: one[0])[:CANDIDATES_MAX]
    best = found[0][0] if found else UNLIKELY
    # The best kind alone: where there is one that looks like it, others are noise.
    kept = [f"{MODULE}:{text}" for rank, text in found
            if rank == SIMILAR or best != SIMILAR and (rank != BY_COUNT or best == BY_COUNT)]
    return listed(kept, " or " if best == SIMILAR else ", "), best == SIMILAR


def could_be(module):
    """The end of a message. What a factory returns says nothing about the module."""
    found = "" if FACTORY else candidates(module)[0]
    return f"; it could be {found}?" if found else ""


# --- while it is found

def describe_raised(exc, doing, python):
    """What to say above the traceback of an exception that came while `doing` ("importing hello")."""
    if issubclass(type(exc), SystemExit):
        return (f"{doing} ended in SystemExit, which asks the whole program to end: put what only a script does behind "
                'if __name__ == "__main__":')
    if not issubclass(type(exc), ModuleNotFoundError):
        return f"{doing} failed, the application has to be corrected:"
    missing = text_of_attribute(exc, "name")
    if not missing:
        return f"{doing} failed"
    return (f'{doing} needs the module "{missing}", which {python} does not find: install it there, name '
            "the virtual environment that has it with --venv DIR, or its directory with --pythonpath DIR")


def report_not_found(exc):
    """Says that MODULE itself, or a package it is in, does not exist, when `exc`, a ModuleNotFoundError, is about that:
    a status then, else 0."""
    if not raised_by_import_itself(exc.__traceback__):
        return 0
    missing = text_of_attribute(exc, "name")
    if not (MODULE + ".").startswith(missing + "."):
        return 0
    package = missing.rpartition(".")[0]
    if MODULE.endswith(".py"):
        report_no_file()
    elif package:
        report_not_in_package(package)
    else:
        report_no_module()
    return os.EX_NOINPUT


def raised_by_import_itself(traceback):
    """No frame but those of the import system, which PYTHONVERBOSE leaves in."""
    while traceback:
        if not traceback.tb_frame.f_code.co_filename.startswith("<frozen importlib"):
            return False
        traceback = traceback.tb_next
    return True


def report_no_module():
    top = MODULE.partition(".")[0]
    file = f", and no file {MODULE}" if MODULE.endswith(".wsgi") else ""
    found = similar(MODULE, modules_here())
    meant = f" (did you mean {found}?)" if found else ""
    error(f'there is no module "{top}"{file}{meant}: name the directory it is in with --chdir DIR or --pythonpath DIR; '
          "these were searched:")
    path = attribute(sys, "path")
    for directory in path if isinstance(path, list) else ():
        lines(f"  {escape(directory)}\n")


def modules_here():
    """The names of the modules in the current directory, which is that of --chdir."""
    names = []
    try:
        import pkgutil
        names.extend(module.name for module in pkgutil.iter_modules(["."]))
    except BaseException:
        pass
    return names


def report_not_in_package(package):
    missing = f'there is no module "{MODULE}" in "{package}"'
    file = file_below()
    if not file:
        error(f"{missing}: is it misspelt? An attribute is named after a colon: {package}:{MODULE[len(package) + 1:]}")
        return
    # --chdir counts from where the server was started, the file from where an earlier --chdir has led.
    here = current_directory()
    base = os.path.join(escape(here), "") if here not in (b".", START) else ""
    error(f"{missing}, but there is {base}{file}: did you mean --chdir {base}{MODULE.partition('.')[0]}?")


def file_below():
    """The file of MODULE when it is below a directory that has the name of its package, as mysite/mysite/wsgi.py is:
    django-admin lays a project out like this, and it is the first of these directories that has to be on the path."""
    path = MODULE.partition(".")[0] + "/" + MODULE.replace(".", "/")
    for file in (path + ".py", path + "/__init__.py"):
        if os.path.exists(file):
            return file
    return None


def report_no_default(module):
    found, _ = candidates(module)
    file = text_of_attribute(module, "__file__", LIST_SIZE)
    if found:
        hint = f"name the application, such as {found}"
    elif attribute(module, "__path__") is not None:
        hint = f"this is a package, name the module in it that has the application, such as {MODULE}.wsgi"
    else:
        hint = "nothing in it could be a WSGI application, is it the right module?"
    where = f" ({file})" if file else ""
    error(f'the module "{MODULE}"{where} has neither "application" nor "app": {hint}')
    return os.EX_CONFIG


def report_no_attribute(obj, path, name):
    """`obj`, the module or what `path`, the part of NAME before it, led to, has no attribute `name`."""
    question = "did you mean"
    # A module is asked for applications, all else for whatever looks alike.
    if "." not in NAME:
        found, looks_alike = candidates(obj, name)
        if not looks_alike:
            question = "an application could be"
    else:
        found = similar(name, attempt(dir, obj, otherwise=()), f"{MODULE}:{path}." if path else f"{MODULE}:")
    file = "" if path else text_of_attribute(obj, "__file__", LIST_SIZE)
    what = f"{MODULE}:{path}" if path else f"{MODULE} ({file})" if file else MODULE
    question = f"{question} {found}" if found else "which name has the application"
    error(f'{what} has no attribute "{name}"; {question}?')
    return os.EX_CONFIG


def report_arguments(factory, exc):
    """The factory does not take its arguments, which the TypeError says."""
    why, signature = escape(attempt(str, exc)), signature_of(factory)
    takes = f"; its signature is {text_of_signature(signature)}" if signature else ""
    error(f"cannot call the factory {SHOWN}: {why}{takes}: write its arguments as in \"app:make('x', debug=True)\"")
    return os.EX_CONFIG


# --- when it is found

def check(app, type_name, module):
    """Says why `app`, found in `module` or made by its factory, is no WSGI application: a status then, else 0.
    `type_name` is that of C."""
    label = f"the result of {SHOWN}" if FACTORY else f"{MODULE}:{NAME}"
    fit, signature = judge_call(app)
    refused = (f"{label} cannot be called with (environ, start_response) as a WSGI application is, its signature is "
               f"{signature}: ")
    if fit == WSGI:
        if not FACTORY and may_be_factory(app):
            warning(f"{label} can be called without arguments: if it returns the application, write {label}()")
        return 0
    if fit == NOT_CALLABLE:
        report_not_callable(app, label, type_name, module)
    elif fit == ASGI:
        error(f"{label} is an ASGI application (async), wsgi-fcgi serves WSGI: name the framework's WSGI application "
              "(Django: get_wsgi_application()), wrap it (a2wsgi.ASGIMiddleware), or use an ASGI server")
    elif fit == NO_ITERABLES:
        error(f"{label} is a class and its instances are not iterable, as what an application returns must be (PEP "
              f"3333): if an instance is the application, name that{could_be(module)}")
    elif FACTORY:
        error(f"{refused}is it the application?")
    elif fit == NO_ARGUMENTS:
        error(f"{refused}if it makes the application, did you mean {label}()?")
    else:
        error(f"{refused}is it the application? If it makes it, call it as in \"app:make('x', debug=True)\"")
    return os.EX_CONFIG


def report_not_callable(app, label, type_name, module):
    if issubclass(type(app), MODULE_TYPE):
        error(f"{label} is a module: name the application in it, such as {MODULE}.{NAME}:application")
    elif (type(app).__module__, type(app).__name__) == ("builtins", "coroutine"):
        error(f"{label} is a coroutine: a factory of a WSGI application must not be async")
        attempt(app.close)  # else Python warns that it was never awaited
    elif app is None and FACTORY:
        error(f"{label} is None: the factory has to return the application; does it lack a return?")
    else:
        error(f"{label} is not callable, it is of type {type_name}: a WSGI application is called with (environ, "
              f"start_response){could_be(module)}")
