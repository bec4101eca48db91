# Macros of this project only. Shell variables of theirs begin with wf_.

# WF_COMPILE_FLAGS(VARIABLE, FLAGS): adds those of FLAGS to VARIABLE that the compiler knows.
AC_DEFUN([WF_COMPILE_FLAGS], [
    for wf_flag in m4_normalize([$2]); do
        WF_TRY_FLAGS([$wf_flag], [$$1], [AC_COMPILE_IFELSE], [$1="$$1 $wf_flag"])
    done
    AC_SUBST([$1])
])

# WF_LINK_FLAGS(VARIABLE, FLAGS, CFLAGS): the same for the linker, on objects made with CFLAGS.
AC_DEFUN([WF_LINK_FLAGS], [
    for wf_flag in m4_normalize([$2]); do
        WF_TRY_FLAGS([$wf_flag], [$3 $$1], [AC_LINK_IFELSE], [$1="$$1 $wf_flag"])
    done
    AC_SUBST([$1])
])

# WF_REQUIRE_FLAGS(FLAGS, OPTION): stops when compiler and linker do not know FLAGS, which OPTION needs.
AC_DEFUN([WF_REQUIRE_FLAGS], [
    WF_TRY_FLAGS([$1], [], [AC_LINK_IFELSE], [], [AC_MSG_ERROR([$CC cannot build with $1, which $2 needs])])
])

# WF_TRY_FLAGS(FLAGS, FLAGS-BESIDES, AC_COMPILE_IFELSE or AC_LINK_IFELSE, IF-KNOWN, IF-NOT)
# clang only warns of unknown flags, hence -Werror.
AC_DEFUN([WF_TRY_FLAGS], [
    AC_MSG_CHECKING([whether $CC takes $1])
    wf_saved_cflags=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2 $1"
    $3([AC_LANG_PROGRAM([], [])], [wf_known=yes], [wf_known=no])
    CFLAGS=$wf_saved_cflags
    AC_MSG_RESULT([$wf_known])
    AS_IF([test $wf_known = yes], [$4
], [$5
])
])

# WF_BUILD_OPTION(TEXT): adds TEXT to what --version says of the build.
AC_DEFUN([WF_BUILD_OPTION], [wf_build_options="${wf_build_options:+$wf_build_options }$1"])

# WF_MISSING(WHAT, DEBIAN-PACKAGES): notes something missing for WF_REPORT_MISSING.
AC_DEFUN([WF_MISSING], [
    wf_missing="${wf_missing:+$wf_missing, }$1"
    wf_packages="${wf_packages:+$wf_packages }$2"
])

AC_DEFUN([WF_REPORT_MISSING], [
    AS_IF([test -n "$wf_missing"],
        [AC_MSG_ERROR([missing: $wf_missing. Debian has it: apt-get install $wf_packages])])
])

# WF_CHECK_PYTHON: with --enable-python-module what WF_PYTHON_EXTENSION says, otherwise PYTHON_CPPFLAGS and PYTHON_LIBS to embed Python 3.11 or later: the distribution's, by pkg-config, or
# the one that PYTHON names, by its sysconfig. A python3 that happens to come first in PATH does not count. With
# --with-static-python, PYTHON_ARCHIVE is to be linked as a whole, and PYTHON_LIBS is what it needs.
AC_DEFUN([WF_CHECK_PYTHON], [
    AC_ARG_VAR([PYTHON], [the python3 to embed (with a shared library, or --with-static-python); default: pkg-config python3-embed])
    AC_ARG_VAR([PYTHON_CPPFLAGS], [preprocessor flags for Python.h, overriding what is found])
    AC_ARG_VAR([PYTHON_LIBS], [linker flags for libpython, overriding what is found])
    AC_SUBST([PYTHON_ARCHIVE])
    wf_whole_archive=-Wl,--whole-archive
    wf_no_whole_archive=-Wl,--no-whole-archive
    AC_SUBST([PYTHON_EXT_SUFFIX])
    AS_CASE([$with_static_python], [yes|no], [], [AC_MSG_ERROR([--with-static-python=$with_static_python: write yes or no])])
    AS_IF([test "$enable_python_module" = yes], [WF_PYTHON_EXTENSION], [
        AS_IF([test -n "$PYTHON"], [WF_PYTHON_BY_SYSCONFIG], [WF_PYTHON_BY_PKG_CONFIG])
        AS_IF([test -n "$PYTHON_LIBS"], [WF_PYTHON_TRY])
    ])
])

