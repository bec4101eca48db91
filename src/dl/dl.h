/* Stand-ins for the functions of a shared library that is loaded out of the global scope.
 *
 * The libraries that a program needs are searched before the application's extensions for every symbol, and so stand in
 * for the copies that extensions bring along: gevent has a libev of its own, httptools and aiohttp have an llhttp. Such a
 * library is linked as an archive where there is one. Where there is none, a file of this folder defines the functions
 * that are used, hidden like all of the program's, and each calls the one of the shared library.
 *
 * A file lists the functions as LIST(VALUE, NOTHING), with VALUE(TYPE, NAME, PARAMETERS, ARGUMENTS) for each function that
 * returns something and NOTHING(void, NAME, ...) for the others, and says DL_DEFINE(LIST, SONAME).
 *
 * Threads: the library is loaded before main(), and before other constructors run. A library or a function that is not
 * there ends the program with one line and EX_UNAVAILABLE, as the dynamic linker would end it.
 */
#ifndef WSGI_FCGI_DL_DL_H
#define WSGI_FCGI_DL_DL_H

/* Returns what dlopen(3) does; never NULL. */
void *dl_library(const char *soname);

/* Returns the address of a function of `library`; never NULL. */
void *dl_function(void *library, const char *soname, const char *name);

#define DL_VALUE_(type, name, parameters, arguments)                                                                   \
    static type(*dl_##name) parameters;                                                                                \
    type name parameters {                                                                                             \
        return dl_##name arguments;                                                                                    \
    }

#define DL_NOTHING_(type, name, parameters, arguments)                                                                 \
    static type(*dl_##name) parameters;                                                                                \
    type name parameters {                                                                                             \
        dl_##name arguments;                                                                                           \
    }

/* ISO C has no conversion to a function pointer from a void *, POSIX has. */
#define DL_FIND_(type, name, parameters, arguments)                                                                    \
    dl_##name = __extension__(type(*) parameters) dl_function(library, soname, #name);

/* Before the constructors without a priority, of which one of src/proto calls llhttp. Up to 100 are the compiler's. */
#define DL_PRIORITY_ 101

#define DL_DEFINE(LIST, SONAME)                                                                                        \
    LIST(DL_VALUE_, DL_NOTHING_)                                                                                       \
    __attribute__((constructor(DL_PRIORITY_))) static void dl_find_functions(void) {                                   \
        const char *soname = SONAME;                                                                                   \
        void *library = dl_library(soname);                                                                            \
        LIST(DL_FIND_, DL_FIND_)                                                                                       \
    }

#endif