# WF_PYTHON_EXTENSION: PYTHON_CPPFLAGS, PYTHON_EXT_SUFFIX and PYTHON_EXECUTABLE for an extension module of PYTHON. Nothing
# of Python is linked: a program that imports the module has it all.
AC_DEFUN([WF_PYTHON_EXTENSION], [
    AS_IF([test "$with_static_python" = yes],
        [AC_MSG_ERROR([--enable-python-module and --with-static-python: a module has no Python in it; leave one out])])
    AS_IF([test -z "$PYTHON"],
        [AC_MSG_ERROR([--enable-python-module: name the Python that is to import the module, PYTHON=/path/to/python3])])
    AC_MSG_CHECKING([how to build a module for $PYTHON])
    wf_python=`"$PYTHON" "$srcdir/m4/python-embed.py" --extension` || AC_MSG_ERROR([PYTHON=$PYTHON takes no modules: ${wf_python:-it does not run}])
    eval "$wf_python"
    : ${PYTHON_CPPFLAGS=$wf_python_cppflags}
    AC_MSG_RESULT([$PYTHON_VERSION, _server$PYTHON_EXT_SUFFIX])
    AC_MSG_CHECKING([whether an extension module of Python $PYTHON_VERSION compiles])
    wf_saved_cppflags=$CPPFLAGS
    CPPFLAGS="$CPPFLAGS $PYTHON_CPPFLAGS"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
            #include <Python.h>
            #if PY_VERSION_HEX < 0x030b0000
            # error "Python 3.11 or later is needed"
            #endif
        ]], [[return Py_IsInitialized();]])],
        [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([a module with $PYTHON_CPPFLAGS does not compile; config.log says why])])
    CPPFLAGS=$wf_saved_cppflags
])

AC_DEFUN([WF_PYTHON_BY_PKG_CONFIG], [
    AC_MSG_CHECKING([for Python 3.11 or later with pkg-config])
    AS_IF([test -z "$PKG_CONFIG"],
        [AC_MSG_RESULT([no pkg-config])
         WF_MISSING([pkg-config], [pkg-config python3-dev])],
    [$PKG_CONFIG --exists 'python3-embed >= 3.11'],
        [PYTHON_VERSION=`$PKG_CONFIG --modversion python3-embed`
         PYTHON_EXECUTABLE=`$PKG_CONFIG --variable=exec_prefix python3-embed`/bin/python$PYTHON_VERSION
         # -isystem: our warnings are not for the headers of others.
         : ${PYTHON_CPPFLAGS=`$PKG_CONFIG --cflags python3-embed | sed 's/-I */-isystem /g'`}
         AS_IF([test "$with_static_python" = no], [: ${PYTHON_LIBS=`$PKG_CONFIG --libs python3-embed`}])
         AC_MSG_RESULT([$PYTHON_VERSION])
         # Where the archive is, and what it needs, pkg-config does not know.
         AS_IF([test "$with_static_python" = yes],
            [PYTHON=$PYTHON_EXECUTABLE
             WF_PYTHON_BY_SYSCONFIG])],
        [AC_MSG_RESULT([no])
         WF_MISSING([Python 3.11 or later for embedding (python3-embed.pc)], [python3-dev])])
])

AC_DEFUN([WF_PYTHON_BY_SYSCONFIG], [
    AC_MSG_CHECKING([how to embed $PYTHON])
    wf_option=
    AS_IF([test "$with_static_python" = yes], [wf_option=--static])
    wf_python=`"$PYTHON" "$srcdir/m4/python-embed.py" $wf_option` || AC_MSG_ERROR([PYTHON=$PYTHON cannot be embedded: ${wf_python:-it does not run}])
    eval "$wf_python"
    : ${PYTHON_CPPFLAGS=$wf_python_cppflags}
    : ${PYTHON_LIBS=$wf_python_libs}
    AC_MSG_RESULT([$PYTHON_VERSION,${PYTHON_ARCHIVE:+ $PYTHON_ARCHIVE} $PYTHON_LIBS])
    AS_IF([test "$with_static_python" = yes], [
        AC_CHECK_TOOL([OBJCOPY], [objcopy])
        AS_IF([test -z "$OBJCOPY"], [WF_MISSING([objcopy for --with-static-python], [binutils])])
        AC_DEFINE_UNQUOTED([STATIC_PYTHON], ["$PYTHON_EXECUTABLE"],
            [The program of the Python that was linked from its archive.])
    ])
])

AC_DEFUN([WF_PYTHON_TRY], [
    AC_MSG_CHECKING([whether a program that embeds Python $PYTHON_VERSION links])
    wf_saved_cppflags=$CPPFLAGS
    wf_saved_libs=$LIBS
    CPPFLAGS="$CPPFLAGS $PYTHON_CPPFLAGS"
    LIBS="${PYTHON_ARCHIVE:+$wf_whole_archive $PYTHON_ARCHIVE $wf_no_whole_archive }$PYTHON_LIBS $LIBS"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[
            #include <Python.h>
            #if PY_VERSION_HEX < 0x030b0000
            # error "Python 3.11 or later is needed"
            #endif
        ]], [[PyConfig config; PyConfig_InitPythonConfig(&config); return PyConfig_Read ? 0 : 1;]])],
        [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AS_IF([test -n "$PYTHON"],
            [AC_MSG_ERROR([a program with $PYTHON_CPPFLAGS $PYTHON_ARCHIVE $PYTHON_LIBS does not build; config.log says why])])
         WF_MISSING([Python.h or libpython$PYTHON_VERSION], [python3-dev])])
    CPPFLAGS=$wf_saved_cppflags
    LIBS=$wf_saved_libs
    # The copy that the build makes (src/local.mk).
    AS_IF([test -n "$PYTHON_ARCHIVE"],
        [PYTHON_LIBS="$wf_whole_archive src/python/libpython.a $wf_no_whole_archive $PYTHON_LIBS"])
])

AC_DEFUN([WF_CHECK_LIBEV], [
    AC_CHECK_HEADER([ev.h], [wf_found=yes], [wf_found=no])
    AS_IF([test $wf_found = yes],
        [AC_CHECK_LIB([ev], [ev_run], [LIBEV_LIBS=-lev], [wf_found=no])])
    AS_IF([test $wf_found = no], [WF_MISSING([libev 4 (ev.h, -lev)], [libev-dev])])
])

AC_DEFUN([WF_CHECK_LIBFCGI], [
    PKG_CHECK_MODULES([FCGI], [fcgi], [], [
        WF_HEADER_AND_LIBRARY([FCGI], [fastcgi.h], [fcgi], [OS_IsFcgi])
        AS_IF([test $wf_found = no], [WF_MISSING([libfcgi (fastcgi.h, -lfcgi)], [libfcgi-dev])])
    ])
])

AC_DEFUN([WF_CHECK_INIH], [
    PKG_CHECK_MODULES([INIH], [inih], [], [
        WF_HEADER_AND_LIBRARY([INIH], [ini.h], [inih], [ini_parse_stream])
        AS_IF([test $wf_found = no], [WF_MISSING([libinih (ini.h, -linih)], [libinih-dev])])
    ])
])

# WF_DECIDE_HTTP: makes enable_http, which may be auto, yes or no. wf_http is what configure says of it at its end.
AC_DEFUN([WF_DECIDE_HTTP], [
    AC_ARG_VAR([LLHTTP_SOURCES], [directory of llhttp.c, api.c and http.c, to be compiled in; default: libllhttp, else /usr/share/llhttp])
    AS_CASE([$enable_http], [auto|yes|no], [], [AC_MSG_ERROR([--enable-http=$enable_http: write auto, yes or no])])
    # Who says where it is wants it.
    AS_IF([test $enable_http = auto && test -n "$LLHTTP_SOURCES"], [enable_http=yes])
    wf_found_llhttp=no
    wf_packages_llhttp="node-llhttp (Debian 12) or libllhttp-dev (later)"
    AS_IF([test $enable_http != no], [WF_CHECK_LLHTTP], [wf_http="no (--disable-http)"])
    AS_IF([test $wf_found_llhttp = yes],
        [enable_http=yes
         wf_http=yes],
    [test $enable_http = yes],
        [WF_MISSING([llhttp for --enable-http (libllhttp.pc, or the sources in $LLHTTP_SOURCES)], [$wf_packages_llhttp])],
    [test $enable_http = auto],
        [enable_http=no
         wf_http="no, for llhttp is missing. Debian has it: apt-get install $wf_packages_llhttp, then configure again"])
])

# WF_CHECK_LLHTTP: the HTTP parser of Node.js, which Debian has as a library from version 13 on, and in version 12 as
# sources for others to compile. LLHTTP_SOURCES is the directory of these, or empty. Sets wf_found_llhttp.
AC_DEFUN([WF_CHECK_LLHTTP], [
    wf_found_llhttp=yes
    AS_IF([test -z "$LLHTTP_SOURCES"], [
        PKG_CHECK_MODULES([LLHTTP], [libllhttp >= 8.1], [wf_found=yes], [
            WF_HEADER_AND_LIBRARY([LLHTTP], [llhttp.h], [llhttp], [llhttp_execute])
        ])
        AS_IF([test $wf_found = no], [LLHTTP_SOURCES=/usr/share/llhttp])
    ])
    AS_IF([test -n "$LLHTTP_SOURCES"], [
        AC_MSG_CHECKING([for the sources of llhttp in $LLHTTP_SOURCES])
        for wf_include in "$LLHTTP_SOURCES" "$LLHTTP_SOURCES/include" "${LLHTTP_SOURCES%/llhttp}/include/llhttp"; do
            AS_IF([test -r "$wf_include/llhttp.h"], [break])
        done
        AS_IF([test -r "$LLHTTP_SOURCES/llhttp.c" && test -r "$LLHTTP_SOURCES/api.c" &&
               test -r "$LLHTTP_SOURCES/http.c" && test -r "$wf_include/llhttp.h"],
            [LLHTTP_CFLAGS="-isystem $wf_include"
             AC_MSG_RESULT([yes])],
            [AC_MSG_RESULT([no])
             wf_found_llhttp=no])
    ])
    # Our warnings are not for the headers of others.
    LLHTTP_CFLAGS=`echo "$LLHTTP_CFLAGS" | sed 's/-I */-isystem /g'`
])

# WF_DECIDE_PROBES: makes with_probes, which may be auto, yes or no. wf_probes is what configure says of it at its end.
AC_DEFUN([WF_DECIDE_PROBES], [
    AS_CASE([$with_probes], [auto|yes|no], [], [AC_MSG_ERROR([--with-probes=$with_probes: write auto, yes or no])])
    AS_IF([test $with_probes = no], [wf_probes="no (--without-probes)"], [
        AC_CHECK_HEADER([sys/sdt.h], [wf_found=yes], [wf_found=no])
        AS_IF([test $wf_found = yes],
            [with_probes=yes
             wf_probes=yes],
        [test $with_probes = yes],
            [WF_MISSING([sys/sdt.h for --with-probes], [systemtap-sdt-dev])],
            [with_probes=no
             wf_probes="no, for sys/sdt.h is missing. Debian has it: apt-get install systemtap-sdt-dev, then configure again"])
    ])
])

# WF_DECIDE_TOP: makes with_top, which may be auto, yes or no. wf_top is what configure says of it at its end.
AC_DEFUN([WF_DECIDE_TOP], [
    AS_CASE([$with_top], [auto|yes|no], [], [AC_MSG_ERROR([--with-top=$with_top: write auto, yes or no])])
    AS_IF([test $with_top = no], [wf_top="no (--without-top)"], [
        wf_found=yes
        PKG_CHECK_MODULES([CURSES], [ncursesw], [], [wf_found=no])
        PKG_CHECK_MODULES([JANSSON], [jansson >= 2.9], [], [wf_found=no])
        AS_IF([test $wf_found = yes],
            [with_top=yes
             wf_top=yes],
        [test $with_top = yes],
            [WF_MISSING([ncursesw or jansson for --with-top], [libncurses-dev libjansson-dev])],
            [with_top=no
             wf_top="no, for ncursesw or jansson is missing. Debian has them: apt-get install libncurses-dev libjansson-dev, then configure again"])
    ])
])

# WF_DECIDE_OTLP: makes with_otlp, which may be auto, yes or no. wf_otlp is what configure says of it at its end. The library
# itself is loaded at run time.
AC_DEFUN([WF_DECIDE_OTLP], [
    AS_CASE([$with_otlp], [auto|yes|no], [], [AC_MSG_ERROR([--with-otlp=$with_otlp: write auto, yes or no])])
    AS_IF([test $with_otlp = no], [wf_otlp="no (--without-otlp)"], [
        AC_CHECK_HEADER([curl/curl.h], [wf_found=yes], [wf_found=no])
        AS_IF([test $wf_found = yes],
            [with_otlp=yes
             wf_otlp=yes
             AC_SEARCH_LIBS([dlopen], [dl])],
        [test $with_otlp = yes],
            [WF_MISSING([curl/curl.h for --with-otlp], [libcurl4-openssl-dev])],
            [with_otlp=no
             wf_otlp="no, for curl/curl.h is missing. Debian has it: apt-get install libcurl4-openssl-dev, then configure again"])
    ])
])

# Check is needed by `make check` only, which says so when it is not there.
AC_DEFUN([WF_CHECK_CHECK], [
    PKG_CHECK_MODULES([CHECK], [check >= 0.15], [have_check=yes], [
        # As a static library, which it often is, Check needs others.
        WF_HEADER_AND_LIBRARY([CHECK], [check.h], [check], [srunner_run_all], [-lsubunit -lm -lrt])
        have_check=$wf_found
    ])
])

# WF_HEADER_AND_LIBRARY(PREFIX, HEADER, LIBRARY, FUNCTION, [OTHER-LIBRARIES]): without pkg-config. Sets wf_found.
AC_DEFUN([WF_HEADER_AND_LIBRARY], [
    AC_CHECK_HEADER([$2], [wf_found=yes], [wf_found=no])
    AS_IF([test $wf_found = yes], [AC_CHECK_LIB([$3], [$4], [$1_LIBS="-l$3 $5"], [wf_found=no], [$5])])
])

# WF_PRIVATE_LIBRARIES: extensions of the application, which may bring along a libev or llhttp of their own, must not find
# those of the server (src/dl/dl.h says why).
AC_DEFUN([WF_PRIVATE_LIBRARIES], [
    AC_CHECK_TOOL([READELF], [readelf])
    wf_load=no
    WF_PRIVATE_LIBRARY([ev], [EV], [$LIBEV_LIBS], [ev_run])
    WF_PRIVATE_LIBRARY([fcgi], [FCGI], [$FCGI_LIBS], [OS_IsFcgi])
    WF_PRIVATE_LIBRARY([inih], [INIH], [$INIH_LIBS], [ini_parse_stream])
    AS_IF([test "$enable_http" = yes && test -z "$LLHTTP_SOURCES"],
        [WF_PRIVATE_LIBRARY([llhttp], [LLHTTP], [$LLHTTP_LIBS], [llhttp_execute])])
    AM_CONDITIONAL([LOAD_EV], [test -n "$EV_SONAME"])
    AM_CONDITIONAL([LOAD_FCGI], [test -n "$FCGI_SONAME"])
    AM_CONDITIONAL([LOAD_INIH], [test -n "$INIH_SONAME"])
    AM_CONDITIONAL([LOAD_LLHTTP], [test -n "$LLHTTP_SONAME"])
    AM_CONDITIONAL([LOAD], [test $wf_load = yes])
    AS_IF([test $wf_load = yes], [AC_SEARCH_LIBS([dlopen], [dl])])
])

# WF_PRIVATE_LIBRARY(NAME, PREFIX, LIBRARIES, FUNCTION): PRIVATE_PREFIX_LIBS links the archive; when there is none,
# PREFIX_SONAME is what to load.
AC_DEFUN([WF_PRIVATE_LIBRARY], [
    AC_MSG_CHECKING([how extensions do not find lib$1])
    $2_SONAME=
    PRIVATE_$2_LIBS=
    for wf_word in $3; do
        AS_IF([test "x$wf_word" = "x-l$1"], [wf_word=-l:lib$1.a])
        PRIVATE_$2_LIBS="${PRIVATE_$2_LIBS:+$PRIVATE_$2_LIBS }$wf_word"
    done
    wf_linked=no
    AS_IF([test "$enable_static_libs" != no], [
        # Archives do not say what they need themselves: libev needs floor().
        WF_LINKED([$1], [$4], [$PRIVATE_$2_LIBS])
        AS_IF([test $wf_linked = no], [
            PRIVATE_$2_LIBS="$PRIVATE_$2_LIBS -lm"
            WF_LINKED([$1], [$4], [$PRIVATE_$2_LIBS])
        ])
    ])
    AS_IF([test $wf_linked = no], [
        WF_LINKED([$1], [$4], [$3])
        # What a module needs is searched for that module alone.
        AS_IF([test "$enable_python_module" = yes], [
            PRIVATE_$2_LIBS=$3
            wf_soname=
        ])
    ])
    AS_IF([test $wf_linked = no],
        [AC_MSG_RESULT([not at all])
         AC_MSG_ERROR([a program with $3 does not link; config.log says why])],
    [test -n "$wf_soname"],
        [AC_MSG_RESULT([loaded at start: $wf_soname])
         $2_SONAME=$wf_soname
         PRIVATE_$2_LIBS=
         AC_DEFINE_UNQUOTED([$2_SONAME], ["$wf_soname"], [What lib$1 is loaded from.])
         wf_load=yes],
        [AC_MSG_RESULT([linked: $PRIVATE_$2_LIBS])])
    AC_SUBST([PRIVATE_$2_LIBS])
])

# WF_LINKED(NAME, FUNCTION, LIBRARIES): whether a program that calls FUNCTION links, in wf_linked, and the name of the
# shared library that it needs then, or nothing, in wf_soname. Instead of the program a shared library, where a module is
# to be built: it takes an archive whose code may be anywhere.
AC_DEFUN([WF_LINKED], [
    wf_saved_cflags=$CFLAGS
    wf_saved_ldflags=$LDFLAGS
    wf_saved_libs=$LIBS
    CFLAGS="$CFLAGS $HARDEN_CFLAGS $INSTRUMENT_CFLAGS"
    # The functions of a sanitizer are those of the program that has the module. The variables are those of
    # src/extension/archives.c, both, as the linker of binutils 2.40 breaks down over one alone.
    wf_prologue=
    wf_shared="-shared -Wl,-z,text -Wl,--wrap=stderr"
    AS_IF([test "$with_sanitizer" = no], [wf_shared="$wf_shared -Wl,-z,defs"])
    AS_IF([test "$enable_python_module" = yes],
        [LDFLAGS="$LDFLAGS $wf_shared $HARDEN_LDFLAGS $HIDE_LDFLAGS"
         wf_prologue='extern void *__real_stderr;
                      void *__wrap_stderr __attribute__((visibility("hidden")));
                      void *find_stderr(void) { return __real_stderr; }'],
        [LDFLAGS="$LDFLAGS $PIE_LDFLAGS $HARDEN_LDFLAGS"])
    LIBS="$3 $LIBS"
    wf_soname=
    AC_LINK_IFELSE([AC_LANG_CALL([$wf_prologue], [$2])],
        [wf_linked=yes
         wf_soname=`$READELF -d conftest$ac_exeext | tr -d '@<:@@:>@' | sed -n 's/.*(NEEDED).* \(lib$1\.so.*\)/\1/p'`],
        [wf_linked=no])
    CFLAGS=$wf_saved_cflags
    LDFLAGS=$wf_saved_ldflags
    LIBS=$wf_saved_libs
])
